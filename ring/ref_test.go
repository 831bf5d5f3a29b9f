package ring_test

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/chordkv/chord/ring"
)

// TestGroup: the first n distinct processes clockwise, each by the first of its nodes.
func TestGroup(t *testing.T) {
	at := func(i byte, addr string) ring.Ref { return ring.Ref{ID: ring.ID{i}, Addr: addr} }
	a1, a2, b3, a4, c5, b6, d7 := at(1, "a"), at(2, "a"), at(3, "b"), at(4, "a"), at(5, "c"), at(6, "b"), at(7, "d")
	v := ring.View{Self: a1, Pred: d7, Succs: []ring.Ref{a2, b3, a4, c5, b6, d7}}
	for n, want := range map[int][]ring.Ref{
		1: {a1}, 2: {a1, b3}, 3: {a1, b3, c5}, 4: {a1, b3, c5, d7}, 5: {a1, b3, c5, d7},
	} {
		if got := v.Group(n); !slices.Equal(got, want) {
			t.Errorf("Group(%d): got %v, want %v", n, got, want)
		}
	}
	if got, want := (ring.View{Self: a1, Pred: a1}).Group(3), []ring.Ref{a1}; !slices.Equal(got, want) {
		t.Errorf("alone: got %v, want %v", got, want)
	}
	if got, want := (ring.View{Self: a1, Pred: a2, Succs: []ring.Ref{a2}}).Group(3), []ring.Ref{a1}; !slices.Equal(got, want) {
		t.Errorf("one process with two nodes: got %v, want %v", got, want)
	}
	if got, want := v.Candidates(2), []ring.Ref{a1, b3, c5, d7}; !slices.Equal(got, want) {
		t.Errorf("Candidates(2): got %v, want %v", got, want)
	}
	if got, want := v.Arc(), (ring.Arc{After: d7.ID, Through: a1.ID}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestGroupOverZones: the nearest process of every zone, then the second nearest of each, and so on.
func TestGroupOverZones(t *testing.T) {
	north, south, west := ring.ZoneOf("north"), ring.ZoneOf("south"), ring.ZoneOf("west")
	at := func(i byte, addr string, z ring.Zone) ring.Ref { return ring.Ref{ID: ring.ID{i}, Zone: z, Addr: addr} }
	a1, b2, c3, d4, b5, e6, f7 := at(1, "a", north), at(2, "b", north), at(3, "c", north), at(4, "d", south), at(5, "b", north), at(6, "e", west), at(7, "f", 0)
	v := ring.View{Self: a1, Pred: f7, Succs: []ring.Ref{b2, c3, d4, b5, e6, f7}}
	for n, want := range [][]ring.Ref{{}, {a1}, {a1, d4}, {a1, d4, e6}, {a1, d4, e6, f7}, {a1, d4, e6, f7, b2}, {a1, d4, e6, f7, b2, c3}, {a1, d4, e6, f7, b2, c3}} {
		if got := v.Group(n); !slices.Equal(got, want) {
			t.Errorf("Group(%d): got %v, want %v", n, got, want)
		}
	}
	if got, want := v.Candidates(2), []ring.Ref{a1, d4, b2, e6}; !slices.Equal(got, want) {
		t.Errorf("Candidates(2): got %v, want %v", got, want)
	}
}

// TestCandidatesRememberTheGroup: of any ring, all that were in a group before one process came or went, the owner or another, are among the
// candidates afterwards.
func TestCandidatesRememberTheGroup(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	view := func(nodes []ring.Ref) ring.View { return ring.View{Self: nodes[0], Succs: nodes[1:]} }
	for range 4000 {
		zones := 1 + r.IntN(6)
		var with []ring.Ref
		for i := range 2 + r.IntN(16) {
			with = append(with, ring.Ref{ID: ring.ID{byte(i)}, Zone: ring.Zone(r.IntN(zones)), Addr: strconv.Itoa(r.IntN(16))})
		}
		addr := with[r.IntN(len(with))].Addr
		without := slices.DeleteFunc(slices.Clone(with), func(s ring.Ref) bool { return s.Addr == addr })
		if len(without) == 0 {
			continue
		}
		n := 1 + r.IntN(5)
		for _, change := range []struct {
			what          string
			before, after ring.View
		}{{"leave", view(with), view(without)}, {"join", view(without), view(with)}} {
			candidates := change.after.Candidates(n)
			for _, was := range change.before.Group(n) {
				if was.Addr != addr && !slices.ContainsFunc(candidates, func(c ring.Ref) bool { return c.Addr == was.Addr }) {
					t.Fatalf("%s of %s: %v was in the group of %d of %v, but the candidates of %v are %v", change.what, addr, was, n, change.before,
						change.after, candidates)
				}
			}
		}
	}
}
