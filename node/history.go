package node

import (
	"encoding/binary"
	"fmt"
)

// History is what a key remembers of the writes that changed it, from the first conditional one on: the outcomes of the latest, so that a request that is repeated,
// at the same owner or at one that took its place, gets its first answer instead of being carried out again. It is part of the record that such an operation makes,
// and of every later one, so it is stored and replicated as the record is. It is empty for a key that never saw a conditional operation.
//
// In memory, on disk and on the wire it is one byte, historyLost if older outcomes were forgotten, and then the outcomes from the oldest on, integers big endian:
//
//	request id (16) | version time (8) | version origin (8) | number (8) | 1 if the key had a value before
type History string

// outcome is what became of one write.
type outcome struct {
	Request RequestID
	Version Version // that it was given
	Number  int64   // Result.Number
	Existed bool    // Result.Found
}

const (
	historyLost    byte = 1 << 0
	maxOutcomes         = 16
	outcomeBytes        = 16 + 8 + 8 + 8 + 1
	outcomeExisted byte = 1
)

// Check returns an error that wraps ErrInvalid unless h is a history.
func (h History) Check() error {
	switch n := len(h); {
	case n == 0:
		return nil
	case n%outcomeBytes != 1 || n > 1+maxOutcomes*outcomeBytes:
		return fmt.Errorf("%w: a history of %d bytes", ErrInvalid, n)
	case h[0]&^historyLost != 0:
		return fmt.Errorf("%w: a history with flags %02x", ErrInvalid, h[0])
	}
	return nil
}

// lost reports whether outcomes were forgotten.
func (h History) lost() bool { return h != "" && h[0]&historyLost != 0 }

// doubtful returns a history that has lost what came before.
func (h History) doubtful() History {
	if h == "" {
		return History([]byte{historyLost})
	}
	return History([]byte{h[0] | historyLost}) + h[1:]
}

// find returns the outcome of a request.
func (h History) find(r RequestID) (outcome, bool) {
	if r == (RequestID{}) {
		return outcome{}, false
	}
	for at := len(h) - outcomeBytes; at > 0; at -= outcomeBytes {
		raw := h[at:][:outcomeBytes]
		if RequestID([]byte(raw[:16])) != r {
			continue
		}
		b := []byte(raw[16:])
		return outcome{
			Request: r,
			Version: Version{Time: binary.BigEndian.Uint64(b), Origin: binary.BigEndian.Uint64(b[8:])},
			Number:  int64(binary.BigEndian.Uint64(b[16:])),
			Existed: b[24] == outcomeExisted,
		}, true
	}
	return outcome{}, false
}

// with returns the history after one more outcome, for which the oldest may have to go.
func (h History) with(o outcome) History {
	if h == "" {
		h = "\x00"
	}
	if len(h) == 1+maxOutcomes*outcomeBytes {
		h = History([]byte{h[0] | historyLost}) + h[1+outcomeBytes:]
	}
	b := append(make([]byte, 0, len(h)+outcomeBytes), h...)
	b = append(b, o.Request[:]...)
	b = binary.BigEndian.AppendUint64(b, o.Version.Time)
	b = binary.BigEndian.AppendUint64(b, o.Version.Origin)
	b = binary.BigEndian.AppendUint64(b, uint64(o.Number))
	if o.Existed {
		return History(append(b, outcomeExisted))
	}
	return History(append(b, 0))
}
