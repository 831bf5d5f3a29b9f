package rpc

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/chordkv/chord/ring"
)

// ownedArc is one thing that the client learned: a node and what it owned when it said so.
type ownedArc struct {
	owner ring.Ref
	arc   ring.Arc
}

// arcTable is what the client knows about who owns what: arcs that do not overlap, sorted by their ends. Lookups read a snapshot
// without a lock; changes, which are rare once the ring is known, copy it.
type arcTable struct {
	max  int
	snap atomic.Pointer[[]*ownedArc]
	mu   sync.Mutex // serializes changes
}

func newArcTable(max int) *arcTable {
	t := &arcTable{max: max}
	t.snap.Store(new([]*ownedArc))
	return t
}

// lookup returns the arc that holds id, or nil.
func (t *arcTable) lookup(id ring.ID) *ownedArc {
	arcs := *t.snap.Load()
	if len(arcs) == 0 {
		return nil
	}
	// The arc that holds id is the one that ends next at or behind it; past the last end, that is the one that ends first.
	i, _ := slices.BinarySearchFunc(arcs, id, func(a *ownedArc, id ring.ID) int { return a.arc.Through.Compare(id) })
	if a := arcs[i%len(arcs)]; a.arc.Contains(id) {
		return a
	}
	return nil
}

// learn remembers an owner and its arc in place of everything that overlaps. A full table forgets a random arc for it.
func (t *arcTable) learn(owner ring.Ref, arc ring.Arc) {
	learned := &ownedArc{owner: owner, arc: arc}
	known := func() bool {
		a := t.lookup(arc.Through)
		return a != nil && *a == *learned
	}
	if known() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if known() {
		return // another goroutine was faster
	}
	old := *t.snap.Load()
	arcs := make([]*ownedArc, 0, len(old)+1)
	for _, a := range old {
		// Two arcs overlap exactly if one of them holds the end of the other.
		if !a.arc.Contains(arc.Through) && !arc.Contains(a.arc.Through) {
			arcs = append(arcs, a)
		}
	}
	if len(arcs) == t.max {
		i := rand.IntN(len(arcs))
		arcs = slices.Delete(arcs, i, i+1)
	}
	i, _ := slices.BinarySearchFunc(arcs, arc.Through, func(a *ownedArc, id ring.ID) int { return a.arc.Through.Compare(id) })
	arcs = slices.Insert(arcs, i, learned)
	t.snap.Store(&arcs)
}

// forget removes an entry that proved wrong, unless it has been replaced since it was looked up.
func (t *arcTable) forget(wrong *ownedArc) {
	t.remove(func(a *ownedArc) bool { return a == wrong })
}

// forgetServer removes all arcs of a process that cannot be reached.
func (t *arcTable) forgetServer(addr string) {
	t.remove(func(a *ownedArc) bool { return a.owner.Addr == addr })
}

func (t *arcTable) remove(drop func(*ownedArc) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := *t.snap.Load()
	if !slices.ContainsFunc(old, drop) {
		return
	}
	arcs := slices.DeleteFunc(slices.Clone(old), drop)
	t.snap.Store(&arcs)
}
