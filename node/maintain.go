package node

import (
	"context"
	"slices"
	"time"

	"github.com/chordkv/chord/ring"
)

// Maintenance of the ring: stabilize and rectify as in [Zave] section IV (see package ring), fix_fingers as in [ToN] section IV-E.
//
// Deviation: [Zave] notifies the successor at the end of every stabilization. A successor that already has this node as predecessor would do
// nothing, so it is not called; a stable ring costs one call per node and interval. And that becomes rarer while nothing changes: whoever uses a node
// that has died finds out sooner, hearsay tells of others, and a node that is called by a newcomer, or hears of one from its successor, looks at once.

// jitter spreads periodic work: d, give or take a quarter.
func (p *Process) jitter(d time.Duration) time.Duration {
	return d*3/4 + time.Duration(p.rt.Uint64()%uint64(d/2+1))
}

// every runs f after each interval, jittered, until the process stops. f returns how long to wait until the next time.
func (p *Process) every(first time.Duration, f func(ctx context.Context) (next time.Duration)) {
	if p.ctx.Err() != nil {
		return
	}
	p.rt.AfterFunc(p.jitter(first), func() {
		if p.ctx.Err() == nil {
			p.every(f(p.ctx), f)
		}
	})
}

// maintain starts the periodic work of a node that has taken its place.
func (n *vnode) maintain() {
	n.p.every(n.p.cfg.StabilizeInterval, func(ctx context.Context) time.Duration {
		n.stabilize(ctx)
		return n.calm(n.p.cfg.StabilizeInterval, n.p.cfg.StabilizeQuiet)
	})
	n.p.every(n.p.cfg.FixFingersInterval, n.fixFinger)
}

// calm returns how long to wait until the next round: an interval, doubled with each round in which nothing has changed, up to a limit.
func (n *vnode) calm(interval, limit time.Duration) time.Duration {
	const most = 16
	return max(interval, min(interval<<min(n.rounds.Add(1)-1, most), limit))
}

// The states of vnode.stabilizing.
const (
	idle int32 = iota
	running
	runningAgain
)

// stabilizeSoon runs a round on a task of its own.
func (n *vnode) stabilizeSoon() {
	if n.stabilizing.Load() != runningAgain {
		n.p.rt.Go(func() { n.stabilize(n.p.ctx) })
	}
}

// stabilize runs a round of stabilization, and another if one was asked for meanwhile. If another task is at it, that one runs another.
func (n *vnode) stabilize(ctx context.Context) {
	if mutantRoundsOverlap.on() {
		n.stabilizeOnce(ctx)
		return
	}
	// Bound: one of the three holds, unless another task has changed the state in between.
	for !n.stabilizing.CompareAndSwap(idle, running) {
		if n.stabilizing.CompareAndSwap(running, runningAgain) || n.stabilizing.Load() == runningAgain {
			return
		}
	}
	// Bound: a round is run again only if somebody has asked for it.
	for again := true; again; again = !n.stabilizing.CompareAndSwap(running, idle) {
		n.stabilizing.Store(running)
		n.stabilizeOnce(ctx)
	}
}

// stabilizeOnce asks the first live successor for its neighbors, drops dead ones before it, adopts closer ones that answer, each
// together with its own list, and notifies whoever is the successor in the end.
func (n *vnode) stabilizeOnce(ctx context.Context) {
	for range n.p.cfg.Successors + n.p.cfg.MaxAttempts {
		succ := n.snap.Load().view
		var view ring.View
		if len(succ.Succs) == 0 {
			view = succ // alone: the node is its own successor
		} else {
			began := n.p.rt.Now()
			v, err := n.p.callNeighbors(ctx, succ.Succs[0])
			if dead(err) {
				n.change(func(st *ring.State) bool { return st.DropSuccessor(succ.Succs[0]) })
				continue
			}
			if err != nil {
				return
			}
			n.change(func(st *ring.State) bool { return st.AdoptSuccessor(v) })
			n.hearHeir(v, began)
			view = v
		}
		if !n.adoptCloser(ctx, view) {
			n.notify(ctx, view)
			return
		}
	}
}

