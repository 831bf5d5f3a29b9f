package sim

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Swarm returns the scenario with a seed, and with its rates drawn from that seed as well: each kind of churn, fault and workload may be missing, or be
// up to three times as frequent, long or likely, or as little. A bug that needs much of one thing and nothing of another is found so and not by many seeds
// of one mixture (Groce et al., "Swarm testing", ISSTA 2012). In most, fingers are chosen by proximity and have another base. The result is a scenario like any other: its text says what was drawn.
func Swarm(s Scenario, seed uint64) Scenario {
	r := NewRand(seed, "swarm", 0)
	s.Seed = seed
	s.Churn, s.Faults, s.Workload = slices.Clone(s.Churn), slices.Clone(s.Faults), slices.Clone(s.Workload)
	const missing = 0.25
	keep := func() bool { return r.Float64() >= missing }
	s.Churn = slices.DeleteFunc(s.Churn, func(Churn) bool { return !keep() })
	s.Faults = slices.DeleteFunc(s.Faults, func(Fault) bool { return !keep() })
	least := s.Node.Successors + 2
	s.Nodes = max(least, scaled(r, s.Nodes, 2))
	for i := range s.Churn {
		c := &s.Churn[i]
		c.Joins, c.Leaves, c.Crashes = c.Joins*factor(r, 3), c.Leaves*factor(r, 3), c.Crashes*factor(r, 3)
		c.Floor = min(max(c.Floor, least), s.Nodes)
	}
	for i := range s.Faults {
		f := &s.Faults[i]
		f.Every, f.For = stretched(r, f.Every), stretched(r, f.For)
		f.Probability = min(0.5, rounded(f.Probability*factor(r, 3)))
		if f.Count > 0 {
			f.Count = max(1, scaled(r, f.Count, 2))
		}
	}
	if keep() {
		s.Disk.SyncLatency = time.Duration(float64(5*time.Millisecond) * factor(r, 5)).Round(100 * time.Microsecond)
	}
	for i := range s.Workload {
		w := &s.Workload[i]
		w.Rate = rounded(w.Rate * factor(r, 3))
	}
	if keys := scaled(r, 100, 4); keep() {
		for i := range s.Workload {
			if w := &s.Workload[i]; w.Keys > 0 {
				w.Keys = keys // of all parts, or gets would ask for what nobody puts
			}
		}
	}
	if keep() {
		s.Node.FingerCandidates, s.Node.FingerBase = 1+r.IntN(s.Node.Successors), 2<<r.IntN(4)
	}
	return s
}

// factor draws a number between 1/most and most, as likely below 1 as above.
func factor(r *Rand, most float64) float64 { return math.Pow(most, 2*r.Float64()-1) }

func scaled(r *Rand, n int, most float64) int { return int(math.Round(float64(n) * factor(r, most))) }

func stretched(r *Rand, d time.Duration) time.Duration {
	return time.Duration(float64(d) * factor(r, 3)).Round(100 * time.Millisecond)
}

// rounded keeps three digits: what was drawn is to be read by people.
func rounded(x float64) float64 {
	if x == 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(x))-2)
	return math.Round(x/unit) * unit
}

// Header says on one line what a scenario draws its bugs with.
func (s Scenario) Header() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s seed %d: %d nodes, %v", s.Name, s.Seed, s.Nodes, s.Duration)
	for _, c := range s.Churn {
		fmt.Fprintf(&b, "; %s", c.Kind)
		if c.Kind == ChurnPoisson {
			fmt.Fprintf(&b, " joins %.3g/s leaves %.3g/s crashes %.3g/s", c.Joins, c.Leaves, c.Crashes)
		}
	}
	for _, f := range s.Faults {
		fmt.Fprintf(&b, "; %s", f.Kind)
		if f.Every > 0 {
			fmt.Fprintf(&b, " every %v", f.Every)
		}
		if f.For > 0 {
			fmt.Fprintf(&b, " for %v", f.For)
		}
		if f.Probability > 0 {
			fmt.Fprintf(&b, " p %.3g", f.Probability)
		}
		if f.Count > 0 {
			fmt.Fprintf(&b, " of %d", f.Count)
		}
	}
	for _, w := range s.Workload {
		fmt.Fprintf(&b, "; %s %.3g/s", w.Op, w.Rate)
		if w.Keys > 0 {
			fmt.Fprintf(&b, " of %d keys", w.Keys)
		}
	}
	return b.String()
}
