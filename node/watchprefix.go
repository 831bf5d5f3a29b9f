package node

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/chordkv/chord/ring"
)

// Stored is what one process tells of the keys with a prefix: what it has, whether it owns them or not. Whether somebody has something newer a read will tell.
// See docs/decisions/0013-watch-of-a-prefix.md.
type Stored struct {
	Entries []Entry  // one without a version: its value has expired
	Listed  bool     // everything has been told that was stored when the watch began, or when it lost its place
	Around  []string // addresses of this process and of all next to it, first of all, and when they are others than before
}

// WatchPrefix tells of the keys with a prefix that the process has stored: those that are there, in ring order, and each under which something is stored, meanwhile and
// afterwards. Nothing is held back for a slow tell but a batch of keys: if there are more, the place in the changes is lost, and all keys are told again. It returns
// when ctx ends, with its error; when tell returns an error, with that; and else ErrInvalid, ErrTooManyWatches, ErrNotReady when the process has left or stops, or an error of the store.
func (p *Process) WatchPrefix(ctx context.Context, prefix []byte, tell func(Stored) error) error {
	if n, limit := len(prefix), p.cfg.MaxKeyBytes; n > limit {
		return fmt.Errorf("%w: the prefix has %d bytes, the limit of keys is %d", ErrInvalid, n, limit)
	}
	w := p.watches().addPrefix(string(prefix), p.cfg.BatchRecords, p.cfg.BatchBytes)
	if w == nil {
		return fmt.Errorf("%w: %d", ErrTooManyWatches, maxPrefixWatches)
	}
	defer p.watches().removePrefix(w)
	t := teller{p: p, prefix: prefix, tell: tell}
	// Bound: each turn waits for a change, for RepairInterval if none comes, unless there is something to tell or to list.
	for ctx.Err() == nil {
		if err := p.present(); err != nil {
			return err
		}
		entries, lost, moved := w.take(t.listed)
		if lost {
			t.listed, t.at = false, Cursor{}
		}
		err := t.news(entries, moved)
		switch {
		case err != nil:
		case !t.listed:
			err = t.page(ctx)
		default:
			t.quiet = !p.dormant(ctx, w, 0)
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("watch of prefix %q: %w", prefix, ctx.Err())
}

// teller is what a watch of a prefix has told.
type teller struct {
	p      *Process
	prefix []byte
	tell   func(Stored) error
	at     Cursor   // where the listing is
	listed bool     // it is through
	around []string // told last
	quiet  bool     // nothing has happened for RepairInterval
}

// news tells what has come, and who is next to the process if that is somebody else than before. Not all changes of neighbors are told to those who watch: hence now and then.
func (t *teller) news(entries []Entry, moved bool) error {
	if moved || t.quiet {
		if now := t.p.around(); !slices.Equal(now, t.around) {
			t.around = now
			if err := t.tell(Stored{Around: now}); err != nil {
				return err
			}
		}
	}
	if len(entries) == 0 {
		return nil
	}
	return t.tell(Stored{Entries: entries})
}

// page tells the next page of what is stored. If clients were served meanwhile, it waits as long as that took.
func (t *teller) page(ctx context.Context) error {
	p := t.p
	began := p.takeTurn()
	page, err := p.store.List(ring.FullArc(), t.at, p.cfg.BatchRecords)
	if err != nil {
		return err
	}
	t.listed = len(page) < p.cfg.BatchRecords
	if len(page) > 0 {
		t.at.Key = page[len(page)-1].Key
	}
	page = slices.DeleteFunc(page, func(e Entry) bool { return !bytes.HasPrefix(e.Key, t.prefix) })
	if wait := p.respite(began); wait > 0 && !t.listed {
		_ = p.rt.Sleep(ctx, wait) // that ctx has ended the caller sees
	}
	for last := len(page) == 0 && !t.listed; !last; {
		n, size := 0, 0
		for ; n < len(page) && (n == 0 || size+len(page[n].Key) <= p.cfg.BatchBytes); n++ {
			size += len(page[n].Key)
		}
		last = n == len(page)
		if err := t.tell(Stored{Entries: page[:n], Listed: t.listed && last}); err != nil {
			return err
		}
		page = page[n:]
	}
	return nil
}

// around returns the addresses of the process and of those next to its nodes, on both sides: those of all processes together name every process of the ring.
func (p *Process) around() []string {
	addrs := []string{p.addr}
	for _, n := range p.nodes {
		s := n.snap.Load()
		for _, r := range append([]ring.Ref{s.view.Pred, first(s.view)}, s.group...) {
			if !r.IsZero() {
				addrs = append(addrs, r.Addr)
			}
		}
	}
	slices.Sort(addrs)
	return slices.Compact(addrs)
}
