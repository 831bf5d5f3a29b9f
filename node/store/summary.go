package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// EntryHash stands for a key and its version in a node.Summary. It is part of the wire protocol, and must never change within a
// protocol version: replicas compare sums of it. It is XXH64, seed 0, of version time (8 bytes), version origin (8 bytes), both big
// endian, and the key.
func EntryHash(key []byte, v node.Version) uint64 {
	var head [16]byte
	binary.BigEndian.PutUint64(head[:8], v.Time)
	binary.BigEndian.PutUint64(head[8:], v.Origin)
	var d xxhash.Digest
	d.Reset()
	_, _ = d.Write(head[:]) // a Digest's Write cannot fail
	_, _ = d.Write(key)
	return d.Sum64()
}

// span is a stretch of identifiers that does not pass 0, both ends included.
type span struct {
	first, last ring.ID
}

// spans returns the one or two spans that make up an arc, in ring order.
func spans(arc ring.Arc) []span {
	first, last := arc.After.Next(), arc.Through
	if first.Compare(last) <= 0 {
		return []span{{first, last}}
	}
	return []span{{first, ring.ID{}.Prev()}, {ring.ID{}, last}}
}

// place is a position in the order of a store: just behind the given key, or, if key is nil, before all keys of the identifier.
type place struct {
	id  ring.ID
	key []byte
}

// stretches returns what of the arc lies behind the cursor: spans, and the place in the first one to start from. A cursor that does not
// lie in the arc counts as its start: a reader whose arc has changed reads twice rather than skips.
func stretches(arc ring.Arc, from node.Cursor) ([]span, place) {
	parts := spans(arc)
	id := ring.Hash(from.Key)
	if len(from.Key) == 0 || !arc.Contains(id) {
		return parts, place{id: parts[0].first}
	}
	if id.Less(parts[0].first) || parts[0].last.Less(id) {
		parts = parts[1:]
	}
	return parts, place{id: id, key: from.Key}
}

// slot is a record's place in an Apply or Replace.
type slot struct {
	id     ring.ID
	record int
}

// inOrder returns the records in the order of the store; records with the same key are neighbors, the newest first.
func inOrder(records []node.Record) []slot {
	slots := make([]slot, len(records))
	for i := range records {
		slots[i] = slot{id: records[i].ID(), record: i}
	}
	if len(slots) == 1 {
		return slots
	}
	slices.SortFunc(slots, func(a, b slot) int {
		x, y := &records[a.record], &records[b.record]
		if c := cmp.Or(a.id.Compare(b.id), bytes.Compare(x.Key, y.Key)); c != 0 {
			return c
		}
		switch {
		case x.Version.Newer(y.Version):
			return -1
		case y.Version.Newer(x.Version):
			return +1
		}
		return a.record - b.record
	})
	return slots
}

// sameKey returns how many of the slots, from the first one on, are for the same key.
func sameKey(records []node.Record, slots []slot) int {
	n := 1
	for n < len(slots) && bytes.Equal(records[slots[n].record].Key, records[slots[0].record].Key) {
		n++
	}
	return n
}

// applied returns which of the records of a key Apply stores over the version that is there, nil for none, and notes the version that is there afterwards.
func applied(records []node.Record, same []slot, was node.Version, versions []node.Version) *node.Record {
	newest := &records[same[0].record]
	if newest.Version.Newer(was) {
		was = newest.Version
	} else {
		newest = nil
	}
	for _, s := range same {
		versions[s.record] = was
	}
	return newest
}

// replaced returns which of the records of a key Replace stores over the version that is there, nil for none, and notes which had their turn.
func replaced(records []node.Record, same []slot, was node.Version, stored []node.Version, done []bool) (last *node.Record) {
	slices.SortFunc(same, func(a, b slot) int { return a.record - b.record })
	for _, s := range same {
		if stored[s.record] == was {
			last, done[s.record] = &records[s.record], true
			was = last.Version
		}
	}
	return last
}
