package sim_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/chordkv/chord/sim"
)

// seen runs a scenario and returns what look says about the world at the end of each second.
func seen(t *testing.T, faults string, look func(w *sim.World) string) []string {
	t.Helper()
	s := parse(t, "nodes: 12\ngroups: 3\nduration: 12s\nseries: 1s\nnode: {successors: 8}\nfaults:\n"+faults)
	var w *sim.World
	var all []string
	runScenario(t, s, sim.Observer{Start: func(world *sim.World) { w = world }, Row: func(sim.Row) { all = append(all, look(w)) }})
	return all
}

// Each fault begins when it should, hits whom it should, and leaves nothing behind. The rows are seconds 1 to 12.
func TestFaultsBeginAndEnd(t *testing.T) {
	paused := func(w *sim.World) string {
		out := ""
		for _, h := range w.Hosts() {
			if h.Paused() {
				out += h.Addr() + " "
			}
		}
		return out
	}
	down := func(w *sim.World) string {
		out := ""
		for _, h := range w.Hosts() {
			if !h.Running() {
				out += h.Addr() + " "
			}
		}
		return out
	}
	// parts shows who reaches whom from host 0 and back.
	parts := func(w *sim.World) string {
		there, back := 0, 0
		for _, h := range w.Hosts() {
			if w.Net().Reaches(w.Host(0), h) {
				there++
			}
			if w.Net().Reaches(h, w.Host(0)) {
				back++
			}
		}
		return fmt.Sprint(there, "/", back)
	}
	clocks := func(w *sim.World) string {
		var out []time.Duration
		for _, h := range w.Hosts() {
			out = append(out, h.Now().Sub(w.Host(11).Now()).Round(time.Microsecond))
		}
		return fmt.Sprint(out[:3])
	}
	const normal = "12/12"
	for _, test := range []struct {
		name, faults string
		look         func(w *sim.World) string
		want         map[int]string // by second
	}{
		{"pause by number", "  - {kind: pause, at: 2500ms, for: 3s, nodes: [1, 4]}\n", paused, map[int]string{2: "", 3: "n1 n4 ", 5: "n1 n4 ", 6: ""}},
		{
			"two pauses at once", "  - {kind: pause, at: 1500ms, for: 4s, nodes: [1]}\n  - {kind: pause, at: 2500ms, for: 1s, nodes: [1, 2]}\n", paused,
			map[int]string{2: "n1 ", 3: "n1 n2 ", 4: "n1 ", 5: "n1 ", 6: ""},
		},
		{"crash of a group", "  - {kind: crash, at: 1500ms, for: 5s, group: 2}\n", down, map[int]string{1: "", 2: "n1 n4 n7 n10 ", 6: "n1 n4 n7 n10 ", 8: ""}},
		{"crash until the end", "  - {kind: crash, at: 1500ms, nodes: [5]}\n", down, map[int]string{1: "", 2: "n5 ", 12: "n5 "}},
		{"a group cut off", "  - {kind: partition, at: 2500ms, for: 2s, group: 1}\n", parts, map[int]string{2: normal, 3: "4/4", 4: "4/4", 5: normal}},
		{
			"two partitions at once", "  - {kind: partition, at: 1500ms, for: 3s, group: 1}\n  - {kind: partition, at: 2500ms, for: 3s, nodes: [0, 1]}\n", parts,
			map[int]string{1: normal, 2: "4/4", 3: "1/1", 4: "1/1", 5: "2/2", 6: normal},
		},
		{"one way", "  - {kind: oneway, at: 2500ms, for: 2s, nodes: [3, 4]}\n", parts, map[int]string{2: normal, 3: "12/10", 4: "12/10", 5: normal}},
		{
			"clock", "  - {kind: clock, at: 2s, for: 3s, nodes: [1, 2], offset: 100ms, drift: 0.01}\n", clocks,
			map[int]string{1: "[0s 0s 0s]", 4: "[0s 120ms 120ms]", 6: "[0s 0s 0s]"},
		},
	} {
		got := seen(t, test.faults, test.look)
		for second, want := range test.want {
			if got[second-1] != want {
				t.Errorf("%s: after %d s: got %q, want %q", test.name, second, got[second-1], want)
			}
		}
	}
}

