package experiment_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chordkv/chord/sim"
	"github.com/chordkv/chord/sim/experiment"
)

// smallSweep is a grid of 12 runs that take a moment each.
func smallSweep(t *testing.T) experiment.Sweep {
	t.Helper()
	base, err := sim.ParseScenario("small.yaml", []byte(`
name: small
nodes: 10
duration: 10s
workload:
  - {op: lookup, rate: 5}
`))
	if err != nil {
		t.Fatal(err)
	}
	s := experiment.Sweep{Base: base, First: 3, Last: 5}
	for _, text := range []string{"nodes=5,8", "network.latency={model: constant, mean: 10ms},{model: internet}"} {
		a, err := experiment.ParseSweeping(text)
		if err != nil {
			t.Fatal(err)
		}
		s.Axes = append(s.Axes, a)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	return s
}

func sweepMeta(s experiment.Sweep, shard string) experiment.Meta {
	m := s.Meta()
	m.Command, m.Version, m.Commit, m.Go = []string{"chordsim", "sweep", "small.yaml"}, "v1", "abc", "go1"
	if shard != "" {
		m.Shard, _ = experiment.ParseShard(shard)
	}
	return m
}

func TestSweepGrid(t *testing.T) {
	s := smallSweep(t)
	if got, want := s.Points(), 12; got != want {
		t.Fatalf("got %d points, want %d", got, want)
	}
	var got []string
	for i := range s.Points() {
		sc, err := s.Scenario(i)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d %s %d %v", sc.Nodes, sc.Network.Latency.Model, sc.Seed, sc.Duration))
	}
	if want := "5 constant 3 10s"; got[0] != want {
		t.Errorf("point 0: got %s, want %s", got[0], want)
	}
	if want := "8 internet 5 10s"; got[11] != want {
		t.Errorf("point 11: got %s, want %s", got[11], want)
	}
	slices.Sort(got)
	if len(slices.Compact(got)) != 12 {
		t.Errorf("not all points are different: %v", got)
	}
}

func TestSweepRefuses(t *testing.T) {
	for _, tc := range []struct{ axes, want string }{
		{"nodes=5,0", "nodes"},
		{"nods=5", "unknown field"},
		{"seed=1,2", "its own flag"},
		{"nodes=5;nodes=6", "twice"},
		{"network.loss=0,2", "loss"},
		{"churn[1].kind=poisson", "not in a list of 0"},
		{"nodes.x=1", "no such field"},
	} {
		s := smallSweep(t)
		s.Axes = nil
		for text := range strings.SplitSeq(tc.axes, ";") {
			a, err := experiment.ParseSweeping(text)
			if err != nil {
				t.Fatal(err)
			}
			s.Axes = append(s.Axes, a)
		}
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.axes, err, tc.want)
		}
	}
	for _, text := range []string{"nodes", "=1", "nodes=", "nodes=1,,2", "nodes=1,1"} {
		if _, err := experiment.ParseSweeping(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
	for _, text := range []string{"", "x", "5..1", "1..2..3", "-1..3", "1..99999999999"} {
		if _, _, err := experiment.ParseSeeds(text); err == nil {
			t.Errorf("seeds %q: no error", text)
		}
	}
	for _, text := range []string{"", "1", "3/3", "-1/3", "0/0", "a/b", "1/2/3"} {
		if _, err := experiment.ParseShard(text); err == nil {
			t.Errorf("shard %q: no error", text)
		}
	}
}

// TestWith: a value lands where its path says, and what the path passes is made if it is missing.
func TestWith(t *testing.T) {
	base := smallSweep(t).Base
	s, err := experiment.With(base, "churn[0].kind=poisson", "churn[0].joins=0.5", "checks.every=5s", "workload[0].rate=7", "node.successors=4",
		"faults=[{kind: loss, at: 1s, for: 1s, probability: 0.1}]")
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Churn) != 1 || s.Churn[0].Joins != 0.5 || s.Checks.Every != 5*time.Second || s.Workload[0].Rate != 7 || s.Node.Successors != 4 ||
		len(s.Faults) != 1 {
		t.Errorf("got %+v", s)
	}
	if len(base.Churn) != 0 || base.Workload[0].Rate != 5 {
		t.Error("the base was changed")
	}
	if _, err := experiment.With(base, "workload[0].rate"); err == nil {
		t.Error("a change without a value: no error")
	}
}

// runSweep runs a sweep in a directory.
func runSweep(ctx context.Context, t *testing.T, s experiment.Sweep, dir, shard string, prepare func(*sim.Options)) error {
	t.Helper()
	_, err := s.Run(ctx, open(t, dir, sweepMeta(s, shard), false), 2, nil, prepare)
	return err
}

