package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/chordkv/chord/ring"
)

// Hearsay is what others say about the liveness of processes, such as gossip. It is a hint, never believed: a process that is said to be
// dead or alive is asked, and only what that call shows changes the ring. So hearsay that is wrong, late or forged costs a call, and the
// ring is as correct without any. Lookups ask first whoever should be the owner if all of it is true, and go by the ring's own ways if it is not. Only who counts
// whether he is in the minority of the cluster has nothing else to go by; what is wrong there costs writes that are refused. So has who finds no key where N
// processes before him are said to be: what is wrong there costs a read that is refused.

// HearDead takes in that the process that hosts the given nodes, all at one address, is said to be gone. If an own node has one of them as
// neighbor or finger, the process is asked; if it does not answer either, the ring closes without it at once: it counts as suspect, it leaves
// the fingers, and nodes that have it as first successor stabilize, which tells the lists that it is in. Lookups do not ask it at once any more, as they do
// with those of whom HearAlive told. Unless it answers, it counts among the dead of the cluster. It blocks for a call, two at most if the successor is to be
// replaced.
func (p *Process) HearDead(ctx context.Context, nodes []ring.Ref) {
	p.miss(nodes...)
	p.hearGone(ctx, nodes, func(c *census, s seat) { c.die(s, p.rt.Now()) })
}

// HearStopped is HearDead of a process that has said itself that it stops: it is not cut off, so it does not count among the dead. It may come back with what it has.
func (p *Process) HearStopped(ctx context.Context, nodes []ring.Ref) {
	p.miss(nodes...)
	p.hearGone(ctx, nodes, func(c *census, s seat) { c.leave(s) })
}

// HearLeft is HearStopped of a process that has left the ring: nobody waits for it.
func (p *Process) HearLeft(ctx context.Context, nodes []ring.Ref) {
	p.hearGone(ctx, nodes, func(c *census, s seat) { c.leave(s) })
	if len(nodes) > 0 {
		p.memory.dismiss(nodes[0].Addr)
	}
}

// HearLost takes in that the connection to the process at addr has broken, as it does when that one dies: nodes whose first successor it hosts
// stabilize at once, and so ask it. It does not block.
func (p *Process) HearLost(addr string) {
	if p.Ready() {
		p.recheck(addr)
	}
}

// hearGone is HearDead with what the census is to make of it.
func (p *Process) hearGone(ctx context.Context, nodes []ring.Ref, note func(c *census, s seat)) {
	if len(nodes) == 0 {
		return
	}
	p.count(func(c *census) { note(c, seatOf(nodes)) })
	held, ok := p.holds(nodes)
	if !ok || held.Addr == p.addr || !p.Ready() {
		p.memory.strike(nodes)
		return
	}
	_, err := p.callNeighbors(ctx, held)
	if err == nil {
		p.count(func(c *census) { c.enter(seatOf(nodes)) })
	}
	if !dead(err) {
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

// count has the census take in what was heard, if anything, and forget who has been dead for long enough.
func (p *Process) count(take func(c *census)) Standing {
	lowest := p.nodes[0].self
	s, turned := p.memory.count(seatOf([]ring.Ref{lowest}), take, p.rt.Now().Add(-p.cfg.ForgetDead))
	if turned && p.events.Standing != nil {
		p.events.Standing(s)
	}
	return s
}

// Standing returns what the process knows of its cluster by hearsay.
func (p *Process) Standing() Standing { return p.count(nil) }

// outvoted returns an error if this process is in the minority and may not say what so many replicas say. One replica is no quorum: who asks for no more wants the
// answer wherever it can be had.
func (p *Process) outvoted(need int) error {
	if need == 1 || p.cfg.ServeMinority || !p.memory.minority.Load() || mutantMinorityServes.on() {
		return nil
	}
	if s := p.Standing(); s.Minority { // else its dead have just been forgotten
		return fmt.Errorf("%w: it hears of %d of %d processes", ErrMinority, s.Alive, s.Alive+s.Dead)
	}
	return nil
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

// rosterRoom is how many nodes the roster may have: those of as many processes as are wanted, and an eighth more for those that have died, of which it is heard some seconds after it
// is heard of who has come in their place.
func (p *Process) rosterRoom() int {
	wanted := p.cfg.RoutingPeers * len(p.nodes)
	return wanted + wanted/8
}

// HearAlive takes in that the process that hosts the given nodes, all at one address, is said to be alive. Its address is remembered, for
// healing, and its nodes for lookups, as long as Config.RoutingPeers has room. A node of it that would be a closer neighbor of an own node is asked, and adopted if it answers: either it was suspected wrongly,
// or it is of another ring of the same cluster, and so the two merge. It blocks for two calls an own node that is concerned.
func (p *Process) HearAlive(ctx context.Context, nodes []ring.Ref) {
	if len(nodes) == 0 || nodes[0].Addr == p.addr {
		return
	}
	p.memory.hear(nodes[0].Addr, p.addr)
	p.memory.enrol(nodes, p.rosterRoom())
	p.count(func(c *census) { c.enter(seatOf(nodes)) })
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

// HearRoundTrip takes in how long a probe of the process at an address, or something else as small that does not come this way, took there and back: as if it were a call of this
// process that was answered. at is the place that the other says it has, zero if it says none.
func (p *Process) HearRoundTrip(addr string, rtt time.Duration, at Coordinate) {
	p.trips.glimpse(addr, rtt)
	if !at.IsZero() {
		p.memory.move(rtt, at, peerHash(p.addr)^peerHash(addr))
		p.places.see(newSighting(addr, at))
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
