package experiment

import (
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
)

// numberTicks are the ticks of a linear axis, labeled with all digits in groups of three.
type numberTicks struct{}

// Ticks implements plot.Ticker.
func (numberTicks) Ticks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, high)
	decimals := 0
	for _, t := range ticks {
		if t.Label != "" {
			decimals = max(decimals, decimalsOf(t.Value))
		}
	}
	for i, t := range ticks {
		if t.Label != "" {
			ticks[i].Label = tickLabel(t.Value, strconv.FormatFloat(t.Value, 'f', decimals, 64))
		}
	}
	return ticks
}

// decimalsOf returns how many decimals a number has that was computed from a few digits.
func decimalsOf(x float64) int {
	const most = 9
	text := strings.TrimRight(strconv.FormatFloat(x, 'f', most, 64), "0")
	return len(text) - 1 - strings.IndexByte(text, '.')
}

// logTicks are the ticks of a logarithmic axis at the powers of a base, thinned out to about eight labels.
type logTicks struct{ base int }

// Ticks implements plot.Ticker.
func (l logTicks) Ticks(low, high float64) []plot.Tick {
	base := float64(l.base)
	scale := func(v float64) float64 { return math.Log(v) / math.Log(base) }
	const slip = 1e-9 // of rounding
	from, to := int(math.Ceil(scale(low)-slip)), int(math.Floor(scale(high)+slip))
	step := (to-from)/8 + 1
	var ticks []plot.Tick
	for e := from - 1; e <= to; e++ {
		v := math.Pow(base, float64(e))
		label := ""
		if (e-from)%step == 0 {
			label = tickLabel(v, strconv.FormatFloat(v, 'g', 3, 64))
		}
		if e >= from {
			ticks = append(ticks, plot.Tick{Value: v, Label: label})
		}
		if l.base == 10 {
			ticks = append(ticks, decadeTicks(v, low, high)...)
		}
	}
	return ticks
}

// decadeTicks marks 2 to 9 times a power of ten, and labels as many of them as the axis has room for.
func decadeTicks(power, low, high float64) (ticks []plot.Tick) {
	for m := 2.0; m < 10; m++ {
		v := m * power
		if v < low || v > high {
			continue
		}
		t := plot.Tick{Value: v}
		if high < 8*low || high < 200*low && (m == 2 || m == 5) {
			t.Label = tickLabel(v, strconv.FormatFloat(v, 'g', 3, 64))
		}
		ticks = append(ticks, t)
	}
	return ticks
}

// tickLabel groups the digits of whole numbers.
func tickLabel(v float64, otherwise string) string {
	if v == math.Trunc(v) && math.Abs(v) >= 1000 && math.Abs(v) < 1e9 {
		return groupDigits(int64(v))
	}
	return otherwise
}
