package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// Violation is something that must not happen, and did.
type Violation struct {
	Check  string        // which check found it: a ring.Property or one of the constants
	At     time.Duration // virtual time
	Step   uint64        // how many steps had been executed
	Detail string        // a witness
	Nodes  []string      // the state of the nodes concerned, one line each
}

// The checks besides those of ring.CheckRing. docs/guarantees.md is where the promises stand that they check.
const (
	CheckLocalState = "LocalState" // always: ring.State.Check holds at each node
	CheckSuccession = "Succession" // while the ring's assumptions hold: a node gives up a neighbor for a farther one only if that has ended
	CheckOwners     = "Owners"     // while the ring's assumptions hold: no two nodes answer for the same identifier
	CheckLookup     = "Lookup"     // while the ring's assumptions hold: a lookup finds a way, and ends at a node that was the owner while it was under way
	CheckAck        = "Ack"        // always: an acknowledged write is on the disks of as many processes as its level says, the owner's among them, or of N others
	CheckMinority   = "Minority"   // with gossip that is right: who is in the smaller part of a cut cluster acknowledges no write by quorum, as soon as it has been told
	CheckEpoch      = "Epoch"      // always: no process does what an owner says after it has heard of a newer claim to the key
	CheckCopies     = "Copies"     // always: an acknowledged write loses no copy but with a disk, until others have it
	CheckHandOver   = "HandOver"   // a process that left a stable ring left its records with N others
	CheckValue      = "Value"      // always: a read returns what was written to that key, under the version that the write was given
	CheckOnce       = "Once"       // while the ring's assumptions hold: a write has one version, however often it is tried
	CheckCount      = "Count"      // always: a counter is no more than the increments that began; in a stable ring, each acknowledged one has its own number, above all before
	CheckSwap       = "Swap"       // in a stable ring: of two conditional writes that expect the same version, one succeeds
	CheckExpiry     = "Expiry"     // always: a value is not read later than it expires by more than clocks may differ, and not gone before; and its time is the same for all
	CheckClock      = "Clock"      // always: of two writes that a process has decided one after the other, the later has the later version, whatever becomes of its clock
	CheckOrder      = "Order"      // while the ring's assumptions hold: a write is newer than those that were acknowledged before it began
	CheckRefused    = "Refused"    // always: a write that was reported as not applied is never read
	CheckStale      = "Stale"      // in a stable ring: a read is not older than what was acknowledged, or read, before it began
	CheckDeleted    = "Deleted"    // the same, where what came back was deleted
	CheckSpread     = "Spread"     // in a stable ring: a value is at so many replicas when a read returns it that no later read can miss it
	CheckDenied     = "Denied"     // while the ring's assumptions hold, or all processes were down and fewer than N are back: an acknowledged key is not denied
	CheckHeal       = "Heal"       // when faults are over: ideal ring, all arcs settled, every key on exactly its N processes, within the time allowed
	CheckReadBack   = "ReadBack"   // and then every process can read every key
)

// Error shows everything on several lines.
func (v *Violation) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s broken at %v, step %d: %s", v.Check, v.At, v.Step, v.Detail)
	for _, n := range v.Nodes {
		b.WriteString("\n    ")
		b.WriteString(n)
	}
	return b.String()
}

// Checker watches a World and fails it at the first violation. It sees through the shoulder of the harness, which tells it about the operations that it
// begins and sees end; everything else it finds out for itself.
//
// Some checks hold always. The properties of the ring hold as long as the assumptions of [Zave] do (see package ring): the checker
// is armed when the ring is ideal with at least r+1 nodes and nothing disturbs the network, and disarmed when a failure breaks an assumption or a live peer is
// taken for dead. Reads are exact in a stable ring: one that has been ideal with all arcs settled for some time.
type Checker struct {
	checks  Checks
	cfg     node.Config
	longest time.Duration // that an operation takes
	w       *World
	oracle  *Oracle

	hosts   []watched
	running int // of hosts, as w.running
	scratch []ring.View

	armed     bool
	calm      time.Duration // nobody took a live peer for dead since
	stable    bool
	since     time.Duration // the ring is stable since
	changed   time.Duration // a view, or the set of processes, changed last
	ends      int           // of processes since the ring was ideal
	idealSize int           // members of the ring then
	changes   int           // of the set of processes since all arcs were settled last
	failures  int           // of these, the ends of processes
	gathering bool          // all processes were down, and those that are back now are fewer than N, and were members before
	armedFrom time.Duration
	complete  bool // every record was in its place at some moment since

	keys     map[string]*keyHistory
	latest   map[uint64]acked // the newest acknowledged version of each origin
	sorted   []*keyHistory    // in the order in which they were first used
	begun    map[int]*begun
	lastLoss time.Duration // when a disk was emptied last

	parts []int32       // of the network, by host, as in Net
	cut   time.Duration // since when they are these, and the processes that run the same

	found *Violation
}

