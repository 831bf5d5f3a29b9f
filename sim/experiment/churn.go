package experiment

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/chordkv/chord/sim"
)

// churnPoint is what one run of a scenario with lookups gives, in a form that survives JSON.
type churnPoint struct {
	Right, Wrong, Failed int
	Hops, Timeouts       Counts // by lookup that found an owner
	P50, P90, P99, Mean  time.Duration
	Bytes                float64 // sent per live process and second, by the model of p2psim
	Search               float64 // the part of them, of the whole run, by which processes look for members that they do not know
	Live                 float64 // processes, in the mean
	Gossip               float64 // what gossip comes to, sent per live process and second, by the model of p2psim
	Measured             time.Duration
	Departures           int // leaves and crashes
}

// bad returns how many of ten thousand lookups failed or ended at the wrong node.
func (pt churnPoint) bad() float64 { return 1e4 * float64(pt.Wrong+pt.Failed) / float64(pt.lookups()) }

// lookups returns how many lookups ended.
func (pt churnPoint) lookups() int { return pt.Right + pt.Wrong + pt.Failed }

// departuresPerHour returns how often a live process ended.
func (pt churnPoint) departuresPerHour() float64 {
	return float64(pt.Departures) / (pt.Live * pt.Measured.Hours())
}

// runLookups executes a scenario and returns what became of its lookups.
func runLookups(ctx context.Context, s sim.Scenario, at *Point) (churnPoint, error) {
	at.Span(s.Duration)
	r, err := sim.Run(ctx, s, sim.Observer{Tick: func(now time.Duration, stats sim.Stats) { at.At(now, stats.Steps) }})
	if err != nil {
		return churnPoint{}, fmt.Errorf("%s, seed %d: %w", s.Name, s.Seed, err)
	}
	t := &r.Totals
	live, gossip := t.NodeSeconds/t.Measured.Seconds(), 0.
	if s.Gossip.On {
		gossip = s.Gossip.Cost(int(math.Round(live)), float64(t.Joins)/t.Measured.Seconds(), float64(t.Leaves+t.Crashes)/t.Measured.Seconds()).Total()
	}
	return churnPoint{
		Right: t.Lookups.Right, Wrong: t.Lookups.Wrong, Failed: t.Lookups.Failed,
		Hops: countsOf(t.Lookups.Hops), Timeouts: countsOf(t.Lookups.Timeouts),
		P50:  time.Duration(t.Lookups.Latency.ValueAtQuantile(50)) * time.Microsecond,
		P90:  time.Duration(t.Lookups.Latency.ValueAtQuantile(90)) * time.Microsecond,
		P99:  time.Duration(t.Lookups.Latency.ValueAtQuantile(99)) * time.Microsecond,
		Mean: time.Duration(t.Lookups.Latency.Mean() * float64(time.Microsecond)),

		Bytes: t.BytesPerNode(), Search: searchShare(&r.Stats), Live: live, Gossip: gossip,
		Measured: t.Measured, Departures: t.Leaves + t.Crashes,
	}, nil
}

// searchShare returns the part of all bytes that the search for lost rings takes.
func searchShare(s *sim.Stats) float64 {
	all := s.Total()
	return float64(s.Requests[sim.MethodHello].Bytes+s.Answers[sim.MethodHello].Bytes) / float64(all.Bytes)
}

func countsOf(t sim.Tally) (c Counts) {
	for n, times := range t {
		c.AddN(n, int64(times))
	}
	return c
}

// grid runs one scenario for each setting and seed, and returns the runs by setting; a setting whose runs did not all finish may have fewer.
func grid(ctx context.Context, p Params, progress *Progress, label string, settings int,
	scenario func(setting int) sim.Scenario,
) ([][]churnPoint, error) {
	seeds := p.Int("seeds")
	points, err := Points(ctx, p, progress, label, settings*seeds, func(ctx context.Context, i int, at *Point) (churnPoint, error) {
		s := scenario(i / seeds)
		s.Seed = p.Seed + uint64(i%seeds)
		return runLookups(ctx, s, at)
	})
	runs := make([][]churnPoint, settings)
	for i := range runs {
		runs[i] = finished(points[i*seeds : (i+1)*seeds])
	}
	return runs, err
}

// reportOf makes the report of a grid; nil if no run has finished.
func reportOf(runs [][]churnPoint, tell func(r *Report)) *Report {
	if !slices.ContainsFunc(runs, func(of []churnPoint) bool { return len(of) > 0 }) {
		return nil
	}
	r := &Report{}
	tell(r)
	r.Summary = summarize(r)
	return r
}

// pooled adds up distributions over runs.
func pooled(runs []churnPoint, of func(churnPoint) Counts) (all Counts) {
	for _, run := range runs {
		all.Merge(of(run))
	}
	return all
}

// total adds up numbers over runs.
func total(runs []churnPoint, of func(churnPoint) int) (n int) {
	for _, run := range runs {
		n += of(run)
	}
	return n
}

func hopsOf(pt churnPoint) Counts     { return pt.Hops }
func timeoutsOf(pt churnPoint) Counts { return pt.Timeouts }

// paperNetwork is the network of the papers' simulator [ToN, section V-A]: exponential delays.
func paperNetwork() sim.Network {
	return sim.Network{Latency: sim.LatencySpec{Model: sim.LatencyExponential, Mean: packetDelay}}
}
