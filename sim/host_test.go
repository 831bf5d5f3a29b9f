package sim_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/sim"
)

// TestJoinOneByOne runs the shipped code from one process to a ring with data, by joins alone.
func TestJoinOneByOne(t *testing.T) {
	w := newWorld(t, sim.DefaultOptions())
	for range 8 {
		w.AddHost()
	}
	exec(t, w, func() {
		for _, h := range w.Hosts() {
			if err := h.Join(w.Host(0)); err != nil || !h.Ready() {
				t.Errorf("%s: %v, ready: %v", h.Addr(), err, h.Ready())
			}
		}
	})
	converge(t, w, time.Minute)
	if err := put(t, w, w.Host(3), "key", "value"); err != nil {
		t.Fatal(err)
	}
	for _, h := range w.Hosts() {
		if got, err := get(t, w, h, "key"); got != "value" || err != nil {
			t.Errorf("get through %s: got %q, %v; want %q", h.Addr(), got, err, "value")
		}
	}
}

// TestCrashAndRestart: the ring closes over a dead machine, and the process that comes back is the one that was there.
func TestCrashAndRestart(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(h *sim.Host)
	}{{"crash", (*sim.Host).Crash}, {"kill", (*sim.Host).Kill}} {
		t.Run(c.name, func(t *testing.T) {
			w := newRing(t, 24, sim.DefaultOptions())
			h := w.Host(5)
			before := h.Identity()
			if err := put(t, w, h, "key", "value"); err != nil {
				t.Fatal(err)
			}
			converge(t, w, time.Minute)
			stale := h.Process()
			c.end(h)
			if h.Running() || h.Process() != nil || w.Stats().Running != 23 {
				t.Error("the process runs on")
			}
			if _, err := stale.Neighbors(before.Nodes()[0]); !errors.Is(err, node.ErrNotReady) {
				t.Errorf("the dead process answers: %v", err)
			}
			converge(t, w, time.Minute)
			exec(t, w, func() {
				if err := h.Restart(); err != nil {
					t.Error(err)
				}
			})
			after := h.Identity()
			if after.Process != before.Process || after.Incarnation != before.Incarnation+1 {
				t.Errorf("came back as %v, incarnation %d; was %v, incarnation %d", after, after.Incarnation, before, before.Incarnation)
			}
			converge(t, w, time.Minute)
			if got, err := get(t, w, h, "key"); got != "value" || err != nil {
				t.Errorf("got %q, %v; want %q", got, err, "value")
			}
		})
	}
}

// TestReplace: a machine that comes back empty is a newcomer, and is given its share.
func TestReplace(t *testing.T) {
	w := newRing(t, 4, sim.DefaultOptions())
	for i := range 20 {
		if err := put(t, w, w.Host(i%4), fmt.Sprint(i), "v"); err != nil {
			t.Fatal(err)
		}
	}
	h := w.Host(2)
	before := h.Identity()
	h.Crash()
	converge(t, w, time.Minute)
	h.Replace()
	if got := h.Store().Stats().Records; got != 0 {
		t.Errorf("an empty disk with %d records", got)
	}
	exec(t, w, func() {
		if err := h.Join(w.Host(0)); err != nil {
			t.Error(err)
		}
	})
	if after := h.Identity(); after.Process == before.Process || after.Incarnation != 1 {
		t.Errorf("replaced by %v, incarnation %d; was %v", after, after.Incarnation, before)
	}
	converge(t, w, time.Minute)
	if got := h.Store().Stats().Records; got == 0 {
		t.Error("the newcomer has got no records of a ring of 4 with 3 replicas")
	}
}

// TestRestartOfAll: a ring all of whose processes were stopped comes back with its data.
func TestRestartOfAll(t *testing.T) {
	w := newRing(t, 5, sim.DefaultOptions())
	if err := put(t, w, w.Host(0), "key", "value"); err != nil {
		t.Fatal(err)
	}
	converge(t, w, time.Minute)
	for _, h := range w.Hosts() {
		h.Crash()
	}
	run(t, w, time.Minute)
	exec(t, w, func() {
		w.Gather(5, func(i int) {
			if err := w.Host(i).Restart(); err != nil {
				t.Error(err)
			}
		})
	})
	converge(t, w, time.Minute)
	if got, err := get(t, w, w.Host(3), "key"); got != "value" || err != nil {
		t.Errorf("got %q, %v; want %q", got, err, "value")
	}
}

// TestJoinWaits: a process whose seeds do not answer tries on until they do.
func TestJoinWaits(t *testing.T) {
	w := newWorld(t, sim.DefaultOptions())
	seed, h := w.AddHost(), w.AddHost()
	var err error
	joined := false
	w.Go(func() {
		err = h.Join(seed)
		joined = true
	})
	run(t, w, time.Minute)
	if joined || !h.Running() || h.Ready() {
		t.Errorf("joined: %v, running: %v, ready: %v without a ring; want it to wait", joined, h.Running(), h.Ready())
	}
	exec(t, w, func() { _ = seed.Join() })
	run(t, w, 15*time.Second)
	if !joined || err != nil || !h.Ready() {
		t.Errorf("joined: %v, %v; want it to have joined", joined, err)
	}
}

