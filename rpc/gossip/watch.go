package gossip

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// maxTellers bounds how many members are told about at the same time.
	maxTellers = 32
	// maxMembers bounds how many members there can be, because whoever knows the cluster's label can invent any number. Gossip among more would be too slow to
	// be of use.
	maxMembers = 1 << 15
)

// watch is what memberlist reports to: it keeps the list of the members that are alive, and tells Events about changes. memberlist
// calls it with its lock held, so it calls nobody itself; a goroutine a member does, one at a time for each, and only what is newest.
type watch struct {
	self   string // the own name
	events Events
	most   int // how many may be alive: maxMembers
	counts Counts
	ctx    context.Context // of the events
	tasks  sync.WaitGroup

	mu      sync.Mutex
	meta    []byte            // of the own process
	alive   map[string]Member // by name, the own one too
	changes map[string]change // that nobody has been told of yet
	telling map[string]bool   // members that somebody is being told of
	closed  bool
}

// Counts counts what gossip has said.
type Counts struct {
	Joined, Changed, Dead, Left atomic.Uint64 // other members
	Conflicts                   atomic.Uint64 // claims of a name by two addresses
}

// change is the newest that is known of a member.
type change struct {
	member Member
	fate   fate
}

// fate is what has become of a member.
type fate uint8

const (
	alive fate = iota
	dead
	left // it has said itself that it stops
)

var (
	_ memberlist.Delegate         = (*watch)(nil)
	_ memberlist.EventDelegate    = (*watch)(nil)
	_ memberlist.AliveDelegate    = (*watch)(nil)
	_ memberlist.ConflictDelegate = (*watch)(nil)
	_ memberlist.PingDelegate     = (*watch)(nil)
)

func newWatch(ctx context.Context, self Member, meta []byte, events Events) *watch {
	return &watch{
		self: self.name(), meta: meta, events: events, most: maxMembers, ctx: ctx,
		alive: map[string]Member{}, changes: map[string]change{}, telling: map[string]bool{},
	}
}

// NotifyAlive implements memberlist.AliveDelegate: who does not say who it is, as it should, is no member, nor is one too many.
func (w *watch) NotifyAlive(n *memberlist.Node) error {
	m, err := memberOf(n)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.alive[m.name()]; !known && len(w.alive) >= w.most {
		return fmt.Errorf("%s: there are %d members already", m.name(), w.most)
	}
	return nil
}

// NotifyJoin implements memberlist.EventDelegate.
func (w *watch) NotifyJoin(n *memberlist.Node) {
	w.note(n, alive, &w.counts.Joined)
}

// NotifyUpdate implements memberlist.EventDelegate.
func (w *watch) NotifyUpdate(n *memberlist.Node) {
	w.note(n, alive, &w.counts.Changed)
}

// NotifyLeave implements memberlist.EventDelegate. It does not tell the dead from those that have left; those are gone before, by what they said.
func (w *watch) NotifyLeave(n *memberlist.Node) {
	w.note(n, dead, &w.counts.Dead)
}

// NotifyConflict implements memberlist.ConflictDelegate. It is how a process that came back under another address looks until its old self is
// known to be dead, and what a copied data directory looks like for ever.
func (w *watch) NotifyConflict(existing, other *memberlist.Node) {
	w.counts.Conflicts.Add(1)
}

// NotifyPingComplete implements memberlist.PingDelegate: a probe was answered, by the member itself. It tells with mu held, so that nobody is told after close.
func (w *watch) NotifyPingComplete(n *memberlist.Node, rtt time.Duration, payload []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m, known := w.alive[n.Name]; known && !w.closed && w.events.Probed != nil {
		w.events.Probed(m, rtt, readCoordinate(payload))
	}
}

// AckPayload implements memberlist.PingDelegate: with the answer to a probe goes where the process is.
func (w *watch) AckPayload() []byte {
	if w.events.Place == nil {
		return nil
	}
	return appendCoordinate(nil, w.events.Place())
}

// note takes in a change, counts it and has Events told.
func (w *watch) note(n *memberlist.Node, f fate, count *atomic.Uint64) {
	m, err := memberOf(n)
	if err != nil {
		return // NotifyAlive has let nobody in who is not as he should be
	}
	if f == alive && m.Stops {
		f, count = left, &w.counts.Left
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	before, known := w.alive[m.name()]
	switch {
	case f == alive:
		w.alive[m.name()] = m
	case known:
		delete(w.alive, m.name())
		m = before // by that address it was known
	default:
		return // it was gone already
	}
	if m.name() == w.self || w.closed {
		return
	}
	count.Add(1)
	w.changes[m.name()] = change{m, f}
	w.tell()
}

// tell starts goroutines for the changes that nobody works on, as far as the bound allows; the caller holds mu.
func (w *watch) tell() {
	for name, c := range w.changes {
		if len(w.telling) >= maxTellers {
			return
		}
		if w.telling[name] {
			continue
		}
		delete(w.changes, name)
		w.telling[name] = true
		w.tasks.Go(func() {
			w.report(c)
			w.done(name)
		})
	}
}

func (w *watch) done(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.telling, name)
	if !w.closed {
		w.tell()
	}
}

func (w *watch) report(c change) {
	if tell := [...]func(context.Context, Member){alive: w.events.Alive, dead: w.events.Dead, left: w.events.Left}[c.fate]; tell != nil {
		tell(w.ctx, c.member)
	}
}

// close ends the telling; it returns when nobody is being told.
func (w *watch) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.tasks.Wait()
}

// members returns who is alive, by process id.
func (w *watch) members() []Member {
	w.mu.Lock()
	defer w.mu.Unlock()
	members := make([]Member, 0, len(w.alive))
	for _, name := range slices.Sorted(maps.Keys(w.alive)) {
		members = append(members, w.alive[name])
	}
	return members
}

// say changes what the process says of itself, when it is next asked.
func (w *watch) say(meta []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.meta = meta
}

// NodeMeta implements memberlist.Delegate.
func (w *watch) NodeMeta(limit int) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.meta) > limit {
		panic(fmt.Sprintf("gossip: %d bytes of metadata, memberlist takes %d", len(w.meta), limit)) // the limits of Member allow fewer
	}
	return w.meta
}

// NotifyMsg implements memberlist.Delegate. There are no messages of users.
func (w *watch) NotifyMsg([]byte) {}

// GetBroadcasts implements memberlist.Delegate.
func (w *watch) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState implements memberlist.Delegate: with the members goes where they are.
func (w *watch) LocalState(join bool) []byte {
	if w.events.Sightings == nil {
		return nil
	}
	return appendSightings(nil, w.events.Sightings(join))
}

// MergeRemoteState implements memberlist.Delegate.
func (w *watch) MergeRemoteState(state []byte, _ bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed && w.events.Sighted != nil {
		w.events.Sighted(readSightings(state))
	}
}
