package sim_test

import (
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/sim"
)

// TestGossip: who is alive is known to everybody, at once at the start and soon after a change, and a lookup takes one call.
func TestGossip(t *testing.T) {
	o := sim.DefaultOptions()
	o.VNodes, o.Gossip = 2, sim.DefaultGossip()
	o.Gossip.On = true
	w := newRing(t, 40, o)
	known := func(want int) {
		t.Helper()
		for _, h := range w.Hosts() {
			if h.Running() && h.Process().Status().Heard != 2*want {
				t.Errorf("%s has heard of %d nodes, want %d", h.Addr(), h.Process().Status().Heard, 2*want)
			}
		}
	}
	run(t, w, time.Second)
	known(39)
	lookUp(t, w, node.Iterative, 400, func(l node.Lookup, _ time.Duration) {
		if len(l.Hops) > 1 {
			t.Errorf("%d calls: %v", len(l.Hops), l.Hops)
		}
	})
	w.Host(3).Crash()
	w.Host(4).Kill()
	exec(t, w, func() {
		if err := w.Host(5).Leave(); err != nil {
			t.Error(err)
		}
	})
	run(t, w, 20*time.Second)
	known(36)
	w.Host(3).Replace()
	exec(t, w, func() {
		for _, i := range []int{3, 4, 5} {
			if err := w.Host(i).Join(w.Host(0)); err != nil {
				t.Error(err)
			}
		}
	})
	run(t, w, 5*time.Second)
	known(39)
	converge(t, w, time.Minute)
	if err := ring.CheckIdeal(views(w), o.Config.Successors); err != nil {
		t.Error(err)
	}
}

// TestGossipOfAQuickRestart: a process that is back before its death was noticed is not said to be dead afterwards.
func TestGossipOfAQuickRestart(t *testing.T) {
	o := sim.DefaultOptions()
	o.Gossip = sim.DefaultGossip()
	o.Gossip.On = true
	w := newRing(t, 20, o)
	run(t, w, time.Second)
	w.Host(7).Kill()
	exec(t, w, func() {
		if err := w.Host(7).Restart(); err != nil {
			t.Error(err)
		}
	})
	run(t, w, 30*time.Second)
	for _, h := range w.Hosts() {
		if got := h.Process().Status().Heard; got != 19 {
			t.Errorf("%s has heard of %d nodes, want 19", h.Addr(), got)
		}
	}
}

// TestGossipOfAPartition: each side takes the other for dead, hears nothing of it, and everybody hears of everybody when it is over.
func TestGossipOfAPartition(t *testing.T) {
	o := sim.DefaultOptions()
	o.Gossip = sim.DefaultGossip()
	o.Gossip.On = true
	w := newRing(t, 30, o)
	run(t, w, time.Second)
	heard := func(want func(host int) int) {
		t.Helper()
		for _, h := range w.Hosts() {
			if h.Running() && h.Process().Status().Heard != want(h.Number()) {
				t.Errorf("at %v %s has heard of %d nodes, want %d", w.Now(), h.Addr(), h.Process().Status().Heard, want(h.Number()))
			}
		}
	}
	for i := range 10 {
		w.Net().Partition(w.Host(i), 1)
	}
	run(t, w, 20*time.Second)
	heard(func(host int) int {
		if host < 10 {
			return 9
		}
		return 19
	})
	w.Host(3).Crash() // of which the others hear at the end that it is not back
	w.Host(20).Crash()
	run(t, w, 20*time.Second)
	heard(func(host int) int {
		if host < 10 {
			return 8
		}
		return 18
	})
	w.Net().Heal()
	run(t, w, time.Minute) // some hear by the next exchange of everything
	heard(func(int) int { return 27 })
	converge(t, w, time.Minute)
	if err := ring.CheckIdeal(views(w), o.Config.Successors); err != nil {
		t.Error(err)
	}
}
