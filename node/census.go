package node

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/chordkv/chord/ring"
)

// census is who belongs to the cluster, by hearsay: as many seats as processes are known, each taken by one that is alive or dead. Whoever stops in order
// leaves his seat; that of a dead one is taken by the next newcomer, or goes after Config.ForgetDead. So a cluster that is cut in two knows on either side how
// many it was, and one that loses and replaces its processes one by one does not count its losses for ever.
type census struct {
	self  seat
	alive []seat  // but the own, sorted
	dead  []death // the longest dead first

	forgotten int // of those who died before the process was cut off, or when it was
}

// seat stands for a process through all its restarts: the first 64 bits of the lowest of its identifiers.
type seat uint64

type death struct {
	seat seat
	at   time.Time
}

// maxSeats bounds the memory of a census, 128 KB. The first that were heard of stand for a cluster of more.
const maxSeats = 1 << 14

// seatOf returns the seat of the process that hosts the given nodes, one at least.
func seatOf(nodes []ring.Ref) seat {
	lowest := nodes[0].ID
	for _, n := range nodes[1:] {
		if n.ID.Compare(lowest) < 0 {
			lowest = n.ID
		}
	}
	return seat(binary.BigEndian.Uint64(lowest[:8]))
}

// enter notes that a process is said to be alive. A newcomer takes the seat of the one that is dead for longest, if any is.
func (c *census) enter(s seat) {
	at, known := slices.BinarySearch(c.alive, s)
	if known || s == c.self {
		return
	}
	switch {
	case c.bury(s):
	case len(c.dead) > 0:
		c.dead = slices.Delete(c.dead, 0, 1)
	case c.forgotten > 0:
		c.forgotten--
	}
	if len(c.alive)+len(c.dead) < maxSeats {
		c.alive = slices.Insert(c.alive, at, s)
	}
}

// die notes that a process is said to be dead. Who was not known to be alive is of no account: he is dead already, or forgotten.
func (c *census) die(s seat, now time.Time) {
	if c.leave(s) {
		c.dead = append(c.dead, death{s, now})
	}
}

// leave notes that a process says itself that it stops; it reports whether it was alive. One that is dead keeps its seat: somebody else speaks.
func (c *census) leave(s seat) (wasAlive bool) {
	at, wasAlive := slices.BinarySearch(c.alive, s)
	if wasAlive {
		c.alive = slices.Delete(c.alive, at, at+1)
	}
	return wasAlive
}

// bury takes a process off the dead; it reports whether it was one of them.
func (c *census) bury(s seat) (wasDead bool) {
	before := len(c.dead)
	c.dead = slices.DeleteFunc(c.dead, func(d death) bool { return d.seat == s })
	return len(c.dead) < before
}

// forget takes the seats of those that were dead at a time already.
func (c *census) forget(then time.Time) {
	cut, before := c.cut(), len(c.dead)
	c.dead = slices.DeleteFunc(c.dead, func(d death) bool { return !d.at.After(then) })
	if c.forgotten += before - len(c.dead); !cut {
		c.forgotten = 0
	}
}

// cut reports whether the process may be cut off from a part of the cluster that goes on without it: it has been in the minority, and those who were dead then
// have not come back, nor others in their place, though their seats may be taken since.
func (c *census) cut() bool {
	alive, lost := 1+len(c.alive), len(c.dead)+c.forgotten
	return lost > alive || lost == alive && (c.forgotten > 0 || c.lowestIsDead())
}

// standing counts the seats.
func (c *census) standing() Standing {
	s := Standing{Alive: 1 + len(c.alive), Dead: len(c.dead)}
	s.Minority = s.Dead > s.Alive || s.Dead == s.Alive && c.lowestIsDead()
	return s
}

// lowestIsDead decides between two halves.
func (c *census) lowestIsDead() bool {
	lowest := c.self
	if len(c.alive) > 0 {
		lowest = min(lowest, c.alive[0])
	}
	return slices.ContainsFunc(c.dead, func(d death) bool { return d.seat < lowest })
}

// Standing is what a process knows of its cluster by hearsay.
type Standing struct {
	Alive    int  // processes, itself among them
	Dead     int  // processes that did not say that they stop, and nobody has replaced since
	Minority bool // the dead are more than the living, or as many and the process with the lowest identifier is one of them
}
