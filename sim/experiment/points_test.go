package experiment_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chordkv/chord/sim/experiment"
)

// squares is an experiment whose points are cheap.
func squares() *experiment.Experiment {
	return &experiment.Experiment{Name: "squares", Params: []experiment.Param{
		{"nodes", "sizes", []int{1, 2, 3}, []int{1}},
		{"rate", "per second", 0.5, 0.25},
		{"for", "how long", time.Minute, time.Second},
		{"rates", "per second", []float64{1}, []float64{1}},
		{"waits", "between", []time.Duration{time.Second}, []time.Duration{time.Second}},
		{"model", "of latency", "constant", "uniform"},
		{"models", "of latency", []string{"a"}, []string{"b"}},
		{"keys", "how many", 10, 5},
	}}
}

type square struct{ N, Square int }

// counted runs the points 0 to n-1 and remembers which of them were run.
type counted struct {
	mu  sync.Mutex
	ran []int
}

func (c *counted) run(_ context.Context, i int, at *experiment.Point) (square, error) {
	at.At(time.Second, 5)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ran = append(c.ran, i)
	return square{i, i * i}, nil
}

func TestPointsComeInOrder(t *testing.T) {
	for _, workers := range []int{0, 1, 4, 100} {
		p := squares().Defaults(false)
		p.Workers = workers
		progress := &experiment.Progress{}
		results, err := experiment.Points(t.Context(), p, progress, "square", 20, new(counted).run)
		if err != nil || len(results) != 20 {
			t.Fatalf("%d workers: %d results, %v", workers, len(results), err)
		}
		for i, r := range results {
			if *r != (square{i, i * i}) {
				t.Errorf("%d workers: result %d is %+v", workers, i, *r)
			}
		}
		if s := progress.Standing(); s.Share != 1 || s.Finished != 20 || s.Events != 100 {
			t.Errorf("%d workers: progress %+v", workers, s)
		}
	}
}

// TestPointsResume: what an interrupted run has finished is not run again, and what is not whole on disk is.
func TestPointsResume(t *testing.T) {
	dir := t.TempDir()
	resumable := func() experiment.Params {
		p, err := open(t, dir, sampleMeta(), false).Resumable(squares().Defaults(false))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	ctx, cancel := context.WithCancel(t.Context())
	first := &counted{}
	results, err := experiment.Points(ctx, resumable(), nil, "square", 10, func(ctx context.Context, i int, at *experiment.Point) (square, error) {
		if i == 4 {
			cancel()
			return square{}, ctx.Err()
		}
		return first.run(ctx, i, at)
	})
	if !errors.Is(err, context.Canceled) || results[3] == nil || results[4] != nil || len(first.ran) != 4 {
		t.Fatalf("interrupted: %v, ran %v", err, first.ran)
	}
	half := filepath.Join(dir, "points", "square-000001.json")
	if err := os.WriteFile(half, []byte(`{"N":1,"Squ`), 0o600); err != nil {
		t.Fatal(err)
	}
	second := &counted{}
	progress := &experiment.Progress{}
	results, err = experiment.Points(t.Context(), resumable(), progress, "square", 10, second.run)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(second.ran)
	if want := []int{1, 4, 5, 6, 7, 8, 9}; !slices.Equal(second.ran, want) {
		t.Errorf("the second run ran %v, want %v", second.ran, want)
	}
	if *results[1] != (square{1, 1}) || *results[3] != (square{3, 9}) {
		t.Errorf("results %+v and %+v", *results[1], *results[3])
	}
	if s := progress.Standing(); s.Share != 1 || s.Finished != 10 {
		t.Errorf("progress %+v", s)
	}
}

func TestPointsStopAtAnError(t *testing.T) {
	broken := errors.New("broken")
	c := &counted{}
	_, err := experiment.Points(t.Context(), squares().Defaults(false), nil, "square", 100,
		func(ctx context.Context, i int, at *experiment.Point) (square, error) {
			if i == 3 {
				return square{}, broken
			}
			return c.run(ctx, i, at)
		})
	if !errors.Is(err, broken) || len(c.ran) > 3 {
		t.Errorf("got %v after points %v, want the error and no point after it", err, c.ran)
	}
}

func TestProgress(t *testing.T) {
	var p experiment.Progress
	if s := p.Standing(); s.Share >= 0 {
		t.Errorf("before anything is expected: share %v, want it unknown", s.Share)
	}
	p.Expect(4)
	a, b := p.Begin("a", time.Minute), p.Begin("b", 0)
	a.At(30*time.Second, 100)
	b.At(time.Hour, 11)
	want := experiment.Standing{Share: 0.125, Expected: 4, Events: 111, Label: "a", Now: 30 * time.Second, Until: time.Minute}
	if got := p.Standing(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	a.End()
	a.End()
	b.Span(2 * time.Hour)
	want = experiment.Standing{Share: 0.375, Finished: 1, Expected: 4, Events: 111, Label: "b", Now: time.Hour, Until: 2 * time.Hour}
	if got := p.Standing(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	var none *experiment.Progress
	none.Expect(1)
	pt := none.Begin("x", time.Second)
	pt.At(0, 0)
	pt.Span(0)
	pt.End()
	if s := none.Standing(); s.Share >= 0 {
		t.Errorf("of nil: %+v", s)
	}
}

func TestParams(t *testing.T) {
	p := squares().Defaults(false)
	changed := p
	for _, set := range []string{"nodes=8, 16", "rate=1e-3", "for=90s", "rates=1,2.5", "waits=1s,1m", "model=internet", "models=x,y", "keys=7"} {
		name, value, _ := strings.Cut(set, "=")
		var err error
		if changed, err = changed.With(name, value); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := changed.Ints("nodes"), []int{8, 16}; !slices.Equal(got, want) {
		t.Errorf("nodes: got %v, want %v", got, want)
	}
	if changed.Float("rate") != 1e-3 || changed.Duration("for") != 90*time.Second || changed.Text("model") != "internet" || changed.Int("keys") != 7 {
		t.Errorf("got %+v", changed.Settings())
	}
	if !slices.Equal(changed.Floats("rates"), []float64{1, 2.5}) || !slices.Equal(changed.Texts("models"), []string{"x", "y"}) ||
		!slices.Equal(changed.Durations("waits"), []time.Duration{time.Second, time.Minute}) {
		t.Errorf("got %+v", changed.Settings())
	}
	if p.Int("keys") != 10 {
		t.Error("With changed the parameters that it was asked of")
	}
	if got := squares().Defaults(true); got.Int("keys") != 5 || !got.Quick {
		t.Errorf("quick: got %+v", got.Settings())
	}
	again := squares().Defaults(true)
	for _, s := range changed.Settings() { // what Settings says, With reads
		var err error
		if again, err = again.With(s.Name, s.Value); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(again.Settings(), changed.Settings()) {
		t.Errorf("got %v, want %v", again.Settings(), changed.Settings())
	}
	for set, want := range map[string]string{
		"node=8": `no parameter "node": it has nodes, rate`, "keys=1.5": `parameter keys: "1.5" is not a whole number`, "rate=NaN": "not a number",
		"for=10": "missing unit", "nodes=1,": `"" is not a whole number`,
	} {
		name, value, _ := strings.Cut(set, "=")
		if _, err := p.With(name, value); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", set, err, want)
		}
	}
}
