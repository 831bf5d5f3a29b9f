package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chordkv/chord/ring"
)

// Sweep gives away what is stored here but belongs elsewhere, because the ring changed: it goes through the store arc by arc, looks up
// who owns each, and where this process is not in the replica group, it makes sure that all N members have the records, then
// drops its own. It forgets nothing that fewer than N others have confirmed.

// sweep makes tombstones of what has expired, runs one pass, and returns when to run the next: rarer while nothing is stored. What could not be given away now waits for the next. A
// process does not notice when it leaves the group of an owner some way behind it, so it has to look now and then.
func (p *Process) sweep(ctx context.Context) time.Duration {
	if p.Ready() {
		p.refill(ctx)
	}
	p.expire(ctx)
	if first, err := p.store.List(ring.FullArc(), Cursor{}, 1); err == nil && len(first) == 0 {
		return 4 * p.cfg.SweepInterval
	}
	if p.Ready() {
		_ = p.eachArc(ctx, p.sweepArc)
	}
	return p.cfg.SweepInterval
}

// eachArc goes through the store in ring order and calls f for every arc with records and the owner of it, as a lookup finds it now. It goes
// on behind an arc for which f fails and returns all errors. Each turn moves on clockwise past at least one node of the ring.
func (p *Process) eachArc(ctx context.Context, f func(ctx context.Context, arc ring.Arc, owner ring.View) error) error {
	var errs []error
	rest := ring.FullArc()
	// Bound: the nodes of the ring; each turn moves on past at least one.
	for ctx.Err() == nil {
		first, err := p.store.List(rest, Cursor{}, 1)
		if err != nil || len(first) == 0 {
			return errors.Join(append(errs, err)...)
		}
		id := ring.Hash(first[0].Key)
		owner, err := p.locate(ctx, id, ring.Ref{})
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		arc := ring.Arc{After: id.Prev(), Through: owner.Self.ID}
		last := !ring.Between(id.Prev(), arc.Through, rest.Through) // the owner's arc goes to the end of the circle, or past it
		if last {
			arc.Through = rest.Through
		}
		if err := f(ctx, arc, owner); err != nil {
			errs = append(errs, err)
		}
		if last {
			return errors.Join(errs...)
		}
		rest.After = arc.Through
	}
	return ctx.Err()
}

// sweepArc gives away the records of an arc if this process is not in its replica group.
func (p *Process) sweepArc(ctx context.Context, arc ring.Arc, owner ring.View) error {
	group := owner.Group(p.cfg.Replicas)
	for _, r := range group {
		if r.Addr == p.addr {
			return nil
		}
	}
	if len(group) < p.cfg.Replicas {
		return fmt.Errorf("%w: %v has a group of %d", ErrConsistency, arc, len(group))
	}
	for _, n := range p.nodes {
		if arc.Contains(n.self.ID) {
			// It is of another ring, which is about to become one with this: who is right will show.
			return fmt.Errorf("%w: %v, to which %v belongs, does not know %v", ErrConsistency, owner.Self, arc, n.self)
		}
	}
	if err := p.free(arc); err != nil {
		return err
	}
	return p.giveAway(ctx, arc, group)
}

// free returns an error if somebody relies on what this process has in the arc, or the process is about to be missed.
func (p *Process) free(arc ring.Arc) error {
	if !p.Ready() {
		return ErrNotReady
	}
	if p.memory.pinned(arc, p.rt.Now()) && !mutantSweepUnpinned.on() {
		return fmt.Errorf("%w: %v is pinned", ErrConsistency, arc)
	}
	return nil
}

// giveAway makes sure that the group has the records of the arc and drops them here, so many at a time that the group's pins
// outlast the work.
func (p *Process) giveAway(ctx context.Context, arc ring.Arc, group []ring.Ref) error {
	ctx, cancel := p.rt.WithTimeout(ctx, 6*p.cfg.PinTime)
	defer cancel()
	// Bound: the records of the arc, and the deadline; each turn moves on past a page of them.
	for {
		// The page ends where its last record lies; only its own records are dropped.
		entries, err := p.store.List(arc, Cursor{}, p.cfg.BatchRecords)
		if err != nil || len(entries) == 0 {
			return err
		}
		page := ring.Arc{After: arc.After, Through: ring.Hash(entries[len(entries)-1].Key)}
		if err := p.giveAwayPage(ctx, page, entries, group); err != nil {
			return err
		}
		if len(entries) < p.cfg.BatchRecords || page.Through == arc.Through {
			return nil
		}
		arc.After = page.Through
	}
}

func (p *Process) giveAwayPage(ctx context.Context, page ring.Arc, entries []Entry, group []ring.Ref) error {
	ctx, cancel := p.rt.WithTimeout(ctx, p.cfg.PinTime/2)
	defer cancel()
	// All at once: one after the other would take longer than the pins last where a round trip takes half a second.
	var errs []error
	p.rt.Gather(len(group), func(i int) error {
		r, err := p.reconcile(ctx, page, group[i], false, nil)
		if p.events.Reconciled != nil && (err != nil || r.sent > 0) {
			p.events.Reconciled(ring.Ref{Addr: p.addr}, group[i], r.sent, 0, err)
		}
		return err
	}, nil, func(_ int, err error) (enough bool) {
		errs = append(errs, err)
		return false
	})
	if err := errors.Join(errs...); err != nil && !mutantSweepUnconfirmed.on() {
		return err
	}
	// Whoever has compared with this process since it began to ask the others may be about to drop his.
	if err := p.free(page); err != nil {
		return err
	}
	n, err := p.store.Drop(entries)
	if n > 0 && p.events.Dropped != nil {
		p.events.Dropped(page, n)
	}
	return err
}
