package node

import (
	"context"

	"github.com/chordkv/chord/ring"
)

// Reconcile runs one reconciliation with a peer.
func (p *Process) Reconcile(ctx context.Context, arc ring.Arc, peer ring.Ref, pull bool) (sent, received int, err error) {
	r, err := p.reconcile(ctx, arc, peer, pull, nil, nil)
	return r.sent, r.received, err
}
