package node

import (
	"context"
	"slices"

	"github.com/chordkv/chord/ring"
)

// Hearsay is what others say about the liveness of processes, such as gossip. It is a hint, never believed: a process that is said to be
// dead or alive is asked, and only what that call shows changes the ring. So hearsay that is wrong, late or forged costs a call, and the
// ring is as correct without any. Lookups ask first whoever should be the owner if all of it is true, and go by the ring's own ways if it is not.

// HearDead takes in that the process that hosts the given nodes, all at one address, is said to be gone. If an own node has one of them as
// neighbor or finger, the process is asked; if it does not answer either, the ring closes without it at once: it counts as suspect, it leaves
// the fingers, and nodes that have it as first successor stabilize, which tells the lists that it is in. Lookups do not ask it at once any more, as they do
// with those of whom HearAlive told. It blocks for a call, two at most if the successor is to be replaced.
func (p *Process) HearDead(ctx context.Context, nodes []ring.Ref) {
	held, ok := p.holds(nodes)
	if !ok || held.Addr == p.addr || !p.Ready() {
		p.memory.strike(nodes)
		return
	}
	if _, err := p.callNeighbors(ctx, held); !dead(err) {
		return
	}
	p.memory.strike(nodes)
	for _, n := range p.nodes {
		for _, r := range nodes {
			n.dropFinger(r)
		}
		if succs := n.snap.Load().view.Succs; len(succs) > 0 && slices.Contains(nodes, succs[0]) {
			n.stabilize(ctx)
		}
	}
}

// holds returns the first of the given nodes that an own node has as neighbor or finger.
func (p *Process) holds(nodes []ring.Ref) (ring.Ref, bool) {
	for _, n := range p.nodes {
		view, fingers := n.snap.Load().view, n.fingers()
		for _, r := range nodes {
			if view.Pred == r || slices.Contains(view.Succs, r) || slices.Contains(fingers, r) {
				return r, true
			}
		}
	}
	return ring.Ref{}, false
}

// HearAlive takes in that the process that hosts the given nodes, all at one address, is said to be alive. Its address is remembered, for
// healing, and its nodes for lookups, as long as Config.RoutingPeers has room. A node of it that would be a closer neighbor of an own node is asked, and adopted if it answers: either it was suspected wrongly,
// or it is of another ring of the same cluster, and so the two merge. It blocks for two calls an own node that is concerned.
func (p *Process) HearAlive(ctx context.Context, nodes []ring.Ref) {
	if len(nodes) == 0 || nodes[0].Addr == p.addr {
		return
	}
	p.memory.hear(nodes[0].Addr, p.addr)
	p.memory.enrol(nodes, p.cfg.RoutingPeers*len(p.nodes))
	if !p.Ready() {
		return // only a member has a place to compare
	}
	for _, n := range p.nodes {
		pred, succ := n.closer(nodes)
		if !pred.IsZero() || !succ.IsZero() {
			p.memory.trust(nodes[0].Addr) // or it would not be asked
		}
		if !pred.IsZero() {
			_ = p.Notify(n.self.ID, pred) // as it would itself; the node is an own one
		}
		if !succ.IsZero() {
			n.adopt(ctx, succ)
		}
	}
}

// closer returns those of the given nodes that lie next to n, between its predecessor and itself and between itself and its successor; zero
// where there is none.
func (n *vnode) closer(nodes []ring.Ref) (pred, succ ring.Ref) {
	view := n.snap.Load().view
	before, after := view.Pred.ID, n.self.ID
	if len(view.Succs) > 0 {
		after = view.Succs[0].ID
	}
	for _, r := range nodes {
		if ring.Between(before, r.ID, n.self.ID) {
			pred, before = r, r.ID
		}
		if ring.Between(n.self.ID, r.ID, after) {
			succ, after = r, r.ID
		}
	}
	return pred, succ
}

// adopt makes a node the first successor if it answers and lies between, as adoptCloser does with the successor's predecessor.
func (n *vnode) adopt(ctx context.Context, closer ring.Ref) {
	v, err := n.p.callNeighbors(ctx, closer)
	if err == nil && n.change(func(st *ring.State) bool { return st.AdoptSuccessor(v) }) {
		n.stabilize(ctx)
	}
}