// TestLeave: a process that leaves hands its data over first.
func TestLeave(t *testing.T) {
	w := newRing(t, 6, sim.DefaultOptions())
	for i := range 30 {
		if err := put(t, w, w.Host(i%6), fmt.Sprint(i), "v"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 { // as many as there are replicas
		h := w.Host(i)
		converge(t, w, time.Minute)
		exec(t, w, func() {
			if err := h.Leave(); err != nil {
				t.Errorf("leave: %v", err)
			}
		})
		if h.Running() {
			t.Errorf("%s runs on after it has left", h.Addr())
		}
	}
	for i := range 30 {
		if got, err := get(t, w, w.Host(3), fmt.Sprint(i)); got != "v" || err != nil {
			t.Errorf("key %d: got %q, %v", i, got, err)
		}
	}
}

// TestPause: a process that is paused does not answer, and goes on afterwards where it was.
func TestPause(t *testing.T) {
	w := newRing(t, 24, sim.DefaultOptions())
	converge(t, w, time.Minute)
	h := w.Host(7)
	h.Pause()
	if _, err := ask(t, w, w.Host(0), h); err == nil {
		t.Error("a paused process answers")
	}
	stopped := w.Stats()
	sent := stopped.Total().Messages
	for _, other := range w.Hosts() {
		if other != h {
			other.Pause()
		}
	}
	run(t, w, time.Minute)
	if all := w.Stats(); all.Total().Messages != sent {
		t.Errorf("%d messages were sent while all processes were paused", all.Total().Messages-sent)
	}
	if w.Stats().Pending < len(w.Hosts()) {
		t.Errorf("%d events are pending, want at least one per host", w.Stats().Pending)
	}
	for _, other := range w.Hosts() {
		other.Resume()
	}
	converge(t, w, time.Minute)
	if !h.Ready() || h.Paused() {
		t.Error("the process did not come back from its pause")
	}
}

// TestCrashOfPaused: what was held back for a paused process does not outlive it.
func TestCrashOfPaused(t *testing.T) {
	w := newRing(t, 8, sim.DefaultOptions())
	h := w.Host(2)
	h.Pause()
	run(t, w, 15*time.Second)
	h.Crash()
	converge(t, w, time.Minute)
	exec(t, w, func() {
		if err := h.Restart(); err != nil {
			t.Error(err)
		}
	})
	converge(t, w, time.Minute)
}

// TestClock: the clock of a host is its own, its timers run by it, and a node that is too far ahead is told so.
func TestClock(t *testing.T) {
	skewed := 0
	o := sim.DefaultOptions()
	o.Events = func(*sim.Host) *node.Events {
		return &node.Events{ClockAhead: func(time.Duration) { skewed++ }}
	}
	w := newRing(t, 5, o)
	run(t, w, 10*time.Second)
	fast, normal := w.Host(0), w.Host(1)
	fast.SetClock(time.Hour, 1)
	if got := fast.Now().Sub(normal.Now()); got != time.Hour {
		t.Errorf("set an hour ahead, it is %v ahead", got)
	}
	run(t, w, 10*time.Second)
	if got := fast.Now().Sub(normal.Now()); got != time.Hour+10*time.Second {
		t.Errorf("after 10s at double speed it is %v ahead, want 1h0m10s", got)
	}
	var slept time.Duration
	on(t, fast, w, func(*node.Process) {
		began := w.Now()
		_ = fast.Runtime().Sleep(t.Context(), 10*time.Second)
		slept = w.Now() - began
	})
	if slept != 5*time.Second {
		t.Errorf("10s by a clock at double speed took %v, want 5s", slept)
	}
	var errs []error
	for i := range 60 { // some of the keys are the fast process's own
		errs = append(errs, put(t, w, fast, fmt.Sprint(i), "v"))
	}
	if !slices.ContainsFunc(errs, func(err error) bool { return errors.Is(err, node.ErrClockSkew) }) || skewed == 0 {
		t.Errorf("no write of a process whose clock is an hour ahead was refused: %v", errs)
	}
}

// TestVNodes: a process may host several nodes.
func TestVNodes(t *testing.T) {
	o := sim.DefaultOptions()
	o.VNodes = 4
	w := newRing(t, 6, o)
	converge(t, w, time.Minute)
	if got := len(views(w)); got != 24 {
		t.Errorf("%d nodes, want 24", got)
	}
	if err := ring.CheckIdeal(views(w), o.Config.Successors); err != nil {
		t.Error(err)
	}
}

// TestManyJoinAtOnce: processes of many nodes that join a ring of one at the same moment are all members soon. Their nodes take their places one after
// the other, and each keeps its neighbors up to date from then on: the next may join behind it, and needs it to find out. Half take
// less than 12 s, eight places at some fourteen round trips each, one in a thousand more than 15.
func TestManyJoinAtOnce(t *testing.T) {
	singleThreaded(t)
	for seed := range uint64(100) {
		o := sim.DefaultOptions()
		o.Seed, o.VNodes = seed, 8
		o.Latency = sim.Exponential(50 * time.Millisecond)
		w := newWorld(t, o)
		for range 12 {
			w.AddHost()
		}
		exec(t, w, func() {
			if err := w.Host(0).Join(); err != nil {
				t.Error(err)
			}
		})
		for _, h := range w.Hosts()[1:] {
			w.Go(func() { _ = h.Join(w.Host(0)) })
		}
		const soon = 20 * time.Second
		run(t, w, soon)
		for _, h := range w.Hosts() {
			if !h.Ready() {
				t.Errorf("seed %d: %s is not a member after %v", seed, h.Addr(), soon)
			}
		}
	}
}
