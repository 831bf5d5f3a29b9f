package experiment

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// loadFigure is what SIGCOMM 2001 figure 8 shows for a number of keys in a ring of 10^4 nodes; the percentiles are read off the figure, but
// for 5x10^5 keys they are printed in section 6.2.
type loadFigure struct {
	keys       int
	first, p99 float64 // keys a node
}

var sigcommFigure8 = []loadFigure{
	{100_000, 0, 50},
	{200_000, 0, 92},
	{300_000, 0, 137},
	{400_000, 0, 183},
	{500_000, 0, 230},
	{600_000, 0, 272},
	{700_000, 0, 320},
	{800_000, 1, 362},
	{900_000, 1, 410},
	{1_000_000, 1, 462},
}

// Printed in SIGCOMM 2001 section 6.2, for 5x10^5 keys.
const (
	paperP99Load = 4.6 // times the mean
	paperMaxLoad = 9.1
)

// sigcommFigure9 is SIGCOMM 2001 figure 9, 10^6 keys: percentiles of keys a node as multiples of the mean, read off the figure but for the
// ends, which section 6.2 prints.
var sigcommFigure9 = []struct {
	vnodes     int
	first, p99 float64
}{{1, 0, 4.8}, {2, 0.06, 3.45}, {5, 0.26, 2.2}, {10, 0.37, 1.87}, {20, 0.5, 1.6}}

func loadBalance() *Experiment {
	return &Experiment{
		Name:   "load-balance",
		Title:  "How evenly do hashes spread the keys over the nodes?",
		Source: "SIGCOMM 2001, figures 8 and 9",
		About: "Places nodes and keys on the ring as the shipped code does: the identifiers of a process's nodes are hashes of its random " +
			"identity and their numbers (node.Identity), a key's place is the hash of its bytes (ring.Hash), and a node has the keys of the " +
			"arc that ends with it. Nothing moves, so there is no network and no time.\n\n" +
			"Theory: the arcs of a process with v nodes add up to a gamma distribution of shape v, so its keys are negative binomial; at " +
			"v = 1 the 99th percentile is ln 100 = 4.6 times the mean.\n\n" +
			"Differs from the paper: SHA-256 cut to 160 bits instead of SHA-1.",
		Params: []Param{
			{"nodes", "processes", 10_000, 10_000},
			{"keys", "numbers of keys, with one node a process", rangeOf(100_000, 1_000_000, 100_000), []int{500_000}},
			{"vnodes", "numbers of nodes a process", []int{1, 2, 5, 10, 20}, []int{1, 20}},
			{"vnode-keys", "keys, with several nodes a process", 1_000_000, 500_000},
			{"seeds", "independent rings", 20, 1},
		},
		Run: runLoadBalance,
	}
}

// rangeOf returns first, first+step ... last.
func rangeOf(first, last, step int) (list []int) {
	for x := first; x <= last; x += step {
		list = append(list, x)
	}
	return list
}

// load describes how many keys the processes of a ring have, and what part of the ring.
type load struct {
	First, Median, P99, Max float64 // keys
	ArcP99                  float64 // 99th percentile of the part of the ring, as multiple of the mean
}

// loadPoint is what one seed gives: for each number of keys, and for each number of nodes a process.
type loadPoint struct{ Keys, VNodes []load }

func runLoadBalance(ctx context.Context, p Params, progress *Progress) (*Report, error) {
	points, err := Points(ctx, p, progress, "ring", p.Int("seeds"), func(ctx context.Context, i int, _ *Point) (loadPoint, error) {
		return measureLoad(ctx, p, p.Seed+uint64(i))
	})
	done := finished(points)
	if len(done) == 0 {
		return nil, err
	}
	r := &Report{}
	reportKeys(r, p, done)
	reportVNodes(r, p, done)
	r.Summary = summarize(r)
	return r, err
}

// finished returns the results of the points that have finished.
func finished[T any](points []*T) (done []T) {
	for _, pt := range points {
		if pt != nil {
			done = append(done, *pt)
		}
	}
	return done
}

// across estimates a figure over independent runs.
func across[T any](runs []T, figure func(T) float64) Estimate {
	values := make([]float64, len(runs))
	for i, run := range runs {
		values[i] = figure(run)
	}
	return EstimateOf(values)
}

