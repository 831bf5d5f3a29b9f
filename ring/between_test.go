//go:build !race

package ring_test

import (
	"testing"

	"github.com/chordkv/chord/ring"
)

// TestBetween compares with the definition of [Zave, module "identifiers"] on all triples of a circle of 8 bits, laid into each part of
// the identifier that the comparison loads as one word.
func TestBetween(t *testing.T) {
	for _, at := range []int{0, 8, 19} {
		var ids [256]ring.ID
		for i := range ids {
			ids[i][at] = byte(i)
		}
		for a := range ids {
			for x := range ids {
				for b := range ids {
					want := a < x && x < b
					if a >= b {
						want = a < x || x < b
					}
					if got := ring.Between(ids[a], ids[x], ids[b]); got != want {
						t.Fatalf("byte %d: Between(%d, %d, %d): got %v, want %v", at, a, x, b, got, want)
					}
				}
			}
		}
	}
}
