package node

import (
	"fmt"
	"time"

	"github.com/chordkv/chord/ring"
)

// Kind is what an Op does.
type Kind uint8

// The kinds of operation.
const (
	OpGet Kind = iota + 1
	OpPut
	OpDelete
	OpIncrement // the value is a decimal integer, to which Op.Add is added; it counts from Op.Initial if the key has none
	OpAppend    // Op.Value goes behind the value, if there is one
	OpPrepend   // Op.Value goes before it
	OpManifest  // a put whose value is the manifest of a large value: see Record.Manifest
	OpTouch     // the value stays, and expires as the operation says; the key must have one
)

func (k Kind) String() string {
	names := [...]string{"invalid", "get", "put", "delete", "increment", "append", "prepend", "put manifest", "touch"}
	if int(k) >= len(names) {
		return names[0]
	}
	return names[k]
}

// Condition is what must hold of a key, or a write changes nothing.
type Condition uint8

// The conditions.
const (
	Always    Condition = iota
	IfAbsent            // the key has no value: create only
	IfPresent           // it has one: replace only
	IfVersion           // it has one, of version Op.Version
)

func (c Condition) String() string {
	return [...]string{"always", "if absent", "if present", "if version", "invalid"}[min(c, IfVersion+1)]
}

// Level is how many of a key's N replicas must answer an operation.
type Level uint8

// The consistency levels. Quorum, the default, is the configured W or R.
const (
	LevelQuorum Level = iota
	LevelOne
	LevelAll
)

func (l Level) String() string {
	return [...]string{"quorum", "one", "all", "invalid"}[min(l, LevelAll+1)]
}

// ParseLevel reads what String writes.
func ParseLevel(s string) (Level, error) {
	for l := LevelQuorum; l <= LevelAll; l++ {
		if l.String() == s {
			return l, nil
		}
	}
	return 0, fmt.Errorf("consistency level %q: want one, quorum or all", s)
}

// Op is a client's operation on one key.
type Op struct {
	Kind    Kind
	Key     []byte
	Value   []byte // of a put, append or prepend, or a manifest
	Level   Level
	Request RequestID // of a write; zero if it will not be repeated
	Retry   bool      // the operation was sent before: look whether it took effect
	Bare    bool      // of a get: everything but the value

	If      Condition // of a write
	Version Version   // of IfVersion
	Add     int64     // of an increment
	Initial int64     // of an increment

	// Of a write: how long what it leaves is there, or until when, in milliseconds since 1970; not both. Without either, a put, also if absent or if present, does not expire, and what
	// builds on what is there (increment, append, prepend, put if version) expires when that did; so it is Forever that takes its expiry from it.
	TTL     time.Duration
	Expires int64
}

// reads reports whether the operation changes nothing.
func (o *Op) reads() bool { return o.Kind == OpGet }

// Conditional reports whether what the operation does depends on what is stored.
func (o *Op) Conditional() bool { return o.Kind > OpDelete || o.If != Always }

// Result is the outcome of an Op that succeeded.
type Result struct {
	Found   bool          // get: the key has a value. Of a write: it had one before, as far as its owner knew
	Value   []byte        // of a get that is not Bare
	Number  int64         // of an increment: the value afterwards; of an append or prepend: the bytes of the value afterwards
	Version Version       // of the value found, or given to the write
	Expires int64         // get: when the value found expires, or the one expired that was there last, in milliseconds since 1970, 0 for never; of a write that says when: what came of that
	Left    time.Duration // of a get: from when it was answered until then
	Acks    int           // replicas, the owner's included, that answered (a read) or have the write durably (a write)

	Manifest bool   // get: the value is a manifest
	Replaced []byte // of a write: the manifest that it took the place of, if it did so now and not at an earlier attempt

	// Owner and Arc say who served the operation and what else it owns, so that a client can go there directly next time.
	Owner ring.Ref
	Arc   ring.Arc
}

// Expired reports, of a get, that the key has no value because the time of the one that was there is over. Its version is that of the value.
func (r *Result) Expired() bool { return !r.Found && r.Expires != 0 }

// replicasFor returns how many replicas a level asks for. It fails if the group does not have as many.
func (p *Process) replicasFor(l Level, quorum int, group []ring.Ref) (int, error) {
	need := quorum
	switch l {
	case LevelOne:
		need = 1
	case LevelAll:
		need = p.cfg.Replicas
	}
	if len(group) < need {
		return 0, fmt.Errorf("%w: %d needed, but the ring has %d processes; start more, or ask for less",
			ErrConsistency, need, len(group))
	}
	return need, nil
}
