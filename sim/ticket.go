package sim

import "time"

// ticket is what an event does that is no message: it begins a task, or goes on with one that waits.
type ticket struct {
	f           func() // begins; nil if task goes on
	task        *task
	incarnation uint32 // of the host's process: what was due for an earlier one is void
	use         uint32 // how often the ticket was used before, so that a late stop does not hit another's
}

// tickets are all tickets of a world. They are used again: the last one freed first, while it is in the cache.
type tickets struct {
	all  []ticket
	free []uint32
}

func (s *tickets) add(f func(), t *task, incarnation uint32) uint32 {
	if n := len(s.free); n > 0 {
		ref := s.free[n-1]
		s.free = s.free[:n-1]
		at := &s.all[ref]
		at.f, at.task, at.incarnation = f, t, incarnation
		return ref
	}
	s.all = append(s.all, ticket{f, t, incarnation, 0})
	return uint32(len(s.all) - 1)
}

// take empties a ticket and returns what it held: nothing if it was stopped.
func (s *tickets) take(ref uint32) (f func(), t *task, incarnation uint32) {
	at := &s.all[ref]
	f, t, incarnation = at.f, at.task, at.incarnation
	at.f, at.task = nil, nil
	at.use++
	s.free = append(s.free, ref)
	return f, t, incarnation
}

// schedule makes f begin as a task of h, nil for the harness, after d.
func (w *World) schedule(h *Host, kind StepKind, d time.Duration, f func()) (ref uint32) {
	number, incarnation := owner(h)
	ref = w.tickets.add(f, nil, incarnation)
	w.queue.add(w.now+max(d, 0), kind, number, ref)
	return ref
}

// wakeAt makes a suspended task go on at a virtual time.
func (w *World) wakeAt(at time.Duration, t *task) {
	number, incarnation := owner(t.host)
	w.queue.add(at, StepWake, number, w.tickets.add(nil, t, incarnation))
}

func owner(h *Host) (number int32, incarnation uint32) {
	if h == nil {
		return Harness, 0
	}
	return h.number, h.incarnation
}

// stopper returns what makes the event of a ticket do nothing.
func (w *World) stopper(ref uint32) (stop func()) {
	use := w.tickets.all[ref].use
	return func() {
		if s := &w.tickets.all[ref]; s.use == use {
			s.f = nil
		}
	}
}
