package experiment

import (
	"slices"
	"strconv"
	"time"
)

// numericAxis returns the first axis with at least two values, all of them numbers or durations, and these as numbers: durations in
// seconds. It returns -1 if there is none.
func (s Sweep) numericAxis() (axis int, values []float64) {
	for i, a := range s.Axes {
		if len(a.Values) < 2 {
			continue
		}
		values = values[:0]
		for _, text := range a.Values {
			x, err := strconv.ParseFloat(text, 64)
			if d, derr := time.ParseDuration(text); err != nil && derr == nil {
				x, err = d.Seconds(), nil
			}
			if err != nil || finite(x) == nil {
				break
			}
			values = append(values, x)
		}
		if len(values) == len(a.Values) {
			return i, values
		}
	}
	return -1, nil
}

// axisOf labels an axis, and makes it logarithmic if its values spread over more than a factor of 30.
func (s Sweep) axisOf(axis int, values []float64) Axis {
	label := s.Axes[axis].Path
	if _, err := strconv.ParseFloat(s.Axes[axis].Values[0], 64); err != nil {
		label += " [s]"
	}
	least, most := slices.Min(values), slices.Max(values)
	return Axis{Label: label, Log: least > 0 && most > 30*least}
}
