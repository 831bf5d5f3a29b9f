package experiment

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/chordkv/chord/sim"
)

// sessionModel is a distribution of the time that a node is a member, and of the time that it is away.
type sessionModel struct {
	name, source string
	d            sim.Distribution
	target       float64 // fraction of lookups that must be right; 0: none
}

func sessionModels() []sessionModel {
	return []sessionModel{
		{"exponential-1h", "mean 1 h, the classic benchmark", sim.Distribution{Kind: sim.DistExponential, Mean: time.Hour}, 0.9999},
		{"exponential-40min", "median 40 min, that of weibull", sim.Distribution{Kind: sim.DistExponential, Median: 40 * time.Minute}, 0},
		{"pareto", "alpha 1, least 30 min, median 1 h (p2psim)", sim.Distribution{Kind: sim.DistPareto, Shape: 1, Scale: 30 * time.Minute}, 0},
		{"weibull", "k 0.5, lambda 5,000 s, median 40 min (KAD)", sim.Distribution{Kind: sim.DistWeibull, Shape: 0.5, Scale: 5000 * time.Second}, 0.999},
		{"weibull-debian", "k 0.38, lambda 42.4 min, median 16 min (BitTorrent)", sim.Distribution{Kind: sim.DistWeibull, Shape: 0.38, Scale: 2544 * time.Second}, 0},
	}
}

func sessions() *Experiment {
	return &Experiment{
		Name:   "sessions",
		Title:  "Does it matter how sessions are distributed?",
		Source: "Stutzbach and Rejaie, IMC 2006; Steiner, En-Najjary, Biersack, ToN 2009",
		About: "Most experiments draw sessions from an exponential distribution; measured ones have many more short and a few very long ones, like " +
			"a Weibull distribution with shape 0.3 to 0.6. Here 1,024 nodes are members for a time of the distribution, crash, stay away for another " +
			"such time, and come back under a new identity, for six hours of which the second half counts; each looks a random identifier up " +
			"every 10 s in the mean, without a second try. Nodes have the settings of production but stabilize every 5 s.\n\n" +
			"The papers measured sessions and no lookups, so the targets are ours: 99.99 % right at an exponential hour, 99.9 % for the sessions of KAD.",
		Params: []Param{
			{"models", "distributions", modelNames(), []string{"exponential-1h", "weibull"}},
			{"interval", "between two stabilizations, and two lookups of fingers", 5 * time.Second, 5 * time.Second},
			{"nodes", "of which some half are members at a time", 1024, 200},
			{"duration", "virtual time, of which the second half counts", 6 * time.Hour, 30 * time.Minute},
			{"lookups", "per node and second", 0.1, 0.1},
			{"seeds", "independent runs", 3, 1},
		},
		Run: runSessions,
	}
}

func modelNames() (names []string) {
	for _, m := range sessionModels() {
		names = append(names, m.name)
	}
	return names
}

func runSessions(ctx context.Context, p Params, progress *Progress) (*Report, error) {
	var models []sessionModel
	for _, name := range p.Texts("models") {
		m, err := findModel(name)
		if err != nil {
			return nil, err
		}
		models = append(models, m)
	}
	runs, err := grid(ctx, p, progress, "model", len(models), func(i int) sim.Scenario {
		s := onOff(p.Int("nodes"), models[i].d, p.Duration("duration"))
		s.Name = "sessions"
		s.Node.StabilizeInterval, s.Node.FixFingersInterval = p.Duration("interval"), p.Duration("interval")
		s.Workload = []sim.Workload{{Op: sim.OpLookup, Rate: p.Float("lookups"), Per: sim.PerNode}}
		return s
	})
	return reportOf(runs, func(r *Report) { reportSessions(r, models, runs) }), err
}

func findModel(name string) (sessionModel, error) {
	for _, m := range sessionModels() {
		if m.name == name {
			return m, nil
		}
	}
	return sessionModel{}, fmt.Errorf("no session model %q: there are %s", name, strings.Join(modelNames(), ", "))
}

func reportSessions(r *Report, models []sessionModel, runs [][]churnPoint) {
	t := r.AddTable("sessions", "Lookups by the distribution of sessions",
		Column{Name: "model", Of: Given},
		Column{Name: "source", Head: "what it is", Of: Given},
		Column{Name: "live", Head: "members", Doc: "in the mean"},
		Column{Name: "crashes", Head: "crashes per member and hour", Digits: 2},
		Column{Name: "lookups", Doc: "in all runs"},
		Column{Name: "wrong", Doc: "in all runs: ended at a node that did not own the identifier"},
		Column{Name: "failed", Doc: "in all runs: ended nowhere within 10 s"},
		Column{Name: "right", Unit: "%", Digits: 4, Doc: "of lookups"},
		Column{Name: "p50", Head: "median", Unit: "ms", Doc: "latency of lookups that found an owner"},
		Column{Name: "p99", Head: "99th percentile", Unit: "ms"},
		Column{Name: "timeouts", Digits: 4},
		Column{Name: "bytes", Unit: "B/node/s", Digits: 0},
		Column{Name: "verdict", Doc: "our target for the fraction of right lookups"},
	)
	f := r.AddFigure("timeouts", "Calls to dead nodes by how often nodes crash",
		Axis{Label: "crashes per member and hour", FromZero: true}, Axis{Label: "time-outs per lookup", FromZero: true})
	for i, m := range models {
		if len(runs[i]) == 0 {
			continue
		}
		right := across(runs[i], func(pt churnPoint) float64 { return 100 * float64(pt.Right) / float64(pt.lookups()) })
		crashes := across(runs[i], func(pt churnPoint) float64 { return pt.departuresPerHour() })
		silent := across(runs[i], func(pt churnPoint) float64 { return pt.Timeouts.Mean() })
		verdict := any(nil)
		if m.target > 0 {
			verdict = Demand(right.Mean >= 100*m.target, "%.4f %%, at least %.5g %%", right.Mean, 100*m.target)
		}
		t.Add(m.name, m.source, across(runs[i], func(pt churnPoint) float64 { return pt.Live }), crashes, total(runs[i], churnPoint.lookups),
			total(runs[i], func(pt churnPoint) int { return pt.Wrong }), total(runs[i], func(pt churnPoint) int { return pt.Failed }),
			right, milliseconds(runs[i], func(pt churnPoint) time.Duration { return pt.P50 }),
			milliseconds(runs[i], func(pt churnPoint) time.Duration { return pt.P99 }), silent,
			across(runs[i], func(pt churnPoint) float64 { return pt.Bytes }), verdict)
		f.AddLine(m.name, Ours, Dots).AddEstimate(crashes.Mean, silent)
	}
}
