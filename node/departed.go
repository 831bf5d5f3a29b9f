package node

import (
	"slices"

	"github.com/chordkv/chord/ring"
)

// miss notes that those nodes of a process are missed whose arc an own node may have to take over.
func (p *Process) miss(nodes ...ring.Ref) {
	if p.cfg.Grace == 0 {
		return // nobody waits for them
	}
	near := slices.DeleteFunc(slices.Clone(nodes), func(r ring.Ref) bool {
		return r.ID.IsZero() || r.Addr == p.addr || !slices.ContainsFunc(p.nodes, func(n *vnode) bool { return n.inherits(r) })
	})
	if len(near) > 0 {
		p.memory.miss(near, p.rt.Now().Add(p.cfg.Grace))
	}
}

// inherits reports whether this node may come to own what another one does: that lies no farther before it than its list of successors reaches behind it.
func (n *vnode) inherits(r ring.Ref) bool {
	succs := n.snap.Load().view.Succs
	if len(succs) == 0 {
		return true
	}
	reach := ring.Distance(n.self.ID, succs[len(succs)-1].ID)
	return ring.Distance(r.ID, n.self.ID).Compare(reach) <= 0
}

// bereft reports whether all N processes that had the key at id, as far as this owner of it has heard, have gone and may come back, or are said to be there and are not in the ring: then nobody can tell
// what it was.
func (n *vnode) bereft(s *snapshot, id ring.ID) bool {
	p := n.p
	before := p.memory.between(id, n.self.ID, p.rt.Now()) // they would own it, and the first of them did
	before = slices.DeleteFunc(before, func(r ring.Ref) bool { return r.Addr == p.addr || shows(s.view, r.ID) })
	slices.SortFunc(before, func(a, b ring.Ref) int { return ring.Distance(id, a.ID).Compare(ring.Distance(id, b.ID)) })
	before = slices.CompactFunc(before, func(a, b ring.Ref) bool { return a.ID == b.ID }) // one that is back at another address
	if len(before) < p.cfg.Replicas {
		return false
	}
	view := ring.View{Self: before[0], Succs: slices.Concat(before[1:], []ring.Ref{n.self}, s.view.Succs)}
	group := view.Group(p.cfg.Replicas)
	return len(group) == p.cfg.Replicas && !slices.ContainsFunc(group, func(r ring.Ref) bool { return !slices.Contains(before, r) })
}
