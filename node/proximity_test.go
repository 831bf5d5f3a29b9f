package node

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chordkv/chord/ring"
)

// distant is the peers of a process by how far away they are; those of which that is not given refuse calls. It counts calls by address.
type distant struct {
	Peers
	trips map[string]time.Duration
	calls map[string]int
}

// Changed implements Peers.
func (d *distant) Changed(_ context.Context, to, _ ring.Ref) error {
	d.calls[to.Addr]++
	trip, ok := d.trips[to.Addr]
	if !ok {
		return ErrUnreachable
	}
	time.Sleep(trip)
	return nil
}

// amongDistant runs f in virtual time with a node that knows nobody yet, and candidates for a finger at the given distances in ms from it; 0: one that is dead.
func amongDistant(t *testing.T, trips []time.Duration, f func(n *vnode, peers *distant, candidates []ring.Ref)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		peers := &distant{trips: make(map[string]time.Duration), calls: make(map[string]int)}
		var candidates []ring.Ref
		for i, ms := range trips {
			r := ring.Ref{ID: ring.PowerOfTwo(140 + i), Addr: fmt.Sprintf("10.0.0.%d:7400", i+1)}
			candidates = append(candidates, r)
			if ms > 0 {
				peers.trips[r.Addr] = ms * time.Millisecond
			}
		}
		cfg := DefaultConfig()
		cfg.FingerCandidates = len(trips)
		rt := NewLive()
		p, err := New(cfg, Identity{VNodes: 1}, "10.0.0.99:7400", peers, rt, nil, Events{})
		if err != nil {
			t.Fatal(err)
		}
		defer rt.Close()
		defer p.Stop()
		f(p.nodes[0], peers, candidates)
	})
}

// passes makes so many passes over one interval, and returns the finger that it has then.
func passes(n *vnode, times int, candidates []ring.Ref) (finger ring.Ref) {
	for range times {
		finger = n.chooseFinger(n.p.ctx, slices.Clone(candidates))
		n.setFinger(n.self.ID, finger)
	}
	return finger
}

// A few passes find the nearest candidate by calling strangers a few at a time; after that a pass makes one call, to the finger.
func TestFingerOfTheNearest(t *testing.T) {
	amongDistant(t, []time.Duration{80, 70, 90, 60, 50, 40, 30, 20, 20, 10, 60}, func(n *vnode, peers *distant, candidates []ring.Ref) {
		total := func() (sum int) {
			for _, c := range peers.calls {
				sum += c
			}
			return sum
		}
		passes(n, 1, candidates)
		if got := total(); got > maxSounded+1 {
			t.Errorf("the first pass made %d calls, want %d and one at most", got, maxSounded)
		}
		if got, want := passes(n, 3, candidates), candidates[9]; got != want {
			t.Errorf("got %v, want %v", got, want)
		}
		before := total()
		passes(n, 10, candidates)
		if got := total() - before; got != 10 || peers.calls[candidates[9].Addr] < 10 {
			t.Errorf("10 passes that change nothing made %d calls, want one each, to the finger", got)
		}
	})
}

// The dead are no fingers, not even if they were the nearest: the next one is taken, the first of the candidates if nobody else answers.
func TestFingerThatIsDead(t *testing.T) {
	amongDistant(t, []time.Duration{80, 0, 20, 0, 10}, func(n *vnode, peers *distant, candidates []ring.Ref) {
		if got, want := passes(n, 2, candidates), candidates[4]; got != want {
			t.Errorf("got %v, want %v", got, want)
		}
		delete(peers.trips, candidates[4].Addr)
		if got, want := passes(n, 1, candidates), candidates[2]; got != want {
			t.Errorf("the nearest is dead: got %v, want %v", got, want)
		}
		clear(peers.trips)
		if got, want := passes(n, 1, candidates), candidates[0]; got != want {
			t.Errorf("all are dead: got %v, want %v", got, want)
		}
	})
}

// A finger stays until another answers in less than three quarters of its time; a node of the own process never is one.
func TestFingerThatStays(t *testing.T) {
	amongDistant(t, []time.Duration{100, 100}, func(n *vnode, peers *distant, candidates []ring.Ref) {
		p := n.p
		p.trips.observe(candidates[0].Addr, 100*time.Millisecond)
		passes(n, 1, candidates)
		for _, test := range []struct {
			mean time.Duration
			want ring.Ref
		}{{80 * time.Millisecond, candidates[0]}, {70 * time.Millisecond, candidates[1]}, {120 * time.Millisecond, candidates[1]}, {140 * time.Millisecond, candidates[0]}} {
			peers.trips[candidates[1].Addr] = test.mean
			for range 100 {
				p.trips.observe(candidates[1].Addr, test.mean)
			}
			if got := passes(n, 1, candidates); got != test.want {
				t.Errorf("the second takes %v: got %v, want %v", test.mean, got, test.want)
			}
		}
		own := ring.Ref{ID: ring.PowerOfTwo(130), Addr: p.addr}
		if got := passes(n, 1, append([]ring.Ref{candidates[0], own}, candidates[1:]...)); got.Addr == p.addr {
			t.Error("a node of the own process became a finger")
		}
	})
}
