package sim_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chordkv/chord/internal/raced"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/sim"
)

// parse reads a scenario from a text that is known to be right.
func parse(t *testing.T, text string) sim.Scenario {
	t.Helper()
	s, err := sim.ParseScenario("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func runScenario(t *testing.T, s sim.Scenario, o sim.Observer) *sim.Result {
	t.Helper()
	res, err := sim.Run(t.Context(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// skipIfSlow skips a test of what comes out of long runs under the race detector: a world is used by one goroutine at a time, and what there is to
// see of it the shorter tests show.
func skipIfSlow(t *testing.T) {
	t.Helper()
	if raced.Enabled {
		t.Skip("too slow under the race detector")
	}
}

// shortForms say how much of each scenario that comes with the program a test runs. An entry may cut and shrink, but leaves what is special about
// the scenario in.
var shortForms = map[string]func(s *sim.Scenario){
	"first":           func(s *sim.Scenario) { s.Duration = time.Minute },
	"standard-faults": func(s *sim.Scenario) { s.Duration = 3 * time.Minute },
	"every-fault":     func(s *sim.Scenario) { s.Nodes = 24 },
	"partition":       func(s *sim.Scenario) { s.Nodes = 24; cutFaults(s, 8*time.Minute) },
	"flash-crowd": func(s *sim.Scenario) {
		s.Nodes, s.Churn[0].Count, s.Churn[0].From, s.Duration = 30, 60, 40*time.Second, 2*time.Minute
	},
	"trace":         func(*sim.Scenario) {},
	"matrix":        func(s *sim.Scenario) { s.Nodes, s.Duration = 25, 6*time.Minute },
	"churn-groups":  func(s *sim.Scenario) { s.Nodes, s.Churn[0].Interval, s.Duration = 36, 40*time.Second, 2*time.Minute },
	"churn-data":    func(s *sim.Scenario) { s.Nodes, s.Churn[0].On.Mean, s.Duration = 30, 5*time.Minute, 8*time.Minute },
	"churn-poisson": func(s *sim.Scenario) { s.Nodes, s.Duration, s.Warmup = 100, 4*time.Minute, time.Minute },
	"churn-exponential": func(s *sim.Scenario) {
		s.Nodes, s.Duration, s.Warmup = 100, 20*time.Minute, 5*time.Minute
		s.Workload[0].From, s.Workload[0].Rate = s.Warmup, 0.02
	},
	"p2psim": func(s *sim.Scenario) {
		s.Nodes, s.Duration, s.Warmup, s.Workload[0].Rate = 100, 20*time.Minute, 5*time.Minute, 0.02
	},
	"gossip":        func(s *sim.Scenario) { s.Nodes, s.Duration, s.Churn[0].On.Mean = 60, 6*time.Minute, 5*time.Minute },
	"small-rings":   func(*sim.Scenario) {},
	"deletes":       func(*sim.Scenario) {},
	"expiry":        func(s *sim.Scenario) { s.Nodes = 12; cutFaults(s, 20*time.Minute) },
	"churn-weibull": func(s *sim.Scenario) { s.Nodes, s.Duration, s.Warmup = 60, 10*time.Minute, time.Minute },
	"churn-pareto":  func(s *sim.Scenario) { s.Nodes, s.Duration, s.Warmup = 60, 40*time.Minute, time.Minute },
}

// cutFaults ends the scenario earlier, without the faults that would come later.
func cutFaults(s *sim.Scenario, duration time.Duration) {
	s.Duration = duration
	s.Faults = slices.DeleteFunc(s.Faults, func(f sim.Fault) bool { return f.At >= duration })
}

// Every scenario that comes with the program runs to its end, without a violation, and twice the same, whichever way tasks are suspended.
func TestShippedScenarios(t *testing.T) {
	for _, name := range sim.Shipped() {
		t.Run(name, func(t *testing.T) {
			s, err := sim.ReadScenario("shipped:" + name + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			shorten, ok := shortForms[name]
			if !ok {
				t.Fatal("no short form of this scenario in this test")
			}
			if raced.Enabled && name != "first" && name != "standard-faults" {
				t.Skip("the race detector sees the same code in the others")
			}
			shorten(&s)
			var rows []sim.Row
			res := runScenario(t, s, sim.Observer{Row: func(r sim.Row) { rows = append(rows, r) }})
			if !slices.Equal(rows, res.Rows) || len(rows) < int(s.Duration/s.Series) {
				t.Errorf("the observer got %d rows, the result has %d, want %d at least", len(rows), len(res.Rows), s.Duration/s.Series)
			}
			total := res.Totals
			if got, want := total.Measured, s.Duration-s.Warmup; got != want {
				t.Errorf("measured: got %v, want %v", got, want)
			}
			if total.Lookups.Right+total.Puts.Done == 0 || total.Sent.Messages == 0 || total.NodeSeconds == 0 {
				t.Errorf("nothing was done: %+v", total)
			}
			again := runScenario(t, s, sim.Observer{Prepare: func(o *sim.Options) { o.Tasks = sim.Goroutines }})
			if again.Checksum != res.Checksum || again.Stats.Steps != res.Stats.Steps {
				t.Errorf("on goroutines: checksum %x after %d steps, want %x after %d", again.Checksum, again.Stats.Steps, res.Checksum, res.Stats.Steps)
			}
		})
	}
}

// TestStaleReadsAreCounted: while a ring without gossip is cut, what one part acknowledges the other does not read. In a ring that is whole, nothing is missed.
func TestStaleReadsAreCounted(t *testing.T) {
	for cut, faults := range map[bool]string{false: "[]", true: "[{kind: partition, at: 30s, for: 2m, shares: [0.5, 0.5]}]"} {
		s := parse(t, `
nodes: 10
duration: 3m
faults: `+faults+`
workload:
  - {op: put, rate: 5, keys: 20, preload: 5s}
  - {op: get, rate: 20, keys: 20, from: 5s}
checks: {every: 10s, data: true}
`)
		got := runScenario(t, s, sim.Observer{}).Totals.Gets
		t.Logf("cut %v: %d of %d reads missed what was acknowledged", cut, got.Stale, got.Judged)
		if got.Judged < 1000 || got.Judged > got.Done || (got.Stale > 0) != cut || got.Stale > got.Judged/2 {
			t.Errorf("cut %v: %d of %d reads missed what was acknowledged, of %d", cut, got.Stale, got.Judged, got.Done)
		}
	}
}

// In a ring without churn every lookup is right, and what the result and its rows count is what the observer saw.
func TestCounts(t *testing.T) {
	s := parse(t, `
nodes: 64
duration: 2m
warmup: 30s
network: {latency: {model: constant, mean: 20ms}}
workload:
  - {op: lookup, rate: 10}
  - {op: put, rate: 5, keys: 20}
  - {op: get, rate: 5, keys: 20}
  - {op: delete, rate: 1, keys: 20}
`)
	var all, measured, hops int
	var latency time.Duration
	res := runScenario(t, s, sim.Observer{End: func(op *sim.Operation) {
		all++
		if op.Begin < s.Warmup || op.Begin >= s.Duration {
			return
		}
		measured++
		if op.Kind == sim.OpLookup {
			hops += op.Hops
			latency += op.Latency()
			if op.Latency() != time.Duration(op.Hops)*40*time.Millisecond {
				t.Errorf("a lookup of %d hops took %v, want 40ms each", op.Hops, op.Latency())
			}
		}
	}})
	total := res.Totals
	if got := total.Lookups.Right + total.Puts.Done + total.Gets.Done + total.Deletes.Done; got != measured {
		t.Errorf("operations in the totals: got %d, want the %d that the observer saw", got, measured)
	}
	inRows := 0
	for _, r := range res.Rows {
		inRows += r.LookupsRight + r.OpsDone
	}
	if inRows > all || inRows < all-20 {
		t.Errorf("operations in the rows: got %d, want nearly all of %d", inRows, all)
	}
	if got := total.Lookups.Hops.Sum(); got != uint64(hops) {
		t.Errorf("hops: got %d, want %d", got, hops)
	}
	if got, want := total.Lookups.Latency.Mean(), float64(latency.Microseconds())/float64(total.Lookups.Right); math.Abs(got/want-1) > 0.01 {
		t.Errorf("mean latency: got %v us, want %v", got, want)
	}
	if got, want := total.NodeSeconds, 64*90.0; math.Abs(got-want) > 1e-6 {
		t.Errorf("node seconds: got %v, want %v", got, want)
	}
	if got, want := float64(total.Lookups.Done()), 900.0; math.Abs(got-want) > 4*math.Sqrt(want) {
		t.Errorf("lookups in 90 s at 10/s: got %v, want about %v", got, want)
	}
}

// The rate of a workload per node is that of each process.
func TestRatePerNode(t *testing.T) {
	s := parse(t, "nodes: 50\nduration: 100s\nworkload: [{op: lookup, rate: 0.5, per: node}]\n")
	from := map[int]int{}
	res := runScenario(t, s, sim.Observer{Begin: func(op *sim.Operation) { from[op.From]++ }})
	if got, want := float64(res.Totals.Lookups.Done()), 2500.0; math.Abs(got-want) > 4*math.Sqrt(want) {
		t.Errorf("lookups of 50 processes in 100 s at 0.5/s: got %v, want about %v", got, want)
	}
	for n := range 50 {
		if from[n] < 20 || from[n] > 90 {
			t.Errorf("lookups of process %d: got %d, want about 50", n, from[n])
		}
	}
}

// Keys are drawn as the distribution says.
func TestKeyDistributions(t *testing.T) {
	const keys = 20
	for _, test := range []struct {
		fields string
		share  func(i int) float64
	}{
		{"", func(int) float64 { return 1.0 / keys }},
		{", distribution: zipf, exponent: 1.5", func(i int) float64 {
			sum := 0.0
			for j := range keys {
				sum += math.Pow(float64(j+1), -1.5)
			}
			return math.Pow(float64(i+1), -1.5) / sum
		}},
	} {
		s := parse(t, "nodes: 5\nduration: 20s\nnode: {successors: 4}\nworkload: [{op: lookup, rate: 500, keys: 20"+test.fields+"}]\n")
		count := map[string]int{}
		total := 0
		runScenario(t, s, sim.Observer{Begin: func(op *sim.Operation) {
			count[string(op.Key)]++
			total++
			if op.ID != ring.Hash(op.Key) {
				t.Errorf("the identifier of %s is %v, want its hash", op.Key, op.ID)
			}
		}})
		for i := range keys {
			key, want := "key-"+string(rune('0'+i)), test.share(i)*float64(total)
			if i >= 10 {
				key = "key-1" + string(rune('0'+i-10))
			}
			if got := float64(count[key]); math.Abs(got-want) > 5*math.Sqrt(want) {
				t.Errorf("%q: %s drawn %v times of %d, want about %.0f", test.fields, key, got, total, want)
			}
		}
	}
}

// A preload writes every key once, before anything else of its workload.
func TestPreload(t *testing.T) {
	s := parse(t, "nodes: 10\nduration: 30s\nnode: {successors: 9}\nworkload: [{op: put, rate: 0.001, keys: 300, preload: 20s, value-bytes: 7}]\n")
	seen := map[string]bool{}
	res := runScenario(t, s, sim.Observer{End: func(op *sim.Operation) {
		if op.Begin < 20*time.Second {
			seen[string(op.Key)] = true
		}
		if len(op.Value) != 7 {
			t.Errorf("a value of %d bytes, want 7", len(op.Value))
		}
	}})
	if len(seen) != 300 || res.Totals.Puts.Missing != 300 {
		t.Errorf("got %d keys and %d first writes, want 300", len(seen), res.Totals.Puts.Missing)
	}
}

// An operation that fails is begun anew until it succeeds or its time is over; a write that may have taken effect stays one.
func TestRetries(t *testing.T) {
	s := parse(t, `
nodes: 20
duration: 40s
node: {max-hops: 3}
workload:
  - {op: lookup, rate: 2, retries: 100, timeout: 8s}
  - {op: put, rate: 2, keys: 50, retries: 100, timeout: 8s}
faults:
  - {kind: loss, at: 10s, for: 3s, probability: 1}
  - {kind: loss, at: 30s, for: 10s, probability: 1}
`)
	again := 0
	res := runScenario(t, s, sim.Observer{End: func(op *sim.Operation) {
		late := op.Begin >= 31*time.Second && op.Begin < 32*time.Second
		switch {
		case op.Outcome == sim.Done && op.Attempts > 1:
			again++
		case op.Outcome == sim.Failed && !late && op.Latency() < 7*time.Second && op.Begin < 30*time.Second:
			t.Errorf("%s failed after %d attempts in %v: %v", op.Kind, op.Attempts, op.Latency(), op.Err)
		}
		if op.Latency() > 8*time.Second+200*time.Millisecond {
			t.Errorf("%s took %v, want at most 8s", op.Kind, op.Latency())
		}
	}})
	if again == 0 || res.Totals.Lookups.Retries+res.Totals.Puts.Retries < again {
		t.Errorf("%d operations succeeded at a later attempt, %+v", again, res.Totals)
	}
}

// A lost message is not a death: with one message in twenty lost, lookups find their owners, and processes keep their neighbors.
func TestLossIsNoDeath(t *testing.T) {
	s := parse(t, `
nodes: 100
duration: 10m
network: {loss: 0.05}
workload: [{op: lookup, rate: 10}]
`)
	res := runScenario(t, s, sim.Observer{})
	if l := res.Totals.Lookups; l.Right < 98*(l.Right+l.Late+l.Wrong+l.Failed)/100 {
		t.Errorf("%d lookups right, %d wrong, %d failed; want 98 %% right", l.Right, l.Wrong, l.Failed)
	}
}

// One process in ten is three times as slow as it was, and two of them among themselves nine times: lookups go round it, or wait for it, but end at the right node.
func TestSlowIsNoDeath(t *testing.T) {
	s := parse(t, `
nodes: 100
duration: 10m
network: {latency: {model: constant, mean: 40ms}}
workload: [{op: lookup, rate: 10}]
faults: [{kind: slow, at: 2m, for: 8m, share: 0.1, factor: 3}]
`)
	res := runScenario(t, s, sim.Observer{})
	if l := res.Totals.Lookups; l.Wrong > 0 || l.Failed > 0 || l.Right == 0 {
		t.Errorf("%d lookups right, %d wrong, %d failed; want all right", l.Right, l.Wrong, l.Failed)
	}
}

// TestFarApartIsSettled: nodes that are farther apart than a call that is in a hurry waits renew their claims all the same, when a cut of the network has ended.
func TestFarApartIsSettled(t *testing.T) {
	const scenario = `
nodes: 6
duration: 1m
heal: 2m
node: {successors: 4}
network: {latency: {model: constant, mean: 300ms}}
workload: [{op: put, rate: 2, keys: 20}]
faults: [{kind: partition, at: 20s, for: 20s}]
`
	for seed := range uint64(4) {
		s := parse(t, scenario)
		s.Seed = seed + 1
		if _, err := sim.Run(t.Context(), s, sim.Observer{}); err != nil {
			t.Errorf("seed %d: %v", s.Seed, err)
		}
	}
}

// The end of the context ends the run with what there is so far.
func TestInterruption(t *testing.T) {
	s := parse(t, "nodes: 50\nduration: 10h\nworkload: [{op: lookup, rate: 1}]\n")
	ctx, cancel := context.WithCancel(t.Context())
	res, err := sim.Run(ctx, s, sim.Observer{Row: func(r sim.Row) {
		if r.At >= time.Minute {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want %v", err, context.Canceled)
	}
	if len(res.Rows) < 6 || res.End < time.Minute || res.End > time.Hour || res.Totals.Lookups.Right == 0 || res.Totals.Measured != res.End {
		t.Errorf("got %d rows until %v and %d lookups, want what there was until a minute or a little later", len(res.Rows), res.End, res.Totals.Lookups.Right)
	}
}

// A scenario that cannot be is refused before anything runs.
func TestRunRefuses(t *testing.T) {
	for _, test := range []struct {
		change func(s *sim.Scenario)
		want   string
	}{
		{func(s *sim.Scenario) { s.Nodes = -1 }, "nodes: -1"},
		{func(s *sim.Scenario) { s.Nodes, s.Memory = 1000, 1000 }, "nodes: 1000 processes"},
		{func(s *sim.Scenario) { s.Network.Latency = sim.LatencySpec{Model: "matrix", File: "none.txt"} }, "no such file"},
	} {
		s := sim.DefaultScenario()
		test.change(&s)
		res, err := sim.Run(t.Context(), s, sim.Observer{Start: func(*sim.World) { t.Error("it started") }})
		var wrong *sim.ScenarioError
		if res != nil || !errors.As(err, &wrong) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, %v, want %q", res, err, test.want)
		}
	}
}

// Each column has its own name and an explanation, and shows its field in its unit.
func TestColumns(t *testing.T) {
	row := sim.Row{At: 90 * time.Second, Live: 7, MeanHops: 2.5, LookupP99: 1500 * time.Millisecond}
	got := map[string]float64{}
	for _, c := range sim.Columns() {
		if _, twice := got[c.Name]; twice || c.Doc == "" {
			t.Errorf("column %q: there twice, or without explanation", c.Name)
		}
		got[c.Name] = c.Of(row)
	}
	for name, want := range map[string]float64{"time": 90, "live": 7, "mean_hops": 2.5, "lookup_p99": 1.5, "crashes": 0} {
		if got[name] != want {
			t.Errorf("%s: got %v, want %v", name, got[name], want)
		}
	}
}

// TestSmallRings runs many of them, with gossip and without: every lookup ends, and every ring heals.
func TestSmallRings(t *testing.T) {
	singleThreaded(t)
	s, err := sim.ReadScenario("shipped:small-rings.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, gossip := range []bool{false, true} {
		s.Gossip.On = gossip
		for seed := range uint64(50) {
			s.Seed = seed + 1
			runScenario(t, s, sim.Observer{})
		}
	}
}
