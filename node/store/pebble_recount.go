package store

import (
	"context"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// This file keeps the hash tree of a Pebble in shape while it is used: leaves are split by reading them, and counted anew where something is corrupt.

// tend splits leaves and makes checkpoints as they become due.
func (p *Pebble) tend(ctx context.Context) {
	for ctx.Err() == nil {
		var err error
		select {
		case <-ctx.Done():
		case next := <-p.tree.again:
			p.tree.answered(next)
			err = p.thin(ctx, next.prefix)
			if len(p.tree.again) == 0 && p.tree.missed.Swap(false) {
				for _, prefix := range p.tree.root.crowdedLeaves(site{}, nil) { // maybe nobody writes there any more
					err = errors.Join(err, p.thin(ctx, prefix))
				}
			}
		case d := <-p.tree.spoilt:
			err = p.salvage(d)
		case <-p.tree.due:
			if !p.space.full.Load() && p.tree.number.Load()-p.tree.saved.Load() >= p.tree.journalLimit() {
				err = p.checkpoint()
			}
		}
		if err != nil && ctx.Err() == nil {
			p.opts.Log.Error().Err(err).Msg("hash tree")
		}
	}
}

// thin counts the leaf of a prefix anew if that is due, and splits it, and the leaves that come of it, until none is crowded.
func (p *Pebble) thin(ctx context.Context, prefix uint64) error {
	// Bound: a leaf is split no deeper than maxDepth.
	for open := []uint64{prefix}; len(open) > 0 && ctx.Err() == nil; {
		prefix, open = open[len(open)-1], open[:len(open)-1]
		leaf, at := p.tree.root.leaf(site{}, prefix)
		if !leaf.crowded(at) && !p.tree.isUnsure(at) {
			continue
		}
		if _, err := p.recount(prefix); err != nil {
			return err
		}
		if kids := leaf.kids.Load(); kids != nil {
			for i := range kids {
				if kid := at.kid(i); kids[i].crowded(kid) {
					open = append(open, kid.prefix)
				}
			}
		}
	}
	return nil
}

// recounted is what was found in a block.
type recounted struct {
	span    span
	sum     node.Summary
	corrupt int   // records that cannot be read
	off     delta // what the tree was wrong by
}

// recount reads the leaf of a prefix while others write, corrects its sums, and splits it if it is crowded. Its sums are wrong when a record in it has
// turned out to be corrupt.
func (p *Pebble) recount(prefix uint64) (recounted, error) {
	t := &p.tree
	t.recounts.Lock()
	defer t.recounts.Unlock()
	t.pause()
	leaf, at := t.root.leaf(site{}, prefix)
	found := recounted{span: at.span()}
	lower, upper := diskBounds(place{id: found.span.first}, found.span.last)
	it, err := p.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err == nil {
		t.watch = &watch{at: at}
	}
	t.resume()
	if err != nil {
		return found, err
	}
	var kids [16]node.Summary
	var unsound []damage
	err = p.walk(it, lower, found.span.last, func(key []byte, v node.Version) bool {
		sum := &kids[at.digit(prefixOf(ring.Hash(key)))]
		sum.Count++
		sum.Hash += EntryHash(key, v)
		return true
	}, func(d damage) {
		unsound = append(unsound, d)
		if d.block {
			t.askSalvage(d)
		}
	})
	err = errors.Join(err, closeWalked(it))

	t.pause()
	defer t.resume()
	written := t.watch.deltas
	t.watch = nil
	if err != nil {
		return found, err
	}
	for _, d := range written {
		sum := &kids[at.digit(d.prefix)]
		sum.Count += uint64(d.count)
		sum.Hash += d.hash
	}
	for _, kid := range kids {
		found.sum.Count += kid.Count
		found.sum.Hash += kid.Hash
	}
	found.corrupt = len(unsound)
	t.setUnsure(at, unsound)
	found.off = delta{prefix, int64(found.sum.Count) - leaf.count.Load(), found.sum.Hash - leaf.hash.Load()}
	if found.off.count != 0 || found.off.hash != 0 {
		if err := p.correct(found.off); err != nil {
			return found, err
		}
	}
	if leaf.crowded(at) && len(unsound) == 0 {
		leaf.split(&kids)
	}
	return found, nil
}

// correct changes sums without a record, with all lanes held.
func (p *Pebble) correct(off delta) error {
	p.tree.root.add(site{}, off)
	if p.space.full.Load() {
		return nil // and again after the next start
	}
	b := p.db.NewBatch()
	err := p.tree.journal(b, []delta{off})
	if err == nil {
		err = b.Commit(pebble.NoSync)
	}
	return errors.Join(err, b.Close())
}

// ask has a leaf read, unless that is going to happen anyway.
func (t *treeState) ask(leaf due) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asked[leaf.at] {
		return
	}
	select {
	case t.again <- leaf:
		t.asked[leaf.at] = true
	default:
		t.missed.Store(true)
	}
}

// answered notes that a leaf is about to be read: what is written from now on may have to be read again.
func (t *treeState) answered(leaf due) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.asked, leaf.at)
}

// setUnsure notes what is corrupt in a leaf.
func (t *treeState) setUnsure(at site, where []damage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(where) == 0 {
		delete(t.unsure, at)
	} else {
		t.unsure[at] = where
	}
	t.unsures.Store(int32(len(t.unsure)))
}

func (t *treeState) isUnsure(at site) bool {
	if t.unsures.Load() == 0 {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.unsure[at]
	return ok
}

// knows reports whether what lies at the beginning of a damage is known to be corrupt; if not, it is from now on.
func (t *treeState) knows(at site, d damage) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if slices.ContainsFunc(t.unsure[at], func(k damage) bool { return k.from <= d.from && d.from < k.behind }) {
		return true
	}
	t.unsure[at] = append(t.unsure[at], d)
	t.unsures.Store(int32(len(t.unsure)))
	return false
}

// exclude takes what turned out to be corrupt out of the tree, as far as it lies in the leaf where it begins. It is in there no more when exclude returns.
func (p *Pebble) exclude(d damage) {
	if d.block {
		p.tree.askSalvage(d)
	}
	prefix := prefixOf(ring.ID([]byte(d.from[1:keyOverhead])))
	_, at := p.tree.root.leaf(site{}, prefix)
	if p.tree.knows(at, d) {
		return
	}
	if _, err := p.recount(prefix); err != nil {
		p.corruptLog.Error().Err(err).Msg("cannot recount a block with a corrupt record")
		return
	}
}
