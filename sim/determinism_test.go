package sim_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/chordkv/chord/sim"
)

// disturbed runs a ring of 24 under faults of all kinds and with clients, and returns the checksum and all steps.
func disturbed(t *testing.T, seed uint64, d time.Duration, tweak func(o *sim.Options)) (sum uint64, steps []sim.Step) {
	t.Helper()
	o := sim.DefaultOptions()
	o.Seed = seed
	o.Loss, o.Duplicate, o.SyncLatency, o.Bandwidth = 0.01, 0.01, time.Millisecond, 1<<20
	o.AfterStep = func(s sim.Step) { steps = append(steps, s) }
	if tweak != nil {
		tweak(&o)
	}
	w := newRing(t, 24, o)
	r := w.Rand("faults")
	w.Go(func() {
		for {
			w.Sleep(time.Duration(r.IntN(int(4 * time.Second))))
			h := w.Host(r.IntN(24))
			switch {
			case !h.Running():
				w.Go(func() { _ = h.Restart() })
			case h.Paused():
				h.Resume()
			case r.IntN(3) == 0:
				h.Pause()
			case r.IntN(2) == 0:
				h.Kill()
			default:
				h.Crash()
			}
		}
	})
	for i := range 24 {
		w.At(time.Duration(i)*4*time.Second, func() {
			for _, h := range w.Hosts() {
				w.Net().Partition(h, r.IntN(1+i%2))
			}
		})
		w.Go(func() { client(w, w.Host(i), w.Rand(fmt.Sprint("client", i))) })
	}
	run(t, w, d)
	return w.Checksum(), steps
}

// same fails with the first step in which two runs differ.
func same(t *testing.T, name string, sum, want uint64, steps, wantSteps []sim.Step) {
	t.Helper()
	if sum == want {
		return
	}
	for i := range min(len(steps), len(wantSteps)) {
		if steps[i] != wantSteps[i] {
			t.Fatalf("%s: step %d is %v, want %v", name, i, steps[i], wantSteps[i])
		}
	}
	t.Fatalf("%s: %d steps, want %d", name, len(steps), len(wantSteps))
}

// TestDeterminism: one seed, one run, whatever suspends the tasks and however many processors there are.
func TestDeterminism(t *testing.T) {
	for seed := range uint64(2) {
		want, wantSteps := disturbed(t, seed, time.Minute, nil)
		if len(wantSteps) < 5_000 {
			t.Errorf("seed %d: %d steps, want a run that is worth the name", seed, len(wantSteps))
		}
		for _, kind := range []sim.TaskKind{sim.Coroutines, sim.Goroutines} {
			for _, procs := range []int{1, 2} {
				before := runtime.GOMAXPROCS(procs)
				got, steps := disturbed(t, seed, time.Minute, func(o *sim.Options) { o.Tasks = kind })
				runtime.GOMAXPROCS(before)
				same(t, fmt.Sprintf("seed %d, task kind %d, %d processors", seed, kind, procs), got, want, steps, wantSteps)
			}
		}
		if other, _ := disturbed(t, seed+100, time.Minute, nil); other == want {
			t.Errorf("seeds %d and %d have the same checksum", seed, seed+100)
		}
	}
}

// TestChooseFirst: picking always the first of the pending steps is the run without picking.
func TestChooseFirst(t *testing.T) {
	want, wantSteps := disturbed(t, 7, 10*time.Second, nil)
	got, steps := disturbed(t, 7, 10*time.Second, func(o *sim.Options) { o.Choose = func([]sim.Step) int { return 0 } })
	same(t, "choose the first", got, want, steps, wantSteps)
}

// TestStreams: what is drawn for one purpose does not depend on what is drawn for another.
func TestStreams(t *testing.T) {
	seen := make(map[uint64]string)
	for _, purpose := range []string{"", "a", "b", "ab", "node"} {
		for number := range 100 {
			for seed := range uint64(2) {
				v := sim.NewRand(seed, purpose, number).Uint64()
				name := fmt.Sprint(seed, purpose, number)
				if other, ok := seen[v]; ok {
					t.Errorf("streams %s and %s begin with the same number", name, other)
				}
				seen[v] = name
			}
		}
	}
	// The streams are part of what a seed means: they must be the same on any machine and in any version.
	if got, want := sim.NewRand(1, "churn", 2).Uint64(), uint64(0x6f67ad0a3fe85469); got != want {
		t.Errorf("the first number of a stream: got %#x, want %#x", got, want)
	}
	r := sim.NewRand(1, "x", 0)
	sum := 0.0
	for range 10_000 {
		f := r.Float64()
		if f < 0 || f >= 1 {
			t.Fatalf("Float64 returned %v", f)
		}
		sum += f
	}
	if mean := sum / 10_000; mean < 0.49 || mean > 0.51 {
		t.Errorf("the mean of 10,000 numbers of [0, 1) is %v", mean)
	}
}
