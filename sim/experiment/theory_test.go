package experiment

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPathLengthFormula: [ToN] section V-D prints 3.82 for 1,000 nodes with 20 successors.
func TestPathLengthFormula(t *testing.T) {
	if got, want := pathLength(1000, 20), 3.82; math.Abs(got-want) > 0.005 {
		t.Errorf("path length: got %.3f, want %.2f", got, want)
	}
	for _, c := range []struct{ path, p, want float64 }{
		{4.03, 0.1, 0.45}, {4.22, 0.2, 1.06}, {4.44, 0.3, 1.90}, {4.69, 0.4, 3.13}, {5.09, 0.5, 5.06},
	} {
		if got := timeouts(c.path, c.p); math.Abs(got-c.want) > 0.035 {
			t.Errorf("time-outs at p = %v: got %.3f, the paper predicts %.2f", c.p, got, c.want)
		}
	}
}

// TestPathModelMeetsFormula: the model is greedy routing if it converges to the closed form.
func TestPathModelMeetsFormula(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, r := range []int{8, 16, 20} {
		var calls Counts
		for range 5 {
			calls.Merge(newPathModel(1<<12, r, rng).sample(4000, rng))
		}
		if got, want := calls.Mean(), pathLength(1<<12, r); math.Abs(got-want) > 0.02*want {
			t.Errorf("r = %d: model %.3f, formula %.3f", r, got, want)
		}
	}
}

// TestPathModelExhaustively: on a small ring, by walking finger tables that are written out.
func TestPathModelExhaustively(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		m := newPathModel(24, 1+int(rng.Uint64()%4), rng)
		for i := range m.points {
			for _, x := range append(slices.Clone(m.points), rng.Uint64(), rng.Uint64()) {
				if got, want := m.hops(i, x), walkTables(m, i, x); got != want {
					t.Fatalf("r = %d, from %d to %x: %d calls, want %d", m.r, i, x, got, want)
				}
			}
		}
	}
}

// walkTables is pathModel.hops over complete tables.
func walkTables(m *pathModel, i int, x uint64) int {
	n := len(m.points)
	distance := func(from int, to uint64) uint64 { return to - m.points[from] }
	for calls := 0; ; calls++ {
		if m.owner(x) == i {
			return calls
		}
		var table []int
		for k := 1; k <= m.r; k++ {
			if succ := (i + k) % n; m.owner(x) == succ {
				return calls + 1
			} else {
				table = append(table, succ)
			}
		}
		for k := range 64 {
			table = append(table, m.owner(m.points[i]+1<<k))
		}
		best := i
		for _, f := range table {
			if d := distance(i, m.points[f]); d < distance(i, x) && d > distance(i, m.points[best]) {
				best = f
			}
		}
		i = best
	}
}

// TestLoadQuantile: against quantiles of the distributions in the limits where they have names.
func TestLoadQuantile(t *testing.T) {
	for _, c := range []struct {
		q, mean float64
		v       int
		want    float64
	}{
		{0.99, 50, 1, math.Log(100) * 50.5},  // geometric
		{0.5, 5000, 1, math.Ln2 * 5000},      // exponential arcs
		{0.99, 1e4, 20, 63.691 / 40 * 1e4},   // chi-square with 40 degrees of freedom
		{0.01, 1e4, 20, 22.164 / 40 * 1e4},   // likewise
		{0.99, 100, 1 << 20, 100 + 2.326*10}, // Poisson: even arcs
	} {
		if got := float64(loadQuantile(c.q, c.mean, c.v)); math.Abs(got-c.want) > 0.01*c.want {
			t.Errorf("quantile %v of mean %v, %d nodes: got %v, want %.1f", c.q, c.mean, c.v, got, c.want)
		}
	}
}
