package ring

import (
	"fmt"
	"slices"
)

// State is what one node knows of the ring. Its methods are the operations of [Zave] section IV; each takes what was read
// from another node as a [View] and does nothing, returning false, if the state has moved on since (compare-and-set), because
// whatever a node read before it waited may be stale afterwards. A State is not safe for concurrent use.
//
// Invariants of one node, which Check verifies: the successor list is clockwise from self without duplicates, never holds
// self, and has at most r entries; the predecessor is never unset, and it is the node itself only while the list is empty; the
// fingers are clockwise, distinct and beyond the list. Which of the nodes of an interval a finger is, is left open: routing makes progress with any.
//
// Deviation: where [Zave] pads a list that lost its dead head with the artificial entry "last + 1", the list just gets
// shorter; the next stabilization fills it up. The pair (last, last + 1) has nothing between it, so neither form ever skips a
// node that the other does not; the model checker runs both.
//
// Deviation: a ring of fewer than r+1 nodes wraps; a list is cut before the first entry that is not strictly between its
// predecessor in the list and self. In a ring that satisfies the invariant of [Zave] (at least r+1 principals) that never happens.
type State struct {
	self    Ref
	pred    Ref
	succs   []Ref // replaced, never changed in place: views share it
	fingers []Ref // distinct, clockwise from self, all beyond the last of succs; replaced, never changed in place
	r       int
	extra   int // bits beyond the first of a digit in the base of the fingers: see SpaceFingers
}

// NewState returns the state of a node that is alone: create() of [ToN] Fig. 6. r is the length of the successor list, at
// least 1.
func NewState(self Ref, r int) *State {
	if r < 1 {
		panic(fmt.Sprintf("ring: successor list of length %d", r))
	}
	return &State{self: self, pred: self, r: r}
}

// Ideal sets the state that self has in the ideal ring of the given members: every pointer right. The members are sorted
// clockwise from 0 and include self; they must not change afterwards, because the successor list may be a part of them: so a million
// states of one program have it in common. This is how a ring of at least r+1 nodes comes into being at once, the base that the
// proof of [Zave] starts from.
func (s *State) Ideal(members []Ref) {
	i, ok := slices.BinarySearchFunc(members, s.self.ID, func(m Ref, id ID) int { return m.ID.Compare(id) })
	if !ok {
		panic("ring: Ideal: self is not a member")
	}
	n := len(members)
	s.pred = members[(i+n-1)%n]
	r := min(s.r, n-1)
	if first := i + 1; first+r <= n {
		s.succs = members[first : first+r : first+r]
	} else {
		s.succs = slices.Concat(members[first:], members[:first+r-n])
	}
	s.fingers = s.idealFingers(members, func(at int) Ref { return members[at] })
}

// IdealFingers sets the fingers that passes of fix_fingers come to which choose, each time, among up to n candidates.
func (s *State) IdealFingers(members []Ref, n int, choose func(candidates []Ref) Ref) {
	s.fingers = s.idealFingers(members, func(at int) Ref {
		end := min(at+n, len(members))
		rest := members[at+1 : end]
		if wraps := n - (end - at); wraps > 0 {
			rest = slices.Concat(rest, members[:min(wraps, at)])
		}
		return choose(s.Candidates(View{Self: members[at], Succs: rest}, n))
	})
}

// idealFingers returns what a pass of fix_fingers finds with the members for an oracle, which of those from one on chooses one.
func (s *State) idealFingers(members []Ref, choose func(at int) Ref) []Ref {
	fingers := make([]Ref, 0, 24) // as many as a ring of ten million nodes has
	for behind := s.Reach(); ; {
		target, ok := s.NextFinger(behind)
		if !ok {
			break
		}
		j, _ := slices.BinarySearchFunc(members, target, func(m Ref, id ID) int { return m.ID.Compare(id) })
		f := choose(j % len(members))
		if !s.starts(target, f) {
			break
		}
		fingers = append(fingers, f)
		behind = f.ID
	}
	return slices.Clone(fingers) // without the room to grow
}

// Self returns the node that the state belongs to.
func (s *State) Self() Ref { return s.self }

// Predecessor returns the predecessor, the node itself while it is alone.
func (s *State) Predecessor() Ref { return s.pred }

// Successor returns the first of the successor list, the node itself if the list is empty.
func (s *State) Successor() Ref {
	if len(s.succs) == 0 {
		return s.self
	}
	return s.succs[0]
}

// View returns what others may keep. Nobody may change its list, which the state has as well; a change of the state makes a new one.
func (s *State) View() View {
	return View{Self: s.self, Pred: s.pred, Succs: slices.Clip(s.succs)}
}

