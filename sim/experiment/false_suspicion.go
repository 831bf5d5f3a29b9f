package experiment

import (
	"context"
	"time"

	"github.com/chordkv/chord/sim"
)

func falseSuspicion() *Experiment {
	return &Experiment{
		Name:   "false-suspicion",
		Title:  "What does it cost when gossip is wrong about who is alive?",
		Source: "none",
		About: "The ring of one-hop, in which a lookup asks at once whom gossip names as the owner, with gossip that is wrong: with every change of a member, with some " +
			"probability, another one who is well is said to be dead, until that is corrected five seconds later; and of all that is heard, some is heard half a minute " +
			"late. What gossip says is never believed, so that no lookup may end at a wrong node; being wrong may only cost calls. The last row is the ring without gossip.",
		Params: []Param{
			{"nodes", "members at a time", 1024, 128},
			{"session", "mean time that a node is a member", 20 * time.Minute, 10 * time.Minute},
			{"wrong", "probability that with a change another one is said to be dead", []float64{0, 0.01, 0.1, 0.5, 1}, []float64{0, 1}},
			{"late", "shares of what is heard that come late", []float64{0, 0.1, 0.5}, []float64{0, 0.1}},
			{"late-by", "how late", 30 * time.Second, 30 * time.Second},
			{"matrix", "file of round trips in place of the Internet-like model", "", ""},
			{"duration", "virtual time that is measured", 20 * time.Minute, 4 * time.Minute},
			{"lookups", "per node and second", 1.0 / 60, 1.0 / 10},
		},
		Run: runFalseSuspicion,
	}
}

func runFalseSuspicion(ctx context.Context, p Params, progress *Progress) (*Report, error) {
	var kinds []sim.Gossip
	for _, wrong := range p.Floats("wrong") {
		for _, late := range p.Floats("late") {
			g := sim.DefaultGossip()
			g.On, g.Wrong, g.Late, g.LateBy = true, wrong, late, p.Duration("late-by")
			kinds = append(kinds, g)
		}
	}
	kinds = append(kinds, sim.DefaultGossip()) // off
	points, err := Points(ctx, p, progress, "gossip", len(kinds), func(ctx context.Context, i int, at *Point) (hopPoint, error) {
		return measureHops(ctx, p, p.Int("nodes"), p.Duration("session"), kinds[i], 0, paperNode(16).RoutingPeers, at)
	})
	done := finished(points)
	if len(done) == 0 {
		return nil, err
	}
	r := &Report{}
	t := r.AddTable("lookups", "Lookups by gossip that is wrong",
		Column{Name: "gossip", Of: Given},
		Column{Name: "wrong_reports", Head: "false alarms", Unit: "%", Of: Given, Doc: "with that share of the changes, another one is said to be dead"},
		Column{Name: "late", Unit: "%", Of: Given, Doc: "share of what is heard"},
		Column{Name: "lookups"},
		Column{Name: "failed"},
		Column{Name: "once", Head: "in one call", Unit: "%", Digits: 2, Doc: "share of the right lookups"},
		Column{Name: "hops", Head: "calls", Digits: 3},
		Column{Name: "timeouts", Digits: 4},
		Column{Name: "p50", Head: "median", Unit: "ms"},
		Column{Name: "p95", Head: "95th percentile", Unit: "ms"},
		Column{Name: "bytes", Unit: "B/node/s", Digits: 1, Doc: "without gossip's own"},
		Column{Name: "wrong", Head: "ended at a wrong node"},
		Column{Name: "verdict", Doc: "no lookup ended at a wrong node"},
	)
	for _, pt := range done {
		t.Add(yesNo(pt.Gossip.On), 100*pt.Gossip.Wrong, 100*pt.Gossip.Late, pt.Right+pt.Wrong+pt.Failed, pt.Failed, 100*pt.AtOnce, pt.Hops, pt.Timeouts,
			milli(pt.P50), milli(pt.P95), pt.Bytes, pt.Wrong, Demand(pt.Wrong == 0, "%d of %d", pt.Wrong, pt.Right+pt.Wrong+pt.Failed))
	}
	r.Summary = summarize(r)
	return r, err
}
