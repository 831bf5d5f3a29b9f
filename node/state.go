package node

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chordkv/chord/ring"
)

// This is the one file of the package that locks. Its methods are short and call nothing of Peers, Runtime or Store, so that no lock is
// ever held across a wait.

// vnode is one ring node of a process.
type vnode struct {
	p    *Process
	self ring.Ref

	stabilizing atomic.Int32             // one round at a time: idle, running, or running with another one asked for
	repairing   atomic.Bool              // or waiting for that
	progress    atomic.Pointer[progress] // of the comparison under way

	snap atomic.Pointer[snapshot] // what the data path reads

	mu           sync.Mutex
	st           ring.State // in here: a lookup goes through many nodes, each far away in memory
	serving      bool
	epoch        uint64
	settled      uint64   // the epoch that was settled last
	candidate    ring.Ref // of the notifies that wait for rectify: the closest
	rectifying   bool     // a task works on candidate
	fingerCursor ring.ID  // fix_fingers goes on behind it
	repairStop   func()   // cancels the timer of the next repair
}

// snapshot is an immutable picture of a vnode.
type snapshot struct {
	view    ring.View
	arc     ring.Arc
	group   []ring.Ref // the N replicas of the arc, self first
	serving bool
	settled bool
	epoch   uint64 // changes with the arc and the group
}

// init makes a node that is alone of zeroed memory.
func (n *vnode) init(p *Process, self ring.Ref) {
	n.p, n.self, n.st, n.fingerCursor = p, self, *ring.NewState(self, p.cfg.Successors), self.ID
	n.st.SpaceFingers(p.cfg.FingerBase)
	n.publish()
}

// publish renews the snapshot after a change; the caller holds mu.
func (n *vnode) publish() {
	view := n.st.View()
	s := &snapshot{view: view, arc: view.Arc(), serving: n.serving, group: view.Group(n.p.cfg.Replicas)}
	if old := n.snap.Load(); old == nil || old.arc != s.arc || !slices.Equal(old.group, s.group) {
		n.epoch++
	}
	s.epoch = n.epoch
	s.settled = n.settled == n.epoch
	n.snap.Store(s)
}

// lock begins a critical section. A simulator that explores the orders in which tasks can run gets the chance to run another one first.
func (n *vnode) lock() {
	if n.p.yield != nil {
		n.p.yield()
	}
	n.mu.Lock()
}

// update applies an operation of package ring and returns what that reported and the snapshots before and after: the same one if the
// operation changed nothing.
func (n *vnode) update(op func(st *ring.State) bool) (before, after *snapshot, done bool) {
	n.lock()
	defer n.mu.Unlock()
	before = n.snap.Load()
	done = op(&n.st)
	if v := n.st.View(); v.Pred != before.view.Pred || !slices.Equal(v.Succs, before.view.Succs) {
		n.publish()
	}
	return before, n.snap.Load(), done
}

// setServing marks the node as having, or having lost, its place in the ring.
func (n *vnode) setServing(serving bool) {
	n.lock()
	defer n.mu.Unlock()
	n.serving = serving
	n.publish()
}

// setSettled records that all replicas agreed in the given epoch; it reports false if that is over.
func (n *vnode) setSettled(epoch uint64) bool {
	n.lock()
	defer n.mu.Unlock()
	if n.epoch != epoch {
		return false
	}
	n.settled = epoch
	n.publish()
	return true
}

// route asks the state for the way to id.
func (n *vnode) route(id ring.ID, avoid func(ring.ID) bool) ring.Step {
	n.lock()
	defer n.mu.Unlock()
	if n.p.near() {
		return n.st.RouteNear(id, avoid, n.p.toll)
	}
	return n.st.Route(id, avoid)
}

// fingers returns the finger table, which nobody may change.
func (n *vnode) fingers() []ring.Ref {
	n.lock()
	defer n.mu.Unlock()
	return n.st.Fingers()
}

// candidates returns the nodes that can be the finger that begins with first.
func (n *vnode) candidates(first ring.View) []ring.Ref {
	n.lock()
	defer n.mu.Unlock()
	return n.st.Candidates(first, max(1, n.p.cfg.FingerCandidates))
}