// adoptCloser adopts the predecessor of the present successor, whose view is given, if it lies between and answers.
func (n *vnode) adoptCloser(ctx context.Context, succ ring.View) bool {
	if !ring.Between(n.self.ID, succ.Pred.ID, succ.Self.ID) {
		return false
	}
	v, err := n.p.callNeighbors(ctx, succ.Pred)
	if mutantAdoptUnasked.on() {
		v, err = ring.View{Self: succ.Pred, Succs: append([]ring.Ref{succ.Self}, succ.Succs...)}, nil
	}
	return err == nil && n.change(func(st *ring.State) bool { return st.AdoptSuccessor(v) })
}

// notify tells the successor, whose view is given, about this node unless it knows. A node that is alone rectifies itself:
// it becomes its own predecessor again if the old one is dead.
func (n *vnode) notify(ctx context.Context, succ ring.View) {
	switch {
	case succ.Pred == n.self:
	case succ.Self.ID != n.self.ID:
		// The error, if it matters, is found by the next round.
		_ = n.p.callNotify(ctx, succ.Self, n.self)
	default:
		if _, err := n.p.callNeighbors(ctx, succ.Pred); dead(err) {
			n.change(func(st *ring.State) bool { return st.ReplacePredecessor(succ.Pred, n.self) })
		}
	}
}

// rectify works off the nodes that notified this one. [Zave] adopts a closer one unseen; here it must answer under the identifier it
// claims, so that a forged notify changes nothing.
func (n *vnode) rectify(ctx context.Context) {
	// Bound: there is one candidate at a time, and only another notify makes a new one.
	for c, ok := n.takeCandidate(); ok; c, ok = n.takeCandidate() {
		if _, err := n.p.callNeighbors(ctx, c); err != nil {
			continue
		}
		pred := n.snap.Load().view.Pred
		if n.change(func(st *ring.State) bool { return st.AdoptPredecessor(c) }) || pred == c {
			continue
		}
		if _, err := n.p.callNeighbors(ctx, pred); dead(err) {
			n.change(func(st *ring.State) bool { return st.ReplacePredecessor(pred, c) })
		}
	}
}

// fixFinger looks up one finger and returns when to look up the next: soon within a pass that changes something, ten times rarer when a
// pass has come round.
func (n *vnode) fixFinger(ctx context.Context) time.Duration {
	idle := 10 * n.p.cfg.FixFingersInterval
	s := n.snap.Load()
	if len(s.view.Succs) < n.p.cfg.Successors {
		return idle // the successor list goes all the way round
	}
	target, behind, ok := n.nextFinger()
	if !ok {
		n.comeRound(ctx)
		return idle
	}
	owner, err := n.p.locate(ctx, target, ring.Ref{})
	if err != nil {
		return n.p.cfg.FixFingersInterval
	}
	finger := owner.Self
	if n.p.near() {
		finger = n.chooseFinger(ctx, n.candidates(owner))
	}
	if !n.setFinger(behind, finger) {
		n.comeRound(ctx)
		return idle
	}
	return n.p.cfg.FixFingersInterval
}

// change applies an operation of package ring, acts on what that changed, and returns what it reported.
func (n *vnode) change(op func(st *ring.State) bool) (done bool) {
	before, after, done := n.update(op)
	if after == before {
		return done
	}
	n.rounds.Store(0)
	if err := n.check(); err != nil {
		if invariants {
			panic(err)
		}
		if n.p.events.Violation != nil {
			n.p.events.Violation(n.self, err)
		}
	}
	n.p.memory.meet(after.view.Succs, n.p.addr)
	// [ToN] has a node tell its old predecessor about the new one. Telling it about every change lets a newcomer reach all r lists that
	// it belongs to in r calls, one after the other, instead of r intervals.
	if pred := before.view.Pred; pred != n.self {
		n.p.rt.Go(func() { _ = n.p.callChanged(n.p.ctx, pred, n.self) }) // in vain if it is dead or has another successor
	} else if len(after.view.Succs) == 0 {
		n.stabilizeSoon() // not alone any more
	}
	if stirred(before.view, after.view) {
		n.p.healSoon()
	}
	if n.p.cfg.Grace > 0 && n.noteMissed(before, after, n.p.rt.Now().Add(n.p.cfg.Grace)) {
		n.repairAfter(n.p.cfg.SettleDelay)
	}
	if after.epoch == before.epoch {
		return done
	}
	n.p.stirAll()
	if n.p.events.NeighborsChanged != nil {
		n.p.events.NeighborsChanged(before.view, after.view)
	}
	if after.serving {
		n.repairAfter(n.p.cfg.SettleDelay)
	}
	return done
}

