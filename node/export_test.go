package node

import (
	"context"
	"time"

	"github.com/chordkv/chord/ring"
)

// Reconcile runs one reconciliation with a peer.
func (p *Process) Reconcile(ctx context.Context, arc ring.Arc, peer ring.Ref, pull bool) (sent, received int, err error) {
	r, err := p.reconcile(ctx, arc, peer, pull, nil)
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

// CoordinateAt returns a place on the first axis, in time of round trip.
func CoordinateAt(x time.Duration, share float64) Coordinate {
	return position{x: float64(x) / float64(coordinateUnit), err: share}.coordinate()
}

// NewSighting returns where a process is said to be.
func NewSighting(addr string, at Coordinate) Sighting { return newSighting(addr, at) }
