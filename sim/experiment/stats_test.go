package experiment_test

import (
	"math"
	"testing"

	"github.com/chordkv/chord/sim/experiment"
)

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.IsNaN(got) != math.IsNaN(want) || math.Abs(got-want) > within {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestEstimate(t *testing.T) {
	// Textbook values: t(4) = 2.776, standard deviation of 1..5 is 1.5811.
	e := experiment.EstimateOf([]float64{5, 1, 3, 2, 4})
	near(t, "mean", e.Mean, 3, 0)
	near(t, "half-width", e.Half, 2.776*1.5811/math.Sqrt(5), 1e-3)
	one := experiment.EstimateOf([]float64{7})
	near(t, "mean of one", one.Mean, 7, 0)
	near(t, "half-width of one", one.Half, math.NaN(), 0)
	near(t, "mean of nothing", experiment.EstimateOf(nil).Mean, math.NaN(), 0)
	if got, want := one.String(), "7"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestStudent checks the quantiles behind the table: 31, 60 and 120 degrees of freedom.
func TestStudent(t *testing.T) {
	for freedom, want := range map[int]float64{1: 12.706, 30: 2.042, 31: 2.0395, 60: 2.0003, 120: 1.9799} {
		values := make([]float64, freedom+1) // half -1, half 1, and the standard deviation by hand
		sum := 0.0
		for i := range values {
			values[i] = float64(2*(i%2) - 1)
			sum += values[i]
		}
		n := float64(len(values))
		mean := sum / n
		deviation := math.Sqrt((n - n*mean*mean) / (n - 1))
		near(t, "quantile", experiment.EstimateOf(values).Half/deviation*math.Sqrt(n), want, 1e-3)
	}
}

func TestQuantile(t *testing.T) {
	values := []float64{40, 10, 30, 20}
	for q, want := range map[float64]float64{0: 10, 0.25: 10, 0.26: 20, 0.5: 20, 0.99: 40, 1: 40} {
		near(t, "quantile", experiment.Quantile(values, q), want, 0)
	}
	if values[0] != 40 {
		t.Error("the values were sorted in place")
	}
	near(t, "quantile of nothing", experiment.Quantile(nil, 0.5), math.NaN(), 0)
}

func TestCounts(t *testing.T) {
	var c, d experiment.Counts
	for _, v := range []int{3, 0, 3, 1} {
		c.Add(v)
	}
	d.AddN(5, 4)
	c.Merge(d)
	if got, want := c.Total(), int64(8); got != want {
		t.Errorf("total: got %d, want %d", got, want)
	}
	near(t, "mean", c.Mean(), 27.0/8, 1e-12)
	near(t, "share", c.Share(3), 0.25, 0)
	near(t, "share of what was not seen", c.Share(9), 0, 0)
	for q, want := range map[float64]int{0: 0, 0.125: 0, 0.25: 1, 0.5: 3, 0.51: 5, 1: 5} {
		if got := c.Quantile(q); got != want {
			t.Errorf("quantile %v: got %d, want %d", q, got, want)
		}
	}
	if got := (experiment.Counts{}).Quantile(0.5); got != -1 {
		t.Errorf("quantile of nothing: got %d, want -1", got)
	}
}
