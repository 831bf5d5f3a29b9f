package experiment

import (
	"context"
	"fmt"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/sim"
)

func nearReads() *Experiment {
	return &Experiment{
		Name:   "near-reads",
		Title:  "What is a replica nearby worth to a read?",
		Source: "none",
		About: "Every key has three replicas, somewhere on the Internet-like model. Processes at random read keys at random that were written before, in a ring with gossip, where whoever " +
			"reads knows the replicas and asks them itself, and in the same ring without, where the owner is looked for and reads for him. With level one the nearest replica is asked alone, " +
			"with a quorum the owner and the one that would take over from it.\n\n" +
			"A process knows how far those are who have answered its calls or probes. Gossip probes one process a second, so that after the warm-up nearly all are " +
			"known that answer within half a second. Nodes have the settings of production: two of three replicas are a quorum.",
		Params: []Param{
			{"nodes", "members at a time", 1024, 256},
			{"sessions", "mean time that a node is a member; 0: for ever", []time.Duration{0}, []time.Duration{0}},
			{"keys", "written before", 20_000, 2000},
			{"warmup", "virtual time before it is measured", 25 * time.Minute, 6 * time.Minute},
			{"duration", "virtual time that is measured", 2 * time.Minute, time.Minute},
			{"gets", "per node and second, while it is measured", 1.0 / 5, 1.0 / 5},
		},
		Run: runNearReads,
	}
}

// readPoint is what one ring gives.
type readPoint struct {
	Session              time.Duration
	Gossip               bool
	Level                node.Level
	Gets, Failed, Missed int
	P50, P95, P99        time.Duration
	RTT50                time.Duration // between two processes of the model
	Calls                float64       // about records, a get
}

func runNearReads(ctx context.Context, p Params, progress *Progress) (*Report, error) {
	sessions := p.Durations("sessions")
	levels := []node.Level{node.LevelOne, node.LevelQuorum, node.LevelAll}
	points, err := Points(ctx, p, progress, "ring", len(sessions)*2*len(levels), func(ctx context.Context, i int, at *Point) (readPoint, error) {
		pt := readPoint{Level: levels[i%len(levels)], Gossip: i/len(levels)%2 == 0, Session: sessions[i/len(levels)/2]}
		err := pt.measure(ctx, p, at)
		return pt, err
	})
	done := finished(points)
	if len(done) == 0 {
		return nil, err
	}
	r := &Report{}
	reportReads(r, done)
	r.Summary = summarize(r)
	return r, err
}

func (pt *readPoint) measure(ctx context.Context, p Params, at *Point) error {
	s := sim.DefaultScenario()
	s.Seed, s.Nodes = p.Seed, p.Int("nodes")
	s.Warmup = p.Duration("warmup")
	s.Duration = s.Warmup + p.Duration("duration")
	s.Gossip.On = pt.Gossip
	if pt.Session > 0 {
		s.Churn = []sim.Churn{{Kind: sim.ChurnSessions, On: sim.Distribution{Mean: pt.Session}, Return: sim.ReturnNew}}
	}
	keys := p.Int("keys")
	s.Workload = []sim.Workload{
		{Op: sim.OpPut, Keys: keys, Preload: s.Warmup / 4, From: s.Warmup / 4, Until: s.Warmup / 2, Rate: 1, Per: sim.PerGlobal},
		{Op: sim.OpGet, Keys: keys, From: s.Warmup, Rate: p.Float("gets"), Per: sim.PerNode, Level: pt.Level.String()},
	}
	at.Span(s.Duration)
	var world *sim.World
	var latency sim.Latency
	var before, calls uint64
	var took []float64
	_, err := sim.Run(ctx, s, sim.Observer{
		Prepare: func(o *sim.Options) { latency = o.Latency },
		Start: func(w *sim.World) {
			world = w
			w.At(s.Warmup, func() { before = readCalls(w) })
		},
		End: func(op *sim.Operation) {
			if op.Kind != sim.OpGet || op.Outcome == sim.Aborted {
				return
			}
			pt.Gets++
			calls = readCalls(world) - before
			switch {
			case op.Outcome != sim.Done:
				pt.Failed++
			case !op.Result.Found:
				pt.Missed++
			default:
				took = append(took, float64(op.Latency()))
			}
		},
		Tick: func(now time.Duration, stats sim.Stats) { at.At(now, stats.Steps) },
	})
	if err != nil {
		return fmt.Errorf("level %v, gossip %s: %w", pt.Level, yesNo(pt.Gossip), err)
	}
	pt.P50, pt.P95, pt.P99 = time.Duration(Quantile(took, 0.5)), time.Duration(Quantile(took, 0.95)), time.Duration(Quantile(took, 0.99))
	pt.Calls = float64(calls) / float64(max(1, pt.Gets))
	pt.RTT50 = medianRoundTrip(latency, s.Nodes)
	return nil
}

// readCalls returns how many calls were made about records to be read.
func readCalls(w *sim.World) uint64 {
	stats := w.Stats()
	return stats.Requests[sim.MethodDo].Messages + stats.Requests[sim.MethodFetch].Messages
}

// medianRoundTrip returns the median over the pairs of the first processes, a thousand at most.
func medianRoundTrip(l sim.Latency, processes int) time.Duration {
	var trips []float64
	for i := range min(processes, 1000) {
		for j := range i {
			trips = append(trips, float64(l.OneWay(i, j, nil)+l.OneWay(j, i, nil)))
		}
	}
	return time.Duration(Quantile(trips, 0.5))
}

func reportReads(r *Report, done []readPoint) {
	t := r.AddTable("gets", "Reads with gossip and without",
		Column{Name: "session", Unit: "min", Of: Given, Doc: "mean; 0: for ever"},
		Column{Name: "level", Of: Given},
		Column{Name: "gossip", Of: Given},
		Column{Name: "gets"},
		Column{Name: "failed"},
		Column{Name: "missed", Doc: "did not find what was written"},
		Column{Name: "p50", Head: "median", Unit: "ms"},
		Column{Name: "p95", Head: "95th percentile", Unit: "ms"},
		Column{Name: "p99", Head: "99th percentile", Unit: "ms"},
		Column{Name: "rtt", Head: "median round trip", Unit: "ms", Of: Given, Doc: "between two processes"},
		Column{Name: "ratio", Digits: 2, Doc: "of the two medians"},
		Column{Name: "calls", Digits: 2, Doc: "about records, a get"},
		Column{Name: "verdict", Doc: "with gossip: nothing missed, and the median below the median round trip at level one, below 1.4 of it with a quorum, that of the slower of two"},
	)
	limits := map[node.Level]float64{node.LevelOne: 1, node.LevelQuorum: 1.4}
	for _, pt := range done {
		ratio := float64(pt.P50) / float64(pt.RTT50)
		var verdict any
		if limit, ok := limits[pt.Level]; ok && pt.Gossip {
			verdict = Demand(pt.Missed == 0 && ratio < limit, "%d missed, %.2f of the median round trip, want less than %.2f", pt.Missed, ratio, limit)
		}
		t.Add(pt.Session.Minutes(), pt.Level.String(), yesNo(pt.Gossip), pt.Gets, pt.Failed, pt.Missed,
			milli(pt.P50), milli(pt.P95), milli(pt.P99), milli(pt.RTT50), ratio, pt.Calls, verdict)
	}
}
