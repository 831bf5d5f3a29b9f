package sim_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/sim"
)

// TestNobodyIsLate: where all answers take equally long, none is taken for late.
func TestNobodyIsLate(t *testing.T) {
	o := sim.DefaultOptions()
	o.Latency = sim.Constant(70 * time.Millisecond)
	w := newRing(t, 40, o)
	lookUp(t, w, node.Iterative, 4000, func(l node.Lookup, _ time.Duration) {
		for _, h := range l.Hops {
			if h.Err != nil {
				t.Fatalf("after %v, %v: %v", w.Now(), h.Node, h.Err)
			}
		}
	})
}

// TestLookupsAmongTheSlow: a lookup goes round nodes that have become slow, asks them in the end if there is no other way, and does not go in circles
// meanwhile. With lists of one entry there often is none.
func TestLookupsAmongTheSlow(t *testing.T) {
	o := sim.DefaultOptions()
	o.Config.Successors, o.Config.Replicas, o.Config.WriteQuorum, o.Config.ReadQuorum = 1, 1, 1, 1
	w := newRing(t, 8, o)
	lookUp(t, w, node.Iterative, 400, func(node.Lookup, time.Duration) {})
	for _, slow := range []int{2, 3, 6} {
		w.Host(slow).SetSlow(3)
	}
	lookUp(t, w, node.Iterative, 400, func(l node.Lookup, _ time.Duration) {
		if len(l.Hops) > 16 {
			t.Errorf("a lookup among 8 nodes, 3 of them slow, took %d calls", len(l.Hops))
		}
	})
}

// TestRecursiveLookups: a query is one message to each node on the way, and one back.
func TestRecursiveLookups(t *testing.T) {
	const oneWay = 35 * time.Millisecond
	o := sim.DefaultOptions()
	o.Latency = sim.Constant(oneWay)
	w := newRing(t, 200, o)
	lookUp(t, w, node.Recursive, 1000, func(l node.Lookup, took time.Duration) {
		if want := time.Duration(len(l.Hops)+1) * oneWay; len(l.Hops) > 0 && took != want {
			t.Errorf("%d hops took %v, want %v", len(l.Hops), took, want)
		}
	})
}

// TestRecursiveLookupsAmongFaults: where messages get lost and come twice, every lookup ends, and no query multiplies: there are a few more on the way than
// the nodes that they name.
func TestRecursiveLookupsAmongFaults(t *testing.T) {
	o := sim.DefaultOptions()
	o.Seed, o.Loss, o.Duplicate = 2, 0.02, 0.3 // in which no live node is taken for dead at the moment of a lookup
	w := newRing(t, 200, o)
	hops := 0
	lookUp(t, w, node.Recursive, 1000, func(l node.Lookup, _ time.Duration) { hops += len(l.Hops) })
	s := w.Stats()
	if sent := int(s.Requests[sim.MethodForward].Messages); sent == 0 || sent > 2*hops {
		t.Errorf("%d queries were sent for ways of %d nodes", sent, hops)
	}
}

// lookUp looks random places up from the hosts in turn, and hands out how each went that found the owner, and how long it took.
func lookUp(t *testing.T, w *sim.World, style node.Style, n int, found func(l node.Lookup, took time.Duration)) {
	t.Helper()
	rng := w.Rand("lookups")
	exec(t, w, func() {
		for i := range n {
			h := w.Host(i % len(w.Hosts()))
			_ = h.Call(func() {
				began := w.Now()
				l, err := h.Process().LookupBy(t.Context(), style, ring.Hash(binary.BigEndian.AppendUint64(nil, rng.Uint64())))
				if err != nil || !l.Owner.Arc().Contains(l.ID) {
					t.Errorf("lookup of %v from %s: found %v, %v", l.ID, h.Addr(), l.Owner, err)
					return
				}
				found(l, w.Now()-began)
			})
		}
	})
}

// TestJoinThroughAFarSeed: a process becomes a member through one from which every answer takes longer than half of the last time-out.
func TestJoinThroughAFarSeed(t *testing.T) {
	o := sim.DefaultOptions()
	o.Latency = sim.Constant(350 * time.Millisecond)
	w := newRing(t, 6, o)
	h := w.AddHost()
	exec(t, w, func() {
		w.Go(func() { _ = h.Join(w.Host(0)) })
	})
	run(t, w, 30*time.Second)
	if !h.Ready() {
		t.Error("not a member after 30s")
	}
}
