package rpc

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chordkv/chord/node"
)

// Outcome is what is certain about a write that failed.
type Outcome uint8

// The outcomes. A read, which changes nothing, is always not applied.
const (
	NotApplied     Outcome = iota // nothing was changed, on any process
	OutcomeUnknown                // it may or may not take effect, now or later; repeating it with the same request id is safe
)

func (o Outcome) String() string {
	return [...]string{"not applied", "outcome unknown", "invalid"}[min(o, OutcomeUnknown+1)]
}

// OpError is how every operation of a Client fails. errors.Is sees through it to what went wrong last; errors.Is(err,
// node.ErrUnknown) holds exactly if Outcome is OutcomeUnknown.
type OpError struct {
	Op        string        // what was attempted: `put "hello"`
	Write     bool          // whether Outcome says anything
	Outcome   Outcome       // of all attempts together
	Attempted []string      // addresses, each once, in the order in which they were first tried; empty if nothing was sent
	Attempts  int           // calls that were made
	Elapsed   time.Duration // from the start of the operation
	Retryable bool          // the same may work later
	Err       error         // what went wrong last
}

// Error says what failed, what that means, why, where and after how long.
func (e *OpError) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Write {
		fmt.Fprintf(&b, ": %v", e.Outcome)
	}
	b.WriteString(": ")
	b.WriteString(strings.ReplaceAll(e.Err.Error(), "\n", "; "))
	switch {
	case e.Attempts == 1:
		fmt.Fprintf(&b, " (tried %s for %v)", e.Attempted[0], round(e.Elapsed))
	case e.Attempts > 1:
		fmt.Fprintf(&b, " (%d attempts at %s in %v)", e.Attempts, shorten(e.Attempted), round(e.Elapsed))
	}
	return b.String()
}

// attempt counts an attempt at a server.
func (e *OpError) attempt(addr string) {
	e.Attempts++
	if !slices.Contains(e.Attempted, addr) {
		e.Attempted = append(e.Attempted, addr)
	}
}

// Unwrap gives the cause and, for a write that may have been applied, node.ErrUnknown.
func (e *OpError) Unwrap() []error {
	if e.Outcome == OutcomeUnknown {
		return []error{e.Err, node.ErrUnknown}
	}
	return []error{e.Err}
}

// maxShown bounds the addresses in an error text; all are in OpError.Attempted.
const maxShown = 5

func shorten(addrs []string) string {
	if len(addrs) <= maxShown {
		return strings.Join(addrs, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(addrs[:maxShown], ", "), len(addrs)-maxShown)
}

// round keeps three digits or so of a duration for people.
func round(d time.Duration) time.Duration {
	switch {
	case d > time.Second:
		return d.Round(10 * time.Millisecond)
	case d > time.Millisecond:
		return d.Round(10 * time.Microsecond)
	}
	return d
}
