package sim_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chordkv/chord/internal/raced"
	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/sim"
)

// newWorld returns a world that is closed at the end of the test, which fails if the world has.
func newWorld(t testing.TB, o sim.Options) *sim.World {
	t.Helper()
	w, err := sim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return w
}

// newRing returns a world in which n processes have just become an ideal ring.
func newRing(t testing.TB, n int, o sim.Options) *sim.World {
	t.Helper()
	w := newWorld(t, o)
	if err := w.Bootstrap(n); err != nil {
		t.Fatal(err)
	}
	return w
}

// run lets time pass.
func run(t testing.TB, w *sim.World, d time.Duration) {
	t.Helper()
	if err := w.RunFor(d); err != nil {
		t.Fatal(err)
	}
}

// exec runs f as a task of the harness to its end.
func exec(t testing.TB, w *sim.World, f func()) {
	t.Helper()
	if err := w.Exec(f); err != nil {
		t.Fatal(err)
	}
}

// on runs f as a task of a host's process to its end.
func on(t testing.TB, h *sim.Host, w *sim.World, f func(p *node.Process)) {
	t.Helper()
	var err error
	exec(t, w, func() { err = h.Call(func() { f(h.Process()) }) })
	if err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, w *sim.World, h *sim.Host, key, value string) error {
	t.Helper()
	var err error
	on(t, h, w, func(p *node.Process) {
		_, err = p.Do(context.Background(), node.Op{Kind: node.OpPut, Key: []byte(key), Value: []byte(value)})
	})
	return err
}

func get(t testing.TB, w *sim.World, h *sim.Host, key string) (value string, err error) {
	t.Helper()
	on(t, h, w, func(p *node.Process) {
		var r node.Result
		r, err = p.Do(context.Background(), node.Op{Kind: node.OpGet, Key: []byte(key)})
		value = string(r.Value)
	})
	return value, err
}

// views returns what the nodes of all running processes say of themselves.
func views(w *sim.World) []ring.View {
	var all []ring.View
	for _, h := range w.Hosts() {
		if p := h.Process(); p != nil {
			for _, n := range p.Status().Nodes {
				all = append(all, n.View)
			}
		}
	}
	return all
}

// ideal returns what is wrong with the ring of the running processes, nil if every pointer is right and every arc settled.
func ideal(w *sim.World) error {
	if err := ring.CheckIdeal(views(w), sim.DefaultOptions().Config.Successors); err != nil {
		return err
	}
	for _, h := range w.Hosts() {
		if p := h.Process(); p != nil {
			for _, n := range p.Status().Nodes {
				if !n.Settled {
					return fmt.Errorf("%v is not settled", n.View.Self)
				}
			}
		}
	}
	return nil
}

// converge lets time pass until the ring of the running processes is ideal.
func converge(t testing.TB, w *sim.World, within time.Duration) {
	t.Helper()
	var last error
	exec(t, w, func() {
		w.WaitFor(func() bool {
			last = ideal(w)
			return last == nil
		}, 100*time.Millisecond, within)
	})
	if last != nil {
		t.Fatalf("not within %v: %v", within, last)
	}
}

func refAt(id ring.ID, h *sim.Host) ring.Ref { return ring.Ref{ID: id, Addr: h.Addr()} }

// client puts and gets through a host, once a second or so, for ever.
func client(w *sim.World, h *sim.Host, r *sim.Rand) {
	for {
		w.Sleep(time.Duration(r.IntN(int(2 * time.Second))))
		op := node.Op{Kind: node.OpGet, Key: []byte(fmt.Sprint(r.IntN(50)))}
		if r.IntN(2) == 0 {
			op.Kind, op.Value = node.OpPut, []byte{byte(r.Uint64())}
		}
		_ = h.Call(func() {
			ctx, cancel := w.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			_, _ = h.Process().Do(ctx, op)
		})
	}
}

// singleThreaded skips a test under the race detector: simulated processes take turns, so it would see no more than in the others, in minutes.
func singleThreaded(t *testing.T) {
	t.Helper()
	if raced.Enabled {
		t.Skip("simulated processes take turns: the race detector sees the same code in others")
	}
}
