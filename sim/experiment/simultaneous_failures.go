package experiment

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/sim"
)

// failureFigure is a row of ToN 2003 table II, as printed: 1,000 nodes, 20 successors, 10,000 lookups.
type failureFigure struct {
	p             float64
	path          float64
	path1, path99 int
	timeouts      float64
	timeouts1     int
	timeouts99    int
}

var tonTable2 = []failureFigure{
	{0, 3.84, 2, 5, 0, 0, 0},
	{0.1, 4.03, 2, 6, 0.60, 0, 2},
	{0.2, 4.22, 2, 6, 1.17, 0, 3},
	{0.3, 4.44, 2, 6, 2.02, 0, 5},
	{0.4, 4.69, 2, 7, 3.23, 0, 8},
	{0.5, 5.09, 3, 8, 5.10, 0, 11},
}

func simultaneousFailures() *Experiment {
	return &Experiment{
		Name:   "simultaneous-failures",
		Title:  "Do lookups survive when many nodes fail at once and nobody repairs?",
		Source: "ToN 2003, table II",
		About: "Builds an ideal ring with maintenance off, takes the machine of each process down with probability p, and then looks random " +
			"identifiers up from live nodes. A lookup is right if it ends at the first live node from the identifier on. The path is the nodes that " +
			"answered, time-outs are calls to the dead. Packets take an exponential time of 50 ms in the mean, as in section V-A.\n\n" +
			"Differs from the paper: our nodes learn from a time-out (the asker forgets a dead finger, and a node that hears from an asker that its " +
			"first successor is dead repairs its list), which cannot be switched off. So that it helps nobody, each live node makes at most one lookup, " +
			"all begin at the same moment, and there are several rings. A node names four ways on; if all four are dead it is asked again, and when the owner has " +
			"answered whose predecessor is dead, the node before that one is asked to make sure. The table counts both apart. A call times out after a second instead of half of one, because half a second would make a dead node of one live one in 2,000.",
		Params: []Param{
			{"nodes", "in the ring", 1000, 1000},
			{"successors", "length of the successor list", 20, 20},
			{"failures", "probability that a node fails", []float64{0, 0.1, 0.2, 0.3, 0.4, 0.5}, []float64{0, 0.2, 0.5}},
			{"lookups", "in all rings together", 10_000, 4000},
			{"rings", "per probability", 40, 10},
		},
		Run: runSimultaneousFailures,
	}
}

// failurePoint is what the rings of one p give.
type failurePoint struct {
	Failed         float64
	Wrong          int
	Path, Timeouts Counts
	Again          int // calls to nodes that had answered before, or when the owner had
}

func runSimultaneousFailures(ctx context.Context, p Params, progress *Progress) (*Report, error) {
	shares := p.Floats("failures")
	points, err := Points(ctx, p, progress, "failures", len(shares), func(ctx context.Context, i int, at *Point) (failurePoint, error) {
		pt := failurePoint{Failed: shares[i]}
		for j := range p.Int("rings") {
			if err := pt.measure(ctx, p, p.Seed+uint64(j)); err != nil {
				return pt, fmt.Errorf("p = %v: %w", pt.Failed, err)
			}
			at.At(0, uint64(pt.Path.Total()))
		}
		return pt, nil
	})
	done := finished(points)
	if len(done) == 0 {
		return nil, err
	}
	r := &Report{}
	reportFailures(r, p, done)
	r.Summary = summarize(r)
	return r, err
}

// measure makes a ring, breaks it and looks up.
func (pt *failurePoint) measure(ctx context.Context, p Params, seed uint64) error {
	o := sim.DefaultOptions()
	o.Seed, o.Config = seed, frozen(routing(p.Int("successors")))
	o.Config.RingTimeout, o.Config.MinTimeout = packetTimeout, packetTimeout // one attempt, as in the paper
	o.Latency = sim.Exponential(packetDelay)
	return inWorld(o, func(w *sim.World) error {
		if err := w.Bootstrap(p.Int("nodes")); err != nil {
			return err
		}
		chance := w.Rand("failures")
		var live []*sim.Host
		for _, h := range w.Hosts() {
			if chance.Float64() < pt.Failed {
				h.Crash()
			} else {
				live = append(live, h)
			}
		}
		rand.New(chance).Shuffle(len(live), func(i, j int) { live[i], live[j] = live[j], live[i] })
		oracle, keys := membersOf(w), w.Rand("lookups")
		err := w.Exec(func() {
			w.Gather(min(p.Int("lookups")/p.Int("rings"), len(live)), func(i int) {
				id := randomID(keys)
				live[i].Call(func() {
					l, err := live[i].Process().Lookup(ctx, id)
					if err != nil || l.Owner.Self.ID != oracle.owner(id) {
						pt.Wrong++
					}
					pt.count(l)
				})
			})
		})
		if err != nil {
			return err
		}
		return ctx.Err()
	})
}