// dropFinger removes a dead node from the finger table.
func (n *vnode) dropFinger(dead ring.Ref) {
	n.lock()
	defer n.mu.Unlock()
	n.st.DropFinger(dead)
}

// nextFinger returns the finger interval that fix_fingers has to look up now: its start, and the cursor to give back to setFinger.
func (n *vnode) nextFinger() (target, behind ring.ID, ok bool) {
	n.lock()
	defer n.mu.Unlock()
	reach := n.st.Reach()
	if behind = n.fingerCursor; !ring.Between(reach, behind, n.self.ID) {
		behind = reach
	}
	if target, ok = n.st.NextFinger(behind); !ok {
		n.fingerCursor = n.self.ID // come round: the next pass begins behind the successor list again
	}
	return target, behind, ok
}

// setFinger stores the successor of nextFinger's target and reports whether the pass goes on.
func (n *vnode) setFinger(behind ring.ID, f ring.Ref) (more bool) {
	n.lock()
	defer n.mu.Unlock()
	n.fingerCursor = n.self.ID
	if more = n.st.SetFinger(behind, f); more {
		n.fingerCursor = f.ID
	}
	return more
}

// offer remembers a node that notified this one, unless one that is as close waits already. It reports whether a task has to be started to
// rectify.
func (n *vnode) offer(c ring.Ref) (start bool) {
	n.lock()
	defer n.mu.Unlock()
	if n.candidate.IsZero() || ring.Between(n.candidate.ID, c.ID, n.self.ID) {
		n.candidate = c
	}
	start = !n.rectifying
	n.rectifying = true
	return start
}

// takeCandidate returns the node that waits to be rectified; ok is false, and the task ends, if there is none.
func (n *vnode) takeCandidate() (c ring.Ref, ok bool) {
	n.lock()
	defer n.mu.Unlock()
	c, n.candidate = n.candidate, ring.Ref{}
	n.rectifying = !c.IsZero()
	return c, n.rectifying
}

// swapRepairStop stores what cancels the next repair and returns what cancels the one before.
func (n *vnode) swapRepairStop(stop func()) (old func()) {
	n.lock()
	defer n.mu.Unlock()
	old, n.repairStop = n.repairStop, stop
	return old
}

// check verifies the cheap invariants of the state.
func (n *vnode) check() error {
	n.lock()
	defer n.mu.Unlock()
	return n.st.Check()
}

// memory is what a process remembers besides its nodes' states.
type memory struct {
	suspectCount atomic.Int32 // len(suspects): the data path looks here first
	heard        atomic.Int32 // len(roster.nodes), the same
	minority     atomic.Bool  // of census, the same
	cut          atomic.Bool  // of census, the same

	mu       sync.Mutex
	pins     []pin
	known    []string                 // addresses of other processes, most recently seen last; replaced, never changed in place
	met      [2][]ring.Ref            // lists that are to be added to known: most of a million processes never need to
	absent   []string                 // those known from an earlier run that have not been seen in this one
	suspects map[string]time.Time     // until when a process is asked last
	healStop func()                   // cancels the timer of the next heal
	awaited  map[uint64]func(Arrival) // queries without an answer, by number, and who wants it
	roster   roster
	census   *census // nil until somebody was heard of, which most of a million processes never were
	repairs  repairs
	recalled int // how many were known from an earlier run
	contact  contact

	suspectUntil int64 // Unix time in ns at which the last of suspects is over
}

// repairs are the nodes of a process whose arcs are compared with their replicas, and those that wait for that, in order.
type repairs struct {
	running int
	waiting []*vnode
}

// beginRepair reports whether a node may repair its arc now, because fewer than most do; else it is put in line.
func (m *memory) beginRepair(n *vnode, most int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.repairs.running == most {
		m.repairs.waiting = append(m.repairs.waiting, n)
		return false
	}
	m.repairs.running++
	return true
}

// endRepair returns the node whose turn it is when one has repaired its arc; nil if none waits.
func (m *memory) endRepair() (next *vnode) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.repairs.waiting) == 0 {
		m.repairs.running--
		return nil
	}
	next = m.repairs.waiting[0]
	m.repairs.waiting = slices.Delete(m.repairs.waiting, 0, 1)
	return next
}