func measureLoad(ctx context.Context, p Params, seed uint64) (loadPoint, error) {
	rng := rand.New(rand.NewPCG(seed, 0))
	keys := make([]ring.ID, max(slices.Max(p.Ints("keys")), p.Int("vnode-keys")))
	salt := rng.Uint64()
	for i := range keys {
		keys[i] = ring.Hash(fmt.Appendf(nil, "key-%x-%d", salt, i))
	}
	var out loadPoint
	processes := randomIdentities(p.Int("nodes"), rng)
	for _, v := range p.Ints("vnodes") {
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		pl := placesOf(processes, v)
		pl.count(keys[:p.Int("vnode-keys")])
		out.VNodes = append(out.VNodes, pl.load())
	}
	single, counted := placesOf(processes, 1), 0
	for _, n := range p.Ints("keys") {
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		if n < counted {
			clear(single.keys)
			counted = 0
		}
		single.count(keys[counted:n])
		counted = n
		out.Keys = append(out.Keys, single.load())
	}
	return out, nil
}

// randomIdentities draws n processes.
func randomIdentities(n int, rng *rand.Rand) []node.Identity {
	ids := make([]node.Identity, n)
	for i := range ids {
		binary.BigEndian.PutUint64(ids[i].Process[:8], rng.Uint64())
		binary.BigEndian.PutUint64(ids[i].Process[8:], rng.Uint64())
	}
	return ids
}

// places are the nodes of a ring, clockwise, each with the number of its process.
type places struct {
	ids     []ring.ID
	process []int
	keys    []float64 // by process: how many it has
}

// placesOf returns the ring in which each process has v nodes.
func placesOf(processes []node.Identity, v int) places {
	type place struct {
		id      ring.ID
		process int
	}
	var all []place
	for i, identity := range processes {
		identity.VNodes = v
		for _, id := range identity.Nodes() {
			all = append(all, place{id, i})
		}
	}
	slices.SortFunc(all, func(a, b place) int { return a.id.Compare(b.id) })
	pl := places{keys: make([]float64, len(processes))}
	for _, a := range all {
		pl.ids = append(pl.ids, a.id)
		pl.process = append(pl.process, a.process)
	}
	return pl
}

// count gives each key to its process.
func (pl places) count(keys []ring.ID) {
	for _, key := range keys {
		i, _ := slices.BinarySearchFunc(pl.ids, key, ring.ID.Compare)
		pl.keys[pl.process[i%len(pl.ids)]]++
	}
}

// load describes what has been counted.
func (pl places) load() load {
	shares := make([]float64, len(pl.keys))
	for i, id := range pl.ids {
		before := pl.ids[(i+len(pl.ids)-1)%len(pl.ids)]
		shares[pl.process[i]] += ring.Arc{After: before, Through: id}.Share()
	}
	return load{
		First: Quantile(pl.keys, 0.01), Median: Quantile(pl.keys, 0.5), P99: Quantile(pl.keys, 0.99), Max: slices.Max(pl.keys),
		ArcP99: Quantile(shares, 0.99) * float64(len(shares)),
	}
}

