package sim_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/sim"
)

// book is an Oracle by its definition: everybody who ever served, and when.
type book []entry

type entry struct {
	node       ring.Ref
	from, till time.Duration
}

const stillServes = time.Duration(1<<63 - 1)

// at returns the owner of an identifier at a moment.
func (b book) at(t time.Duration, id ring.ID) (owner ring.Ref, ok bool) {
	for _, e := range b {
		if t < e.from || t >= e.till {
			continue
		}
		if !ok || ring.Distance(id, e.node.ID).Less(ring.Distance(id, owner.ID)) {
			owner, ok = e.node, true
		}
	}
	return owner, ok
}

// The oracle agrees with the definition about every identifier, now and in the past minute, while nodes come and go.
func TestOracle(t *testing.T) {
	singleThreaded(t)
	r := sim.NewRand(1, "oracle", 0)
	point := func() ring.ID { return ring.ID{byte(r.Uint64())} }
	o := sim.NewOracle(time.Minute, 4)
	var b book
	right, wrong := 0, 0
	for step := range 3000 {
		now := time.Duration(step) * time.Second
		n := ring.Ref{ID: point(), Addr: fmt.Sprint("n", r.IntN(40))}
		serving := slices.IndexFunc(b, func(e entry) bool { return e.till == stillServes && e.node.ID == n.ID })
		switch {
		case serving < 0 && r.IntN(3) > 0:
			o.Add(now, n)
			b = append(b, entry{n, now, stillServes})
		case serving >= 0:
			b[serving].till = now
			o.Remove(now, b[serving].node)
			o.Remove(now, b[serving].node) // once more changes nothing
		}
		id := point()
		got, gotOK := o.Owner(id)
		want, wantOK := b.at(now, id)
		if got != want || gotOK != wantOK {
			t.Fatalf("owner of %v at %v: got %v, want %v", id, now, got, want)
		}
		// Somebody who may have been the owner lately.
		began := max(0, now-time.Duration(r.IntN(60))*time.Second)
		candidate, ok := b.at(began+time.Duration(r.IntN(int(now-began)+1)), id)
		if len(b) > 0 && r.IntN(2) == 0 {
			candidate, ok = b[r.IntN(len(b))].node, true
		}
		if !ok {
			continue
		}
		owned := false
		for at := began - time.Second; at <= now; at += time.Second { // what held until a moment counts at that moment
			owner, ok := b.at(at, id)
			owned = owned || ok && owner == candidate
		}
		if got := o.OwnedSince(began, id, candidate); got != owned {
			t.Fatalf("at %v: %v owned %v since %v: got %v, want %v", now, candidate, id, began, got, owned)
		}
		if owned {
			right++
		} else {
			wrong++
		}
	}
	if right < 500 || wrong < 500 {
		t.Errorf("%d candidates were right and %d wrong: the test proves less than it says", right, wrong)
	}
}

// A group is of distinct processes, each by its first node.
func TestOracleGroup(t *testing.T) {
	o := sim.NewOracle(time.Minute, 4)
	node := func(id byte, addr string) ring.Ref { return ring.Ref{ID: ring.ID{id}, Addr: addr} }
	for _, n := range []ring.Ref{node(10, "a"), node(20, "b"), node(30, "a"), node(40, "c"), node(50, "b")} {
		o.Add(0, n)
	}
	for _, tt := range []struct {
		id   byte
		n    int
		want []ring.Ref
	}{
		{15, 2, []ring.Ref{node(20, "b"), node(30, "a")}},
		{45, 3, []ring.Ref{node(50, "b"), node(10, "a"), node(40, "c")}},
		{51, 5, []ring.Ref{node(10, "a"), node(20, "b"), node(40, "c")}},
	} {
		if got := o.Group(ring.ID{tt.id}, tt.n); !slices.Equal(got, tt.want) {
			t.Errorf("group of %d, %d processes: got %v, want %v", tt.id, tt.n, got, tt.want)
		}
	}
}