// waitingRepairs returns how many nodes wait.
func (m *memory) waitingRepairs() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.repairs.waiting)
}

type pin struct {
	arc   ring.Arc
	until time.Time
}

// maxPins bounds the memory of a process; a pin lives for seconds.
const maxPins = 4096

// suspect remembers that the process at addr did not answer; it reports whether that is news.
func (m *memory) suspect(addr string, now, until time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.suspects == nil {
		m.suspects = make(map[string]time.Time)
	}
	old, ok := m.suspects[addr]
	m.suspects[addr] = until
	m.suspectUntil = max(m.suspectUntil, until.UnixNano())
	m.suspectCount.Store(int32(len(m.suspects)))
	return !ok || !now.Before(old)
}

// trust forgets a suspicion because the process answered.
func (m *memory) trust(addr string) {
	if m.suspectCount.Load() == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.suspects, addr)
	m.suspectCount.Store(int32(len(m.suspects)))
}

// suspected reports whether the process at addr failed to answer lately.
func (m *memory) suspected(addr string, now time.Time) bool {
	if m.suspectCount.Load() == 0 {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.UnixNano() >= m.suspectUntil {
		clear(m.suspects)
		m.suspectCount.Store(0)
	}
	until, ok := m.suspects[addr]
	return ok && now.Before(until)
}

// keep pins an arc. An arc within a pinned one shares its pin.
func (m *memory) keep(arc ring.Arc, now, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.pins {
		if p := &m.pins[i]; p.arc.Contains(arc.After.Next()) && p.arc.Contains(arc.Through) {
			p.until = until
			return
		}
	}
	m.pins = slices.DeleteFunc(m.pins, func(p pin) bool { return !now.Before(p.until) })
	if len(m.pins) == maxPins {
		m.pins = slices.Delete(m.pins, 0, 1)
	}
	m.pins = append(m.pins, pin{arc, until})
}

// pinned reports whether any part of the arc is pinned.
func (m *memory) pinned(arc ring.Arc, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.pins, func(p pin) bool {
		return now.Before(p.until) && (p.arc.Contains(arc.After.Next()) || arc.Contains(p.arc.After.Next()))
	})
}

// recall adds addresses known from an earlier run.
func (m *memory) recall(addrs []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known = slices.Clone(m.known)
	for _, a := range addrs {
		if !slices.Contains(m.known, a) && len(m.known) < maxKnown {
			m.known = append(m.known, a)
			m.absent = append(m.absent, a)
		}
	}
	m.recalled = len(m.absent)
}

// complete reports whether everybody known from an earlier run has been seen in this one.
func (m *memory) complete() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.absent) == 0
}

// mostlyBack reports whether most of those known from an earlier run, and of the own process, have been seen in this one.
func (m *memory) mostlyBack() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return 2*(m.recalled-len(m.absent)+1) > m.recalled+1
}

// meet remembers the addresses of processes that are in the ring but the own one. Nobody may change refs any more.
func (m *memory) meet(refs []ring.Ref, own string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.absent = slices.DeleteFunc(m.absent, func(a string) bool {
		return slices.ContainsFunc(refs, func(r ring.Ref) bool { return r.Addr == a })
	})
	for i := range m.met {
		if m.met[i] == nil {
			m.met[i] = refs
			return
		}
	}
	m.fold(own)
	m.met[0] = refs
}

// fold adds met to known; the caller holds mu.
func (m *memory) fold(own string) {
	for i := range m.met {
		m.known = withAddrs(m.known, m.met[i], own)
		m.met[i] = nil
	}
}

// hear remembers the address of a process of which nobody knows yet whether it is in the ring.
func (m *memory) hear(addr, own string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known = withAddrs(m.known, []ring.Ref{{Addr: addr}}, own)
}

// enrol notes the nodes of a process that is said to be alive.
func (m *memory) enrol(nodes []ring.Ref, room int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roster.add(nodes, room)
	m.heard.Store(int32(len(m.roster.nodes)))
}

