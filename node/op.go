package node

import (
	"fmt"

	"github.com/chordkv/chord/ring"
)

// Kind is what an Op does.
type Kind uint8

// The kinds of operation.
const (
	OpGet Kind = iota + 1
	OpPut
	OpDelete
)

func (k Kind) String() string {
	return [...]string{"invalid", "get", "put", "delete"}[min(k, OpDelete)]
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
	Value   []byte // of a put
	Level   Level
	Request RequestID // of a put or delete; zero if it will not be repeated
	Retry   bool      // the operation was sent before: look whether it took effect
}

// Result is the outcome of an Op that succeeded.
type Result struct {
	Found   bool    // get: the key has a value. put and delete: it had one before, as far as its owner knew
	Value   []byte  // of a get
	Version Version // of the value found, or given to the write
	Acks    int     // replicas, the owner's included, that answered (a read) or have the write durably (a write)

	// Owner and Arc say who served the operation and what else it owns, so that a client can go there directly next time.
	Owner ring.Ref
	Arc   ring.Arc
}
