package sim_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/chordkv/chord/sim"
)

// eventsOf runs a scenario and returns its events of the given kinds.
func eventsOf(t *testing.T, s sim.Scenario, kinds ...string) ([]sim.Event, *sim.Result) {
	t.Helper()
	var events []sim.Event
	res := runScenario(t, s, sim.Observer{Event: func(e sim.Event) {
		if len(kinds) == 0 || slices.Contains(kinds, e.Kind) {
			events = append(events, e)
		}
	}})
	return events, res
}

const quiet = "duration: 10m\nnode: {successors: 8, stabilize-interval: 5s, fix-fingers-interval: 20s}\n"

// Each purpose has its own streams of chance: another workload, other faults, another latency or another second driver of churn
// leave the churn as it is, to the nanosecond.
func TestChurnHasItsOwnChance(t *testing.T) {
	skipIfSlow(t)
	const churn = quiet + "nodes: 60\nchurn:\n  - {kind: sessions, on: {mean: 5m}, off: {kind: weibull, shape: 0.5, mean: 2m}, absent: 0.25}\n"
	want, _ := eventsOf(t, parse(t, churn), "crash")
	if len(want) < 60 {
		t.Fatalf("%d crashes in 10 minutes of 5 minute sessions, want more", len(want))
	}
	for _, test := range []struct{ name, text string }{
		{"workload", churn + "workload: [{op: lookup, rate: 5}]\n"},
		{"loss", churn + "network: {loss: 0.01, latency: {model: exponential, mean: 20ms}}\n"},
		{"pauses", churn + "faults: [{kind: pause, every: 30s, for: 3s, count: 2}]\n"},
		{"partition", churn + "faults: [{kind: partition, at: 1m, for: 1m}]\n"},
		{"newcomers", churn + "  - {kind: flash-crowd, from: 1m, count: 20, within: 10s}\n"},
	} {
		if got, _ := eventsOf(t, parse(t, test.text), "crash"); !slices.Equal(got, want) {
			t.Errorf("%s changes who crashes when: got %d crashes, want %d", test.name, len(got), len(want))
		}
	}
	s := parse(t, churn)
	s.Seed = 2
	if got, _ := eventsOf(t, s, "crash"); slices.Equal(got, want) {
		t.Error("another seed has the same crashes")
	}
}

// The rates of Poisson churn are what they say, and each kind of event has its own stream.
func TestPoissonChurn(t *testing.T) {
	skipIfSlow(t)
	s := parse(t, quiet+"nodes: 80\nchurn: [{kind: poisson, joins: 0.2, leaves: 0.1, crashes: 0.1}]\n")
	events, res := eventsOf(t, s)
	for _, test := range []struct {
		kind string
		got  int
		want float64
	}{{"join", res.Totals.Joins, 120}, {"leave", res.Totals.Leaves, 60}, {"crash", res.Totals.Crashes, 60}} {
		if math.Abs(float64(test.got)-test.want) > 4*math.Sqrt(test.want) {
			t.Errorf("%s: got %d in 10 minutes, want about %v", test.kind, test.got, test.want)
		}
	}
	if got, want := res.Rows[len(res.Rows)-1].Live, 80+res.Totals.Joins-res.Totals.Leaves-res.Totals.Crashes; got != want {
		t.Errorf("live at the end: got %d, want %d", got, want)
	}
	times := func(events []sim.Event, kind string) (at []time.Duration) {
		for _, e := range events {
			if e.Kind == kind {
				at = append(at, e.At)
			}
		}
		return at
	}
	s.Churn[0].Joins = 0.15
	others, _ := eventsOf(t, s)
	if got, want := times(others, "crash"), times(events, "crash"); !slices.Equal(got, want) {
		t.Errorf("with fewer joins: crashes at other times: %v, want %v", got, want)
	}
}

// No process is taken when only as many are left as the floor says.
func TestChurnFloor(t *testing.T) {
	s := parse(t, quiet+"nodes: 20\nseries: 1s\nchurn: [{kind: poisson, crashes: 1, floor: 12}]\n")
	_, res := eventsOf(t, s)
	if got := res.Rows[len(res.Rows)-1].Live; got != 12 || res.Totals.Crashes != 8 {
		t.Errorf("got %d live after %d crashes, want 12 after 8", got, res.Totals.Crashes)
	}
}