// strike forgets the nodes of a process that is said to be dead.
func (m *memory) strike(nodes []ring.Ref) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roster.drop(nodes)
	m.heard.Store(int32(len(m.roster.nodes)))
}

// consult asks the roster about an identifier.
func (m *memory) consult(question func(*roster, ring.ID) []ring.Ref, id ring.ID) []ring.Ref {
	if m.heard.Load() == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return question(&m.roster, id)
}

// count has the census of the process with the given seat take something in, if there is anything, and forget those who were dead at a time already. It reports
// what comes of it, and whether the answer to the question who has the majority is another one by that.
func (m *memory) count(self seat, take func(*census), forget time.Time) (s Standing, turned bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.census == nil && take == nil:
		return Standing{Alive: 1}, false
	case m.census == nil:
		m.census = &census{self: self}
	}
	if take != nil {
		take(m.census)
	}
	m.census.forget(forget)
	s = m.census.standing()
	m.cut.Store(m.census.cut())
	return s, m.minority.Swap(s.Minority) != s.Minority
}

// hears reports whether anybody says who is alive.
func (m *memory) hears() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.census != nil
}

// contact is what a process knows of its Contact, in Unix milliseconds.
type contact struct {
	since, until int64
	held         bool  // it is in contact, and has looked last at until
	touched      int64 // up to when it has missed nothing by what others in contact say, but is not reconciled with all yet
	waiting      int64 // since when it is not held; 0: it has joined without records
	rounds       int   // since then, or since it was cut off: how often nobody knew that it has missed too much
}

// recallContact notes the contact of an earlier run.
func (m *memory) recallContact(c Contact) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.contact = contact{since: millis(c.Since), until: millis(c.Until)}
}

// beginContact notes that the process has become a member. It reports whether it was one before.
func (m *memory) beginContact(at time.Time, founder bool) (back bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, now := &m.contact, millis(at)
	if c.until > 0 {
		c.touched, c.waiting = c.until, now
		return true
	}
	*c = contact{since: now, until: now, touched: now, held: founder && m.recalled == 0}
	return false
}

// contactNow returns the contact up to when the process looked last, and whether it went on then.
func (m *memory) contactNow() Contact {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Contact{ofMillis(m.contact.since), ofMillis(m.contact.until), m.contact.held}
}

// reach returns the contact that the process has at least, and since when it waits to be in contact again.
func (m *memory) reach() (c Contact, waiting time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Contact{Since: ofMillis(m.contact.since), Until: ofMillis(max(m.contact.touched, m.contact.until))}, ofMillis(m.contact.waiting)
}

// loseContact ends the contact.
func (m *memory) loseContact(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.contact.held, m.contact.touched, m.contact.waiting, m.contact.rounds = false, m.contact.until, millis(now), 0
}

// extendContact notes that the contact goes on.
func (m *memory) extendContact(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.contact.until = millis(now)
}

// round notes that nobody knew that the process has missed too much, or that it is cut off and cannot tell.
func (m *memory) round(cut bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.contact.rounds++; cut {
		m.contact.rounds = 0
	}
}

// doubts reports whether the process may have missed more than so much: it was out of contact for longer, and has not asked around twice yet.
func (m *memory) doubts(much time.Duration, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &m.contact
	return c.until > 0 && !c.held && c.rounds < 2 && millis(now)-max(c.until, c.touched) > much.Milliseconds()
}

// touch notes that the process has missed nothing.
func (m *memory) touch(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.contact.touched = millis(now)
}

