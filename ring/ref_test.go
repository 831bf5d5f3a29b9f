package ring_test

import (
	"slices"
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
	if got, want := v.Arc(), (ring.Arc{After: d7.ID, Through: a1.ID}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
