package node

import (
	"context"
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/chordkv/chord/ring"
)

// Proximity [ToN, section V-F; Gummadi et al., SIGCOMM 2003]: where the ring leaves a choice, of the nodes of a finger's interval and of the next hop among all
// that lie before an identifier, the round trips decide. It is on with Config.FingerCandidates of more than 1. What is wrong in a table of round trips
// makes a lookup slower, never wrong.

// near reports whether round trips decide.
func (p *Process) near() bool { return p.cfg.FingerCandidates > 1 }

// toll is the ring.Toll of round trips.
func (p *Process) toll(to ring.Ref) float64 {
	known := p.trips.of(to.Addr)
	if known == 0 {
		return 0
	}
	return float64(max(known.mean(), tripUnit))
}

// maxSounded is how many strangers a step of fix_fingers sounds: a newcomer knows most of its candidates after a few passes, and a ring at rest has none.
const maxSounded = 4

// soundStrangers measures the round trips to the first few of the nodes to which none is known.
func (n *vnode) soundStrangers(ctx context.Context, nodes []ring.Ref) {
	sounded := 0
	for _, r := range nodes {
		if n.p.trips.of(r.Addr) != 0 || r.Addr == n.p.addr || n.p.suspected(r) {
			continue
		}
		if _ = n.sound(ctx, r); ctx.Err() != nil { // who does not answer counts as slow from now on, or as suspect
			return
		}
		if sounded++; sounded == maxSounded {
			return
		}
	}
}

// sound measures the round trip to a node. Changed is the call with the smallest answer, and does nothing unless this node is the successor of the one it is made to.
func (n *vnode) sound(ctx context.Context, to ring.Ref) error {
	return n.p.callSoon(ctx, to, func(ctx context.Context) error { return n.p.peers.Changed(ctx, to, n.self) })
}

// chooseFinger returns the one of the candidates for a finger that answers soonest, as far as is known. The first has just answered; the others are in its list, so
// they may be dead, and must answer too.
func (n *vnode) chooseFinger(ctx context.Context, candidates []ring.Ref) ring.Ref {
	n.soundStrangers(ctx, candidates)
	for range maxSounded {
		best := n.soonest(candidates)
		if best == candidates[0] || n.sound(ctx, best) == nil {
			return best
		}
		candidates = slices.DeleteFunc(candidates, func(r ring.Ref) bool { return r == best })
	}
	return candidates[0]
}

// soonest returns the candidate with the shortest round trip, but the one that is a finger already unless another takes less than three quarters of its time, and the
// first if nothing is known. A node of the own process is no use: what it knows, lookups consult anyway.
func (n *vnode) soonest(candidates []ring.Ref) ring.Ref {
	best, shortest := candidates[0], time.Duration(0)
	present := n.fingers()
	for _, c := range candidates {
		known := n.p.trips.of(c.Addr)
		if known == 0 || n.p.suspected(c) || c.Addr == n.p.addr {
			continue
		}
		trip := max(known.mean(), tripUnit)
		if slices.Contains(present, c) {
			trip = trip * 3 / 4
		}
		if shortest == 0 || trip < shortest {
			best, shortest = c, trip
		}
	}
	return best
}

// comeRound ends a pass of fix_fingers: routes may lead over the successors too.
func (n *vnode) comeRound(ctx context.Context) {
	if n.p.near() {
		n.soundStrangers(ctx, n.snap.Load().view.Succs)
	}
}

// Acquaint gives a member of the ideal ring of the given nodes what it would know in the end: the round trips to its fingers and successors, and the fingers that
// passes of fix_fingers would come to with all round trips known. So an experiment need not wait for that.
func (p *Process) Acquaint(members Membership, roundTrip func(to ring.Ref) time.Duration) {
	nearest := func(candidates []ring.Ref) ring.Ref {
		return slices.MinFunc(candidates, func(a, b ring.Ref) int { return int(roundTrip(a) - roundTrip(b)) })
	}
	for _, n := range p.nodes {
		n.update(func(st *ring.State) bool {
			st.IdealFingers(members.refs, min(max(1, p.cfg.FingerCandidates), 1+p.cfg.Successors), nearest)
			return true
		})
		for _, r := range slices.Concat(n.fingers(), n.snap.Load().view.Succs) {
			if p.trips.of(r.Addr) == 0 && r.Addr != p.addr {
				p.trips.observe(r.Addr, roundTrip(r))
			}
		}
	}
}

// nearest returns replicas in the order in which they answer, as far as their round trips differ by a quarter, and by a millisecond; where none is known, as their coordinates
// say, and those of which nothing is known last.
func (p *Process) nearest(replicas []ring.Ref) []ring.Ref {
	byDistance := func(a, b ring.Ref) int { return p.distance(a) - p.distance(b) }
	if slices.IsSortedFunc(replicas, byDistance) {
		return replicas
	}
	replicas = slices.Clone(replicas)
	slices.SortStableFunc(replicas, byDistance)
	return replicas
}

// distance returns how far a peer is, in steps: of a millisecond, and from eight on of an eighth to a quarter more.
func (p *Process) distance(r ring.Ref) int {
	d := p.trips.of(r.Addr).mean()
	if d == 0 {
		d = p.guess(r.Addr)
	}
	if d == 0 {
		return math.MaxInt
	}
	ms := uint64(d / time.Millisecond)
	shift := max(bits.Len64(ms)-3, 0)
	return shift<<2 + int(ms>>shift)
}
