package node

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/chordkv/chord/ring"
)

// TestRoster compares a roster with a map, over random changes.
func TestRoster(t *testing.T) {
	const room = 40
	rng := rand.New(rand.NewPCG(1, 0))
	var r roster
	model := map[ring.ID]string{}
	for range 5000 {
		process := rng.IntN(30)
		addr := [...]string{"a", "b"}[rng.IntN(2)]
		nodes := []ring.Ref{{ID: idOf(process, 0), Addr: addr}, {ID: idOf(process, 1), Addr: addr}}
		if rng.IntN(3) > 0 {
			r.add(nodes, room)
			for _, n := range nodes {
				if _, ok := model[n.ID]; ok || len(model) < room {
					model[n.ID] = n.Addr
				}
			}
		} else {
			r.drop(nodes)
			for _, n := range nodes {
				if model[n.ID] == n.Addr {
					delete(model, n.ID)
				}
			}
		}
		var want []ring.Ref
		for id, addr := range model {
			want = append(want, ring.Ref{ID: id, Addr: addr})
		}
		slices.SortFunc(want, func(a, b ring.Ref) int { return a.ID.Compare(b.ID) })
		if !slices.Equal(r.nodes, want) {
			t.Fatalf("got %v, want %v", r.nodes, want)
		}
	}
	if r.outside == 0 {
		t.Error("60 nodes in a room for 40, and nobody is missing")
	}
}

// TestRosterAnswers: owners and those that precede are named in order, also round the end of the ring, by identifiers between nodes and by their own.
func TestRosterAnswers(t *testing.T) {
	var r roster
	if len(r.owners(ring.ID{1})) > 0 || len(r.preceding(ring.ID{1})) > 0 {
		t.Error("an empty roster names nodes")
	}
	n := func(first byte) ring.Ref { return ring.Ref{ID: ring.ID{first}, Addr: "a"} }
	r.add([]ring.Ref{n(10), n(20), n(30), n(40), n(50)}, 5)
	for _, c := range []struct {
		id                byte
		owners, preceding []ring.Ref
	}{
		{25, []ring.Ref{n(30), n(40), n(50), n(10)}, []ring.Ref{n(20), n(10), n(50), n(40)}},
		{20, []ring.Ref{n(20), n(30), n(40), n(50)}, []ring.Ref{n(10), n(50), n(40), n(30)}},
		{60, []ring.Ref{n(10), n(20), n(30), n(40)}, []ring.Ref{n(50), n(40), n(30), n(20)}},
		{0, []ring.Ref{n(10), n(20), n(30), n(40)}, []ring.Ref{n(50), n(40), n(30), n(20)}},
	} {
		if got := r.owners(ring.ID{c.id}); !slices.Equal(got, c.owners) {
			t.Errorf("owners of %d: got %v, want %v", c.id, got, c.owners)
		}
		if got := r.preceding(ring.ID{c.id}); !slices.Equal(got, c.preceding) {
			t.Errorf("preceding %d: got %v, want %v", c.id, got, c.preceding)
		}
	}
	r.add([]ring.Ref{n(60)}, 5)
	if got := r.owners(ring.ID{25}); got != nil {
		t.Errorf("somebody had no room, and still %v own it", got)
	}
	r.drop([]ring.Ref{n(60)})
	if got := r.owners(ring.ID{25}); len(got) == 0 {
		t.Error("he has died, and is still missed")
	}
}

func idOf(process, node int) ring.ID {
	return ring.Hash(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, uint16(process)), uint16(node)))
}
