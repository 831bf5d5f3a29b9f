package experiment

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/chordkv/chord/sim"
)

// pathFigure is SIGCOMM 2001 figure 10(a): successor lists of one entry, percentiles and means read off the figure.
type pathFigure struct {
	nodes         int
	mean, p1, p99 float64 // nodes on the way to the predecessor of the key
}

var sigcommFigure10 = []pathFigure{
	{8, 1.7, 1, 3},
	{16, 2.1, 1, 4},
	{32, 2.5, 1, 5},
	{64, 3.0, 1, 5},
	{128, 3.4, 1, 6},
	{256, 3.9, 1, 7},
	{512, 4.4, 1, 7},
	{1024, 4.9, 2, 8},
	{2048, 5.35, 2, 9},
	{4096, 5.85, 2, 10},
	{8192, 6.35, 2, 10},
	{16384, 6.9, 3, 11},
}

// sigcommFigure10PDF is SIGCOMM 2001 figure 10(b), 2^12 nodes: the share of lookups by path length, read off the figure.
var sigcommFigure10PDF = []float64{0, 0.004, 0.018, 0.057, 0.13, 0.212, 0.225, 0.195, 0.11, 0.042, 0.009, 0.001}

// pdfNodes is the size of the ring of figure 10(b).
const pdfNodes = 1 << 12

func pathLengths() *Experiment {
	return &Experiment{
		Name:   "path-length",
		Title:  "How many calls does a lookup take in an ideal ring?",
		Source: "SIGCOMM 2001 and ToN 2003, figure 10; ToN 2003, section V-D",
		About: "Builds ideal rings, all tables right and all maintenance off, and looks random identifiers up from random nodes. A call is a " +
			"question to another node: one for each node on the way, and one to the owner, which confirms that it is it. Small rings differ " +
			"from each other, so there are several of them; the lookups are shared among them.\n\n" +
			"Figure 10 counts up to the predecessor of the key, with successor lists of one entry: our calls but the last. Section V-D counts the " +
			"owner too: 1/2 log2 N - 1/2 log2 r + 1. That formula is a limit, 14 % of a hop off for lists of one entry and worse for small rings, so " +
			"the verdict is against the model: greedy routing over random points of a circle, which shares no code with the protocol.",
		Params: []Param{
			{"nodes", "sizes of the ring", powersOfTwo(3, 14, 17, 20), []int{8, 128, 4096}},
			{"successors", "lengths of the successor list", []int{1, 16}, []int{1, 16}},
			{"lookups-per-node", "in rings between the next two", 100, 5},
			{"least-lookups", "in rings where that makes less", 100_000, 10_000},
			{"most-lookups", "in rings where that makes more", 1_638_400, 20_000},
		},
		Run: runPathLength,
	}
}

// powersOfTwo returns 2^first ... 2^last and those of the exponents given besides.
func powersOfTwo(first, last int, more ...int) (list []int) {
	for k := first; k <= last; k++ {
		list = append(list, 1<<k)
	}
	for _, k := range more {
		list = append(list, 1<<k)
	}
	return list
}

// pathPoint is what one size and list length gives.
type pathPoint struct {
	Nodes, Successors int
	Rings, Wrong      int
	Calls, Model      Counts // lookups by the number of calls
}

func runPathLength(ctx context.Context, p Params, progress *Progress) (*Report, error) {
	sizes, lists := p.Ints("nodes"), p.Ints("successors")
	points, err := Points(ctx, p, progress, "path", len(sizes)*len(lists), func(ctx context.Context, i int, at *Point) (pathPoint, error) {
		return measurePaths(ctx, p, sizes[i%len(sizes)], lists[i/len(sizes)], at)
	})
	done := finished(points)
	if len(done) == 0 {
		return nil, err
	}
	r := &Report{}
	reportPaths(r, done)
	reportPathPDF(r, done)
	r.Summary = summarize(r)
	return r, err
}

// ringsFor is how many rings of n nodes average out what is peculiar to one.
func ringsFor(n int) int { return min(max(1, 4096/n), 128) }

func measurePaths(ctx context.Context, p Params, n, successors int, at *Point) (pathPoint, error) {
	pt := pathPoint{Nodes: n, Successors: successors, Rings: ringsFor(n)}
	lookups := min(max(n*p.Int("lookups-per-node"), p.Int("least-lookups")), p.Int("most-lookups"))
	for i := range pt.Rings {
		if err := pt.measureRing(ctx, p.Seed+uint64(i), lookups/pt.Rings); err != nil {
			return pt, fmt.Errorf("ring of %d nodes: %w", n, err)
		}
		at.At(0, uint64(pt.Calls.Total()))
	}
	rng := rand.New(rand.NewPCG(p.Seed, uint64(n)))
	for range pt.Rings {
		pt.Model.Merge(newPathModel(n, successors, rng).sample(min(lookups, 200_000)/pt.Rings, rng))
	}
	return pt, nil
}

// pathWorkers is how many lookups are under way at a time: enough to amortize the queue, and lookups in an ideal ring do not see each other.
const pathWorkers = 64

