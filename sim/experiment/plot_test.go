package experiment

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot"
)

func labels(ticks []plot.Tick) string {
	slices.SortFunc(ticks, func(a, b plot.Tick) int { return cmp.Compare(a.Value, b.Value) })
	var list []string
	for _, t := range ticks {
		if t.Label != "" {
			list = append(list, t.Label)
		}
	}
	return strings.Join(list, " ")
}

// TestTicks: axes have a handful of labels, whatever they span.
func TestTicks(t *testing.T) {
	for _, tc := range []struct {
		ticker    plot.Ticker
		low, high float64
		want      string
	}{
		{numberTicks{}, 0, 5.5, "0.0 2.5 5.0"},
		{numberTicks{}, 0, 460_000, "0 200,000 400,000"},
		{logTicks{base: 10}, 1, 1e6, "1 10 100 1,000 10,000 100,000 1,000,000"},
		{logTicks{base: 10}, 14, 40, "20 30 40"},
		{logTicks{base: 10}, 1, 60, "1 2 5 10 20 50"},
		{logTicks{base: 10}, 0.02, 0.4, "0.02 0.05 0.1 0.2"},
		{logTicks{base: 2}, 8, 1024, "8 16 32 64 128 256 512 1,024"},
		{logTicks{base: 2}, 8, 1 << 20, "8 64 512 4,096 32,768 262,144"},
	} {
		if got := labels(tc.ticker.Ticks(tc.low, tc.high)); got != tc.want {
			t.Errorf("%v to %v: got %s, want %s", tc.low, tc.high, got, tc.want)
		}
	}
}

// TestColorsAreTold: no two colors are one in the style sheet, and none is what SVG leaves out.
func TestColorsAreTold(t *testing.T) {
	seen := make(map[string]string)
	for _, v := range variables() {
		if seen[v.hex] != "" || v.hex == "#000000" {
			t.Errorf("%s is the color of %s and %s", v.hex, v.name, seen[v.hex])
		}
		seen[v.hex] = v.name
		if !strings.Contains(pageSource, "--"+v.name+":") {
			t.Errorf("the style sheet has no --%s", v.name)
		}
	}
}
