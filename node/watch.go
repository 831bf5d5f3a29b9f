package node

import (
	"context"
	"fmt"
	"time"
)

// Watch tells of a key that an own node owns: what a read by quorum finds, first if that is newer than the version after, then whenever it has become newer. Of
// changes that follow each other closely only the last may be told; that a value has expired is told with its version. It returns when ctx ends, with its error; when tell returns an error, with that; and else with one of Serve's:
// a NotOwnerError as soon as the key is somebody else's.
func (p *Process) Watch(ctx context.Context, key []byte, after Version, tell func(Result) error) error {
	op := Op{Kind: OpGet, Key: key}
	lapsed := false // it was told that this version has expired
	w := p.watches().add(string(key))
	defer p.watches().remove(string(key), w)
	// Bound: each turn but the first waits for a change, and RepairInterval if none comes.
	for ctx.Err() == nil && p.ctx.Err() == nil {
		r, err := p.Serve(ctx, op)
		if err != nil {
			return err
		}
		if r.Version.Newer(after) || r.Version == after && r.Expired() && !lapsed {
			after, lapsed = r.Version, r.Expired()
			if err := tell(r); err != nil {
				return err
			}
			continue // with what has come meanwhile
		}
		p.dormant(ctx, w, r.Left)
	}
	if p.ctx.Err() != nil {
		return ErrNotReady
	}
	return fmt.Errorf("watch %q: %w", key, ctx.Err())
}

// dormant waits until something is stored under the key, or the process owns something else than before, or the value has expired, which is left for so long if that is not 0.
// RepairInterval later it ends in any case, so that one who is cut off from its replicas finds out. It reports whether it was woken.
func (p *Process) dormant(ctx context.Context, w *watch, left time.Duration) bool {
	most := p.cfg.RepairInterval
	if left > 0 {
		most = min(most, left)
	}
	ctx, cancel := p.rt.WithTimeout(ctx, most)
	defer cancel()
	return p.rt.Await(ctx, func(wake func()) {
		if !w.sleep(wake) {
			wake()
		}
	}) == nil
}

// watches returns those who watch, made when the first one comes.
func (p *Process) watches() *watches {
	if w := p.watched.Load(); w != nil {
		return w
	}
	p.watched.CompareAndSwap(nil, &watches{byKey: make(map[string][]*watch)})
	return p.watched.Load()
}

// apply is Store.Apply, after which those who watch the keys look.
func (p *Process) apply(records []Record) ([]Version, error) {
	versions, err := p.store.Apply(records)
	p.stir(records)
	return versions, err
}

// replace is Store.Replace, after which those who watch the keys look.
func (p *Process) replace(records []Record, stored []Version) ([]bool, error) {
	done, err := p.store.Replace(records, stored)
	p.stir(records)
	return done, err
}

// stir has those look who watch the keys of records.
func (p *Process) stir(records []Record) {
	if w := p.watched.Load(); w != nil {
		wakeAll(w.stir(len(records), func(i int) Entry { return Entry{Key: records[i].Key, Version: records[i].Version} }))
	}
}

// stirExpired has those look who watch keys whose values were taken out.
func (p *Process) stirExpired(keys [][]byte) {
	if w := p.watched.Load(); w != nil {
		wakeAll(w.stir(len(keys), func(i int) Entry { return Entry{Key: keys[i]} }))
	}
}

// stirAll has all look who watch, because the neighbors of the process, and so what it owns, have changed.
func (p *Process) stirAll() {
	if w := p.watched.Load(); w != nil {
		wakeAll(w.stirAll())
	}
}

func wakeAll(wakes []func()) {
	for _, wake := range wakes {
		wake()
	}
}