// Loss and duplication hold while they last; of two at once the one that began last counts.
func TestLossAndDuplication(t *testing.T) {
	s := parse(t, `
nodes: 40
duration: 40s
series: 5s
workload: [{op: lookup, rate: 100}]
faults:
  - {kind: loss, at: 10s, for: 20s, probability: 0.02}
  - {kind: loss, at: 15s, for: 5s, probability: 0.2}
  - {kind: duplicate, at: 10s, for: 10s, probability: 0.5}
`)
	var w *sim.World
	var lost, repeated, sent []uint64
	runScenario(t, s, sim.Observer{Start: func(world *sim.World) { w = world }, Row: func(sim.Row) {
		st := w.Stats()
		lost, repeated, sent = append(lost, st.Lost), append(repeated, st.Repeated), append(sent, st.Total().Messages)
	}})
	if lost[1] != 0 || repeated[1] != 0 {
		t.Errorf("before the faults: %d lost, %d repeated, want none", lost[1], repeated[1])
	}
	share := func(from, to int) float64 { return float64(lost[to]-lost[from]) / float64(sent[to]-sent[from]) }
	for _, test := range []struct {
		from, to int // rows, of 5 s each
		want     float64
	}{{1, 2, 0.02}, {2, 3, 0.2}, {3, 5, 0.02}} {
		if got := share(test.from, test.to); got < test.want/2 || got > test.want*1.5 {
			t.Errorf("share of messages lost from %d s to %d s: got %.3f, want %v", 5*(test.from+1), 5*(test.to+1), got, test.want)
		}
	}
	if lost[7] != lost[6] || repeated[7] != repeated[4] {
		t.Errorf("after the faults: %d lost, %d repeated, want none", lost[7]-lost[6], repeated[7]-repeated[4])
	}
	if repeated[4] == 0 {
		t.Error("nothing was repeated")
	}
}

// Slow processes take longer, by the product of the factors.
func TestSlowness(t *testing.T) {
	s := parse(t, `
nodes: 20
duration: 40s
network: {latency: {model: constant, mean: 5ms}}
workload: [{op: lookup, rate: 50}]
faults:
  - {kind: slow, at: 10s, for: 20s, factor: 3}
  - {kind: slow, at: 20s, for: 10s, factor: 2}
`)
	res := runScenario(t, s, sim.Observer{})
	per := func(i int) time.Duration {
		r := res.Rows[i]
		return time.Duration(float64(r.LookupP50) / r.MeanHops).Round(time.Millisecond)
	}
	// Both ends of a message are slow: 9 and 36 times as long.
	base := per(0)
	if got := per(1); got < 7*base || got > 11*base {
		t.Errorf("with a factor of 3 at both ends: got %v a hop, want nine times %v", got, base)
	}
	if got := per(2); got < 28*base || got > 44*base {
		t.Errorf("with a factor of 6 at both ends: got %v a hop, want 36 times %v", got, base)
	}
	if got := per(3); got > 2*base {
		t.Errorf("afterwards: got %v a hop, want %v", got, base)
	}
}

// Who is hit at random is drawn anew each time, from a stream of the fault's own.
func TestRepeatedFaults(t *testing.T) {
	skipIfSlow(t)
	s := parse(t, "nodes: 40\nduration: 10m\nnode: {successors: 8, stabilize-interval: 5s}\nfaults: [{kind: crash, every: 20s, for: 5s, count: 1}]\n")
	events, _ := eventsOf(t, s, "crash")
	if len(events) < 15 || len(events) > 50 {
		t.Errorf("got %d crashes in 10 minutes, want about 30", len(events))
	}
	var victims []int
	for _, e := range events {
		victims = append(victims, e.Node)
	}
	slices.Sort(victims)
	if n := len(slices.Compact(victims)); n < 10 {
		t.Errorf("only %d different victims", n)
	}
	s.Faults = append(s.Faults, sim.Fault{Kind: sim.FaultDuplicate, At: time.Minute, For: time.Minute, Probability: 0.01})
	if again, _ := eventsOf(t, s, "crash"); !slices.Equal(again, events) {
		t.Error("a second fault changes whom the first one hits")
	}
}
