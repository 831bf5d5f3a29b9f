package ring

import (
	"fmt"
	"math/bits"
	"slices"
)

// The finger table of [ToN] section IV-C has 160 entries, entry k the successor of self + 2^k; in a ring of N nodes only some
// log2 N of them differ, and the successor list already knows the nearest. So the state keeps just the distinct fingers beyond
// the reach of its successor list, clockwise, and a pass of fix_fingers asks only for those: it starts at Reach, looks up
// NextFinger, stores the answer with SetFinger, goes on behind that answer, and has come round when either reports false.
//
// A finger need not be the first node of its interval [self + 2^k, self + 2^(k+1)): any node of it halves the distance that is left
// [Gummadi et al., SIGCOMM 2003]. So the one that answers soonest of the first few, Candidates, may be chosen [ToN, section V-F]. And intervals may
// be narrower: with a base b of more than 2 there are b-1 fingers for each digit of the distance, and fewer hops [Li et al., INFOCOM 2005].

// Fingers returns the distinct fingers beyond the successor list, clockwise. Nobody may change them; a change of the state makes new ones.
func (s *State) Fingers() []Ref { return slices.Clip(s.fingers) }

// Reach returns the identifier of the last node of the successor list: up to there, no finger is needed.
func (s *State) Reach() ID {
	if len(s.succs) == 0 {
		return s.self.ID
	}
	return s.succs[len(s.succs)-1].ID
}

// SpaceFingers makes a finger interval reach from self + d*base^k to self + (d+1)*base^k, for each d from 1 to base-1. The base is a power of two from 2,
// which a new state has, to MaxFingerBase; fingers that do not fit stay until the next pass.
func (s *State) SpaceFingers(base int) {
	if base < 2 || base > MaxFingerBase || base&(base-1) != 0 {
		panic(fmt.Sprintf("ring: fingers of base %d", base))
	}
	s.extra = bits.TrailingZeros(uint(base)) - 1
}

// MaxFingerBase is the largest base of fingers.
const MaxFingerBase = 256

// NextFinger returns the start of the first finger interval that lies behind the given node; false if there is none before the circle closes.
func (s *State) NextFinger(behind ID) (ID, bool) {
	distance, digit := Distance(s.self.ID, behind), 1+s.extra
	low := max(0, distance.bitLen()-1) / digit * digit // bits behind its first digit
	next := distance.floor(low).Add(PowerOfTwo(low))
	return s.self.ID.Add(next), !next.IsZero()
}

// Candidates returns nodes of which each can be the finger that begins with first, the owner of the start of an interval: first itself and those that follow it in
// its list and in its interval, at most n.
func (s *State) Candidates(first View, n int) []Ref {
	end, more := s.NextFinger(first.Self.ID)
	if !more {
		end = s.self.ID
	}
	nodes := append(make([]Ref, 0, n), first.Self)
	for _, r := range first.Succs {
		if len(nodes) == n || !Between(nodes[len(nodes)-1].ID, r.ID, end) {
			break
		}
		nodes = append(nodes, r)
	}
	return nodes
}

// SetFinger records f as the finger that follows behind: the successor of NextFinger(behind), or a node that was chosen in its place among
// Candidates. No other finger belongs between behind and f, so those that stand there are dropped; one behind f, in the same interval, is dropped when
// the next finger is set. It reports false, and drops everything after behind, if f does not lie past that start and before self:
// the pass has come round. If the successor list has grown past f since the lookup began, f is not needed and the pass goes on.
func (s *State) SetFinger(behind ID, f Ref) bool {
	target, ok := s.NextFinger(behind)
	if !ok || !s.starts(target, f) {
		s.dropFingers(behind, s.self.ID)
		return false
	}
	if at, n := s.between(behind, f.ID.Next()); n != 1 || s.fingers[at] != f {
		s.dropFingers(behind, f.ID.Next())
		if len(s.succs) > 0 && (Arc{After: s.self.ID, Through: s.Reach()}).Contains(f.ID) {
			return true
		}
		at, _ = s.between(behind, s.self.ID)
		s.fingers = slices.Concat(s.fingers[:at], []Ref{f}, s.fingers[at:])
	}
	s.dropBeyond(f.ID)
	return true
}

// starts reports whether f can be the successor of the start of a finger interval: it lies there or past it, and before self.
func (s *State) starts(target ID, f Ref) bool {
	return (f.ID == target || Between(target, f.ID, s.self.ID)) && f.ID != s.self.ID
}

// between returns the place of the first finger strictly between after and before, len(s.fingers) if there is none, and how many there are.
func (s *State) between(after, before ID) (at, n int) {
	for at < len(s.fingers) && !Between(after, s.fingers[at].ID, before) {
		at++
	}
	for at+n < len(s.fingers) && Between(after, s.fingers[at+n].ID, before) {
		n++
	}
	return at, n
}

// dropBeyond drops the fingers behind the given node if no finger interval starts there: a pass would never come by.
func (s *State) dropBeyond(last ID) {
	if _, more := s.NextFinger(last); !more {
		s.dropFingers(last, s.self.ID)
	}
}

// dropFingers removes the fingers strictly between after and before.
func (s *State) dropFingers(after, before ID) {
	if at, n := s.between(after, before); n > 0 {
		s.fingers = slices.Concat(s.fingers[:at], s.fingers[at+n:])
	}
}

// DropFinger removes a dead node from the fingers.
func (s *State) DropFinger(dead Ref) {
	if at := slices.Index(s.fingers, dead); at >= 0 {
		s.fingers = slices.Concat(s.fingers[:at], s.fingers[at+1:])
	}
}

// trimFingers drops the fingers that the reach of the successor list has made superfluous.
func (s *State) trimFingers() {
	if reach := s.Reach(); reach != s.self.ID {
		s.dropFingers(s.self.ID, reach.Next())
		s.dropBeyond(reach)
	}
}
