package rpc_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

func TestLookup(t *testing.T) {
	r := newFakeRing(t, 24)
	c := r.client(nil)
	most := 0
	for i := range 100 {
		id := ring.Hash(fakeKey(i))
		if i == 0 {
			id = ring.ID{0xff, 0xff} // its arc passes 0
		}
		var seen []rpc.Hop
		trace, err := c.Lookup(t.Context(), id, func(h rpc.Hop) { seen = append(seen, h) })
		if err != nil {
			t.Fatal(err)
		}
		group := look(r, func() []*fakeProcess { return r.group(id) })
		if trace.Owner.Self != group[0].self || !trace.Owner.Arc().Contains(id) || len(trace.Group) != 3 || trace.Group[2] != group[2].self {
			t.Errorf("lookup %v: got owner %v, group %v; want %v", id.Short(), trace.Owner.Self, trace.Group, group[0].self)
		}
		if len(seen) != len(trace.Hops) || trace.Elapsed <= 0 {
			t.Errorf("lookup %v: visited %d hops, trace has %d", id.Short(), len(seen), len(trace.Hops))
		}
		for _, h := range trace.Hops {
			if h.RTT <= 0 || h.Err != nil || h.Node.Addr == "" || h.Node.ID.IsZero() || h.Settled != (h.Arc != ring.Arc{}) {
				t.Errorf("lookup %v: hop %+v", id.Short(), h)
			}
		}
		last := trace.Hops[len(trace.Hops)-1]
		if !last.Settled || !last.Covered || last.Arc != trace.Owner.Arc() {
			t.Errorf("lookup %v: last hop %+v, want the owner's", id.Short(), last)
		}
		most = max(most, len(trace.Hops))
	}
	if most < 3 || most > 8 {
		t.Errorf("hops of the longest lookup on 24 nodes: got %d, want 3 to 8", most)
	}
}

// Half of the nodes die, at most two in a row, and nobody has noticed: the lookup goes round them.
func TestLookupAvoidsTheDead(t *testing.T) {
	r := newFakeRing(t, 16)
	members := r.all()
	for i, p := range members {
		if i%4 == 1 || i%4 == 2 {
			p.stop()
		}
	}
	c := r.client(nil)
	for i, p := range members {
		id := p.self.ID
		owner := members[i]
		for k := i; owner.dead(); k++ {
			owner = members[k%16]
		}
		trace, err := c.Lookup(t.Context(), id, nil)
		if err != nil {
			t.Fatal(err)
		}
		if trace.Owner.Self != owner.self {
			t.Errorf("lookup of node %d: got %v, want the first live node behind, %v", i, trace.Owner.Self, owner.self)
		}
		asked := map[ring.Ref]int{}
		for _, h := range trace.Hops {
			if h.Err != nil {
				asked[h.Node]++
			}
		}
		for n, times := range asked {
			if times != 1 {
				t.Errorf("lookup of node %d: dead node %v asked %d times, want once", i, n, times)
			}
		}
	}
}

