package sim

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// Result is what a run of a scenario has shown. What is under Totals leaves the scenario's warm-up and heal out.
type Result struct {
	Scenario Scenario
	Rows     []Row
	Totals   Totals
	Stats    Stats         // of the whole run
	End      time.Duration // virtual time when the run ended
	Healed   time.Duration // from the end of the faults until everything was as it should be, if Scenario.Heal asked for it
	Checksum uint64        // of all steps: two runs of a scenario have the same

	Violation *Violation // what a check found; it is the error of Run too
}

// Totals are the counts of the measured part of a run.
type Totals struct {
	Measured    time.Duration // how long it is
	NodeSeconds float64       // live processes, summed up over it
	Sent        Count         // messages and bytes of all processes

	Joins, Leaves, Crashes int

	Lookups LookupTotals
	Puts    OpTotals
	Gets    OpTotals
	Deletes OpTotals
	Changes OpTotals // cas and incr
}

// MessagesPerNode returns the messages that a live process sent per second.
func (t *Totals) MessagesPerNode() float64 { return perNode(t.Sent.Messages, t.NodeSeconds) }

// BytesPerNode returns the bytes that a live process sent per second, by the model of p2psim.
func (t *Totals) BytesPerNode() float64 { return perNode(t.Sent.Bytes, t.NodeSeconds) }

func perNode(n uint64, nodeSeconds float64) float64 {
	if nodeSeconds == 0 {
		return 0
	}
	return float64(n) / nodeSeconds
}

// LookupTotals counts lookups. Aborted ones, whose process ended before they did, are in no other number.
type LookupTotals struct {
	Right   int // ended at the node that was the owner
	Late    int // of Right: it was the owner when the lookup was under way, but not any more when it ended
	Wrong   int // ended at a node that was not the owner at any time during the lookup
	Failed  int // found none
	Aborted int

	Retries  int                     // attempts after the first
	Hops     Tally                   // calls answered, by lookup that found an owner
	Timeouts Tally                   // calls that ended by node.ErrUnreachable, the same; of all attempts
	Latency  *hdrhistogram.Histogram // microseconds, the same; of all attempts
}

// Done returns how many lookups ended, right, wrong or failed.
func (t *LookupTotals) Done() int { return t.Right + t.Wrong + t.Failed }

// OpTotals counts operations of one kind. Aborted ones, whose process ended before they did, are in no other number.
type OpTotals struct {
	Done    int
	Missing int // of Done: the key was not there
	Unknown int // of a write: it may or may not have taken effect
	Failed  int // it had no effect
	Aborted int
	Retries int
	Judged  int                     // of Done, gets by quorum in a run with Checks.Data
	Stale   int                     // of Judged, as Operation.Stale
	Latency *hdrhistogram.Histogram // of Done, in microseconds
}

// Outcome is how an operation of the workload ended.
type Outcome uint8

// The outcomes.
const (
	Done    Outcome = iota + 1 // it succeeded; a lookup: with the right owner
	Wrong                      // a lookup found a node that was not the owner at any time during the lookup
	Failed                     // it had no effect
	Unknown                    // of a write: it may or may not take effect, now or later
	Aborted                    // its process ended before it did; a write: as Unknown
)

func (o Outcome) String() string {
	return [...]string{"none", "done", "wrong", "failed", "unknown", "aborted", "invalid"}[min(o, Aborted+1)]
}

// Operation is one operation of the workload.
type Operation struct {
	Number   int    // in the order in which they began, from 0 on
	Workload int    // index into Scenario.Workload
	Kind     string // OpLookup, OpPut, OpGet, OpDelete, OpCas, OpIncr or OpTouch
	From     int    // number of the host whose process issues it
	Key      []byte // nil: a lookup of a random identifier
	ID       ring.ID
	Value    []byte // of a put or cas; no two are the same
	TTL      time.Duration
	Level    node.Level
	Begin    time.Duration

	// Set when it has ended.
	End      time.Duration
	Outcome  Outcome
	Late     bool // of a lookup that is Done: its owner is not any more
	Judged   bool // whether Stale says anything: of a get by quorum that is Done, in a run with Checks.Data
	Stale    bool // a quorum had acknowledged something newer before it began, at whatever owner
	Attempts int
	If       node.Condition // of a cas, when it has read the key
	Expected node.Result    // that it has read
	Err      error          // of the last attempt
	Owner    ring.Ref
	Hops     int         // of a lookup: calls answered, in all attempts
	Timeouts int         // of a lookup: calls that ended by node.ErrUnreachable, in all attempts
	Result   node.Result // of all but a lookup
}

// puts reports whether the operation stores Value.
func (o *Operation) puts() bool { return o.Kind == OpPut || o.Kind == OpCas }

// ends reports whether there may be no value some time after the operation, because of it.
func (o *Operation) ends() bool { return o.Kind == OpDelete || o.TTL > 0 }

// Latency returns how long the operation took.
func (o *Operation) Latency() time.Duration { return o.End - o.Begin }

// Observer is told about a run while it goes on. Every field may be nil. The functions are called with the world at rest and must not wait.
type Observer struct {
	Prepare func(o *Options)                 // before the world is made: how tasks run, conversion of messages, order of steps
	Start   func(w *World)                   // the hosts of the start exist, and with start: ideal the ring; no time has passed
	Row     func(Row)                        // after each interval of the series
	Event   func(Event)                      // something happened to processes or network
	Begin   func(op *Operation)              // an operation begins
	End     func(op *Operation)              // an operation has ended
	Tick    func(now time.Duration, s Stats) // some times a second of real time
}

// Event is something that churn or a fault did.
type Event struct {
	At   time.Duration
	Kind string // join, restart, leave, crash, or a kind of Fault, followed by "-end" when it is over
	Node int    // number of the host; -1 if it concerns several or the network
	Note string // more about it
}
