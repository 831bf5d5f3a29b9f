package sim_test

import (
	"errors"
	"testing"
	"time"

	"github.com/chordkv/chord/sim"
)

// impossible asks of a ring that loses processes until the end to have healed after a second.
const impossible = `
name: impossible
nodes: 30
duration: 2m
heal: 1s
churn:
  - {kind: poisson, joins: 0.05, floor: 20}
faults:
  - {kind: crash, every: 5s, for: 10s, count: 2}
  - {kind: clock, at: 10s, for: 1m, count: 3, offset: 100ms}
  - {kind: duplicate, at: 10s, for: 1m, probability: 0.1}
workload:
  - {op: put, rate: 2, keys: 100}
  - {op: lookup, rate: 1}
checks: {every: 10s, data: true}
`

// A shrunken scenario is failed by the same check and is smaller in every way that does not matter to that.
func TestShrink(t *testing.T) {
	skipIfSlow(t)
	s := parse(t, impossible)
	_, found := sim.Run(t.Context(), s, sim.Observer{})
	var v *sim.Violation
	if !errors.As(found, &v) || v.Check != sim.CheckHeal {
		t.Fatalf("got %v, want a violation of %s", found, sim.CheckHeal)
	}
	var last sim.ShrinkStats
	small, why, err := sim.Shrink(t.Context(), s, found, 60, func(st sim.ShrinkStats) { last = st })
	if err != nil {
		t.Fatal(err)
	}
	if !errors.As(why, &v) || v.Check != sim.CheckHeal {
		t.Errorf("got %v, want a violation of %s", why, sim.CheckHeal)
	}
	if small.Nodes >= s.Nodes || small.Duration >= s.Duration || len(small.Faults)+len(small.Churn)+len(small.Workload) >= 6 {
		t.Errorf("after %d runs, %d of them smaller, it is still\n%s", last.Runs, last.Smaller, small.YAML())
	}
	_, again := sim.Run(t.Context(), parse(t, string(small.YAML())), sim.Observer{})
	var w *sim.Violation
	if !errors.As(again, &w) || w.Check != v.Check || w.At != v.At {
		t.Errorf("its text finds\n%v, want\n%v", again, v)
	}
	if last.Runs > 60 || small.Duration < time.Second {
		t.Errorf("%d runs, a duration of %v", last.Runs, small.Duration)
	}
}
