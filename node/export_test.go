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

// PrefixWatches returns how many watch prefixes, and of how many keys they have to tell still.
func (p *Process) PrefixWatches() (watches, untold int) {
	w := p.watches()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.prefixes {
		untold += len(one.untold.entries)
	}
	return len(w.prefixes), untold
}
