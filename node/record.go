package node

import (
	"encoding/hex"
	"fmt"

	"github.com/chordkv/chord/ring"
)

// Version orders the writes of a key: a hybrid logical clock (Kulkarni et al., OPODIS 2014), 48 bits of milliseconds since
// 1970 and 16 bits of counter, then the process that gave it, so that no two writes have the same version. The zero
// Version is older than any.
type Version struct {
	Time   uint64 // milliseconds << 16 | counter
	Origin uint64 // the process whose owner node gave the version
}

// Newer reports whether v is newer than w.
func (v Version) Newer(w Version) bool {
	return v.Time > w.Time || v.Time == w.Time && v.Origin > w.Origin
}

// IsZero reports whether v is the version of a record that does not exist.
func (v Version) IsZero() bool { return v == Version{} }

// Millis returns the wall-clock part: milliseconds since 1970.
func (v Version) Millis() int64 { return int64(v.Time >> 16) }

// String shows milliseconds, counter and origin.
func (v Version) String() string {
	return fmt.Sprintf("%d.%d-%016x", v.Time>>16, v.Time&0xffff, v.Origin)
}

// ParseVersion reads what String writes.
func ParseVersion(s string) (Version, error) {
	var millis, counter, origin uint64
	if _, err := fmt.Sscanf(s, "%d.%d-%x", &millis, &counter, &origin); err != nil || counter > 0xffff || millis > 1<<48-1 {
		return Version{}, fmt.Errorf("version %q: want it as shown, like 1700000000000.0-00000000000000ab", s)
	}
	v := Version{Time: millis<<16 | counter, Origin: origin}
	if v.String() != s {
		return Version{}, fmt.Errorf("version %q: want it as shown, like %v", s, v)
	}
	return v, nil
}

// RequestID names a client's write through all its retries. The zero RequestID means that the client will not retry.
type RequestID [16]byte

// String returns 32 hexadecimal digits.
func (r RequestID) String() string { return hex.EncodeToString(r[:]) }

// Record is a key's newest write as a replica stores it. Records are immutable: whoever holds one must not change its slices.
type Record struct {
	Key       []byte
	Value     []byte // nil for a tombstone
	Version   Version
	Tombstone bool      // the write was a delete
	Expires   int64     // milliseconds since 1970 from which on the record is as good as a tombstone, 0 for never; a tombstone that has one was a value
	Request   RequestID // the write that made this version
	History   History   // of the conditional operations up to this version
	Manifest  bool      // Value is not the user's, but says where that is: only OpManifest makes such a record, whatever the bytes of other values
}

// ID returns the key's place on the ring.
func (r Record) ID() ring.ID { return ring.Hash(r.Key) }

// size returns the bytes that the record stands for in a batch.
func (r Record) size() int { return len(r.Key) + len(r.Value) + len(r.History) + 64 }

// exists reports whether the record has a value: it is there and no tombstone.
func (r *Record) exists() bool { return !r.Version.IsZero() && !r.Tombstone }

// Entry is a stored record without its value.
type Entry struct {
	Key     []byte
	Version Version
	Hash    uint64 // what the record adds to a Summary; only in what Store.List returns
}

// Want asks a replica for a record. If the replica's version is Have, or Bare is set, it answers without the record.
type Want struct {
	Key     []byte
	Have    Version
	Bare    bool
	Request RequestID // of a write, to be looked for; else zero
	Group   uint64    // GroupHash of the replicas that the asker takes the key to have, if the owner is to say whether it has; else 0
}

// Found answers a Want. Version is zero if the replica does not have the key; Record is set only if Version differs from Have.
type Found struct {
	Version Version
	Record  Record
	Given   Version  // that the Request of the Want was given, zero if the process does not know
	Epoch   uint64   // of the newest claim to the key that the process knows of, 0 if none
	Mine    bool     // the process takes itself for the owner of the key
	Owned   ring.Arc // what the process owns, the key too, with exactly the replicas of the Want, all of which agree since the last change; zero if it is not so
	Heard   bool     // with Owned: the node that would take over has said less than Config.RingTimeout ago that it has not
}

// Summary stands for a set of records in a comparison of two replicas: equal summaries mean, but for a chance of 2^-64, equal
// keys and versions.
type Summary struct {
	Count uint64
	Hash  uint64 // the sum, modulo 2^64, of EntryHash over the entries: their order does not matter
}

// Outline says what a process has stored in an arc, in as few bytes as tell two processes apart: the hash of each record, in ring order, or, if they
// are more than the asker wants, the hash of the Summary of each part of the arc.
type Outline struct {
	Split  bool // Hashes are of the parts, as ring.Arc.Split returns them
	Hashes []uint64
}

// Detail is how far outlines go.
type Detail struct {
	Bits    int // an arc is split into 2^Bits blocks, 2 or 4
	Records int // that an arc may have to be outlined record by record
}

// Unnamed are records of a peer in an arc of which only the hashes are known.
type Unnamed struct {
	Arc    ring.Arc
	Hashes []uint64
}

// Cursor is a position in ring order: behind the record with this key, whose place is its hash. The zero Cursor is
// the start of an arc.
type Cursor struct {
	Key []byte
}