// Sessions keep the fraction of members that their means say. Whoever is replaced is so by a newcomer on another machine.
func TestSessionChurn(t *testing.T) {
	skipIfSlow(t)
	s := parse(t, quiet+"nodes: 120\nwarmup: 2m\nchurn: [{kind: sessions, on: {mean: 2m}, off: {mean: 1m}, absent: 0.3333, leave: 0.5}]\n")
	_, res := eventsOf(t, s)
	if got := res.Totals.NodeSeconds / res.Totals.Measured.Seconds(); math.Abs(got/80-1) > 0.1 {
		t.Errorf("with 2 minutes of every 3 in the ring: on average %.1f of 120, want 80", got)
	}
	if l, c := float64(res.Totals.Leaves), float64(res.Totals.Crashes); l < 0.6*c || c < 0.6*l {
		t.Errorf("got %v leaves and %v crashes, want about as many", l, c)
	}

	s.Churn[0] = sim.Churn{Kind: sim.ChurnSessions, On: sim.Distribution{Mean: 2 * time.Minute}, Return: sim.ReturnNew}
	events, res := eventsOf(t, s)
	for _, r := range res.Rows {
		if r.Live < 100 { // one ends every second, and its replacement takes some seconds to join
			t.Errorf("at %v: %d live, although each that ends is replaced at once", r.At, r.Live)
		}
	}
	gone := map[int]time.Duration{}
	for _, e := range events {
		switch at, was := gone[e.Node]; {
		case e.Kind == "crash":
			gone[e.Node] = e.At
		case e.Kind == "restart":
			t.Errorf("%v of %d, want only newcomers", e.Kind, e.Node)
		case was && e.At-at < 10*time.Minute:
			t.Errorf("a newcomer on machine %d, %v after another process crashed there", e.Node, e.At-at)
		}
	}
}

// A flash crowd comes, and goes when it has stayed.
func TestFlashCrowd(t *testing.T) {
	s := parse(t, quiet+`
nodes: 30
churn: [{kind: flash-crowd, from: 1m, count: 60, within: 5s, stay: {kind: constant, mean: 3m}, leave: 1}]
`)
	_, res := eventsOf(t, s)
	for _, r := range res.Rows {
		want := 30
		if r.At >= 80*time.Second && r.At <= 4*time.Minute {
			want = 90
		}
		if r.At > time.Minute && r.At < 80*time.Second || r.At > 4*time.Minute && r.At < 5*time.Minute {
			continue // coming or going
		}
		if r.Live != want {
			t.Errorf("at %v: got %d live, want %d", r.At, r.Live, want)
		}
	}
}

// Groups fail as a whole.
func TestGroupChurn(t *testing.T) {
	skipIfSlow(t)
	s := parse(t, quiet+"nodes: 60\ngroups: 6\nchurn: [{kind: groups, interval: 1m, until: 9m, off: {kind: constant, mean: 20s}, floor: 20}]\n")
	events, res := eventsOf(t, s)
	down := map[time.Duration][]int{}
	failures := 0
	for _, e := range events {
		switch e.Kind {
		case "group":
			failures++
		case "crash":
			down[e.At] = append(down[e.At], e.Node)
		}
	}
	if failures < 4 || failures > 20 {
		t.Errorf("got %d failures in 10 minutes, want about 10", failures)
	}
	for at, nodes := range down {
		for _, n := range nodes {
			if n%6 != nodes[0]%6 {
				t.Errorf("at %v: processes %v, of several groups, crashed", at, nodes)
			}
		}
	}
	if got := res.Totals.Joins; got != res.Totals.Crashes {
		t.Errorf("%d of %d came back", got, res.Totals.Crashes)
	}
}

// A trace happens as it is written. Who is away at the end is back for the healing: bob.
func TestTraceChurn(t *testing.T) {
	s, err := sim.ReadScenario("shipped:trace.yaml")
	if err != nil {
		t.Fatal(err)
	}
	events, _ := eventsOf(t, s)
	got := map[string]int{}
	for _, e := range events {
		got[e.Kind]++
	}
	for kind, want := range map[string]int{"crash": 6, "leave": 2, "join": 3, "restart": 8} {
		if got[kind] != want {
			t.Errorf("%s: got %d, want %d", kind, got[kind], want)
		}
	}
	for _, test := range []struct {
		at   time.Duration
		kind string
		node int
	}{{30 * time.Second, "crash", 3}, {31500 * time.Millisecond, "crash", 17}, {180500 * time.Millisecond, "crash", 10}} {
		if !slices.Contains(events, sim.Event{At: test.at, Kind: test.kind, Node: test.node}) {
			t.Errorf("no %s of %d at %v", test.kind, test.node, test.at)
		}
	}
}

// With start: join the ring grows one by one.
func TestStartByJoining(t *testing.T) {
	s := parse(t, "nodes: 30\nstart: join\njoin-interval: 1s\nduration: 2m\nseries: 5s\nheal: 1m\nworkload: [{op: lookup, rate: 5}]\n")
	_, res := eventsOf(t, s)
	if got := res.Rows[0].Live; got < 3 || got > 6 {
		t.Errorf("after 5 s: got %d members, want about 5", got)
	}
	if got := res.Rows[9].Live; got != 30 {
		t.Errorf("after 50 s: got %d members, want 30", got)
	}
	// A ring of fewer than r + 1 nodes has no proof: two that join at the same place at once may both answer for a moment.
	if l := res.Totals.Lookups; l.Wrong+l.Failed > l.Right/100 {
		t.Errorf("lookups: %+v, want 99 %% of them right", l)
	}
}
