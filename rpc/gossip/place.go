package gossip

import (
	"encoding/binary"

	"github.com/chordkv/chord/node"
)

// What members say of where processes are, on the wire: a coordinate in 5 bytes, a sighting in 8, big-endian. Whatever comes in may be hostile, and any bits are a place;
// what has another length is nothing.
const (
	coordinateBytes = 5
	sightingBytes   = 8
	maxSightings    = 4096 // that are taken from one message, as many as a process remembers
)

func appendCoordinate(b []byte, c node.Coordinate) []byte {
	return append(b, byte(c>>32), byte(c>>24), byte(c>>16), byte(c>>8), byte(c))
}

// readCoordinate returns zero, which is none, if there is no coordinate.
func readCoordinate(b []byte) (c node.Coordinate) {
	if len(b) != coordinateBytes {
		return 0
	}
	for _, octet := range b {
		c = c<<8 | node.Coordinate(octet)
	}
	return c
}

func appendSightings(b []byte, sightings []node.Sighting) []byte {
	for _, s := range sightings {
		b = binary.BigEndian.AppendUint64(b, uint64(s))
	}
	return b
}

func readSightings(b []byte) []node.Sighting {
	if len(b)%sightingBytes != 0 {
		return nil
	}
	sightings := make([]node.Sighting, min(len(b)/sightingBytes, maxSightings))
	for i := range sightings {
		sightings[i] = node.Sighting(binary.BigEndian.Uint64(b[i*sightingBytes:]))
	}
	return sightings
}
