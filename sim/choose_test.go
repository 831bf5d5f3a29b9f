package sim_test

import (
	"slices"
	"testing"
	"time"

	"github.com/chordkv/chord/sim"
)

// TestChoose: steps run in the order that is chosen, and the clock never goes back.
func TestChoose(t *testing.T) {
	o := sim.DefaultOptions()
	var offered [][]sim.Step
	o.Choose = func(pending []sim.Step) int {
		offered = append(offered, slices.Clone(pending))
		return len(pending) - 1
	}
	var at []time.Duration
	o.AfterStep = func(s sim.Step) { at = append(at, s.At) }
	w := newWorld(t, o)
	var got []string
	for i, name := range []string{"a", "b", "c"} {
		w.At(time.Duration(i)*time.Second, func() { got = append(got, name) })
	}
	w.At(1500*time.Millisecond, func() { got = append(got, "canceled") })()
	w.At(time.Hour, func() { got = append(got, "later") })
	run(t, w, time.Minute)
	if want := []string{"c", "b", "a"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v: the last of those that are due first", got, want)
	}
	if len(offered) != 3 || len(offered[0]) != 3 || len(offered[2]) != 1 {
		t.Errorf("offered %v, want 3, 2 and 1 steps", offered)
	}
	if !slices.IsSorted(at) || at[0] != 2*time.Second {
		t.Errorf("the steps ran at %v, want all at 2s", at)
	}
}

// TestAnyOrder: whatever order the steps of a young ring run in, in sections or not, it comes right afterwards.
func TestAnyOrder(t *testing.T) {
	for _, inSections := range []bool{false, true} {
		for seed := range uint64(4) {
			o := sim.DefaultOptions()
			o.Seed, o.Sections = seed, inSections
			r := sim.NewRand(seed, "order", 0)
			wild := true
			o.Choose = func(pending []sim.Step) int {
				if !wild {
					return 0
				}
				return r.IntN(min(len(pending), 4))
			}
			w := newRing(t, 5, o)
			late := w.AddHost()
			exec(t, w, func() {
				if err := late.Join(w.Host(1)); err != nil {
					t.Error(err)
				}
			})
			wild = false
			converge(t, w, time.Minute)
			if err := put(t, w, late, "key", "value"); err != nil {
				t.Errorf("sections: %v, seed %d: %v", inSections, seed, err)
			}
		}
	}
}

// TestSections: the sections of the node's code are steps.
func TestSections(t *testing.T) {
	wakes := func(inSections bool) (n int) {
		o := sim.DefaultOptions()
		o.Sections = inSections
		o.AfterStep = func(s sim.Step) {
			if s.Kind == sim.StepWake {
				n++
			}
		}
		run(t, newRing(t, 5, o), 10*time.Second)
		return n
	}
	if without, with := wakes(false), wakes(true); with < without+20 {
		t.Errorf("%d wakes in sections, %d without; want more", with, without)
	}
}
