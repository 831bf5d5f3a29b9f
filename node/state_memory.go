package node

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chordkv/chord/ring"
)

// memory is what a process remembers besides its nodes' states.
type memory struct {
	suspectCount atomic.Int32  // len(suspects): the data path looks here first
	heard        atomic.Int32  // len(roster.nodes), the same
	minority     atomic.Bool   // of census, the same
	cut          atomic.Bool   // of census, the same
	place        atomic.Uint64 // position, the same

	mu       sync.Mutex
	pins     []pin
	known    []string             // addresses of other processes, most recently seen last; replaced, never changed in place
	met      [2][]ring.Ref        // lists that are to be added to known: most of a million processes never need to
	absent   []string             // those known from an earlier run that have not been seen in this one
	suspects map[string]time.Time // until when a process is asked last
	departed departed
	healStop func()                   // cancels the timer of the next heal
	awaited  map[uint64]func(Arrival) // queries without an answer, by number, and who wants it
	roster   roster
	census   *census // nil until somebody was heard of, which most of a million processes never were
	repairs  repairs
	recalled int // how many were known from an earlier run
	contact  contact
	position position // zero until the first round trip to somebody who has a place

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

// move takes in a round trip to a process that says where it is.
func (m *memory) move(rtt time.Duration, to Coordinate, direction uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.position == (position{}) {
		m.position = newcomer
	}
	m.position = m.position.observe(rtt, to, direction)
	m.place.Store(uint64(m.position.coordinate()))
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

// miss notes that nodes of one process are missed until a time.
func (m *memory) miss(nodes []ring.Ref, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.departed.add(nodes, until)
}

// dismiss notes that nobody waits for the process at addr.
func (m *memory) dismiss(addr string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.departed.remove(addr)
}

// between returns the nodes from id on that would own it before another one does, and are missed or said to be alive.
func (m *memory) between(id, owner ring.ID, now time.Time) []ring.Ref {
	m.mu.Lock()
	defer m.mu.Unlock()
	arc := ring.Arc{After: id.Prev(), Through: owner}
	return append(m.departed.within(arc, now), m.roster.within(arc)...)
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
	m.known, m.met = m.folded(own), [2][]ring.Ref{refs}
}

// folded returns known with met added to it; the caller holds mu.
func (m *memory) folded(own string) (known []string) {
	known = m.known
	for _, refs := range m.met {
		known = withAddrs(known, refs, own)
	}
	return known
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

// acquaintances returns the remembered addresses, which nobody may change.
func (m *memory) acquaintances(own string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		return m.folded(own) // and keep nothing: most of a million processes share the one list that they have met, and would have one of addresses each
	}
	m.known, m.met = m.folded(own), [2][]ring.Ref{}
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
