package node

import (
	"errors"
	"fmt"

	"github.com/chordkv/chord/ring"
)

// What callers can test for with errors.Is. Package rpc carries over the wire what a call can end with.
var (
	// ErrNotReady: this process is not (or not any more) a member of a ring. Try another, or later. Nothing was applied.
	ErrNotReady = errors.New("not ready: this process has not joined the ring yet or is leaving it")
	// ErrUnreachable: no answer from the peer: refused, reset or too late. Whether it acted on the call is unknown.
	ErrUnreachable = errors.New("unreachable")
	// ErrNoNode: the process answered, but does not host the node that was addressed: it restarted as another. Treat the node as dead.
	ErrNoNode = errors.New("no such node in this process")
	// ErrNotOwner: the node asked does not own the key; see NotOwnerError. Nothing was applied.
	ErrNotOwner = errors.New("not the owner of the key")
	// ErrSuperseded: another node has claimed the key, or the arc, since; see SupersededError. Nothing was applied. Try again: it will be found, or the one that was asked has renewed its claim.
	ErrSuperseded = errors.New("another node has claimed the key since")
	// ErrNoRoute: no live path to the owner was found before the hop limit or the deadline. Nothing was applied. Try again later.
	ErrNoRoute = errors.New("no route to the owner of the key")
	// ErrTaken: another process is in the ring with the identity of this one; see TakenError. It cannot join before that one is gone.
	ErrTaken = errors.New("another process has this identity")
	// ErrConsistency: fewer replicas answered than the level asks for. A read may be repeated at will. For a write see ErrUnknown.
	ErrConsistency = errors.New("too few replicas answered")
	// ErrMinority: the owner of the key hears that most of the cluster is dead, so that part may be a ring of its own. It takes no writes by quorum, and does
	// not deny a key that it does not find. Nothing was applied. Turn to a process of the other part, or try again later: when the parts have met, or the
	// dead are replaced or forgotten (Config.ForgetDead).
	ErrMinority = errors.New("in the minority of the cluster")
	// ErrUnknown: the write was sent to replicas but not confirmed by enough of them; it may or may not take effect. Repeating it with
	// the same request id is safe.
	ErrUnknown = errors.New("outcome unknown")
	// ErrCondition: what a conditional operation asks for does not hold of the key; see ConditionError. Nothing was applied. Read the key and decide anew.
	ErrCondition = errors.New("condition not met")
	// ErrInvalid: the request breaks a limit (key or value size) or makes no sense. Nothing was applied; repeating it will not help.
	ErrInvalid = errors.New("invalid request")
	// ErrTooManyWatches: as many prefixes are watched at this process as it bears. Try again later.
	ErrTooManyWatches = errors.New("too many watches of prefixes")
	// ErrClockSkew: a version lies too far in the future, because the clock of the process that gave it runs ahead, or that process knows that its clock is wrong. Nothing was
	// applied there.
	ErrClockSkew = errors.New("clocks too far apart")
	// ErrStoreFull: the disk of a replica has no room. Reads go on; writes come back by themselves when there is room.
	ErrStoreFull = errors.New("no space left in the store")
	// ErrCorrupt: a stored record fails its checksum. It is never served; repair replaces it from another replica.
	ErrCorrupt = errors.New("stored record is corrupt")
	// ErrStale: the ring went on without the process for so long that it does not know any more what was deleted. It has to begin anew, without records.
	ErrStale = errors.New("out of touch for too long")
	// ErrStore: the store failed otherwise; the text says how.
	ErrStore = errors.New("store")
)

// NotOwnerError is an ErrNotOwner that says who to ask instead, as far as the answering node knows.
type NotOwnerError struct {
	Hint ring.Ref // zero if unknown
}

func (e *NotOwnerError) Error() string {
	if e.Hint.IsZero() {
		return ErrNotOwner.Error()
	}
	return fmt.Sprintf("%v: ask %v", ErrNotOwner, e.Hint)
}

// Is makes errors.Is(err, ErrNotOwner) hold.
func (e *NotOwnerError) Is(target error) bool { return target == ErrNotOwner }

// TakenError is an ErrTaken that says by whom.
type TakenError struct{ Addr string }

func (e *TakenError) Error() string {
	return fmt.Sprintf("%v: the one at %s; was the data directory copied? Stop one of the two, or begin with an empty directory", ErrTaken, e.Addr)
}

// Is makes errors.Is(err, ErrTaken) hold.
func (e *TakenError) Is(target error) bool { return target == ErrTaken }

// SupersededError is an ErrSuperseded that says since when.
type SupersededError struct {
	Epoch uint64 // of the newer claim
}

func (e *SupersededError) Error() string {
	return fmt.Sprintf("%v, in epoch %d", ErrSuperseded, e.Epoch)
}

// Is makes errors.Is(err, ErrSuperseded) hold.
func (e *SupersededError) Is(target error) bool { return target == ErrSuperseded }

// Conflict is why a conditional operation is not carried out.
type Conflict uint8

// The conflicts.
const (
	Exists    Conflict = iota + 1 // the key has a value, and should have none
	Missing                       // it has none, and should have one
	Changed                       // its value is of another version
	NotNumber                     // its value is no decimal integer of 64 bits
	Overflow                      // the sum would be none
	Earlier                       // the condition did not hold when the request came for the first time
	Chunked                       // its value is kept in blocks, and this operation needs all of it
)

// ConditionError is an ErrCondition that says what is there instead. As many replicas as a read asks have it by the time that the error is returned.
type ConditionError struct {
	Conflict Conflict
	Found    bool    // the key has a value
	Version  Version // of the value, or of the delete; zero if the key was never written
}

func (e *ConditionError) Error() string {
	switch e.Conflict {
	case Exists:
		return fmt.Sprintf("%v: the key exists, version %v", ErrCondition, e.Version)
	case Missing:
		return fmt.Sprintf("%v: the key has no value", ErrCondition)
	case Changed:
		return fmt.Sprintf("%v: the key has version %v", ErrCondition, e.Version)
	case NotNumber:
		return fmt.Sprintf("%v: the value, version %v, is no integer of 64 bits", ErrCondition, e.Version)
	case Overflow:
		return fmt.Sprintf("%v: the sum does not fit into 64 bits; the value has version %v", ErrCondition, e.Version)
	case Chunked:
		return fmt.Sprintf("%v: the value, version %v, is a large one that is kept in blocks", ErrCondition, e.Version)
	}
	return fmt.Sprintf("%v when the request came first; the key has version %v now", ErrCondition, e.Version)
}

// Is makes errors.Is(err, ErrCondition) hold.
func (e *ConditionError) Is(target error) bool { return target == ErrCondition }
