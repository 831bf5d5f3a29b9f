package ring

import (
	"fmt"
	"math/big"
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

// starts are where the finger intervals of a base begin, for a node at self: at self + d*base^k.
func starts(self ID, base int) (list []ID) {
	for power := big.NewInt(1); power.BitLen() <= Bits; power = new(big.Int).Mul(power, big.NewInt(int64(base))) {
		for d := 1; d < base; d++ {
			var distance ID
			if x := new(big.Int).Mul(power, big.NewInt(int64(d))); x.BitLen() <= Bits {
				list = append(list, self.Add(ID(x.FillBytes(distance[:]))))
			}
		}
	}
	return list
}

// fingerTable is [ToN] section IV-C: the successors of self + 2^k for all k, or of another base, without repetition, self and those in the list.
func fingerTable(s *State, base int, owner func(ID) Ref) (table []Ref) {
	for _, start := range starts(s.self.ID, base) {
		f := owner(start)
		if f != s.self && !slices.Contains(s.succs, f) && !slices.Contains(table, f) {
			table = append(table, f)
		}
	}
	return table
}

// TestFingers: a pass leaves exactly the distinct fingers beyond the list, whatever was there before, and takes one lookup each
// and at most one to find out that it has come round.
func TestFingers(t *testing.T) {
	for _, base := range []int{2, 4, 8, MaxFingerBase} {
		t.Run(fmt.Sprint("base=", base), func(t *testing.T) { testFingers(t, base) })
	}
}

func testFingers(t *testing.T, base int) {
	rng := rand.New(rand.NewPCG(11, 12))
	for _, n := range []int{1, 2, 3, 4, 5, 8, 17, 64, 257, 1000} {
		for _, r := range []int{1, 2, 3, 8, 16} {
			if base > 2 && (n > 257 || r == 8) {
				continue // some of them will do
			}
			members, before := randomMembers(rng, n), randomMembers(rng, n)
			owner := successorIn(members)
			for range 12 {
				self := members[rng.IntN(n)]
				right := NewState(self, r)
				right.SpaceFingers(base)
				right.Ideal(members)
				want := fingerTable(right, base, owner)
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
				stale.SpaceFingers(base)
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

// TestChosenFingers: whichever of the candidates is the finger of each interval, they all lie in the interval, n of them or all that there are; the state is
// sound, and IdealFingers comes to the same.
func TestChosenFingers(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for _, n := range []int{1, 2, 5, 40, 500} {
		for _, base := range []int{2, 16} {
			members := randomMembers(rng, n)
			owner := successorIn(members)
			for range 20 {
				self := members[rng.IntN(n)]
				s, ideal := NewState(self, 3), NewState(self, 3)
				for _, s := range []*State{s, ideal} {
					s.SpaceFingers(base)
					s.Ideal(members)
				}
				limit := 1 + rng.IntN(8)
				luck := rng.Uint64()
				choose := func(c []Ref) Ref { return c[(uint64(c[0].ID[19])^luck)%uint64(len(c))] }
				fixFingers(s, func(target ID) Ref {
					first := owner(target)
					at := slices.Index(members, first)
					c := s.Candidates(View{Self: first, Succs: slices.Concat(members[at+1:], members[:at])}, limit)
					wantCandidates(t, s, base, target, c, limit, members)
					return choose(c)
				})
				ideal.IdealFingers(members, limit, choose)
				wantFingers(t, s, ideal.Fingers(), "of a pass")
			}
		}
	}
}

// wantCandidates: those that can be the finger of the first interval from start on in which a node is, self apart.
func wantCandidates(t *testing.T, s *State, base int, start ID, got []Ref, limit int, members []Ref) {
	t.Helper()
	if got[0] == s.self {
		return // nobody is left before the circle closes
	}
	end := s.self.ID
	for _, next := range slices.Backward(starts(s.self.ID, base)) {
		if Between(got[0].ID, next, s.self.ID) {
			end = next
		}
	}
	var want []Ref
	for m := got[0]; m.ID == got[0].ID || Between(got[0].ID, m.ID, end); m = successorIn(members)(m.ID.Next()) {
		if want = append(want, m); len(want) == limit || len(want) == len(members) {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v, base %d, from %s on: got %v, want %v", s.self, base, start, labels(got), labels(want))
	}
}
