package ring

import (
	"strings"
	"testing"
)

// TestCheck breaks each part of a good state; Check must say which.
func TestCheck(t *testing.T) {
	good := func() *State {
		s := NewState(point(100), 3)
		s.Ideal(points(10, 50, 100, 101, 110, 120, 150, 200, 240))
		return s
	}
	if err := good().Check(); err != nil {
		t.Fatalf("an ideal state: %v", err)
	}
	if got, want := labels(good().Fingers()), "[150 200 240]"; got != want {
		t.Fatalf("fingers: got %s, want %s", got, want)
	}
	if err := NewState(point(100), 3).Check(); err != nil {
		t.Fatalf("a node that is alone: %v", err)
	}
	for _, tt := range []struct {
		name  string
		spoil func(*State)
		want  string
	}{
		{"too long", func(s *State) { s.succs = points(101, 110, 120, 130) }, "4 successors, at most 3"},
		{"disordered", func(s *State) { s.succs = points(110, 101) }, "successor 1"},
		{"duplicate", func(s *State) { s.succs = points(101, 101) }, "successor 1"},
		{"self", func(s *State) { s.succs = points(100) }, "successor 0"},
		{"self at the end", func(s *State) { s.succs = points(101, 100) }, "successor 1"},
		{"past self", func(s *State) { s.succs = points(10, 50, 101) }, "successor 2"},
		{"no predecessor", func(s *State) { s.pred = Ref{} }, "no predecessor"},
		{"own predecessor", func(s *State) { s.pred = s.self }, "own predecessor"},
		{"finger in the list", func(s *State) { s.fingers = points(120, 150) }, "finger 0"},
		{"finger within the list", func(s *State) { s.fingers = points(105, 150) }, "finger 0"},
		{"fingers disordered", func(s *State) { s.fingers = points(200, 150) }, "finger 1"},
		{"fingers duplicate", func(s *State) { s.fingers = points(150, 150) }, "finger 1"},
		{"self a finger", func(s *State) { s.fingers = points(150, 100) }, "finger 1"},
		{"self the first finger", func(s *State) { s.fingers = points(100) }, "finger 0"},
		{"self a finger, no list", func(s *State) { s.succs, s.fingers = nil, points(100) }, "finger 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := good()
			tt.spoil(s)
			if err := s.Check(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	s := good()
	s.pred, s.succs, s.fingers = Ref{}, points(101, 101), points(101)
	if got, want := len(strings.Split(s.Check().Error(), "\n")), 3; got != want {
		t.Errorf("three things broken: got %d errors", got)
	}
}
