package experiment

import (
	"context"
	"time"

	"github.com/chordkv/chord/sim"
)

// What Rhea, Geels, Roscoe and Kubiatowicz claim for Bamboo at a median session of 1.4 minutes.
const (
	bambooSession = 84 * time.Second
	bambooBytes   = 900.0 // sent per node and second, less than
)

func churnBamboo() *Experiment {
	return &Experiment{
		Name:   "churn-bamboo",
		Title:  "How short may sessions be?",
		Source: "Rhea, Geels, Roscoe, Kubiatowicz, USENIX 2004",
		About: "1,000 nodes, each of which crashes after an exponential time and is replaced by another at once, so that the number stays the same while " +
			"the median session falls from three hours to 1.4 minutes. Nodes have the settings of production: they stabilize every second. Each looks " +
			"a random identifier up every 10 s in the mean.\n\n" +
			"The paper ran real nodes in ModelNet: below sessions of 23 minutes FreePastry failed most lookups, and the Chord of MIT completed them, but " +
			"in seconds; Bamboo went down to 1.4 minutes at less than 900 bytes per node and second.\n\n" +
			"Differs from the paper: no queues and no loss; bytes by the model of p2psim, 20 for a message and 4 for each node named in it; the network is " +
			"the Internet-like model, median round trip 140 ms.",
		Params: []Param{
			{
				"sessions", "median time that a node is a member",
				append([]time.Duration{bambooSession}, minutes(3, 6, 12, 23, 47, 94, 180)...),
				[]time.Duration{bambooSession, 23 * time.Minute},
			},
			{"nodes", "in the ring", 1000, 150},
			{"duration", "virtual time that is measured", 20 * time.Minute, 4 * time.Minute},
			{"warmup", "virtual time before that", 10 * time.Minute, 3 * time.Minute},
			{"lookups", "per node and second", 0.1, 0.1},
			{"seeds", "independent runs", 3, 1},
		},
		Run: runChurnBamboo,
	}
}

func minutes(list ...int) (times []time.Duration) {
	for _, m := range list {
		times = append(times, time.Duration(m)*time.Minute)
	}
	return times
}

func runChurnBamboo(ctx context.Context, p Params, progress *Progress) (*Report, error) {
	medians := p.Durations("sessions")
	runs, err := grid(ctx, p, progress, "session", len(medians), func(i int) sim.Scenario {
		s := sim.DefaultScenario()
		s.Name = "churn-bamboo"
		s.Nodes = p.Int("nodes")
		s.Warmup = p.Duration("warmup")
		s.Duration = s.Warmup + p.Duration("duration")
		s.Node = routing(s.Node.Successors)
		s.Churn = []sim.Churn{{
			Kind: sim.ChurnSessions, Return: sim.ReturnNew, On: sim.Distribution{Kind: sim.DistExponential, Median: medians[i]},
		}}
		s.Workload = []sim.Workload{{Op: sim.OpLookup, Rate: p.Float("lookups"), Per: sim.PerNode}}
		return s
	})
	return reportOf(runs, func(r *Report) { reportChurnBamboo(r, medians, runs) }), err
}

func reportChurnBamboo(r *Report, medians []time.Duration, runs [][]churnPoint) {
	t := r.AddTable("churn", "Lookups by the median session",
		Column{Name: "session", Head: "median session", Unit: "min", Of: Given, Digits: 1},
		Column{Name: "lookups", Doc: "in all runs"},
		Column{Name: "right", Unit: "%", Digits: 3, Doc: "of lookups"},
		Column{Name: "wrong", Doc: "in all runs: ended at a node that did not own the identifier"},
		Column{Name: "failed", Doc: "in all runs: ended nowhere within 10 s"},
		Column{Name: "mean", Unit: "ms", Doc: "latency of lookups that found an owner"},
		Column{Name: "p50", Head: "median", Unit: "ms"},
		Column{Name: "p99", Head: "99th percentile", Unit: "ms"},
		Column{Name: "path", Unit: "calls", Digits: 2},
		Column{Name: "timeouts", Digits: 2},
		Column{Name: "bytes", Unit: "B/node/s", Digits: 0, Doc: "sent per live node, lookups included"},
		Column{Name: "paper", Of: Paper, Doc: "Chord of MIT: completes lookups, in seconds; Bamboo: bytes"},
		Column{Name: "verdict_right", Head: "right", Doc: "at least 99 %"},
		Column{Name: "verdict", Doc: "median below a second; at 1.4 min, bytes below Bamboo's"},
	)
	f := r.AddFigure("latency", "Latency of lookups by the median session",
		Axis{Label: "median session [min]", Log: true}, Axis{Label: "latency [ms]", FromZero: true})
	mean, p99 := f.AddLine("mean", Ours, Curve), f.AddLine("99th percentile", Ours, Curve)
	g := r.AddFigure("right", "Lookups that end at the owner", Axis{Label: "median session [min]", Log: true}, Axis{Label: "right [%]"})
	right := g.AddLine("ours", Ours, Curve)
	for i, session := range medians {
		if len(runs[i]) == 0 {
			continue
		}
		ok := across(runs[i], func(pt churnPoint) float64 { return 100 * float64(pt.Right) / float64(pt.lookups()) })
		average := milliseconds(runs[i], func(pt churnPoint) time.Duration { return pt.Mean })
		median := milliseconds(runs[i], func(pt churnPoint) time.Duration { return pt.P50 })
		high := milliseconds(runs[i], func(pt churnPoint) time.Duration { return pt.P99 })
		bytes := across(runs[i], func(pt churnPoint) float64 { return pt.Bytes })
		paper, verdict := any(nil), Demand(median.Mean < 1000, "median %.0f ms", median.Mean)
		switch {
		case session == bambooSession:
			paper = "seconds; < 900 B/node/s"
			verdict.OK = verdict.OK && bytes.Mean < bambooBytes
		case session < 23*time.Minute:
			paper = "seconds"
		}
		t.Add(session, total(runs[i], churnPoint.lookups), ok,
			total(runs[i], func(pt churnPoint) int { return pt.Wrong }), total(runs[i], func(pt churnPoint) int { return pt.Failed }),
			average, median, high,
			across(runs[i], func(pt churnPoint) float64 { return pt.Hops.Mean() }),
			across(runs[i], func(pt churnPoint) float64 { return pt.Timeouts.Mean() }),
			bytes, paper, Demand(ok.Mean >= 99, "%.3f %%", ok.Mean), verdict)
		mean.AddEstimate(session.Minutes(), average)
		p99.AddEstimate(session.Minutes(), high)
		right.AddEstimate(session.Minutes(), ok)
	}
}