func reportKeys(r *Report, p Params, done []loadPoint) {
	t := r.AddTable("keys", "Keys per node, one node a process (figure 8)",
		Column{Name: "keys", Of: Given, Doc: "in the whole ring"},
		Column{Name: "mean", Of: Given, Unit: "keys/node"},
		Column{Name: "p1", Head: "1st percentile", Digits: 1},
		Column{Name: "paper_p1", Of: Paper},
		Column{Name: "p99", Head: "99th percentile", Digits: 1},
		Column{Name: "theory_p99", Of: Theory, Doc: "of the geometric distribution"},
		Column{Name: "paper_p99", Of: Paper, Doc: "read off the figure; printed for 500,000 keys"},
		Column{Name: "p99_by_mean", Head: "99th / mean", Digits: 2},
		Column{Name: "max_by_mean", Head: "max / mean", Digits: 1},
		Column{Name: "theory_max_by_mean", Of: Theory, Digits: 1, Doc: "the harmonic number of the number of nodes"},
		Column{Name: "paper_max_by_mean", Of: Paper, Digits: 1},
		Column{Name: "verdict", Doc: "99th percentile within 5 % of the printed 4.6 times the mean at 500,000 keys, else of theory"},
	)
	f := r.AddFigure("keys", "Keys per node", Axis{Label: "keys in the ring"}, Axis{Label: "keys per node", FromZero: true})
	p99 := f.AddLine("99th percentile", Ours, Curve)
	theory := f.AddLine("99th percentile, theory", Theory, Curve)
	paper := f.AddLine("99th percentile, paper", Paper, Dots)
	median := f.AddLine("median", Ours, Curve)
	first := f.AddLine("1st percentile", Ours, Curve)
	for i, keys := range p.Ints("keys") {
		mean := float64(keys) / float64(p.Int("nodes"))
		get := func(f func(load) float64) Estimate {
			return across(done, func(pt loadPoint) float64 { return f(pt.Keys[i]) })
		}
		low, high := get(func(l load) float64 { return l.First }), get(func(l load) float64 { return l.P99 })
		byMean := get(func(l load) float64 { return l.P99 / mean })
		quantile := float64(loadQuantile(0.99, mean, 1))
		verdict := Within(0.05).Judge(high.Mean, quantile)
		var paperFirst, paperHigh, paperMax any
		if j := slices.IndexFunc(sigcommFigure8, func(f loadFigure) bool { return f.keys == keys }); j >= 0 && p.Int("nodes") == 10_000 {
			paperFirst, paperHigh = sigcommFigure8[j].first, sigcommFigure8[j].p99
			paper.Add(float64(keys), sigcommFigure8[j].p99)
			if keys == 500_000 {
				paperMax = paperMaxLoad
				verdict = Within(0.05).Judge(byMean.Mean, paperP99Load)
			}
		}
		t.Add(keys, mean, low, paperFirst, high, quantile, paperHigh, byMean,
			get(func(l load) float64 { return l.Max / mean }), expectedMaxLoad(p.Int("nodes"), 1), paperMax, verdict)
		p99.AddEstimate(float64(keys), high)
		theory.Add(float64(keys), quantile)
		median.AddEstimate(float64(keys), get(func(l load) float64 { return l.Median }))
		first.AddEstimate(float64(keys), low)
	}
}

func reportVNodes(r *Report, p Params, done []loadPoint) {
	mean := float64(p.Int("vnode-keys")) / float64(p.Int("nodes"))
	t := r.AddTable("vnodes", fmt.Sprintf("Keys per process as multiples of the mean, %s keys (figure 9)", groupDigits(int64(p.Int("vnode-keys")))),
		Column{Name: "vnodes", Of: Given, Doc: "nodes a process"},
		Column{Name: "p1", Head: "1st percentile", Digits: 2},
		Column{Name: "theory_p1", Of: Theory, Digits: 2},
		Column{Name: "paper_p1", Of: Paper, Digits: 2},
		Column{Name: "p99", Head: "99th percentile", Digits: 2},
		Column{Name: "theory_p99", Of: Theory, Digits: 2, Doc: "of the negative binomial distribution"},
		Column{Name: "paper_p99", Of: Paper, Digits: 2, Doc: "read off the figure; printed for 1 and 20"},
		Column{Name: "arc_p99", Head: "99th percentile of the arc", Digits: 2, Doc: "the part of the ring that a process has"},
		Column{Name: "verdict", Doc: "99th percentile within 10 % of the paper's, of theory's where the paper has none"},
	)
	f := r.AddFigure("vnodes", "Keys per process", Axis{Label: "nodes per process"}, Axis{Label: "keys per process / mean", FromZero: true})
	high, paperHigh := f.AddLine("99th percentile", Ours, Curve), f.AddLine("99th percentile, paper", Paper, Dots)
	low, paperLow := f.AddLine("1st percentile", Ours, Curve), f.AddLine("1st percentile, paper", Paper, Dots)
	for i, v := range p.Ints("vnodes") {
		get := func(f func(load) float64) Estimate {
			return across(done, func(pt loadPoint) float64 { return f(pt.VNodes[i]) })
		}
		p1, p99 := get(func(l load) float64 { return l.First / mean }), get(func(l load) float64 { return l.P99 / mean })
		quantile := float64(loadQuantile(0.99, mean, v)) / mean
		paper1, paper99 := math.NaN(), math.NaN()
		verdict := Within(0.10).Judge(p99.Mean, quantile)
		for _, f := range sigcommFigure9 {
			if f.vnodes == v {
				paper1, paper99 = f.first, f.p99
				verdict = Within(0.10).Judge(p99.Mean, f.p99)
				paperHigh.Add(float64(v), f.p99)
				paperLow.Add(float64(v), f.first)
			}
		}
		t.Add(v, p1, float64(loadQuantile(0.01, mean, v))/mean, paper1, p99, quantile, paper99,
			get(func(l load) float64 { return l.ArcP99 }), verdict)
		high.AddEstimate(float64(v), p99)
		low.AddEstimate(float64(v), p1)
	}
}
