package experiment

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/sim"
)

// What Li et al., INFOCOM 2005, have for OneHop (Gupta, Liskov, Rodrigues, NSDI 2004) among 1,024 nodes with sessions of an hour.
const (
	oneHopNodes  = 1024
	oneHopMedian = 160 * time.Millisecond // where the median round trip is 156 ms
)

func oneHop() *Experiment {
	return &Experiment{
		Name:   "one-hop",
		Title:  "What is a lookup worth that knows everybody?",
		Source: "Gupta, Liskov, Rodrigues, NSDI 2004; Li et al., INFOCOM 2005",
		About: "Nodes hear by gossip who is a member, and a lookup asks the owner at once, beside the same ring where lookups go by fingers. A node is a member for " +
			"an exponential time, crashes, and is replaced at once by another. Each looks random identifiers up, one a minute in the mean. The stretch of a lookup is " +
			"its latency over the round trip between the asker and the owner.\n\n" +
			"Differs from the papers: there, news travels down a hierarchy of slices, once; here, memberlist's gossip, whose messages the simulation does not send. The " +
			"table has what they come to by the model of p2psim, 20 bytes for a message and 4 for each node named in it: probes, their answers, news, which each member " +
			"passes on a dozen times, and exchanges of everything. A slower pace costs less, and news is older.",
		Params: []Param{
			{"nodes", "members at a time", []int{1024, 4096}, []int{256}},
			{"sessions", "mean time that a node is a member", []time.Duration{20 * time.Minute, time.Hour, 3 * time.Hour}, []time.Duration{time.Hour}},
			{"paces", "of gossip, time between two probes by a node", []time.Duration{time.Second}, []time.Duration{time.Second, 5 * time.Second}},
			{"quiet", "StabilizeQuiet, time between two looks at a successor that stays what it is", paperNode(16).StabilizeQuiet, paperNode(16).StabilizeQuiet},
			{"routing-peers", "RoutingPeers, members known by gossip that lookups go by; 0: they go by fingers", paperNode(16).RoutingPeers, paperNode(16).RoutingPeers},
			{"matrix", "file of round trips in place of the Internet-like model", "", ""},
			{"duration", "virtual time that is measured", 20 * time.Minute, 4 * time.Minute},
			{"lookups", "per node and second", 1.0 / 60, 1.0 / 10},
		},
		Run: runOneHop,
	}
}

// hopPoint is what one ring gives.
type hopPoint struct {
	Nodes                int
	Session              time.Duration
	Gossip               sim.Gossip
	Right, Wrong, Failed int
	AtOnce               float64 // share of the right lookups that took one call
	P50, P95, P99        time.Duration
	Stretch50, Stretch95 float64
	Timeouts, Hops       float64
	Bytes, Spent         float64 // sent per live process and second, without gossip; what gossip comes to
}

func runOneHop(ctx context.Context, p Params, progress *Progress) (*Report, error) {
	sizes, sessions, paces := p.Ints("nodes"), p.Durations("sessions"), p.Durations("paces")
	points, err := Points(ctx, p, progress, "ring", len(sizes)*len(sessions)*(len(paces)+1), func(ctx context.Context, i int, at *Point) (hopPoint, error) {
		gossip := sim.DefaultGossip()
		if at := i % (len(paces) + 1); at < len(paces) {
			gossip = sim.PacedGossip(paces[at])
			gossip.On = true
		}
		i /= len(paces) + 1
		return measureHops(ctx, p, sizes[i/len(sessions)], sessions[i%len(sessions)], gossip, p.Duration("quiet"), p.Int("routing-peers"), at)
	})
	done := finished(points)
	if len(done) == 0 {
		return nil, err
	}
	r := &Report{}
	reportHops(r, p, done)
	r.Summary = summarize(r)
	return r, err
}

func measureHops(ctx context.Context, p Params, nodes int, session time.Duration, gossip sim.Gossip, quiet time.Duration, peers int, at *Point) (hopPoint, error) {
	s := sim.DefaultScenario()
	s.Seed, s.Nodes = p.Seed, nodes
	s.Warmup = 2 * time.Minute
	s.Duration = s.Warmup + p.Duration("duration")
	s.Node = paperNode(16)
	s.Node.MinTimeout = node.DefaultConfig().MinTimeout
	s.Node.StabilizeQuiet, s.Node.RoutingPeers = quiet, peers
	s.Gossip = gossip
	s.Churn = []sim.Churn{{Kind: sim.ChurnSessions, On: sim.Distribution{Mean: session}, Return: sim.ReturnNew}}
	s.Workload = []sim.Workload{{Op: sim.OpLookup, Rate: p.Float("lookups"), Per: sim.PerNode}}
	if file := p.Text("matrix"); file != "" {
		s.Network.Latency = sim.LatencySpec{Model: sim.LatencyMatrix, File: file}
	}
	at.Span(s.Duration)
	var latency sim.Latency
	var took, stretch []float64
	once := 0
	res, err := sim.Run(ctx, s, sim.Observer{
		Prepare: func(o *sim.Options) { latency = o.Latency },
		End: func(op *sim.Operation) {
			if op.Outcome != sim.Done || op.Begin < s.Warmup {
				return
			}
			if op.Hops+op.Timeouts == 1 {
				once++
			}
			took = append(took, float64(op.Latency()))
			if rtt := roundTrip(latency, op.From, op.Owner); rtt > 0 {
				stretch = append(stretch, float64(op.Latency())/float64(rtt))
			}
		},
		Tick: func(now time.Duration, stats sim.Stats) { at.At(now, stats.Steps) },
	})
	if err != nil {
		return hopPoint{}, fmt.Errorf("%d nodes, sessions of %v: %w", nodes, session, err)
	}
	t := &res.Totals
	pt := hopPoint{
		Nodes: nodes, Session: session, Gossip: gossip,
		Right: t.Lookups.Right, Wrong: t.Lookups.Wrong, Failed: t.Lookups.Failed,
		AtOnce: float64(once) / float64(max(1, len(took))),
		P50:    time.Duration(Quantile(took, 0.5)), P95: time.Duration(Quantile(took, 0.95)), P99: time.Duration(Quantile(took, 0.99)),
		Stretch50: Quantile(stretch, 0.5), Stretch95: Quantile(stretch, 0.95),
		Timeouts: t.Lookups.Timeouts.Mean(), Hops: t.Lookups.Hops.Mean(),
		Bytes: t.BytesPerNode(),
	}
	if gossip.On {
		pt.Spent = s.Gossip.Cost(nodes, float64(t.Joins)/t.Measured.Seconds(), float64(t.Crashes)/t.Measured.Seconds()).Total()
	}
	return pt, nil
}