// count counts the calls of a lookup. A node that is asked twice is on the path once, and the path ends with the owner: who owns the keys of a dead node is asked of the last live one
// before them, too, when it has been found already.
func (pt *failurePoint) count(l node.Lookup) {
	var path []ring.ID
	silent, found := 0, false
	for _, h := range l.Hops {
		switch {
		case errors.Is(h.Err, node.ErrUnreachable):
			silent++
		case found || slices.Contains(path, h.Node.ID):
			pt.Again++
		case h.Err == nil:
			path, found = append(path, h.Node.ID), h.Node.ID == l.Owner.Self.ID
		}
	}
	pt.Path.Add(len(path))
	pt.Timeouts.Add(silent)
}

func reportFailures(r *Report, p Params, done []failurePoint) {
	t := r.AddTable("failures", "Lookups after simultaneous failures (table II)",
		Column{Name: "p", Of: Given, Digits: 1, Doc: "probability that a node fails"},
		Column{Name: "lookups"},
		Column{Name: "wrong", Doc: "lookups that failed or ended at another node than the first live one"},
		Column{Name: "path", Unit: "nodes", Digits: 2, Doc: "mean; nodes that answered"},
		Column{Name: "path_p1_p99", Head: "(1st, 99th)"},
		Column{Name: "paper_path", Of: Paper, Unit: "nodes", Digits: 2},
		Column{Name: "paper_path_p1_p99", Head: "(1st, 99th)", Of: Paper},
		Column{Name: "theory_path", Of: Theory, Unit: "nodes", Digits: 2, Doc: "1/2 log_d N - 1/2 log_d r + 1 with d = 2 - p"},
		Column{Name: "timeouts", Digits: 2, Doc: "mean; calls to dead nodes"},
		Column{Name: "timeouts_p1_p99", Head: "(1st, 99th)"},
		Column{Name: "paper_timeouts", Of: Paper, Digits: 2},
		Column{Name: "paper_timeouts_p1_p99", Head: "(1st, 99th)", Of: Paper},
		Column{Name: "theory_timeouts", Of: Theory, Digits: 2, Doc: "path p / (1 - p), for our path"},
		Column{Name: "again", Head: "asked again", Unit: "calls", Digits: 2, Doc: "mean; calls to nodes that had answered before, or when the owner had, to make sure"},
		Column{Name: "verdict_wrong", Head: "right", Doc: "every lookup is right"},
		Column{Name: "verdict_path", Doc: "path at most 5 % above the paper's"},
		Column{Name: "verdict_timeouts", Doc: "time-outs at most 5 % above the paper's"},
	)
	f := r.AddFigure("failures", "Path and time-outs after simultaneous failures",
		Axis{Label: "fraction of nodes that failed"}, Axis{Label: "calls per lookup", FromZero: true})
	path, paperPath := f.AddLine("path", Ours, Curve), f.AddLine("path, paper", Paper, Dots)
	timeo, paperTimeo := f.AddLine("time-outs", Ours, Curve), f.AddLine("time-outs, paper", Paper, Dots)
	for _, pt := range done {
		mean, silent := pt.Path.Mean(), pt.Timeouts.Mean()
		row := []any{
			pt.Failed, pt.Path.Total(), pt.Wrong, mean, ends(pt.Path), nil, nil,
			pathLengthAfterFailures(p.Int("nodes"), p.Int("successors"), pt.Failed), silent, ends(pt.Timeouts), nil, nil,
			timeouts(mean, pt.Failed), float64(pt.Again) / float64(pt.Path.Total()), Demand(pt.Wrong == 0, "%d wrong", pt.Wrong), nil, nil,
		}
		for _, f := range tonTable2 {
			if f.p == pt.Failed && p.Int("nodes") == 1000 && p.Int("successors") == 20 {
				row[5], row[6] = f.path, between(f.path1, f.path99)
				row[10], row[11] = f.timeouts, between(f.timeouts1, f.timeouts99)
				row[15], row[16] = AtMost(0.05).Judge(mean, f.path), AtMost(0.05).Judge(silent, f.timeouts)
				paperPath.Add(f.p, f.path)
				paperTimeo.Add(f.p, f.timeouts)
			}
		}
		t.Add(row...)
		path.Add(pt.Failed, mean)
		timeo.Add(pt.Failed, silent)
	}
}

// ends shows the 1st and the 99th percentile as the paper does.
func ends(c Counts) string { return between(c.Quantile(0.01), c.Quantile(0.99)) }

func between(low, high int) string { return fmt.Sprintf("(%d, %d)", low, high) }