// stirred reports whether a change may be a split of the ring, or the end of one: the node got another predecessor or successor, or so many
// new nodes in its list at once as single joins and deaths do not bring. A node with the same neighbors as before has nothing to heal, unless
// newcomers between it and them have joined the other ring.
func stirred(before, after ring.View) bool {
	const many = 3
	if after.Pred != before.Pred || first(after) != first(before) {
		return true
	}
	fresh := 0
	for _, r := range after.Succs {
		if !slices.Contains(before.Succs, r) {
			fresh++
		}
	}
	return fresh >= many
}

// first returns the successor that a view names, the zero Ref if it has none.
func first(v ring.View) (succ ring.Ref) {
	if len(v.Succs) > 0 {
		succ = v.Succs[0]
	}
	return succ
}

// healDoublings bounds how rare heal becomes: 16 intervals.
const healDoublings = 4

// healAfter makes the next heal happen after d, in place of the one that was due.
func (p *Process) healAfter(d time.Duration) {
	if p.ctx.Err() != nil {
		return
	}
	stop := p.rt.AfterFunc(p.jitter(d), func() { p.heal(p.ctx) })
	if old := p.memory.swapHealStop(stop); old != nil {
		old()
	}
}

// healSoon makes heal as frequent as it can be again. If it has become rarer, the next one comes early: where two rings merge, what one node
// finds stirs a dozen others, and they should not wait.
func (p *Process) healSoon() {
	if p.quiet.Swap(0) > 1 {
		p.healAfter(p.cfg.HealInterval / 4)
	}
}

// heal looks for another ring, and after every other time that nothing has stirred since, the wait is twice as long, within bounds. The few nodes that
// look at a time suffice: where they find something, the lists of those before them change, and those look too. A node that misses somebody
// and whose list is not full may be nearly alone, and goes on looking as often as it can.
func (p *Process) heal(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	p.quiet.Add(1)
	if via, missed := p.acquaintance(); via != "" && !mutantHealNever.on() {
		if missed && p.short() {
			p.quiet.Store(0)
		}
		p.nodes[p.rt.Uint64()%uint64(len(p.nodes))].meet(ctx, via)
	}
	p.healAfter(p.cfg.HealInterval << min(p.quiet.Load()/2, healDoublings))
}

// acquaintance returns a process known from earlier, "" if there is none: one that is out of sight, if any is, because what is in sight is in
// the same ring.
func (p *Process) acquaintance() (addr string, missed bool) {
	known := p.Known()
	if len(known) == 0 {
		return "", false
	}
	start := int(p.rt.Uint64() % uint64(len(known)))
	for i := range known {
		if addr := known[(start+i)%len(known)]; !p.sees(addr) {
			return addr, true
		}
	}
	return known[start], false
}

// short reports whether an own node has room in its successor list.
func (p *Process) short() bool {
	return slices.ContainsFunc(p.nodes, func(n *vnode) bool { return len(n.snap.Load().view.Succs) < p.cfg.Successors })
}

// sees reports whether the process at an address is in the successor list of an own node.
func (p *Process) sees(addr string) bool {
	return slices.ContainsFunc(p.nodes, func(n *vnode) bool {
		return slices.ContainsFunc(n.snap.Load().view.Succs, func(r ring.Ref) bool { return r.Addr == addr })
	})
}

// Meet introduces the process to the one at an address, which is a member of a ring of the same cluster. If it is another ring, both become
// one: each own node looks itself up there and adopts what it finds if that is a closer successor. From then on the process knows the other.
func (p *Process) Meet(ctx context.Context, addr string) {
	if !p.Ready() {
		return // only a member has a place to compare
	}
	for _, n := range p.nodes {
		if !n.meet(ctx, addr) {
			return
		}
	}
	p.memory.meet([]ring.Ref{{Addr: addr}}, p.addr)
}

// meet reports whether the process at an address knew the way to the node's place.
//
// It looks the node up there: if that is in another ring, split off by a partition or a bad start, the answer is a closer successor there, and
// adopting it merges the rings.
func (n *vnode) meet(ctx context.Context, addr string) bool {
	owner, err := n.p.locate(ctx, n.self.ID, ring.Ref{Addr: addr})
	if err == nil && owner.Self.ID != n.self.ID && n.change(func(st *ring.State) bool { return st.AdoptSuccessor(owner) }) {
		n.stabilize(ctx)
	}
	return err == nil
}