// roundTrip returns the round trip between a process and the owner that its lookup found, 0 if that is itself. The models ask nobody for chance.
func roundTrip(l sim.Latency, from int, owner ring.Ref) time.Duration {
	to := hostOf(owner)
	if to == from {
		return 0
	}
	return l.OneWay(from, to, nil) + l.OneWay(to, from, nil)
}

// hostOf returns the number of the host of a node of a simulation.
func hostOf(n ring.Ref) int {
	number, err := strconv.Atoi(strings.TrimPrefix(n.Addr, "n"))
	if err != nil {
		panic(err)
	}
	return number
}

func reportHops(r *Report, p Params, done []hopPoint) {
	t := r.AddTable("lookups", "Lookups with gossip and without",
		Column{Name: "nodes", Of: Given},
		Column{Name: "session", Unit: "min", Of: Given, Doc: "mean"},
		Column{Name: "gossip", Of: Given, Doc: "its pace"},
		Column{Name: "lookups"},
		Column{Name: "wrong", Doc: "ended at a node that did not own the identifier"},
		Column{Name: "failed"},
		Column{Name: "once", Head: "in one call", Unit: "%", Digits: 2, Doc: "share of the right lookups"},
		Column{Name: "hops", Head: "calls", Digits: 2},
		Column{Name: "timeouts", Digits: 4},
		Column{Name: "p50", Head: "median", Unit: "ms"},
		Column{Name: "p95", Head: "95th percentile", Unit: "ms"},
		Column{Name: "p99", Head: "99th percentile", Unit: "ms"},
		Column{Name: "stretch50", Head: "median stretch", Digits: 3, Doc: "latency over the round trip to the owner"},
		Column{Name: "stretch95", Head: "95th percentile of stretch", Digits: 3},
		Column{Name: "bytes", Unit: "B/node/s", Digits: 1, Doc: "without gossip's own"},
		Column{Name: "spent", Head: "gossip", Of: Theory, Unit: "B/node/s", Digits: 1, Doc: "by the model of p2psim"},
		Column{Name: "total", Of: Theory, Unit: "B/node/s", Digits: 1},
		Column{Name: "verdict", Doc: "with gossip at a pace of a second or less: median stretch at most 1.05, 95th percentile at most 1.5, and no lookup wrong, except where round trips come from a file: some " +
			"are longer than the last time-out, and a live node that far away counts as dead"},
	)
	f := r.AddFigure("latency", "Median latency of lookups", Axis{Label: "nodes", Log2: true}, Axis{Label: "ms", FromZero: true})
	lines := map[bool]*Line{true: f.AddLine("by gossip", Ours, Curve), false: f.AddLine("by fingers", Ours, Curve)}
	if p.Text("matrix") == "" {
		f.AddLine("OneHop in p2psim", Paper, Dots).Add(oneHopNodes, milli(oneHopMedian))
	}
	longest, paces := slices.Max(p.Durations("sessions")), p.Durations("paces")
	for _, pt := range done {
		var verdict any
		pace := "no"
		if pt.Gossip.On {
			pace = pt.Gossip.Probe.String()
		}
		if pt.Gossip.On && pt.Gossip.Probe <= time.Second {
			ok := pt.Wrong == 0 || p.Text("matrix") != ""
			verdict = Demand(ok && pt.Stretch50 <= 1.05 && pt.Stretch95 <= 1.5, "%d wrong, stretch %.3f and %.3f", pt.Wrong, pt.Stretch50, pt.Stretch95)
		}
		t.Add(pt.Nodes, pt.Session.Minutes(), pace, pt.Right+pt.Wrong+pt.Failed, pt.Wrong, pt.Failed, 100*pt.AtOnce, pt.Hops, pt.Timeouts,
			milli(pt.P50), milli(pt.P95), milli(pt.P99), pt.Stretch50, pt.Stretch95, pt.Bytes, pt.Spent, pt.Bytes+pt.Spent, verdict)
		if pt.Session == longest && (!pt.Gossip.On || pt.Gossip.Probe == paces[0]) {
			lines[pt.Gossip.On].Add(float64(pt.Nodes), milli(pt.P50))
		}
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
