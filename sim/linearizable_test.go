package sim_test

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/sim"
)

// step is an operation on one key in a history: what was asked, and what came of it. A value stands for what a key has: the number of the operation that put it
// there, or that of a counter; none for no value.
type step struct {
	kind    string
	value   int64 // of a put or cas; of an increment of unknown outcome: how many of those began before it
	expects int64 // of a cas
	known   bool  // what came of it is known
	refused bool  // a cas whose condition did not hold
	result  int64 // of a get, or of an incr
}

const none int64 = -1

// end is when a history ends: what has not taken effect by then never will.
const end = "end"

// keyState is what a key has.
type keyState struct {
	value   int64
	unknown int64 // increments whose outcome nobody knows that have taken effect
	ended   bool
}

// key is the sequential specification of one key, a register with conditional writes or a counter. An operation of unknown outcome takes effect at any time before the end, or not at all. Of
// unknown increments, which are all the same, those that began first do: so a history has few ways to be looked at.
var key = porcupine.Model{
	Init: func() any { return keyState{value: none} },
	Step: func(state, input, _ any) (bool, any) {
		now, s := state.(keyState), input.(step)
		if now.ended {
			return true, now
		}
		next := now
		switch s.kind {
		case end:
			next.ended = true
		case sim.OpGet:
			return s.result == now.value, now
		case sim.OpPut:
			next.value = s.value
		case sim.OpDelete:
			next.value = none
		case sim.OpCas:
			meets := now.value == s.expects
			if s.refused {
				return !meets, now
			}
			next.value = s.value
			return meets, next
		case sim.OpIncr:
			next.value = max(now.value, 0) + 1
			if !s.known {
				next.unknown++
				return s.value == now.unknown, next
			}
			return s.result == next.value, next
		}
		return true, next
	},
	DescribeOperation: func(input, _ any) string { return fmt.Sprintf("%+v", input) },
}