// tree reads all files below a directory.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, path))
		files[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func sameTree(t *testing.T, what, got, want string) {
	t.Helper()
	g, w := tree(t, got), tree(t, want)
	for name := range w {
		if g[name] != w[name] {
			t.Errorf("%s: %s differs", what, name)
		}
	}
	if len(g) != len(w) {
		t.Errorf("%s: %d files, want %d", what, len(g), len(w))
	}
}

// TestSweepIsTheSameInParts: one run, an interrupted one that is resumed, and shards that are merged leave the same bytes.
func TestSweepIsTheSameInParts(t *testing.T) {
	s := smallSweep(t)
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	if err := runSweep(t.Context(), t, s, whole, "", nil); err != nil {
		t.Fatal(err)
	}
	resumed := filepath.Join(dir, "resumed")
	interruptAfter(t, s, resumed, 5)
	if err := runSweep(t.Context(), t, s, resumed, "", nil); err != nil {
		t.Fatal(err)
	}
	sameTree(t, "resumed", resumed, whole)

	parts := filepath.Join(dir, "parts")
	for i := range 3 {
		shard := fmt.Sprintf("%d/3", i)
		sh, err := experiment.ParseShard(shard)
		if err != nil {
			t.Fatal(err)
		}
		if err := runSweep(t.Context(), t, s, filepath.Join(parts, sh.DirName()), shard, nil); err != nil {
			t.Fatal(err)
		}
	}
	found, err := experiment.FindParts(parts)
	if err != nil || len(found) != 3 {
		t.Fatalf("found %v, %v", found, err)
	}
	merged := filepath.Join(dir, "merged")
	if _, _, err := experiment.Merge(merged, false, found...); err != nil {
		t.Fatal(err)
	}
	sameTree(t, "merged", merged, whole)
	csv := read(t, whole, "runs.csv")
	if lines := strings.Count(csv, "\n"); lines != 13 || !strings.Contains(csv, "\n8,{model: internet},5,") {
		t.Errorf("runs.csv:\n%s", csv)
	}
	if means := read(t, whole, "means.csv"); strings.Count(means, "\n") != 5 || !strings.Contains(means, "hops_ci95") {
		t.Errorf("means.csv:\n%s", means)
	}
	if _, err := os.Stat(filepath.Join(whole, "fig-by-hops.svg")); err != nil {
		t.Error(err)
	}
}

// interruptAfter runs a sweep and ends it when so many points have begun, then leaves one of them as a crash might.
func interruptAfter(t *testing.T, s experiment.Sweep, dir string, points int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	begun := 0
	err := runInterrupted(ctx, t, s, dir, func() {
		if begun++; begun == points {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: got %v", err)
	}
	kept, err := filepath.Glob(filepath.Join(dir, "points", "*.json"))
	if err != nil || len(kept) == 0 || len(kept) >= s.Points() {
		t.Fatalf("kept %v, %v", kept, err)
	}
	if page := read(t, dir, "report.html"); !strings.Contains(page, "Not finished") {
		t.Error("the report of an interrupted sweep does not say so")
	}
	if err := os.WriteFile(kept[0], []byte(`{"Metrics":[{"Na`), 0o600); err != nil {
		t.Fatal(err)
	}
}

func runInterrupted(ctx context.Context, t *testing.T, s experiment.Sweep, dir string, each func()) error {
	t.Helper()
	_, err := s.Run(ctx, open(t, dir, sweepMeta(s, ""), false), 1, nil, func(*sim.Options) { each() })
	return err
}

// TestMergeRefuses: parts that do not make a whole are named.
func TestMergeRefuses(t *testing.T) {
	s := smallSweep(t)
	s.Axes, s.Last = nil, 4 // two points
	dir := t.TempDir()
	part := func(name, shard string, s experiment.Sweep, change func(*experiment.Meta)) string {
		t.Helper()
		m := sweepMeta(s, shard)
		if change != nil {
			change(&m)
		}
		path := filepath.Join(dir, name)
		if _, err := s.Run(t.Context(), open(t, path, m, false), 1, nil, nil); err != nil {
			t.Fatal(err)
		}
		return path
	}
	other := s
	other.First, other.Last = 7, 8
	a, b := part("a", "0/2", s, nil), part("b", "1/2", s, nil)
	unfinished := filepath.Join(dir, "unfinished")
	open(t, unfinished, sweepMeta(s, "1/2"), false)
	holed := part("holed", "1/2", s, nil)
	if err := os.Remove(filepath.Join(holed, "points", "point-000001.json")); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		parts []string
		want  string
	}{
		"none":         {nil, "there is none"},
		"one missing":  {[]string{a}, "shard 1/2 is missing"},
		"one twice":    {[]string{a, b, part("again", "1/2", s, nil)}, "shard 1/2 is also"},
		"other seeds":  {[]string{a, part("other", "1/2", other, nil)}, "of another sweep than " + a + ": seed 3, not 7"},
		"other code":   {[]string{a, part("code", "1/2", s, func(m *experiment.Meta) { m.Commit = "def" })}, "made by commit def"},
		"other shards": {[]string{a, part("thirds", "1/3", s, nil)}, "one of 3 shards"},
		"not a shard":  {[]string{a, part("whole", "", s, nil)}, "not a shard"},
		"unfinished":   {[]string{a, unfinished}, "not finished: run shard 1/2 again"},
		"a hole":       {[]string{a, holed}, "has no point-000001.json"},
	} {
		_, _, err := experiment.Merge(filepath.Join(dir, "out"), false, tc.parts...)
		if !errors.Is(err, experiment.ErrParts) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want ErrParts with %q", name, err, tc.want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "out")); err == nil {
		t.Error("a refused merge made a directory")
	}
	if _, _, err := experiment.Merge(filepath.Join(dir, "out"), false, a, b); err != nil {
		t.Error(err)
	}
}

// TestSweepKeepsViolations: a run in which a check fails is a result, not the end of the sweep.
func TestSweepKeepsViolations(t *testing.T) {
	s := smallSweep(t)
	s.Axes, s.Last = nil, 3
	var err error
	if s.Base, err = experiment.With(s.Base, "faults=[{kind: partition, at: 2s, for: 8s}]", "heal=1ms"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := runSweep(t.Context(), t, s, dir, "", nil); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir, "failed.csv"); !strings.Contains(got, "Heal") || !strings.HasPrefix(got, "seed,check\n3,") {
		t.Errorf("failed.csv: %s", got)
	}
	if page := read(t, dir, "report.html"); !strings.Contains(page, "In 1 a check failed") {
		t.Error("report.html does not say that a check failed")
	}
}
