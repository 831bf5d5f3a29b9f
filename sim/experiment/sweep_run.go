package experiment

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/chordkv/chord/sim"
)

// Outcome is what a point of a sweep gave.
type Outcome struct {
	Metrics []Value
	// Failed is what a check found, empty if all held. The metrics are then of what ran until then.
	Failed   string `json:",omitempty"`
	Checksum string // of all steps
}

// Value is a metric of an Outcome.
type Value struct {
	Name   string
	Unit   string `json:",omitempty"`
	Doc    string
	Digits int      `json:",omitempty"`
	Value  *float64 `json:",omitempty"` // nil for none
}

// Values makes metrics fit to be kept on disk.
func Values(metrics []Metric) []Value {
	out := make([]Value, len(metrics))
	for i, m := range metrics {
		out[i] = Value{Name: m.Name, Unit: m.Unit, Doc: m.Doc, Digits: m.Digits}
		if finite(m.Value) != nil {
			out[i].Value = &m.Value
		}
	}
	return out
}

// Shard is a part of a sweep that one machine runs: the points i with i % Of == Index. The zero Shard is the whole.
type Shard struct {
	Index, Of int
}

// ParseShard reads I/N, with I from 0 to N-1.
func ParseShard(text string) (Shard, error) {
	i, n, ok := strings.Cut(text, "/")
	index, err1 := strconv.Atoi(i)
	of, err2 := strconv.Atoi(n)
	if !ok || err1 != nil || err2 != nil || of < 1 || of > maxPoints || index < 0 || index >= of {
		return Shard{}, fmt.Errorf("%q: want I/N with I from 0 to N-1", text)
	}
	return Shard{index, of}, nil
}

// String is I/N, or nothing for the whole.
func (s Shard) String() string {
	if s.Of == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.Index, s.Of)
}

// DirName is the name of the shard's directory among those of the other shards.
func (s Shard) DirName() string { return fmt.Sprintf("shard-%05d-of-%05d", s.Index, s.Of) }

// points returns the points of the shard.
func (s Shard) points(of int) []int {
	var list []int
	for i := s.Index; i < of; i += max(1, s.Of) {
		list = append(list, i)
	}
	return list
}

// sweepLabel names the points of a sweep on disk.
const sweepLabel = "point"

// Run runs the points of a shard, workers at once, and keeps each in the directory as it finishes; those that an earlier run has
// finished there are taken from it. When ctx ends, what there is stays in the directory for the next run, and the error of ctx is returned.
// The report is nil for a shard, which Merge makes one of. prepare may change how worlds are made; nil leaves it.
func (s Sweep) Run(ctx context.Context, dir *Dir, workers int, progress *Progress, prepare func(*sim.Options)) (*Report, error) {
	p, err := dir.Resumable(Params{Workers: workers})
	if err != nil {
		return nil, err
	}
	n, shard := s.Points(), dir.meta.Shard
	results, err := somePoints(ctx, p, progress, sweepLabel, n, shard.points(n), func(ctx context.Context, i int, at *Point) (Outcome, error) {
		return s.runPoint(ctx, i, at, prepare)
	})
	complete := err == nil
	if shard.Of > 0 {
		return nil, errors.Join(err, dir.mark(complete))
	}
	report, reportErr := s.report(results)
	if reportErr == nil {
		reportErr = dir.Write(report, complete, s.scenarioFile())
	}
	return report, errors.Join(err, reportErr)
}

// scenarioFile is the scenario that was swept.
func (s Sweep) scenarioFile() File { return File{"scenario.yaml", s.Base.YAML()} }

// runPoint runs one point. What a check finds is part of the outcome; errors are of what could not be run, and of ctx.
func (s Sweep) runPoint(ctx context.Context, point int, at *Point, prepare func(*sim.Options)) (Outcome, error) {
	sc, err := s.Scenario(point)
	if err != nil {
		return Outcome{}, err
	}
	res, err := Simulate(ctx, sc, at, prepare)
	if ctx.Err() != nil {
		return Outcome{}, context.Cause(ctx)
	}
	if res == nil {
		return Outcome{}, err
	}
	o := Outcome{Metrics: Values(MetricsOf(res)), Checksum: fmt.Sprintf("%016x", res.Checksum)}
	if err != nil {
		o.Failed = err.Error()
	}
	return o, nil
}
