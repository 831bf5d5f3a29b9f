package sim

import (
	"math"
	"slices"
	"testing"
	"time"
)

// Mean and median of what is drawn are those that the parameters stand for, whichever of them is given.
func TestSessionMeansAndMedians(t *testing.T) {
	const hour = float64(time.Hour)
	for _, test := range []struct {
		name         string
		d            Distribution
		mean, median float64 // ns; mean 0: infinite
	}{
		{"exponential by mean", Distribution{Mean: time.Hour}, hour, hour * math.Ln2},
		{"exponential by median", Distribution{Kind: DistExponential, Median: time.Hour}, hour / math.Ln2, hour},
		{"exponential by scale", Distribution{Scale: time.Hour}, hour, hour * math.Ln2},
		{"pareto, shape 1", Distribution{Kind: DistPareto, Shape: 1, Scale: time.Hour / 2}, 0, hour},
		{"pareto by mean", Distribution{Kind: DistPareto, Shape: 3, Mean: time.Hour}, hour, hour * 2 / 3 * math.Cbrt(2)},
		{"pareto by median", Distribution{Kind: DistPareto, Shape: 3, Median: time.Hour}, hour * 1.5 / math.Cbrt(2), hour},
		{"weibull of KAD", Distribution{Kind: DistWeibull, Shape: 0.5, Scale: 5000 * time.Second}, 10_000e9, 2402.265e9},
		{"weibull by mean", Distribution{Kind: DistWeibull, Shape: 0.5, Mean: 10_000 * time.Second}, 10_000e9, 2402.265e9},
		{"weibull, shape 2", Distribution{Kind: DistWeibull, Shape: 2, Median: time.Hour}, hour / math.Sqrt(math.Ln2) * math.Sqrt(math.Pi) / 2, hour},
		{"constant", Distribution{Kind: DistConstant, Mean: time.Minute}, 60e9, 60e9},
	} {
		s, err := newSessions(test.d)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		const draws = 400_000
		r := NewRand(1, "test", 0)
		times := make([]time.Duration, draws)
		sum := 0.0
		for i := range times {
			times[i] = s.quantile(r.Float64())
			sum += float64(times[i])
		}
		slices.Sort(times)
		within := func(what string, got, want float64) {
			if math.Abs(got/want-1) > 0.02 {
				t.Errorf("%s: %s %v, want %v within 2 %%", test.name, what, time.Duration(got), time.Duration(want))
			}
		}
		if test.mean > 0 {
			within("mean", sum/draws, test.mean)
		}
		within("median", float64(times[draws/2]), test.median)
	}
}

// However far out a draw is, it is a time that can be reckoned with.
func TestSessionsAreBounded(t *testing.T) {
	s, err := newSessions(Distribution{Kind: DistPareto, Shape: 0.05, Scale: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.quantile(math.Nextafter(1, 0)); got != maxDuration {
		t.Errorf("the longest session: got %v, want %v", got, maxDuration)
	}
	if got := (sessions{kind: DistExponential, scale: 1e9}).quantile(0); got != 1 {
		t.Errorf("the shortest session: got %v, want 1ns", got)
	}
}
