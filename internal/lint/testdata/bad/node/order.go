package node

import (
	"maps"
	"slices"
	"sync"

	"github.com/rs/zerolog" // want "github.com/rs/zerolog is banned in node, use Events (rule 4)" "github.com/rs/zerolog is banned in node, use the standard library (rule 4)"
)

func order(m map[int]int, s *sync.Map, log zerolog.Logger) (sum int) {
	for k := range m { // want "range over a map is banned in node, use a slice, or slices.Sorted(maps.Keys(m)) (rule 3)"
		sum += k
	}
	for k := range maps.Keys(m) { // want "maps.Keys is banned in node, use a slice, or slices.Sorted(maps.Keys(m)) (rule 3)"
		sum += k
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		sum += k
	}
	s.Range(func(k, v any) bool { return true }) // want "sync.Map.Range is banned in node, use a slice, or slices.Sorted(maps.Keys(m)) (rule 3)"
	return sum
}
