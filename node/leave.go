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

// handOver sends every record to the replica group that its arc will have without this process, and without those who leave as well or
// do not answer: the first N others from the owner on that take it.
func (p *Process) handOver(ctx context.Context) error {
	return p.eachArc(ctx, func(ctx context.Context, arc ring.Arc, owner ring.View) error {
		if mutantLeaveBare.on() {
			return nil
		}
		heirs := 0
		var errs []error
		for _, r := range owner.Candidates(p.cfg.Replicas, p.nodes[0].self) {
			if _, err := p.reconcile(ctx, arc, r, false, nil); err != nil {
				errs = append(errs, err)
			} else if heirs++; heirs == p.cfg.Replicas {
				return nil
			}
		}
		if heirs == 0 {
			errs = append(errs, fmt.Errorf("%w: nobody to hand %v over to", ErrConsistency, arc))
		}
		return errors.Join(errs...) // nil in a ring of fewer than N others
	})
}
