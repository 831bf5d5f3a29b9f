package sim_test

import (
	"testing"

	"github.com/chordkv/chord/sim"
)

func TestTally(t *testing.T) {
	var tally sim.Tally
	if tally.Mean() != 0 || tally.Percentile(50) != 0 || tally.Count() != 0 {
		t.Errorf("an empty tally: got mean %v, median %d, count %d, want 0", tally.Mean(), tally.Percentile(50), tally.Count())
	}
	for i := 1; i <= 100; i++ {
		tally.Add(i / 10) // nine 0s, ten of 1 to 9, one 10
	}
	if got, want := tally.Mean(), 4.6; got != want {
		t.Errorf("mean: got %v, want %v", got, want)
	}
	for _, test := range []struct {
		p    float64
		want int
	}{{0, 0}, {1, 0}, {9, 0}, {9.5, 1}, {50, 5}, {99, 9}, {100, 10}} {
		if got := tally.Percentile(test.p); got != test.want {
			t.Errorf("percentile %v: got %d, want %d", test.p, got, test.want)
		}
	}
}
