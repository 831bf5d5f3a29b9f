package experiment

import (
	"context"
	"time"

	"github.com/chordkv/chord/sim"
)

// sigcommFigure12 is SIGCOMM 2001 figure 12, read off the figure: the fraction of lookups that fail, without retries.
var sigcommFigure12 = []struct{ rate, failed float64 }{{0.01, 0.003}, {0.02, 0.0095}, {0.05, 0.0245}, {0.10, 0.0645}}

func churnSIGCOMM() *Experiment {
	return &Experiment{
		Name:   "churn-sigcomm",
		Title:  "Do lookups find the owner while nodes join and crash?",
		Source: "SIGCOMM 2001, figure 12",
		About: "A ring of 500 nodes, to which nodes join and in which others crash, both by Poisson processes of R events a second, for two hours; " +
			"one lookup a second, of a random identifier from a random node. Nodes stabilize, and look all their fingers up, about every 30 s. A " +
			"lookup is right if it ends at a node that owned the identifier at some moment of the lookup. Packets take an exponential time of " +
			"50 ms in the mean, and a call times out after a second.\n\n" +
			"Differs from the paper: there, a query that is sent to a dead node fails; our lookup goes round it, which is what the two curves " +
			"compare. Nodes have 16 successors; a change of a neighbor makes a node stabilize at once; lookups through remembered nodes, to find lost " +
			"rings, are off.",
		Params: []Param{
			{"rates", "joins per second, and crashes per second", []float64{0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.10}, []float64{0.10}},
			{"nodes", "in the ring", 500, 500},
			{"successors", "length of the successor list", 16, 16},
			{"duration", "virtual time that is measured, with one lookup a second", 2 * time.Hour, 20 * time.Minute},
			{"warmup", "virtual time before that", 10 * time.Minute, 5 * time.Minute},
			{"seeds", "independent runs", 10, 1},
		},
		Run: runChurnSIGCOMM,
	}
}

func runChurnSIGCOMM(ctx context.Context, p Params, progress *Progress) (*Report, error) {
	rates := p.Floats("rates")
	runs, err := grid(ctx, p, progress, "rate", len(rates), func(i int) sim.Scenario {
		s := sim.DefaultScenario()
		s.Name = "churn-sigcomm"
		s.Nodes = p.Int("nodes")
		s.Warmup = p.Duration("warmup")
		s.Duration = s.Warmup + p.Duration("duration")
		s.Node = paperNode(p.Int("successors"))
		// A pass over the five fingers beyond the list and the pause after it, ten times as long as a step, take 30 s together.
		s.Node.FixFingersInterval = 2 * time.Second
		s.Network = paperNetwork()
		s.Churn = []sim.Churn{{Kind: sim.ChurnPoisson, Joins: rates[i], Crashes: rates[i]}}
		s.Workload = []sim.Workload{{Op: sim.OpLookup, Rate: 1}}
		return s
	})
	return reportOf(runs, func(r *Report) { reportChurnSIGCOMM(r, rates, runs) }), err
}

func reportChurnSIGCOMM(r *Report, rates []float64, runs [][]churnPoint) {
	t := r.AddTable("churn", "Lookups while nodes join and crash (figure 12)",
		Column{Name: "rate", Head: "R", Unit: "1/s", Of: Given, Digits: 2, Doc: "joins per second, and crashes per second"},
		Column{Name: "lookups", Doc: "in all runs"},
		Column{Name: "wrong", Doc: "in all runs: ended at a node that did not own the identifier"},
		Column{Name: "failed", Doc: "in all runs: ended nowhere"},
		Column{Name: "failures", Head: "failed fraction", Digits: 5, Doc: "wrong and failed, mean of the runs with 95 % confidence"},
		Column{Name: "paper_failures", Head: "failed fraction", Of: Paper, Digits: 4, Doc: "without retries, read off the figure"},
		Column{Name: "path", Unit: "calls", Digits: 2, Doc: "mean; answered calls"},
		Column{Name: "timeouts", Digits: 3, Doc: "mean; calls to dead nodes"},
		Column{Name: "late", Head: "met a dead node", Digits: 4, Doc: "fraction of lookups with a time-out: without retries they would have failed"},
		Column{Name: "p50", Head: "median", Unit: "ms"},
		Column{Name: "p99", Head: "99th percentile", Unit: "ms"},
		Column{Name: "verdict", Doc: "failed fraction at most the paper's"},
	)
	f := r.AddFigure("failures", "Failed lookups while nodes join and crash",
		Axis{Label: "joins per second, and crashes per second"}, Axis{Label: "fraction of lookups", FromZero: true})
	ours, late, paper := f.AddLine("failed", Ours, Curve), f.AddLine("met a dead node", Ours, Curve), f.AddLine("failed, paper", Paper, Dots)
	for i, rate := range rates {
		if len(runs[i]) == 0 {
			continue
		}
		failures := across(runs[i], func(pt churnPoint) float64 { return pt.bad() / 1e4 })
		met := across(runs[i], func(pt churnPoint) float64 { return 1 - pt.Timeouts.Share(0) })
		row := []any{
			rate, total(runs[i], churnPoint.lookups),
			total(runs[i], func(pt churnPoint) int { return pt.Wrong }), total(runs[i], func(pt churnPoint) int { return pt.Failed }),
			failures, nil,
			across(runs[i], func(pt churnPoint) float64 { return pt.Hops.Mean() }), across(runs[i], func(pt churnPoint) float64 { return pt.Timeouts.Mean() }),
			met, milliseconds(runs[i], func(pt churnPoint) time.Duration { return pt.P50 }),
			milliseconds(runs[i], func(pt churnPoint) time.Duration { return pt.P99 }), nil,
		}
		ours.AddEstimate(rate, failures)
		late.AddEstimate(rate, met)
		for _, f := range sigcommFigure12 {
			if f.rate == rate {
				row[5], row[11] = f.failed, AtMost(0).Judge(failures.Mean, f.failed)
				paper.Add(rate, f.failed)
			}
		}
		t.Add(row...)
	}
}

// milliseconds estimates a time over independent runs.
func milliseconds(runs []churnPoint, of func(churnPoint) time.Duration) Estimate {
	return across(runs, func(pt churnPoint) float64 { return float64(of(pt)) / float64(time.Millisecond) })
}
