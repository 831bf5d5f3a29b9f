package sim

import (
	"slices"
	"time"

	"github.com/google/btree"

	"github.com/chordkv/chord/ring"
)

// Oracle knows what no node of a ring can know: all nodes that serve at the moment, and who came and went a short while ago. It says
// at which node a lookup should end, in O(log N).
type Oracle struct {
	nodes   *btree.BTreeG[ring.Ref]
	changes []change // in the order of time; those older than horizon may be missing
	horizon time.Duration
	reach   int
}

// change is a node that came, or went.
type change struct {
	at   time.Duration
	node ring.Ref
	came bool
}

// NewOracle returns an oracle that knows of no node. It forgets changes that are older than the horizon, which is to be longer than any lookup takes. reach is
// the length of the nodes' successor lists, from which they choose the replicas.
func NewOracle(horizon time.Duration, reach int) *Oracle {
	return &Oracle{
		nodes:   btree.NewG(32, func(a, b ring.Ref) bool { return a.ID.Less(b.ID) }),
		horizon: horizon, reach: reach,
	}
}

// Add tells that a node serves from now on.
func (o *Oracle) Add(now time.Duration, n ring.Ref) {
	if old, ok := o.nodes.ReplaceOrInsert(n); ok {
		if old == n {
			return
		}
		o.record(change{now, old, false})
	}
	o.record(change{now, n, true})
}

// Remove tells that a node has ended. It does nothing if the node is not known under that address.
func (o *Oracle) Remove(now time.Duration, n ring.Ref) {
	if old, ok := o.nodes.Get(n); !ok || old != n {
		return
	}
	o.nodes.Delete(n)
	o.record(change{now, n, false})
}

func (o *Oracle) record(c change) {
	if len(o.changes) == cap(o.changes) {
		// Before the slice grows, what is too old makes room.
		first, _ := slices.BinarySearchFunc(o.changes, c.at-o.horizon, func(c change, t time.Duration) int { return int(c.at - t) })
		if first > len(o.changes)/2 {
			o.changes = o.changes[:copy(o.changes, o.changes[first:])]
		}
	}
	o.changes = append(o.changes, c)
}

// Len returns how many nodes serve.
func (o *Oracle) Len() int { return o.nodes.Len() }

// Serves reports whether a node serves.
func (o *Oracle) Serves(n ring.Ref) bool {
	got, ok := o.nodes.Get(n)
	return ok && got == n
}

// Owner returns the node that owns an identifier: the first from there on, clockwise. ok is false if no node serves.
func (o *Oracle) Owner(id ring.ID) (owner ring.Ref, ok bool) {
	o.from(id, func(n ring.Ref) bool {
		owner, ok = n, true
		return false
	})
	return owner, ok
}

// Group returns the replica group of an identifier, as its owner will choose it when its successor list is right.
func (o *Oracle) Group(id ring.ID, n int) []ring.Ref {
	nodes := make([]ring.Ref, 0, 1+o.reach)
	o.from(id, func(r ring.Ref) bool {
		nodes = append(nodes, r)
		return len(nodes) <= o.reach
	})
	if len(nodes) == 0 {
		return nil
	}
	return ring.View{Self: nodes[0], Succs: nodes[1:]}.Group(n)
}

// from calls f for the nodes clockwise from id on, each once, until f returns false.
func (o *Oracle) from(id ring.ID, f func(n ring.Ref) bool) {
	more := true
	o.nodes.AscendGreaterOrEqual(ring.Ref{ID: id}, func(n ring.Ref) bool {
		more = f(n)
		return more
	})
	if more {
		o.nodes.AscendLessThan(ring.Ref{ID: id}, f)
	}
}

// OwnedSince reports whether a node was the owner of an identifier at any moment from began until now: while it served, and nobody between the
// identifier and it did. That is what a lookup which took that long may answer.
func (o *Oracle) OwnedSince(began time.Duration, id ring.ID, n ring.Ref) bool {
	between := 0 // nodes that serve from id on and before n
	o.from(id, func(r ring.Ref) bool {
		// n itself may be gone: whoever is not between ends the search too.
		if id == n.ID || r.ID != id && !ring.Between(id, r.ID, n.ID) || between > len(o.changes) {
			return false
		}
		between++
		return true
	})
	serves := o.Serves(n)
	for i := len(o.changes) - 1; ; i-- {
		if serves && between == 0 {
			return true
		}
		if i < 0 || o.changes[i].at < began {
			return false
		}
		// Take the change back.
		switch c := o.changes[i]; {
		case c.node == n:
			serves = !c.came
		case c.node.ID != n.ID && (c.node.ID == id || ring.Between(id, c.node.ID, n.ID)) && id != n.ID:
			if c.came {
				between--
			} else {
				between++
			}
		}
	}
}