// gainContact begins a contact with the cluster that has gone on since a time.
func (m *memory) gainContact(since, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.contact = contact{since: millis(since), until: millis(now), held: true}
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func ofMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// acquaintances returns the remembered addresses, which nobody may change.
func (m *memory) acquaintances(own string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fold(own)
	return m.known
}

// swapHealStop stores what cancels the next heal and returns what cancels the one before.
func (m *memory) swapHealStop(stop func()) (old func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, m.healStop = m.healStop, stop
	return old
}

// await notes a query of this process, and what is done with its answer.
func (m *memory) await(number uint64, deliver func(Arrival)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.awaited == nil {
		m.awaited = make(map[uint64]func(Arrival))
	}
	m.awaited[number] = deliver
}

// arrived forgets a query and returns what is to be done with its answer, nil if there is no such query, or there was an answer before.
func (m *memory) arrived(number uint64) (deliver func(Arrival)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	deliver = m.awaited[number]
	delete(m.awaited, number)
	return deliver
}

// window remembers which versions the latest requests were given, zero where a condition did not hold, so that a retried write is not applied twice. It holds two
// generations and drops the older one when the younger is full. The lanes are for writes too, and most processes of a million see none.
type window struct {
	shards [windowShards]struct {
		mu         sync.Mutex
		young, old map[RequestID]Version
	}
	lanes [windowShards]lane
}

// lane is where plain writes meet the first conditional operation on a key. A plain write sends its record to all replicas at once, and what got into the own
// store since it read the key would be overwritten by a record that does not remember it in its History. So whoever is about to give a key its History waits
// until the plain writes on their way are in the own store; those that begin meanwhile, or find the History, go by the own store first.
type lane struct {
	plain   atomic.Int32 // writes that have begun and are not in the own store yet
	fences  atomic.Int32 // operations that let no more of them begin
	mu      sync.Mutex
	waiting []func() // for plain to be 0
	_       [24]byte // to the end of a cache line: a plain write changes it twice
}

// enter begins a plain write; it reports false if that has to go by the own store.
func (l *lane) enter() bool {
	l.plain.Add(1)
	if l.fences.Load() == 0 {
		return true
	}
	l.leave()
	return false
}

// leave says that a plain write is in the own store.
func (l *lane) leave() {
	if l.plain.Add(-1) > 0 || l.fences.Load() == 0 {
		return
	}
	l.mu.Lock()
	waiting := l.waiting
	l.waiting = nil
	l.mu.Unlock()
	for _, wake := range waiting {
		wake()
	}
}

// quiet calls wake when no plain write is on its way, at once or later. There must be a fence, or that could be never.
func (l *lane) quiet(wake func()) {
	l.mu.Lock()
	l.waiting = append(l.waiting, wake)
	l.mu.Unlock()
	if l.plain.Load() == 0 {
		wake()
	}
}

const (
	windowShards     = 64
	windowGeneration = 4096 // requests per shard and generation: 262,144 to 524,288 in all, some 40 MB at most
)

// add remembers the version of a request.
func (w *window) add(r RequestID, v Version) {
	s := &w.shards[r[0]%windowShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.young == nil {
		s.young = make(map[RequestID]Version)
	}
	if len(s.young) >= windowGeneration {
		s.young, s.old = make(map[RequestID]Version), s.young
	}
	s.young[r] = v
}

// lane returns the lane of a key.
func (w *window) lane(key []byte) *lane {
	h := uint32(2166136261) // FNV-1a
	for _, b := range key {
		h = (h ^ uint32(b)) * 16777619
	}
	return &w.lanes[(h^h>>16)%windowShards]
}

// find returns the version that a request was given.
func (w *window) find(r RequestID) (Version, bool) {
	s := &w.shards[r[0]%windowShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.young[r]
	if !ok {
		v, ok = s.old[r]
	}
	return v, ok
}

// inbox hands the results of calls to the one task that waits for them.
type inbox struct {
	mu    sync.Mutex
	ended []ended
	wake  func() // nil: nobody waits
}

// ended is a call, by number, that has ended.
type ended struct {
	i   int
	err error
}

// put adds a result and returns what wakes the task that waits for it.
func (b *inbox) put(i int, err error) (wake func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = append(b.ended, ended{i, err})
	wake, b.wake = b.wake, nil
	if wake == nil {
		return func() {}
	}
	return wake
}

// take returns the first result. If there is none, the next will call wake.
func (b *inbox) take(wake func()) (i int, err error, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wake = nil
	if len(b.ended) == 0 {
		b.wake = wake
		return 0, nil, false
	}
	first := b.ended[0]
	b.ended = b.ended[1:]
	return first.i, first.err, true
}
