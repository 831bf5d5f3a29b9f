package gossip

import (
	"slices"
	"testing"

	"github.com/chordkv/chord/node"
)

// What is said of places comes back as it was; what has another length than that is nothing, and what is too much is cut.
func TestPlacesOnTheWire(t *testing.T) {
	const c = node.Coordinate(0x123456789a)
	if got := readCoordinate(appendCoordinate(nil, c)); got != c {
		t.Errorf("coordinate %#x comes back as %#x", c, got)
	}
	for _, n := range []int{0, 1, coordinateBytes - 1, coordinateBytes + 1, 400} {
		if got := readCoordinate(make([]byte, n, 400)); got != 0 {
			t.Errorf("%d bytes are the coordinate %#x", n, got)
		}
	}
	sightings := []node.Sighting{1, 0xfedcba9876543210}
	if got := readSightings(appendSightings(nil, sightings)); !slices.Equal(got, sightings) {
		t.Errorf("%#x come back as %#x", sightings, got)
	}
	if got := readSightings(make([]byte, sightingBytes+1)); len(got) != 0 {
		t.Errorf("%d sightings in %d bytes", len(got), sightingBytes+1)
	}
	if got := readSightings(make([]byte, sightingBytes*(maxSightings+1))); len(got) != maxSightings {
		t.Errorf("%d sightings are taken from one message", len(got))
	}
}
