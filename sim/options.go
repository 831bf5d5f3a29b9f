package sim

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/chordkv/chord/node"
)

// Options is everything that is decided about a World before it begins.
type Options struct {
	Seed   uint64
	Config node.Config // of every process
	VNodes int         // ring nodes per process
	Zones  int         // host i is in zone i modulo Zones, and its process knows that; 0: in none
	Tasks  TaskKind

	Latency   Latency // nil: every message takes 50 ms
	Loss      float64 // probability that a message is lost; Net.SetLoss changes it later
	Duplicate float64 // probability that a request arrives twice; Net.SetDuplicate changes it later
	Bandwidth int     // bytes per second that a host can send; 0: no limit. Host.SetBandwidth sets another for one host

	// SyncInterval is between two syncs of a disk: a write that is acknowledged in between is lost if the machine crashes (chordd's --sync
	// interval). 0: every write is synced before it is acknowledged.
	SyncInterval time.Duration
	// SyncLatency is what a synced write takes. 0: no time at all.
	SyncLatency time.Duration

	// Reunite is between two looks of a process for members that its ring has lost, whoever it knew when it joined. 0: 15 s, as in chordd.
	Reunite time.Duration

	Gossip Gossip // what processes hear about each other besides; the zero value: nothing

	// Wire converts messages as the network of a live process does, and says how many bytes they have there. nil: slices are copied, and Stats
	// counts no wire bytes.
	Wire Wire
	// WireShare is the share of the messages that goes through Wire, drawn at random: 1 for a test, less for a large run.
	WireShare float64

	// Events returns what is to be told about a process that is about to start on h. Nobody changes that, so that many may have it in common. nil: nothing.
	Events func(h *Host) *node.Events

	// Choose picks the next step: it returns an index into the pending steps, which are in the order in which they are due, at least one.
	// nil: always the first. The steps are its own only until it returns. What is picked before its time takes the clock along, and what is left behind is late. It is for small worlds: each
	// step costs time in proportion to the number of pending ones.
	Choose func(pending []Step) int
	// Sections makes the sections of a node's code between two accesses to its shared state separate steps, so that Choose can
	// interleave them: handlers of calls then run as tasks.
	Sections bool
	// Heeded is called when a process has done what another said as the owner of arcs, or has failed to: about records, or about the arcs if there are none.
	Heeded func(h *Host, claims []node.Claim, records []node.Record, err error)
	// AfterStep is called after each step, with the world at rest: it may look at everything, call World.Fail, and do to hosts and network what a
	// harness may do between two calls of Run. nil: nothing.
	AfterStep func(Step)

	spare *spare // nil: the world makes what it needs, and leaves nothing
}

// defaultConfig returns the settings of a production node, but for fingers that are the first of their intervals: runs are to be compared with the papers, whose
// Chord has those unless they say otherwise, and what is measured by round trips would hide what is not. And copies are made again at once, so that what a fault leaves behind can
// be judged when it is over, and not ten minutes later.
func defaultConfig() node.Config {
	c := node.DefaultConfig()
	c.FingerCandidates, c.Grace = 1, 0
	return c
}

// DefaultOptions returns the options of a world with the settings of a production node that leaves distances alone, one ring node per process and a perfect
// network.
func DefaultOptions() Options {
	return Options{Seed: 1, Config: defaultConfig(), VNodes: 1, WireShare: 1}
}

// Validate reports every problem at once.
func (o *Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if err := o.Config.Validate(); err != nil {
		errs = append(errs, err)
	}
	if o.VNodes < 1 {
		bad("vnodes: %d, want at least 1", o.VNodes)
	}
	if o.Zones < 0 {
		bad("zones: %d, want at least 0", o.Zones)
	}
	if o.Tasks > Goroutines {
		bad("task kind: %d, want %d or %d", o.Tasks, Coroutines, Goroutines)
	}
	for _, p := range []struct {
		name  string
		value float64
	}{{"loss", o.Loss}, {"duplicate", o.Duplicate}, {"wire share", o.WireShare}} {
		if math.IsNaN(p.value) || p.value < 0 || p.value > 1 {
			bad("%s: %v, want 0 to 1", p.name, p.value)
		}
	}
	if o.Bandwidth < 0 {
		bad("bandwidth: %d bytes per second, want at least 0", o.Bandwidth)
	}
	if o.Gossip.On {
		for _, p := range o.Gossip.problems() {
			bad("gossip.%s: %s", p.Path, p.Message)
		}
	}
	if o.SyncInterval < 0 || o.SyncLatency < 0 {
		bad("sync interval %v and latency %v, want at least 0", o.SyncInterval, o.SyncLatency)
	}
	if o.Reunite < 0 {
		bad("reunite: %v, want at least 0", o.Reunite)
	}
	return errors.Join(errs...)
}
