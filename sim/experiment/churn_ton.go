package experiment

import (
	"context"
	"time"

	"github.com/chordkv/chord/sim"
)

// stabilizationFigure is a row of ToN 2003 table III, as printed.
type stabilizationFigure struct {
	rate                  float64 // joins per second, and leaves per second
	path                  float64
	path1, path99         int
	timeouts              float64
	timeouts1, timeouts99 int
	failures              int // of 10,000 lookups
}

var tonTable3 = []stabilizationFigure{
	{0.05, 3.90, 1, 9, 0.05, 0, 2, 0},
	{0.10, 3.83, 1, 9, 0.11, 0, 2, 0},
	{0.15, 3.84, 1, 9, 0.16, 0, 2, 2},
	{0.20, 3.81, 1, 9, 0.23, 0, 3, 5},
	{0.25, 3.83, 1, 9, 0.30, 0, 3, 6},
	{0.30, 3.91, 1, 9, 0.34, 0, 4, 8},
	{0.35, 3.94, 1, 10, 0.42, 0, 4, 16},
	{0.40, 4.06, 1, 10, 0.46, 0, 5, 15},
}

func churnToN() *Experiment {
	return &Experiment{
		Name:   "churn-ton",
		Title:  "Do lookups find the owner while nodes join and leave?",
		Source: "ToN 2003, table III",
		About: "A ring of 1,000 nodes with 20 successors, to which nodes join and from which others leave, both by Poisson processes of R events a " +
			"second, while one lookup a second, of a random identifier from a random node, is made. Nodes stabilize every 30 s. A lookup is right " +
			"if it ends at a node that owned the identifier at some moment of the lookup. Packets take an exponential time of 50 ms in the mean, " +
			"and a call times out after a second.\n\n" +
			"Differs from the paper: our stabilization brings the whole successor list and comes after 22.5 to 37.5 s, theirs brings one entry, of " +
			"successor list and fingers in turn, after 15 to 45 s; ours looks one finger up in 30 s, with a pause of 300 s when all are right. A node " +
			"that leaves tells nobody: its neighbors find out by the next call, where theirs get a message. Ours join by the protocol of Zave: a node " +
			"waits until its successor has accepted it, and a change of a neighbor makes a node stabilize at once. Of the two ways in which ours look " +
			"for lost rings, lookups through remembered nodes are off, and greetings of strangers every 15 s are on.",
		Params: []Param{
			{"rates", "joins per second, and leaves per second", []float64{0.05, 0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40}, []float64{0.40}},
			{"nodes", "in the ring", 1000, 1000},
			{"successors", "length of the successor list", 20, 20},
			{"duration", "virtual time that is measured, with one lookup a second", 10_000 * time.Second, 600 * time.Second},
			{"warmup", "virtual time before that", 1200 * time.Second, 900 * time.Second},
			{"seeds", "independent runs", 10, 1},
		},
		Run: runChurnToN,
	}
}

func runChurnToN(ctx context.Context, p Params, progress *Progress) (*Report, error) {
	rates := p.Floats("rates")
	runs, err := grid(ctx, p, progress, "rate", len(rates), func(i int) sim.Scenario { return tonScenario(p, rates[i]) })
	return reportOf(runs, func(r *Report) { reportChurnToN(r, rates, runs) }), err
}

func tonScenario(p Params, rate float64) sim.Scenario {
	s := sim.DefaultScenario()
	s.Name = "churn-ton"
	s.Nodes = p.Int("nodes")
	s.Warmup = p.Duration("warmup")
	s.Duration = s.Warmup + p.Duration("duration")
	s.Node = paperNode(p.Int("successors"))
	s.Network = paperNetwork()
	s.Churn = []sim.Churn{{Kind: sim.ChurnPoisson, Joins: rate, Leaves: rate}}
	s.Workload = []sim.Workload{{Op: sim.OpLookup, Rate: 1}}
	return s
}

func reportChurnToN(r *Report, rates []float64, runs [][]churnPoint) {
	t := r.AddTable("churn", "Lookups during stabilization (table III)",
		Column{Name: "rate", Head: "R", Unit: "1/s", Of: Given, Digits: 2, Doc: "joins per second, and leaves per second"},
		Column{Name: "lookups", Doc: "in all runs"},
		Column{Name: "path", Unit: "calls", Digits: 2, Doc: "mean; answered calls"},
		Column{Name: "path_p1_p99", Head: "(1st, 99th)"},
		Column{Name: "paper_path", Of: Paper, Unit: "calls", Digits: 2},
		Column{Name: "paper_path_p1_p99", Head: "(1st, 99th)", Of: Paper},
		Column{Name: "timeouts", Digits: 3, Doc: "mean; calls to nodes that had left"},
		Column{Name: "timeouts_p1_p99", Head: "(1st, 99th)"},
		Column{Name: "paper_timeouts", Of: Paper, Digits: 2},
		Column{Name: "paper_timeouts_p1_p99", Head: "(1st, 99th)", Of: Paper},
		Column{Name: "wrong", Doc: "in all runs: ended at a node that did not own the identifier"},
		Column{Name: "failed", Doc: "in all runs: ended nowhere"},
		Column{Name: "failures", Head: "failures per 10,000", Digits: 2, Doc: "wrong and failed, mean of the runs with 95 % confidence"},
		Column{Name: "paper_failures", Head: "failures per 10,000", Of: Paper},
		Column{Name: "verdict_path", Doc: "path at most 5 % above the paper's"},
		Column{Name: "verdict_timeouts", Doc: "time-outs at most the paper's"},
		Column{Name: "verdict_failures", Doc: "mean failures at most the paper's"},
	)
	f := r.AddFigure("failures", "Failed lookups during stabilization",
		Axis{Label: "joins per second, and leaves per second"}, Axis{Label: "failures per 10,000 lookups", FromZero: true})
	ours, paper := f.AddLine("ours", Ours, Curve), f.AddLine("paper", Paper, Dots)
	for i, rate := range rates {
		if len(runs[i]) == 0 {
			continue
		}
		path, silent := pooled(runs[i], hopsOf), pooled(runs[i], timeoutsOf)
		failures := across(runs[i], churnPoint.bad)
		hops := across(runs[i], func(pt churnPoint) float64 { return pt.Hops.Mean() })
		late := across(runs[i], func(pt churnPoint) float64 { return pt.Timeouts.Mean() })
		row := []any{
			rate, total(runs[i], churnPoint.lookups), hops, ends(path), nil, nil, late, ends(silent), nil, nil,
			total(runs[i], func(pt churnPoint) int { return pt.Wrong }), total(runs[i], func(pt churnPoint) int { return pt.Failed }),
			failures, nil, nil, nil, nil,
		}
		ours.AddEstimate(rate, failures)
		for _, f := range tonTable3 {
			if f.rate == rate {
				row[4], row[5] = f.path, between(f.path1, f.path99)
				row[8], row[9] = f.timeouts, between(f.timeouts1, f.timeouts99)
				row[13] = f.failures
				row[14], row[15] = AtMost(0.05).Judge(hops.Mean, f.path), AtMost(0).Judge(late.Mean, f.timeouts)
				row[16] = AtMost(0).Judge(failures.Mean, float64(f.failures))
				paper.Add(rate, float64(f.failures))
			}
		}
		t.Add(row...)
	}
}