// watched is what the checker knows of a host.
type watched struct {
	running bool
	id      node.Identity
	emptied int // as in Host
	heeded  heeded
	nodes   []ring.Ref    // of the process
	gone    bool          // its process runs, but has left the ring
	stable  bool          // which was stable until then
	left    bool          // its process has left and handed over: what its disk has does not count any more
	ended   time.Duration // when its process ended last; never if it has not
	views   []ring.View   // of its nodes that are members
}

const never = -time.Hour

// NewChecker returns a checker for one world, which runs the given scenario: its checks and its nodes.
func NewChecker(s *Scenario) *Checker {
	return &Checker{
		checks: s.Checks, cfg: s.Node, longest: s.longestTimeout(), oracle: NewOracle(time.Minute, s.Node.Successors), calm: never,
		keys: make(map[string]*keyHistory), latest: make(map[uint64]acked), begun: make(map[int]*begun), lastLoss: never,
	}
}

// Prepare makes the checker see the steps and events of the world that is going to be made with these options.
func (c *Checker) Prepare(o *Options) {
	events, after := o.Events, o.AfterStep
	o.Events = func(h *Host) *node.Events {
		var e node.Events
		if events != nil {
			e = *events(h)
		}
		e = c.listen(h, e)
		return &e
	}
	o.Heeded = c.heed
	o.AfterStep = func(s Step) {
		if after != nil {
			after(s)
		}
		c.afterStep(s)
	}
}

// Start begins to watch. Call it when the world has been made, before any time passes.
func (c *Checker) Start(w *World) {
	c.w = w
	c.scan()
	c.tick()
	if c.checks.Every > 0 {
		c.tickAgain()
	}
}

func (c *Checker) tickAgain() {
	c.w.At(c.w.Now()+c.checks.Every, func() {
		if c.found == nil {
			c.scan()
			c.tick()
			c.tickAgain()
		}
	})
}

// Oracle returns what knows all nodes that serve.
func (c *Checker) Oracle() *Oracle { return c.oracle }

// Violation returns what was found; nil if nothing was.
func (c *Checker) Violation() *Violation { return c.found }

// listen adds the checker to those who hear about the events of a process.
func (c *Checker) listen(h *Host, e node.Events) node.Events {
	joined, failed, violation := e.Joined, e.PeerFailed, e.Violation
	e.Joined = func(n ring.Ref) {
		if joined != nil {
			joined(n)
		}
		c.oracle.Add(c.now(), n)
	}
	e.PeerFailed = func(peer ring.Ref, err error) {
		if failed != nil {
			failed(peer, err)
		}
		if c.w != nil && c.isMember(peer) {
			c.disturb()
		}
	}
	e.Violation = func(n ring.Ref, err error) {
		if violation != nil {
			violation(n, err)
		}
		c.report(CheckLocalState, err.Error(), h.Number())
	}
	return e
}

// now is the time of the world, which is being made while the processes of an ideal ring begin.
func (c *Checker) now() time.Duration {
	if c.w == nil {
		return 0
	}
	return c.w.Now()
}

// disturb records that somebody was taken for dead who is not.
func (c *Checker) disturb() {
	c.armed, c.stable, c.calm = false, false, c.w.Now()
}

// isMember reports whether a node is a member of the ring on a process that runs, however slow it is to answer; one without an identifier stands for any of
// its process.
func (c *Checker) isMember(n ring.Ref) bool {
	i, ok := c.hostOf(n)
	if !ok {
		return false
	}
	for _, v := range c.hosts[i].views {
		if v.Self == n || n.ID.IsZero() {
			return c.hosts[i].running
		}
	}
	return false
}

// hostOf returns the number of the host at a node's address.
func (c *Checker) hostOf(n ring.Ref) (int, bool) {
	i, ok := numberOf(n.Addr)
	return int(i), ok && int(i) < len(c.hosts)
}

// report fails the world with a violation; the states of the given hosts are shown.
func (c *Checker) report(check, detail string, hosts ...int) {
	if c.found != nil || c.w == nil {
		return
	}
	c.found = &Violation{Check: check, At: c.w.Now(), Step: c.w.stats.Steps, Detail: detail}
	for i, h := range hosts {
		if h >= 0 && h < len(c.hosts) && indexOf(hosts[:i], h) < 0 {
			c.found.Nodes = append(c.found.Nodes, c.describe(h)...)
		}
	}
	c.w.Fail(c.found)
}

func indexOf(list []int, x int) int {
	for i, y := range list {
		if x == y {
			return i
		}
	}
	return -1
}

// describe shows the nodes of a host.
func (c *Checker) describe(host int) []string {
	h := c.w.Host(host)
	p := h.Process()
	if p == nil {
		return []string{fmt.Sprintf("%s: no process", h.Addr())}
	}
	var lines []string
	for _, n := range p.Status().Nodes {
		lines = append(lines, fmt.Sprintf("%v: pred %v, succs %v, serving %v, settled %v", n.View.Self, n.View.Pred, n.View.Succs, n.Serving, n.Settled))
	}
	return lines
}
