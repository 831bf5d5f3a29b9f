package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/chordkv/chord/ring"
)

// Leave hands all records over to those who will be responsible for them, leaves the ring and serves nothing afterwards; its
// neighbors find out by the next call. Clients are served until then. On an error the process has left all the same, but something was not
// handed over: the other replicas have it, fewer than there should be.
func (p *Process) Leave(ctx context.Context) error {
	if !p.phase.CompareAndSwap(member, leaving) {
		return fmt.Errorf("leave: %w", ErrNotReady)
	}
	for _, n := range p.nodes {
		n.stabilize(ctx) // whoever joined just now is not in the lists yet
	}
	err := p.handOver(ctx)
	p.phase.Store(closing)
	if err == nil {
		err = p.handOver(ctx) // what was written meanwhile
	}
	p.Stop()
	if err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	return nil
}

// handOver sends every record to the replica group that its arc will have without this process.
func (p *Process) handOver(ctx context.Context) error {
	return p.eachArc(ctx, func(ctx context.Context, arc ring.Arc, owner ring.View) error {
		group := p.groupWithoutSelf(owner)
		if mutantLeaveBare.on() {
			return nil
		}
		if len(group) == 0 {
			return fmt.Errorf("%w: nobody to hand %v over to", ErrConsistency, arc)
		}
		var errs []error
		for _, member := range group {
			_, err := p.reconcile(ctx, arc, member, false)
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}

// groupWithoutSelf returns the first N distinct processes from the owner on that are not this one.
func (p *Process) groupWithoutSelf(owner ring.View) []ring.Ref {
	var group []ring.Ref
	for _, r := range owner.Group(p.cfg.Replicas + 1) {
		if r.Addr != p.addr && len(group) < p.cfg.Replicas {
			group = append(group, r)
		}
	}
	return group
}