// A node that joined is not in the successor lists yet, but its successor knows it: the lookup must not end at that one.
func TestLookupFindsANodeThatJustJoined(t *testing.T) {
	r := newFakeRing(t, 4)
	behind := r.all()[2]
	joined := r.start(ring.ID{0x90})
	r.set(func() {
		before := r.members[1].state
		joined.state = ring.NewState(joined.self, 3)
		if !joined.state.Join(before.View()) || !behind.state.AdoptPredecessor(joined.self) {
			t.Fatal("the node cannot join here")
		}
	})
	c := r.client(nil)
	trace, err := c.Lookup(t.Context(), joined.self.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	if trace.Owner.Self != joined.self {
		t.Errorf("owner: got %v, want %v", trace.Owner.Self, joined.self)
	}
	if n := len(trace.Hops); n < 2 || trace.Hops[n-2].Node != behind.self || trace.Hops[n-2].Covered {
		t.Errorf("hops: got %+v, want the successor first, which does not own the identifier", trace.Hops)
	}
	// And once it is dead, its successor is taken for the owner, because there is nobody else.
	joined.stop()
	trace, err = c.Lookup(t.Context(), joined.self.ID, nil)
	if err != nil || trace.Owner.Self != behind.self {
		t.Errorf("owner after its death: got %v, error %v; want %v", trace.Owner.Self, err, behind.self)
	}
}

func TestLookupEverybodyIsDead(t *testing.T) {
	r := newFakeRing(t, 3)
	c := r.client(nil)
	if _, err := c.Ring(t.Context(), nil); err != nil { // to know all three
		t.Fatal(err)
	}
	for _, p := range r.all() {
		p.stop()
	}
	trace, err := c.Lookup(t.Context(), ring.ID{1}, nil)
	if !errors.Is(err, node.ErrNoRoute) || !errors.Is(err, node.ErrUnreachable) {
		t.Errorf("got %v, want no route because nobody is there", err)
	}
	if e := opError(t, err); len(e.Attempted) != 3 || len(trace.Hops) != 3 {
		t.Errorf("got %+v with %d hops, want all three servers tried", e, len(trace.Hops))
	}
}

func TestRingWalk(t *testing.T) {
	r := newFakeRing(t, 40)
	dead := r.all()[7]
	dead.stop()
	c := r.client(nil)
	var progress []int
	members, err := c.Ring(t.Context(), func(asked, known int) {
		if asked > known {
			t.Errorf("asked %d of %d known nodes", asked, known)
		}
		progress = append(progress, asked)
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(members) != 40 || len(progress) != 40 || progress[39] != 40 {
		t.Fatalf("got %d members, progress %v; want 40 of each", len(members), progress)
	}
	for i, p := range r.all() {
		m := members[i]
		if m.Node != p.self {
			t.Errorf("member %d: got %v, want %v", i, m.Node, p.self)
		}
		if p == dead {
			if !errors.Is(m.Err, node.ErrUnreachable) {
				t.Errorf("the dead member: got error %v", m.Err)
			}
			continue
		}
		if want := look(r, p.state.View); m.Err != nil || m.RTT <= 0 || m.View.Pred != want.Pred || !slices.Equal(m.View.Succs, want.Succs) {
			t.Errorf("member %d: got %+v, want %+v", i, m, want)
		}
		if asked := look(r, func() int { return p.asked }); asked > 2 { // by the walk, and perhaps as a neighbor to meet
			t.Errorf("member %d was asked %d times", i, asked)
		}
	}
}

// A process that came back under another address is still named by its old one here and there: it is one member.
func TestRingWalkNodeWithTwoAddresses(t *testing.T) {
	r := newFakeRing(t, 6)
	old := r.all()[3]
	old.stop()
	fresh := r.start(old.self.ID)
	r.set(func() {
		refs := []ring.Ref{}
		for _, p := range r.members {
			if p != old {
				refs = append(refs, p.self)
			}
		}
		fresh.state = ring.NewState(fresh.self, 3)
		fresh.state.Ideal(refs)
		// Its successor knows already.
		r.members[5].state = ring.NewState(r.members[5].self, 3)
		r.members[5].state.Ideal(refs)
	})
	members, err := r.client(nil).Ring(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(members) != 6 || members[3].Node != fresh.self || members[3].Err != nil {
		t.Errorf("got %+v, want 6 members, the fourth at its new address", members)
	}
}

func TestRingWalkEndsWithItsContext(t *testing.T) {
	r := newFakeRing(t, 40)
	ctx, cancel := context.WithCancel(t.Context())
	members, err := r.client(nil).Ring(ctx, func(asked, _ int) {
		if asked == 10 {
			cancel()
		}
	})
	if opError(t, err); !errors.Is(err, context.Canceled) || len(members) >= 40 {
		t.Errorf("got %d members, error %v; want it to end early and to say so", len(members), err)
	}
}

func TestRingWalkNobodyThere(t *testing.T) {
	r := newFakeRing(t, 3)
	for _, p := range r.all() {
		p.stop()
	}
	start := time.Now()
	_, err := r.client(nil, r.all()...).Ring(t.Context(), nil)
	if e := opError(t, err); !errors.Is(err, node.ErrUnreachable) || len(e.Attempted) != 3 || time.Since(start) > 3*time.Second {
		t.Errorf("got %+v after %v, want all three servers unreachable, soon", e, time.Since(start))
	}
}
