package ring

import (
	"errors"
	"fmt"
)

// Check verifies what must hold of one node's state whatever the others do: the successor list is clockwise from self, without
// duplicates and self, and at most r long; the predecessor is set, and is the node itself only while the list is empty; the
// fingers are clockwise, distinct and beyond the list. It returns all that is broken, joined. A broken state is a bug of this package.
func (s *State) Check() error {
	var errs []error
	if len(s.succs) > s.r {
		errs = append(errs, fmt.Errorf("ring: %s: %d successors, at most %d allowed", s.self, len(s.succs), s.r))
	}
	last := s.self.ID
	for i, e := range s.succs {
		if !Between(last, e.ID, s.self.ID) {
			errs = append(errs, fmt.Errorf("ring: %s: successor %d, %s, is not behind the one before it", s.self, i, e))
			break
		}
		last = e.ID
	}
	switch {
	case s.pred.IsZero():
		errs = append(errs, fmt.Errorf("ring: %s: no predecessor", s.self))
	case s.pred.ID == s.self.ID && len(s.succs) > 0:
		errs = append(errs, fmt.Errorf("ring: %s: its own predecessor, but %s is its successor", s.self, s.succs[0]))
	}
	last = s.Reach()
	for i, f := range s.fingers {
		if f.ID == s.self.ID || !Between(last, f.ID, s.self.ID) {
			errs = append(errs, fmt.Errorf("ring: %s: finger %d, %s, is not behind the successor list and the finger before it", s.self, i, f))
			break
		}
		last = f.ID
	}
	return errors.Join(errs...)
}
