package node

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/chordkv/chord/ring"
)

// Process is what one chordd is: V ring nodes on one address and one store. All methods are safe for concurrent use.
type Process struct {
	// First what every call reads, and the node that it is about: of very many processes in one program each is far away in memory, and a call
	// costs as much as the cache lines that it comes by.
	cfg    *Config
	nodes  []*vnode // by identifier
	phase  atomic.Int32
	quiet  atomic.Int32 // heals since a node last got another predecessor or successor
	yield  func()       // Yielder's, if the Runtime is one
	addr   string
	peers  Peers
	rt     Runtime
	trips  roundTrips
	places places
	ctx    context.Context // of everything that the process does of its own accord
	memory memory
	pace   pace
	first  vnode // room for one of nodes: most processes have no more

	id        Identity
	store     Store
	events    *Events
	clock     clock
	claims    claims
	requests  atomic.Pointer[window]
	watched   atomic.Pointer[watches]
	forwarded atomic.Pointer[passed]
	patient   deadlines    // of reads and writes at replicas
	sending   atomic.Int32 // queries that tasks are sending on
	verifying atomic.Bool  // a process that is late with an answer about records is being asked whether it is there
	stop      context.CancelFunc
}

// The phases of a process, in order.
const (
	outside int32 = iota // not a member yet
	member
	leaving // handing over, or about to stop, while it still serves
	closing // handing over the rest: takes no more writes, but still routes
	gone    // left or stopped: serves nothing
)

// New returns a process that is not a member of a ring yet. addr is where others reach it.
func New(cfg Config, id Identity, addr string, peers Peers, rt Runtime, store Store, events Events) (*Process, error) {
	return NewShared(&cfg, id, addr, peers, rt, store, &events)
}

// NewShared is New for one of very many processes in one program: all have cfg in common, and some events, which must not change.
func NewShared(cfg *Config, id Identity, addr string, peers Peers, rt Runtime, store Store, events *Events) (*Process, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if id.VNodes < 1 {
		return nil, fmt.Errorf("vnodes: %d, want at least 1", id.VNodes)
	}
	p := &Process{cfg: cfg, id: id, addr: addr, peers: peers, rt: rt, store: store, events: events}
	p.clock = clock{rt: rt, origin: id.Origin(), maxAhead: cfg.MaxClockAhead}
	p.claims.observe(wallOf(rt.Now())) // epochs of an earlier run lie below
	p.patient.timeout = cfg.ReplicaTimeout
	if y, ok := rt.(Yielder); ok {
		p.yield = y.Yield
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.nodes = make([]*vnode, id.VNodes)
	for i, self := range id.Refs(addr) {
		n := &p.first
		if i > 0 {
			n = new(vnode)
		}
		n.init(p, self)
		p.nodes[i] = n
	}
	slices.SortFunc(p.nodes, func(a, b *vnode) int { return a.self.ID.Compare(b.self.ID) })
	return p, nil
}

// Addr returns the address that the process was given.
func (p *Process) Addr() string { return p.addr }

// Nodes returns the process's ring nodes, by identifier.
func (p *Process) Nodes() []ring.Ref {
	refs := make([]ring.Ref, len(p.nodes))
	for i, n := range p.nodes {
		refs[i] = n.self
	}
	return refs
}

// Ready reports whether all nodes have their places and serve.
func (p *Process) Ready() bool { return p.phase.Load() == member }

// StopSoon says that the process is about to stop, and may be back: it serves on, but drops nothing any more that belongs elsewhere. As soon as its peers miss it, that would be
// all it has.
func (p *Process) StopSoon() { p.phase.CompareAndSwap(member, leaving) }

// Stop ends all activity at once; the process stays a member in the eyes of its peers until they miss it. It does not close the
// store.
func (p *Process) Stop() {
	p.phase.Store(gone)
	p.stop()
	p.stirAll()
	if stop := p.memory.swapHealStop(nil); stop != nil {
		stop()
	}
	for _, n := range p.nodes {
		if stop := n.swapRepairStop(nil); stop != nil {
			stop()
		}
	}
}

// present returns an error unless the process serves its peers.
func (p *Process) present() error {
	if phase := p.phase.Load(); phase == outside || phase == gone {
		return ErrNotReady
	}
	return nil
}

// node returns the process's own node with the given identifier.
func (p *Process) node(id ring.ID) (*vnode, error) {
	if n := &p.first; n.self.ID == id { // most processes have no other
		return n, nil
	}
	i, ok := slices.BinarySearchFunc(p.nodes, id, func(n *vnode, id ring.ID) int { return n.self.ID.Compare(id) })
	if !ok {
		return nil, ErrNoNode
	}
	return p.nodes[i], nil
}

// owner returns the own node that owns id, with the snapshot that says so; nil if another process owns it.
func (p *Process) owner(id ring.ID) (*vnode, *snapshot) {
	i, _ := slices.BinarySearchFunc(p.nodes, id, func(n *vnode, id ring.ID) int { return n.self.ID.Compare(id) })
	n := p.nodes[i%len(p.nodes)]
	if s := n.snap.Load(); s.serving && s.arc.Contains(id) && p.phase.Load() < closing {
		return n, s
	}
	return nil, nil
}

// window returns the memory of requests, made when the first write comes.
func (p *Process) window() *window {
	if w := p.requests.Load(); w != nil {
		return w
	}
	p.requests.CompareAndSwap(nil, new(window))
	return p.requests.Load()
}

// Known returns the addresses of other processes, to find the ring again after a restart, most recently seen last. Nobody may change the
// list; what changes it makes another.
func (p *Process) Known() []string { return p.memory.acquaintances(p.addr) }

// Status is a snapshot of a process.
type Status struct {
	Identity   Identity
	Addr       string
	Ready      bool
	Nodes      []NodeStatus // by identifier
	Known      []string     // a copy of Process.Known
	Heard      int          // nodes of other processes that lookups know by hearsay
	Standing   Standing
	Watches    Watches
	Repair     RepairStatus
	Contact    Contact
	Store      StoreStats
	StoreError error // why writes are refused, if they are
	ClockError error // why writes are refused because of the clock, if they are
}

// NodeStatus is a snapshot of one node.
type NodeStatus struct {
	View    ring.View
	Fingers []ring.Ref
	Serving bool // it has its place in the ring and answers for its arc
	Settled bool // all replicas of its arc agree since the last change of arc or group, but for copies that are not made again yet (RepairStatus.Held), and nobody else claims it
	Group   []ring.Ref
}

// Status describes the process.
func (p *Process) Status() Status {
	st := Status{
		Identity: p.id, Addr: p.addr, Ready: p.Ready(), Known: slices.Clone(p.Known()),
		Heard: int(p.memory.heard.Load()), Standing: p.Standing(), Watches: p.watched.Load().count(), Repair: p.RepairStatus(), Contact: p.Contact(),
		Store: p.store.Stats(), StoreError: p.store.Writable(), ClockError: p.clock.trusted(p.rt.Now()),
	}
	for _, n := range p.nodes {
		s := n.snap.Load()
		st.Nodes = append(st.Nodes, NodeStatus{
			View: s.view, Fingers: n.fingers(), Serving: s.serving, Settled: s.settled && !n.suspended.Load(), Group: s.group,
		})
	}
	return st
}
