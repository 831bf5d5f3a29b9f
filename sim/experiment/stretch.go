package experiment

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/sim"
)

// stretchFigure is a row of ToN 2003 table IV, 3-d space: the median stretch, with the 10th and the 90th percentile, of 10,000 lookups among 2^16 nodes.
type stretchFigure struct {
	candidates           int
	iterative, recursive [3]float64
}

// stretchNodes is the size of the ring of table IV.
const stretchNodes = 1 << 16

var tonTable4 = []stretchFigure{
	{1, [3]float64{7.8, 4.4, 19.8}, [3]float64{4.5, 2.5, 11.5}},
	{2, [3]float64{7.2, 3.8, 18.0}, [3]float64{3.5, 2.0, 8.7}},
	{4, [3]float64{6.1, 3.1, 15.3}, [3]float64{2.7, 1.6, 6.4}},
	{8, [3]float64{4.7, 2.4, 11.8}, [3]float64{2.1, 1.4, 4.7}},
	{16, [3]float64{3.4, 1.9, 8.4}, [3]float64{1.7, 1.2, 3.5}},
}

// The networks of the experiment.
const (
	netSpace    = "space"
	netInternet = "internet"
	netMatrix   = "matrix"
)

func stretch() *Experiment {
	return &Experiment{
		Name:   "stretch",
		Title:  "How far from the speed of light is a lookup?",
		Source: "ToN 2003, section V-F and table IV",
		About: "Builds ideal rings with all maintenance off, in which each finger is the nearest of s candidates and each node knows the round trips to its fingers and " +
			"successors, as after enough passes of fix_fingers, and looks random identifiers up from random nodes, iteratively and recursively. The stretch of a lookup " +
			"is its latency over the round trip between the asker and the owner. Nodes are points of a cube (space, as in the paper), hosts of our model of the Internet, or the hosts " +
			"of a matrix of measured round trips, of which each then has many.\n\n" +
			"Our lookups end when the owner has answered the asker. In the paper they end, by the pseudo-code of its figure 5, when the predecessor of the identifier has told the asker who " +
			"that is: that is the time till the owner is named, which the comparison is with. Recursively, that answer goes from the predecessor to the asker at once.\n\n" +
			"Differs from the paper: successor lists of 16 entries shorten all ways, and with s of more than 1 a hop goes where the way takes least, over a finger or a successor, while the paper " +
			"goes to the closest preceding finger.",
		Params: []Param{
			{"nodes", "in the ring", stretchNodes, 1 << 10},
			{"candidates", "nodes among which each finger is chosen, at base 2", []int{1, 2, 4, 8, 16}, []int{1, 16}},
			{"bases", "other bases of the fingers, with the most candidates", []int{4, 16}, []int{16}},
			{"networks", "space, internet or matrix", []string{netSpace, netInternet, netMatrix}, []string{netSpace, netInternet, netMatrix}},
			{"matrix", "file of round trips, of the network matrix; empty: that network is left out", "", ""},
			{"lookups", "in each style in each ring", 20_000, 1000},
		},
		Run: runStretch,
	}
}

// stretchPoint is what one ring gives.
type stretchPoint struct {
	Network          string
	Base, Candidates int
	Wrong            int
	Styles           [2]stretchOfStyle // by node.Style
}

// stretchOfStyle is the stretch of the lookups of one style, median, 10th and 90th percentile.
type stretchOfStyle struct {
	Answered, Named [3]float64 // until the owner has answered, or somebody has told the asker who it is
	Calls           float64
}

func runStretch(ctx context.Context, p Params, progress *Progress) (*Report, error) {
	r := &Report{}
	var rings []stretchPoint
	for _, network := range p.Texts("networks") {
		switch network {
		case netSpace, netInternet:
		case netMatrix:
			if p.Text("matrix") == "" {
				r.AddNote("The network matrix is left out: it needs a file of round trips, matrix=FILE.")
				continue
			}
		default:
			return nil, fmt.Errorf("network %q: want %s, %s or %s", network, netSpace, netInternet, netMatrix)
		}
		for _, s := range p.Ints("candidates") {
			rings = append(rings, stretchPoint{Network: network, Base: 2, Candidates: s})
		}
		for _, base := range p.Ints("bases") {
			rings = append(rings, stretchPoint{Network: network, Base: base, Candidates: slices.Max(p.Ints("candidates"))})
		}
	}
	points, err := Points(ctx, p, progress, "ring", len(rings), func(ctx context.Context, i int, at *Point) (stretchPoint, error) {
		pt := rings[i]
		if err := pt.measure(ctx, p, at); err != nil {
			return pt, fmt.Errorf("%s, base %d, %d candidates: %w", pt.Network, pt.Base, pt.Candidates, err)
		}
		return pt, nil
	})
	done := finished(points)
	if len(done) == 0 {
		return nil, err
	}
	reportStretch(r, p, done)
	r.Summary = summarize(r)
	return r, err
}

