// Package sim must be deterministic.
package sim

import "log/slog" // want "log/slog is banned in sim, use Events (rule 4)"

// Seed is where chance begins.
var Seed = map[int]int{}

// Sum depends on the order of a map.
func Sum() (sum int) {
	for k := range Seed { // want "range over a map is banned in sim, use a slice, or slices.Sorted(maps.Keys(m)) (rule 3)"
		sum += k
	}
	slog.Info("sum")
	return sum
}
