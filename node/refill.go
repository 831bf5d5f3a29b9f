package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/chordkv/chord/ring"
)

// refill fetches what the store has lost of arcs, because it could not be read, from all others that may have it. Until then this process is no witness that a key which
// it does not find there does not exist.
func (p *Process) refill(ctx context.Context) {
	for _, lost := range p.store.Lost() {
		if p.compareAll(ctx, lost) == nil {
			_ = p.store.Refilled(lost) // or again, at the next sweep
		}
	}
}

// compareAll makes this process have all that the replicas of an arc have, whoever owns the parts of it.
func (p *Process) compareAll(ctx context.Context, arc ring.Arc) error {
	rest := arc
	// Bound: the nodes of the ring; each turn moves on past at least one.
	for {
		owner, err := p.locate(ctx, rest.After.Next(), ring.Ref{})
		if err != nil {
			return err
		}
		part := rest
		if ring.Between(rest.After, owner.Self.ID, rest.Through) {
			part.Through = owner.Self.ID
		}
		if err := p.compareWith(ctx, part, owner); err != nil {
			return err
		}
		if part.Through == arc.Through {
			return nil
		}
		rest.After = part.Through
	}
}

// compareWith makes this process have what all others have that may be replicas of a part of an owner's arc.
func (p *Process) compareWith(ctx context.Context, part ring.Arc, owner ring.View) error {
	others := owner.Candidates(p.cfg.Replicas, ring.Ref{Addr: p.addr})
	if len(others) == 0 || len(others) < p.cfg.Replicas-1 && !p.memory.complete() {
		return fmt.Errorf("%w: %v has %d replicas besides this process", ErrConsistency, part, len(others))
	}
	var errs []error
	for _, other := range others {
		r, err := p.reconcile(ctx, part, other, true, nil)
		if p.events.Reconciled != nil && (err != nil || r.sent+r.received > 0) {
			p.events.Reconciled(ring.Ref{Addr: p.addr}, other, r.sent, r.received, err)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