// latency returns the network of a ring.
func (pt *stretchPoint) latency(p Params) (sim.Latency, error) {
	switch pt.Network {
	case netMatrix:
		return sim.ReadMatrix(p.Text("matrix"))
	case netInternet:
		return sim.NewInternet(p.Seed), nil
	}
	return sim.NewSpace(p.Seed, packetDelay), nil
}

// patient is longer than any call takes: none is to end before its answer.
const patient = 30 * time.Second

func (pt *stretchPoint) measure(ctx context.Context, p Params, at *Point) error {
	o := sim.DefaultOptions()
	o.Seed, o.Config = p.Seed, frozen(routing(16))
	o.Config.FingerCandidates, o.Config.FingerBase = pt.Candidates, pt.Base
	o.Config.RingTimeout, o.Config.MinTimeout = patient, patient
	var err error
	if o.Latency, err = pt.latency(p); err != nil {
		return err
	}
	return inWorld(o, func(w *sim.World) error {
		if err := w.Bootstrap(p.Int("nodes")); err != nil {
			return err
		}
		if err := w.Acquaint(); err != nil {
			return err
		}
		for _, style := range []node.Style{node.Iterative, node.Recursive} {
			m := stretchMeter{w: w, latency: o.Latency, style: style, members: membersOf(w), at: at}
			if err := m.run(ctx, p.Int("lookups")); err != nil {
				return err
			}
			pt.Wrong += m.wrong
			pt.Styles[style] = stretchOfStyle{Answered: spread(m.answered), Named: spread(m.named), Calls: m.calls.Mean()}
		}
		return ctx.Err()
	})
}

// spread returns the median, the 10th and the 90th percentile.
func spread(values []float64) [3]float64 {
	return [3]float64{Quantile(values, 0.5), Quantile(values, 0.1), Quantile(values, 0.9)}
}

// stretchMeter makes the lookups of one style in one ring.
type stretchMeter struct {
	w       *sim.World
	latency sim.Latency
	style   node.Style
	members members
	at      *Point

	answered, named []float64
	calls           Counts
	wrong           int
}

// run makes the lookups, the same ones in each style.
func (m *stretchMeter) run(ctx context.Context, lookups int) error {
	rng := m.w.Rand("lookups")
	return m.w.Exec(func() {
		m.w.Gather(pathWorkers, func(i int) {
			for j := i; j < lookups && ctx.Err() == nil; j += pathWorkers {
				from, id := rng.IntN(len(m.w.Hosts())), randomID(rng)
				m.w.Host(from).Call(func() {
					began := m.w.Now()
					l, err := m.w.Host(from).Process().LookupBy(ctx, m.style, id)
					m.count(from, l, err, m.w.Now()-began)
				})
				m.at.At(0, uint64(m.calls.Total()))
			}
		})
	})
}

// count takes in a lookup. One whose owner is at the place of the asker has no stretch.
func (m *stretchMeter) count(from int, l node.Lookup, err error, took time.Duration) {
	if err != nil || l.Owner.Self.ID != m.members.owner(l.ID) {
		m.wrong++
		return
	}
	m.calls.Add(len(l.Hops))
	if rtt := roundTrip(m.latency, from, l.Owner.Self); rtt > 0 {
		m.answered = append(m.answered, float64(took)/float64(rtt))
		m.named = append(m.named, float64(m.untilNamed(from, l.Hops))/float64(rtt))
	}
}

// untilNamed returns how long it took, or would have taken if that had not asked the owner, until the last node before the owner had told the asker.
func (m *stretchMeter) untilNamed(from int, hops []node.Hop) (took time.Duration) {
	last := from
	for _, h := range hops[:len(hops)-1] {
		to := hostOf(h.Node)
		if m.style == node.Iterative {
			took += m.latency.OneWay(from, to, nil) + m.latency.OneWay(to, from, nil)
			continue
		}
		took += m.latency.OneWay(last, to, nil)
		last = to
	}
	if last != from {
		took += m.latency.OneWay(last, from, nil)
	}
	return took
}
