package sim

import (
	"context"
	"errors"
	"slices"
	"time"
)

// ShrinkStats says how far a Shrink has come.
type ShrinkStats struct {
	Runs     int // of scenarios
	Smaller  int // of them failed by the same check
	Scenario Scenario
}

// Shrink looks for a smaller scenario that is failed by the same check as found: shorter, with fewer churn, faults and workload, fewer keys and nodes. It tries
// what takes most away first, and ends when nothing more can be taken away, or after so many runs. progress may be nil.
//
// Errors: that of ctx, with the smallest scenario until then.
func Shrink(ctx context.Context, s Scenario, found error, runs int, progress func(ShrinkStats)) (Scenario, error, error) {
	k := &shrinker{ctx: ctx, left: runs, check: checkOf(found), best: s, found: found, progress: progress}
	for k.left > 0 && ctx.Err() == nil && k.pass() {
	}
	return k.best, k.found, ctx.Err()
}

type shrinker struct {
	ctx      context.Context
	left     int
	check    string
	best     Scenario
	found    error
	stats    ShrinkStats
	progress func(ShrinkStats)
}

// try runs a smaller scenario and takes it if the same check fails.
func (k *shrinker) try(smaller Scenario) bool {
	if k.left == 0 || k.ctx.Err() != nil || smaller.Validate() != nil {
		return false
	}
	k.left--
	_, err := Run(k.ctx, smaller, Observer{})
	k.stats.Runs++
	same := err != nil && checkOf(err) == k.check
	if same {
		k.stats.Smaller++
		k.best, k.found = smaller, err
	}
	if k.progress != nil {
		k.stats.Scenario = k.best
		k.progress(k.stats)
	}
	return same
}

// pass tries every way to take something away once, and reports whether one worked.
func (k *shrinker) pass() (smaller bool) {
	smaller = k.shorten()
	smaller = without(k, func(s *Scenario) *[]Fault { return &s.Faults }) || smaller
	smaller = without(k, func(s *Scenario) *[]Churn { return &s.Churn }) || smaller
	smaller = without(k, func(s *Scenario) *[]Workload { return &s.Workload }) || smaller
	for _, divide := range []int{4, 2} {
		s := k.best
		s.Nodes = max(s.Nodes/divide, 2)
		smaller = s.Nodes < k.best.Nodes && k.try(s) || smaller
		s = k.best
		s.Workload = slices.Clone(s.Workload)
		fewer := false
		for i := range s.Workload {
			if keys := &s.Workload[i].Keys; *keys > 1 {
				*keys, fewer = max(1, *keys/divide), true
			}
		}
		smaller = fewer && k.try(s) || smaller
	}
	return smaller
}

// shorten ends the scenario soon after the check failed, or begins to heal earlier.
func (k *shrinker) shorten() bool {
	s := k.best
	var v *Violation
	if errors.As(k.found, &v) && v.At < s.Duration {
		s.Duration = v.At + time.Second // what comes later made no difference
	} else {
		s.Duration /= 2
	}
	s.Duration = s.Duration.Round(time.Second)
	s.Warmup = min(s.Warmup, s.Duration)
	return s.Duration > 0 && s.Duration < k.best.Duration && k.try(s)
}

// without leaves out one element of a list after the other.
func without[T any](k *shrinker, list func(s *Scenario) *[]T) (smaller bool) {
	for i := len(*list(&k.best)) - 1; i >= 0; i-- {
		s := k.best
		l := list(&s)
		*l = slices.Delete(slices.Clone(*l), i, i+1)
		smaller = k.try(s) || smaller
	}
	return smaller
}