// check reports whether a history is linearizable; porcupine.Unknown: that takes too long to find out.
func check(history []porcupine.Operation) porcupine.CheckResult {
	slices.SortStableFunc(history, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	unknown := int64(0)
	for i := range history {
		if s := history[i].Input.(step); s.kind == sim.OpIncr && !s.known {
			s.value = unknown
			history[i].Input = s
			unknown++
		}
	}
	history = append(history, porcupine.Operation{Input: step{kind: end}, Call: math.MaxInt64 - 1, Return: math.MaxInt64 - 1})
	return porcupine.CheckOperationsTimeout(key, history, time.Minute)
}

// number reads the number at the beginning of a value.
func number(t *testing.T, r node.Result) (n int64) {
	t.Helper()
	if !r.Found {
		return none
	}
	if _, err := fmt.Sscanf(strings.TrimRight(string(r.Value), "."), "%d", &n); err != nil {
		t.Fatalf("value %q: %v", r.Value, err)
	}
	return n
}

// recorder collects the history of each key.
type recorder struct {
	t    *testing.T
	keys map[string][]porcupine.Operation
	open map[int]*sim.Operation
	end  map[string]int // operations by how they ended, and keys by what they are

	owners map[string]ring.Ref // who acknowledged operations of a key
	moved  map[string]bool     // keys that had more than one owner
}

// ended adds an operation to the history of its key, if it can have had an effect or shows one.
func (r *recorder) ended(op *sim.Operation) {
	delete(r.open, op.Number)
	r.end[op.Kind+" "+op.Outcome.String()]++
	if owner, k := op.Owner, string(op.Key); !owner.IsZero() {
		r.moved[k] = r.moved[k] || !r.owners[k].IsZero() && r.owners[k] != owner
		r.owners[k] = owner
	}
	s := step{kind: op.Kind, known: op.Outcome == sim.Done}
	refused := op.Outcome == sim.Failed && op.Kind == sim.OpCas && errors.Is(op.Err, node.ErrCondition)
	if !s.known && !refused && (op.Outcome == sim.Failed || op.Kind == sim.OpGet) {
		return
	}
	if op.Kind == sim.OpCas && op.If == node.Always {
		return // it has not come further than to read the key
	}
	s.refused, s.known = refused, s.known || refused
	s.value, s.expects = int64(op.Number), number(r.t, op.Expected)
	switch op.Kind {
	case sim.OpGet:
		s.result = number(r.t, op.Result)
	case sim.OpIncr:
		s.result = op.Result.Number
	}
	o := porcupine.Operation{ClientId: op.From, Input: s, Call: int64(op.Begin), Return: int64(op.End)}
	if !s.known {
		o.Return = math.MaxInt64 // it may take effect at any time from its beginning on
	}
	r.keys[string(op.Key)] = append(r.keys[string(op.Key)], o)
}

// Every key is linearizable, also one that other processes take over and give back: reads, writes and conditional operations, while messages are lost, late and doubled, clocks differ by half a second, and
// processes crash and come back, or stand still for less and for more than the others wait. The replicas of a key miss one process at a time, or of five that all have it, with quorums of three, two.
func TestLinearizable(t *testing.T) {
	singleThreaded(t)
	const scenario = `
name: linearizable
nodes: 5
duration: 1m
node: {successors: 4, min-timeout: 1s, ring-timeout: 2s%s}
network: {latency: {model: exponential, mean: 20ms}, loss: 0.01, duplicate: 0.05}
disk: {sync-latency: 5ms}
faults:
  - {kind: clock, at: 5s, for: 40s, nodes: [3], offset: 250ms}
  - {kind: clock, at: 10s, for: 40s, nodes: [0], offset: -250ms}
%s
workload:
  - {op: put, rate: 4, keys: 24, retries: 20, timeout: 30s}
  - {op: get, rate: 16, keys: 24, timeout: 30s}
  - {op: delete, rate: 1, keys: 24, retries: 20, timeout: 30s}
  - {op: cas, rate: 8, keys: 24, retries: 20, timeout: 30s}
  - {op: incr, rate: 4, keys: 8, retries: 20, timeout: 20s}
`
	for _, c := range []struct{ name, node, faults string }{
		{"crashes of one", "", `
  - {kind: crash, at: 2s, every: 4s, until: 13s, for: 400ms, nodes: [0]}
  - {kind: crash, at: 17s, every: 6s, until: 30s, for: 2s, nodes: [1]}
  - {kind: pause, at: 34s, every: 4s, until: 46s, for: 3s, nodes: [2]}
  - {kind: crash, at: 50s, every: 3s, for: 1s, nodes: [0]}`},
		{"pauses of one", "", `
  - {kind: pause, at: 2s, every: 4s, until: 18s, for: 1500ms, nodes: [0]}
  - {kind: pause, at: 20s, every: 6s, until: 35s, for: 3s, nodes: [1]}
  - {kind: pause, at: 39s, every: 8s, until: 56s, for: 5s, nodes: [2]}`},
		{"crashes of two", ", replicas: 5, write-quorum: 3, read-quorum: 3", `
  - {kind: crash, every: 8s, for: 400ms, nodes: [0]}
  - {kind: crash, at: 3s, every: 8s, for: 2s, nodes: [1]}
  - {kind: pause, every: 8s, for: 800ms, nodes: [2]}`},
	} {
		t.Run(c.name, func(t *testing.T) { linearizable(t, fmt.Sprintf(scenario, c.node, c.faults)) })
	}
}

// linearizable runs a scenario with some seeds and checks the histories.
func linearizable(t *testing.T, scenario string) {
	seeds := uint64(10)
	if testing.Short() {
		seeds = 3
	}
	ends := make(map[string]int)
	for seed := range seeds {
		s := parse(t, scenario)
		s.Seed = seed + 1
		r := recorder{
			t: t, keys: make(map[string][]porcupine.Operation), open: make(map[int]*sim.Operation), end: ends,
			owners: make(map[string]ring.Ref), moved: make(map[string]bool),
		}
		_, err := sim.Run(t.Context(), s, sim.Observer{Begin: func(op *sim.Operation) { r.open[op.Number] = op }, End: r.ended})
		if err != nil {
			t.Fatalf("seed %d: %v", s.Seed, err)
		}
		for _, op := range r.open { // of these nobody knows
			op.Outcome, op.End = sim.Unknown, s.Duration
			r.ended(op)
		}
		for k, history := range r.keys {
			ends[strings.TrimRight(k, "-0123456789")]++
			if r.moved[k] {
				ends["moved"]++
			}
			if got := check(history); got != porcupine.Ok {
				t.Errorf("seed %d: the history of %s, of %d operations, linearizable: %s", s.Seed, k, len(history), got)
			}
		}
	}
	t.Log(ends)
	for _, end := range []string{"incr done", "incr unknown", "cas done", "cas failed", "cas unknown", "put done", "get done", "delete done", "key", "count", "moved"} {
		if ends[end] == 0 {
			t.Errorf("no %q: the histories say nothing about it", end)
		}
	}
}
