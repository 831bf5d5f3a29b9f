package sim_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/chordkv/chord/sim"
)

// The round trips of the Internet model have the quantiles that it promises, whatever the seed.
func TestInternetQuantiles(t *testing.T) {
	for seed := uint64(1); seed <= 3; seed++ {
		const hosts = 2000
		model := sim.NewInternet(seed)
		var rtts []time.Duration
		for i := range hosts {
			for j := i % 7; j < i; j += 7 {
				rtts = append(rtts, model.RTT(i, j))
			}
		}
		slices.Sort(rtts)
		for _, test := range []struct {
			quantile float64
			want     time.Duration
		}{{0.10, 31 * time.Millisecond}, {0.50, 140 * time.Millisecond}, {0.90, 290 * time.Millisecond}, {0.99, 410 * time.Millisecond}} {
			got := rtts[int(test.quantile*float64(len(rtts)))]
			if math.Abs(float64(got)/float64(test.want)-1) > 0.05 {
				t.Errorf("seed %d: p%g of the round trips: got %v, want %v within 5 %%", seed, 100*test.quantile, got, test.want)
			}
		}
	}
}

// Where a host is depends on seed and number alone: not on who was asked about before.
func TestInternetIsAFunctionOfTheSeed(t *testing.T) {
	a, b := sim.NewInternet(7), sim.NewInternet(7)
	b.RTT(900, 1000)
	for i := range 100 {
		if got, want := b.RTT(i, i+1), a.RTT(i, i+1); got != want || a.RTT(i+1, i) != want {
			t.Fatalf("hosts %d and %d: got %v, and %v the other way, want %v", i, i+1, got, a.RTT(i+1, i), want)
		}
	}
	if sim.NewInternet(8).RTT(1, 2) == a.RTT(1, 2) {
		t.Error("another seed puts the hosts at the same places")
	}
}

func TestLatencyMeans(t *testing.T) {
	for _, test := range []struct {
		name  string
		model sim.Latency
		want  time.Duration
		least time.Duration
		most  time.Duration
	}{
		{"constant", sim.Constant(20 * time.Millisecond), 20 * time.Millisecond, 20 * time.Millisecond, 20 * time.Millisecond},
		{"uniform", sim.UniformLatency{10 * time.Millisecond, 30 * time.Millisecond}, 20 * time.Millisecond, 10 * time.Millisecond, 30 * time.Millisecond},
		{"exponential", sim.Exponential(50 * time.Millisecond), 50 * time.Millisecond, 0, 2 * time.Second},
	} {
		r := sim.NewRand(1, "test", 0)
		const draws = 200_000
		var sum time.Duration
		least, most := time.Duration(math.MaxInt64), time.Duration(0)
		for range draws {
			d := test.model.OneWay(1, 2, r)
			sum += d
			least, most = min(least, d), max(most, d)
		}
		if got := sum / draws; math.Abs(float64(got)/float64(test.want)-1) > 0.01 {
			t.Errorf("%s: mean %v, want %v within 1 %%", test.name, got, test.want)
		}
		if least < test.least || most > test.most {
			t.Errorf("%s: %v to %v, want within %v to %v", test.name, least, most, test.least, test.most)
		}
	}
}