// Join makes the node a member: it takes over the list of m, the node before it, and sets its predecessor to m [Zave, Join].
// It reports false, and the lookup that found m has to be repeated, if the node does not lie between m and m's successor.
//
// A node that comes back under its old identifier may still stand at the head of m's list; then it takes the rest.
func (s *State) Join(m View) bool {
	succs := m.Succs
	if len(succs) > 0 && succs[0].ID == s.self.ID {
		succs = succs[1:]
	}
	next := m.Self
	if len(succs) > 0 {
		next = succs[0]
	}
	if !Between(m.Self.ID, s.self.ID, next.ID) && !mutantJoinAnywhere.on() {
		return false
	}
	if len(succs) == 0 {
		succs = []Ref{m.Self} // m was alone
	}
	s.pred = m.Self
	s.succs = s.ordered(succs[0], succs[1:])
	s.trimFingers()
	return true
}

// AdoptSuccessor makes the node of v the first successor, only ever together with its own list. That is both the refresh of
// the present successor [Zave, StabilizeFromSuccessor] and the change to a closer one [StabilizeFromPredecessor]; v must have
// been read from the live node. It reports false if v's node is neither.
//
// A node that was alone takes the last of the list for its predecessor: as far as it knows that one precedes it, and it must
// not go on to claim the whole circle until somebody notifies it. The proof of [Zave] holds for any predecessor.
func (s *State) AdoptSuccessor(v View) bool {
	succ := s.Successor()
	if v.Self.ID != succ.ID && !Between(s.self.ID, v.Self.ID, succ.ID) && !mutantAdoptAny.on() {
		return false
	}
	if v.Self.ID == s.self.ID {
		return false
	}
	if mutantAdoptBare.on() {
		v.Succs = nil
	}
	s.succs = s.ordered(v.Self, v.Succs)
	if s.pred.ID == s.self.ID {
		s.pred = s.succs[len(s.succs)-1]
	}
	s.trimFingers()
	return true
}

// Closer returns the node that may be a closer successor than v's, which is the present one: v's predecessor, if it lies
// between. It must be asked before it is adopted.
func (s *State) Closer(v View) (Ref, bool) {
	return v.Pred, Between(s.self.ID, v.Pred.ID, v.Self.ID)
}

// DropSuccessor removes the first successor because it is dead [Zave, StabilizeFromSuccessor]. It reports false if dead is not
// the first successor any more.
func (s *State) DropSuccessor(dead Ref) bool {
	if len(s.succs) == 0 || s.succs[0] != dead && !mutantDropAny.on() {
		return false
	}
	s.succs = s.succs[1:]
	return true
}

// AdoptPredecessor makes p the predecessor if it is closer than the present one; that one need not be asked [Zave, Rectify].
func (s *State) AdoptPredecessor(p Ref) bool {
	if !Between(s.pred.ID, p.ID, s.self.ID) && !mutantPredecessorAny.on() {
		return false
	}
	s.pred = p
	return true
}

// ReplacePredecessor makes p the predecessor in place of dead, which did not answer [Zave, Rectify]. It reports false if dead
// is not the predecessor any more. p may be the node itself, which then is alone as far as it knows, but only if its list is
// empty: with a successor left it is not alone, and must not claim the whole circle.
func (s *State) ReplacePredecessor(dead, p Ref) bool {
	if s.pred != dead || p == dead || p.ID == s.self.ID && len(s.succs) > 0 || mutantPredecessorKept.on() {
		return false
	}
	if mutantPredecessorUnset.on() {
		p = s.self
	}
	s.pred = p
	return true
}

// ordered returns the successor list that starts with first, which is not self, and goes on with the longest prefix of rest that runs
// clockwise without reaching self, at most r entries in all. It is the present list if that is the same, else a fresh one. Lists come from other
// nodes, so this is also where a disordered or hostile one is cut [Zave, erratum to section VI-B: NoDuplicates must hold
// before anything can be said about order].
func (s *State) ordered(first Ref, rest []Ref) []Ref {
	n, last := 0, first.ID
	for n < len(rest) && n+1 < s.r && Between(last, rest[n].ID, s.self.ID) {
		last = rest[n].ID
		n++
	}
	rest = rest[:n]
	if len(s.succs) == n+1 && s.succs[0] == first && slices.Equal(s.succs[1:], rest) {
		return s.succs
	}
	list := make([]Ref, 0, n+1)
	return append(append(list, first), rest...)
}
