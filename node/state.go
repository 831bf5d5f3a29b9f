package node

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/chordkv/chord/ring"
)

// This file and those named state_ are the only ones of the package that lock: this one for a ring node, state_memory.go for a process, state_contact.go for its contact with the
// cluster, state_requests.go for the data path. Their methods are short and call nothing of Peers, Runtime or Store, so that no lock is ever held across a wait.

// vnode is one ring node of a process.
type vnode struct {
	p    *Process
	self ring.Ref

	stabilizing atomic.Int32             // one round at a time: idle, running, or running with another one asked for
	rounds      atomic.Int32             // of stabilization since something has changed
	repairing   atomic.Bool              // or waiting for that
	progress    atomic.Pointer[progress] // of the comparison under way
	suspended   atomic.Bool              // somebody has a newer claim to the arc: nothing is decided until the own one is renewed

	snap atomic.Pointer[snapshot] // what the data path reads

	mu           sync.Mutex
	st           ring.State // in here: a lookup goes through many nodes, each far away in memory
	serving      bool
	epoch        uint64
	settled      uint64   // the epoch that was settled last
	candidate    ring.Ref // of the notifies that wait for rectify: the closest
	rectifying   bool     // a task works on candidate
	fingerCursor ring.ID  // fix_fingers goes on behind it
	outage       *outage
	repairStop   func() // cancels the timer of the next repair

	// Written with each write, so not beside what each reads.
	deciding  atomic.Int32 // writes
	heardHeir atomic.Int64 // when the node last knew from its heir that that had not taken over, Unix time in ns
	hearing   atomic.Bool  // a read has the heir asked
}

// snapshot is an immutable picture of a vnode.
type snapshot struct {
	view    ring.View
	arc     ring.Arc
	group   []ring.Ref // the N replicas of the arc, self first
	serving bool
	settled bool
	epoch   uint64 // grows with each change of the arc or the group

	outage *outage // of a settled arc: who is not given copies yet, because somebody may come back with his
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
		n.epoch = n.p.claims.next()
	}
	s.epoch = n.epoch
	s.settled = n.settled == n.epoch
	if s.settled && n.outage != nil && n.outage.held {
		s.outage = n.outage
	}
	n.snap.Store(s)
	if s.serving {
		n.p.claims.own(s.claim())
	}
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

// setSettled records that all replicas agreed in the given epoch, but for the copies that stand-ins lack if held; it reports false if that is over.
func (n *vnode) setSettled(epoch uint64, held bool) bool {
	n.lock()
	defer n.mu.Unlock()
	if n.epoch != epoch {
		return false
	}
	n.settled = epoch
	n.outage = n.outage.settled(held)
	n.publish()
	return true
}

// reclaim begins a new epoch of the node's arc; it reports false if the given one is over.
func (n *vnode) reclaim(s *snapshot) bool {
	n.lock()
	defer n.mu.Unlock()
	if n.epoch != s.epoch {
		return false
	}
	n.epoch = n.p.claims.next()
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
