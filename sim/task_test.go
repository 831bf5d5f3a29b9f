package sim_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/sim"
)

// eachKind runs a test with both kinds of task.
func eachKind(t *testing.T, f func(t *testing.T, o sim.Options)) {
	for _, kind := range []sim.TaskKind{sim.Coroutines, sim.Goroutines} {
		t.Run([...]string{"coroutines", "goroutines"}[kind], func(t *testing.T) {
			o := sim.DefaultOptions()
			o.Tasks = kind
			f(t, o)
		})
	}
}

// TestTaskOrder: tasks that are due at the same time run in the order in which they were started, one at a time between two waits.
func TestTaskOrder(t *testing.T) {
	eachKind(t, func(t *testing.T, o sim.Options) {
		w := newWorld(t, o)
		var got []string
		for _, name := range []string{"a", "b"} {
			w.Go(func() {
				for range 2 {
					got = append(got, name)
					w.Sleep(time.Second)
				}
			})
		}
		w.At(500*time.Millisecond, func() { got = append(got, "c") })
		w.At(600*time.Millisecond, func() { got = append(got, "never") })()
		run(t, w, time.Minute)
		if want := []string{"a", "b", "c", "a", "b"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if s := w.Stats(); s.Tasks != 0 || s.MaxTasks != 3 {
			t.Errorf("%d tasks wait, at most %d existed; want 0 and 3: two that slept and one between", s.Tasks, s.MaxTasks)
		}
	})
}

// TestGather: results come one at a time as they come in, and nobody waits for those that are not wanted any more.
func TestGather(t *testing.T) {
	eachKind(t, func(t *testing.T, o sim.Options) {
		w := newRing(t, 3, o)
		h := w.Host(0)
		var order []int
		var took time.Duration
		finished := 0
		on(t, h, w, func(*node.Process) {
			began := w.Now()
			h.Runtime().Gather(4, func(i int) error {
				err := h.Runtime().Sleep(context.Background(), time.Duration(4-i)*time.Second)
				finished++
				return err
			}, nil, func(i int, err error) bool {
				if err != nil {
					t.Error(err)
				}
				order = append(order, i)
				return len(order) == 2
			})
			took = w.Now() - began
		})
		if want := []int{3, 2}; !slices.Equal(order, want) || took != 2*time.Second {
			t.Errorf("got %v after %v, want %v after 2s", order, took, want)
		}
		run(t, w, 10*time.Second)
		if finished != 4 {
			t.Errorf("%d of 4 calls ran to their end", finished)
		}
	})
}

// TestStuckTask: a task that waits for an answer that can never come is found at the end, with the place where it waits.
func TestStuckTask(t *testing.T) {
	eachKind(t, func(t *testing.T, o sim.Options) {
		w, err := sim.New(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Bootstrap(3); err != nil {
			t.Fatal(err)
		}
		h, silent := w.Host(0), w.Host(1)
		to := silent.Process().Nodes()[0]
		silent.Crash()
		h.Go(func() { waitForever(h, to) })
		if err := w.RunFor(time.Minute); err != nil {
			t.Fatal(err)
		}
		var stuck *sim.StuckError
		if err := w.Close(); !errors.As(err, &stuck) {
			t.Fatalf("got %v, want a %T", err, stuck)
		}
		if !strings.Contains(string(stuck.Stack), "waitForever") || !strings.Contains(stuck.Error(), "n0") {
			t.Errorf("got %v, want the stack of waitForever on n0", stuck)
		}
	})
}

// waitForever makes a call without a deadline.
func waitForever(h *sim.Host, to ring.Ref) {
	_, err := h.Peers().Neighbors(context.Background(), to)
	panic(err)
}

// TestTasksEnd: what waits when the world is closed runs its deferred functions and no more.
func TestTasksEnd(t *testing.T) {
	eachKind(t, func(t *testing.T, o sim.Options) {
		w, err := sim.New(o)
		if err != nil {
			t.Fatal(err)
		}
		deferred, after := false, false
		w.Go(func() {
			defer func() { deferred = true }()
			w.Sleep(time.Hour)
			after = true
		})
		if err := w.RunFor(time.Second); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if !deferred || after {
			t.Errorf("deferred function ran: %v, want true; what follows the wait ran: %v, want false", deferred, after)
		}
	})
}

// TestTasksDieWithProcess: a crash ends what the process was doing, and Call tells the harness.
func TestTasksDieWithProcess(t *testing.T) {
	eachKind(t, func(t *testing.T, o sim.Options) {
		w := newRing(t, 3, o)
		h := w.Host(0)
		deferred, after := false, false
		var err error
		w.Go(func() {
			err = h.Call(func() {
				defer func() { deferred = true }()
				_ = h.Runtime().Sleep(context.Background(), time.Hour)
				after = true
			})
		})
		run(t, w, time.Second)
		h.Crash()
		run(t, w, time.Second)
		if !errors.Is(err, sim.ErrEnded) || !deferred || after {
			t.Errorf("got %v, deferred function ran: %v, what follows the wait: %v; want ErrEnded, true, false", err, deferred, after)
		}
		exec(t, w, func() { err = h.Call(func() { after = true }) })
		if !errors.Is(err, sim.ErrEnded) || after {
			t.Errorf("on a machine that is down: got %v, ran: %v; want ErrEnded, false", err, after)
		}
	})
}

// TestPanicOfTask: a bug in the code under test ends the run with the place where it is.
func TestPanicOfTask(t *testing.T) {
	eachKind(t, func(t *testing.T, o sim.Options) {
		w, err := sim.New(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Bootstrap(3); err != nil {
			t.Fatal(err)
		}
		bug := errors.New("bug")
		w.Host(2).Go(func() { panic(bug) })
		err = w.RunFor(time.Second)
		var p *sim.PanicError
		if !errors.As(err, &p) || !errors.Is(err, bug) || !strings.Contains(p.Where, "n2") || !strings.Contains(string(p.Stack), "TestPanicOfTask") {
			t.Errorf("got %v, want a panic on n2 with its stack", err)
		}
		if again := w.RunFor(time.Second); again != err {
			t.Errorf("run after that: got %v, want the same error", again)
		}
		if closed := w.Close(); !errors.Is(closed, bug) {
			t.Errorf("close: got %v, want the same error", closed)
		}
	})
}

// TestHandlerThatWaits: the handlers of calls that other processes wait for must not wait themselves (rule 8).
func TestHandlerThatWaits(t *testing.T) {
	o := sim.DefaultOptions()
	o.Events = func(h *sim.Host) *node.Events {
		return &node.Events{ClockAhead: func(time.Duration) {
			_, _ = h.Process().Lookup(context.Background(), ring.ID{1}) // in the handler of Apply
		}}
	}
	w, err := sim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Bootstrap(40); err != nil {
		t.Fatal(err)
	}
	h, to := w.Host(0), w.Host(1).Process().Nodes()[0]
	h.Go(func() {
		ahead := node.Version{Time: uint64(h.Now().Add(time.Hour).UnixMilli()) << 16}
		_, _ = h.Peers().Apply(context.Background(), to, []node.Record{{Key: []byte("k"), Version: ahead}}, nil)
	})
	err = w.RunFor(time.Second)
	if err == nil || !strings.Contains(err.Error(), "handler of apply at n1") || !strings.Contains(err.Error(), "rule 8") {
		t.Errorf("got %v, want a panic that names the handler of apply at n1 and rule 8", err)
	}
	_ = w.Close()
}

// TestOutsideOfTask: what waits must be called where it can.
func TestOutsideOfTask(t *testing.T) {
	for name, misuse := range map[string]func(w *sim.World){
		"process on a task of the harness": func(w *sim.World) { _, _ = w.Host(0).Process().Lookup(context.Background(), ring.ID{1}) },
		"process on a task of another host": func(w *sim.World) {
			w.Host(1).Go(func() { _, _ = w.Host(0).Process().Lookup(context.Background(), ring.ID{1}) })
			w.Sleep(time.Second)
		},
		"harness on a task of a host": func(w *sim.World) {
			w.Host(1).Go(func() { w.Sleep(time.Second) })
			w.Sleep(time.Second)
		},
		"run inside":           func(w *sim.World) { _ = w.RunFor(time.Second) },
		"join twice":           func(w *sim.World) { _ = w.Host(0).Join(w.Host(1)) },
		"replace what runs":    func(w *sim.World) { w.Host(0).Replace() },
		"call on a host's own": func(w *sim.World) { w.Host(1).Go(func() { _ = w.Host(1).Call(func() {}) }); w.Sleep(time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			w, err := sim.New(sim.DefaultOptions())
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Bootstrap(40); err != nil {
				t.Fatal(err)
			}
			var p *sim.PanicError
			if err := w.Exec(func() { misuse(w) }); !errors.As(err, &p) || !strings.Contains(p.Error(), "sim: ") {
				t.Errorf("got %v, want a panic of the simulator", err)
			}
			_ = w.Close()
		})
	}
}

// TestExecStuck: Exec does not run for ever when its task can never end.
func TestExecStuck(t *testing.T) {
	w := newWorld(t, sim.DefaultOptions())
	h := w.AddHost()
	if err := w.Exec(func() { _ = h.Join() }); err != nil {
		t.Fatal(err)
	}
	h.Pause()
	ran := false
	err := w.Exec(func() { _ = h.Call(func() { ran = true }) })
	if err == nil || ran {
		t.Errorf("got %v, ran: %v; want an error: the process is paused", err, ran)
	}
}
