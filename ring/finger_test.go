package ring

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// fixFingers runs a pass of fix_fingers, answered by an oracle, and returns the number of lookups.
func fixFingers(s *State, owner func(ID) Ref) (lookups int) {
	for behind := s.Reach(); ; {
		target, ok := s.NextFinger(behind)
		if !ok {
			return lookups
		}
		lookups++
		f := owner(target)
		if !s.SetFinger(behind, f) {
			return lookups
		}
		behind = f.ID
	}
}

// randomMembers returns n nodes in order.
func randomMembers(rng *rand.Rand, n int) []Ref {
	members := make([]Ref, n)
	for i := range members {
		for k := range members[i].ID {
			members[i].ID[k] = byte(rng.Uint32())
		}
		members[i].Addr = fmt.Sprint("10.0.0.1:", i)
	}
	slices.SortFunc(members, func(a, b Ref) int { return a.ID.Compare(b.ID) })
	return members
}

// successorIn returns the oracle of a ring: the first of the members, which are in order, from id on.
func successorIn(members []Ref) func(ID) Ref {
	return func(id ID) Ref {
		i, _ := slices.BinarySearchFunc(members, id, func(m Ref, id ID) int { return m.ID.Compare(id) })
		return members[i%len(members)]
	}
}

// fingerTable is [ToN] section IV-C: the successors of self + 2^k for all k, without repetition, self and those in the list.
func fingerTable(s *State, owner func(ID) Ref) (table []Ref) {
	for k := range Bits {
		f := owner(s.self.ID.Add(PowerOfTwo(k)))
		if f != s.self && !slices.Contains(s.succs, f) && !slices.Contains(table, f) {
			table = append(table, f)
		}
	}
	return table
}

// TestFingers: a pass leaves exactly the distinct fingers beyond the list, whatever was there before, and takes one lookup each
// and at most one to find out that it has come round.
func TestFingers(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for _, n := range []int{1, 2, 3, 4, 5, 8, 17, 64, 257, 1000} {
		for _, r := range []int{1, 2, 3, 8, 16} {
			members, before := randomMembers(rng, n), randomMembers(rng, n)
			owner := successorIn(members)
			for range 12 {
				self := members[rng.IntN(n)]
				right := NewState(self, r)
				right.Ideal(members)
				want := fingerTable(right, owner)
				wantFingers(t, right, want, "State.Ideal")

				s := *right
				s.fingers = nil
				if got := fixFingers(&s, owner); got > len(want)+1 {
					t.Errorf("n=%d, r=%d: got %d lookups for %d fingers", n, r, got, len(want))
				}
				wantFingers(t, &s, want, "from an empty table")
				fixFingers(&s, owner)
				wantFingers(t, &s, want, "from the right table")

				// The whole ring was another, but for self.
				i, _ := slices.BinarySearchFunc(before, self.ID, func(m Ref, id ID) int { return m.ID.Compare(id) })
				stale := NewState(self, r)
				stale.Ideal(slices.Insert(slices.Clone(before), i, self))
				if stale.succs = nil; n > 1 {
					stale.AdoptSuccessor(View{Self: right.succs[0], Succs: right.succs[1:]})
				}
				fixFingers(stale, owner)
				wantFingers(t, stale, want, "from the table of another ring")

				// Somebody answers anything; afterwards the truth.
				hostile := *right
				hostile.fingers = nil
				fixFingers(&hostile, func(ID) Ref { return randomMembers(rng, 1)[0] })
				if err := hostile.Check(); err != nil {
					t.Error(err)
				}
				fixFingers(&hostile, owner)
				wantFingers(t, &hostile, want, "from lies")
			}
		}
	}
}

func wantFingers(t *testing.T, s *State, want []Ref, from string) {
	t.Helper()
	if got := s.Fingers(); !slices.Equal(got, want) {
		t.Errorf("%s: got fingers %v, want %v", from, got, want)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}

// TestSetFingerLate: a finger that the successor list has come to cover during the lookup is not stored, and the pass goes on.
func TestSetFingerLate(t *testing.T) {
	s := ideal(1, 0, 0, 10, 40, 80, 160)
	behind := s.Reach()
	s.AdoptSuccessor(view(2, 0))
	s.r = 3
	s.AdoptSuccessor(view(2, 0, 10, 40))
	if got := s.SetFinger(behind, point(40)); !got {
		t.Error("the pass ended")
	}
	if got, want := labels(s.Fingers()), "[80 160]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDropFinger(t *testing.T) {
	s := ideal(1, 0, 0, 10, 40, 80, 160)
	s.DropFinger(Ref{ID: point(80).ID, Addr: "elsewhere"})
	s.DropFinger(point(10))
	if got, want := labels(s.Fingers()), "[40 80 160]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	s.DropFinger(point(80))
	if got, want := labels(s.Fingers()), "[40 160]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