// measureRing makes lookups in one ring.
func (pt *pathPoint) measureRing(ctx context.Context, seed uint64, lookups int) error {
	o := sim.DefaultOptions()
	o.Seed, o.Config = seed, frozen(routing(pt.Successors))
	return inWorld(o, func(w *sim.World) error {
		if err := w.Bootstrap(pt.Nodes); err != nil {
			return err
		}
		oracle, rng := membersOf(w), w.Rand("lookups")
		err := w.Exec(func() {
			w.Gather(pathWorkers, func(i int) {
				for j := i; j < lookups && ctx.Err() == nil; j += pathWorkers {
					from, id := w.Host(rng.IntN(pt.Nodes)), randomID(rng)
					from.Call(func() {
						l, err := from.Process().Lookup(ctx, id)
						if err != nil || l.Owner.Self.ID != oracle.owner(id) {
							pt.Wrong++
						}
						pt.Calls.Add(len(l.Hops))
					})
				}
			})
		})
		if err != nil {
			return err
		}
		return ctx.Err()
	})
}

// inWorld runs f in a world of its own.
func inWorld(o sim.Options, f func(w *sim.World) error) error {
	w, err := sim.New(o)
	if err != nil {
		return err
	}
	err = f(w)
	if closing := w.Close(); err == nil {
		err = closing
	}
	return err
}

func reportPaths(r *Report, done []pathPoint) {
	t := r.AddTable("paths", "Calls of a lookup (figure 10a; section V-D)",
		Column{Name: "successors", Of: Given, Doc: "length of the successor list, r"},
		Column{Name: "nodes", Of: Given},
		Column{Name: "lookups"},
		Column{Name: "wrong", Doc: "lookups that failed or ended at another node than the owner"},
		Column{Name: "mean", Unit: "calls", Digits: 3, Doc: "with the call to the owner; none if the asker owns the key"},
		Column{Name: "p1", Head: "1st percentile", Unit: "calls"},
		Column{Name: "p99", Head: "99th percentile", Unit: "calls"},
		Column{Name: "model", Of: Theory, Unit: "calls", Digits: 3, Doc: "greedy routing over random points"},
		Column{Name: "formula", Of: Theory, Unit: "calls", Digits: 2, Doc: "1/2 log2 N - 1/2 log2 r + 1, where N is more than r"},
		Column{Name: "to_predecessor", Unit: "calls", Digits: 2, Doc: "mean without the call to the owner"},
		Column{Name: "paper", Of: Paper, Unit: "calls", Digits: 2, Doc: "mean to the predecessor, read off figure 10, successor lists of one entry"},
		Column{Name: "verdict", Doc: "every lookup right, and the mean within 3 % of the model"},
	)
	f := r.AddFigure("paths", "Calls of a lookup to the predecessor of the key", Axis{Label: "nodes", Log2: true}, Axis{Label: "calls", FromZero: true})
	lines := map[int]*Line{}
	paper := f.AddLine("paper, 1 successor", Paper, Dots)
	for _, pt := range done {
		mean, toPredecessor := pt.Calls.Mean(), beforeLast(pt.Calls).Mean()
		var formula, figure any
		if pt.Nodes > pt.Successors {
			formula = pathLength(pt.Nodes, pt.Successors)
		}
		for _, f := range sigcommFigure10 {
			if f.nodes == pt.Nodes && pt.Successors == 1 {
				figure = f.mean
				paper.Add(float64(pt.Nodes), f.mean)
			}
		}
		verdict := Within(0.03).Judge(mean, pt.Model.Mean())
		if pt.Wrong > 0 {
			verdict = Demand(false, "%d lookups wrong", pt.Wrong)
		}
		t.Add(pt.Successors, pt.Nodes, pt.Calls.Total(), pt.Wrong, mean, pt.Calls.Quantile(0.01), pt.Calls.Quantile(0.99),
			pt.Model.Mean(), formula, toPredecessor, figure, verdict)
		if lines[pt.Successors] == nil {
			lines[pt.Successors] = f.AddLine(fmt.Sprintf("%d successors", pt.Successors), Ours, Curve)
		}
		lines[pt.Successors].Add(float64(pt.Nodes), toPredecessor)
	}
}

// beforeLast returns the distribution of the calls before the one to the owner.
func beforeLast(calls Counts) (before Counts) {
	for n, lookups := range calls {
		before.AddN(max(0, n-1), lookups)
	}
	return before
}

// reportPathPDF compares the distributions for the ring of figure 10(b).
func reportPathPDF(r *Report, done []pathPoint) {
	for _, pt := range done {
		if pt.Nodes != pdfNodes || pt.Successors != 1 {
			continue
		}
		t := r.AddTable("pdf", fmt.Sprintf("Share of lookups by path length, %s nodes, lists of one entry (figure 10b)", groupDigits(pdfNodes)),
			Column{Name: "calls", Of: Given, Doc: "to the predecessor of the key"},
			Column{Name: "share", Digits: 4},
			Column{Name: "model", Of: Theory, Digits: 4},
			Column{Name: "paper", Of: Paper, Digits: 3, Doc: "read off the figure"},
			Column{Name: "verdict", Doc: "within 0.01 of the model"},
		)
		f := r.AddFigure("pdf", "Share of lookups by path length", Axis{Label: "calls to the predecessor"}, Axis{Label: "share", FromZero: true})
		ours, paper := f.AddLine("ours", Ours, Bars), f.AddLine("paper", Paper, Dots)
		got, model := beforeLast(pt.Calls), beforeLast(pt.Model)
		for n := range max(len(got), len(sigcommFigure10PDF)) {
			var figure any
			if n < len(sigcommFigure10PDF) {
				figure = sigcommFigure10PDF[n]
				paper.Add(float64(n), sigcommFigure10PDF[n])
			}
			diff := got.Share(n) - model.Share(n)
			ours.Add(float64(n), got.Share(n))
			t.Add(n, got.Share(n), model.Share(n), figure, Demand(math.Abs(diff) <= 0.01, "%+.4f", diff))
		}
	}
}
