package ring

import "slices"

// The finger table of [ToN] section IV-C has 160 entries, entry k the successor of self + 2^k; in a ring of N nodes only some
// log2 N of them differ, and the successor list already knows the nearest. So the state keeps just the distinct fingers beyond
// the reach of its successor list, clockwise, and a pass of fix_fingers asks only for those: it starts at Reach, looks up
// NextFinger, stores the answer with SetFinger, goes on behind that answer, and has come round when either reports false.

// Fingers returns the distinct fingers beyond the successor list, clockwise. Nobody may change them; a change of the state makes new ones.
func (s *State) Fingers() []Ref { return slices.Clip(s.fingers) }

// Reach returns the identifier of the last node of the successor list: up to there, no finger is needed.
func (s *State) Reach() ID {
	if len(s.succs) == 0 {
		return s.self.ID
	}
	return s.succs[len(s.succs)-1].ID
}

// NextFinger returns the start of the first finger interval, self + 2^k, that lies behind the given node; false if there is
// none before the circle closes.
func (s *State) NextFinger(behind ID) (ID, bool) {
	k := Distance(s.self.ID, behind).bitLen()
	if k >= Bits {
		return ID{}, false
	}
	return s.self.ID.Add(PowerOfTwo(k)), true
}

// SetFinger records f as the successor of NextFinger(behind); no other finger belongs between the two, so those that stand
// there are dropped. It reports false, and drops everything after behind, if f does not lie past that start and before self:
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
