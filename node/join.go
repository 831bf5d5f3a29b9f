package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chordkv/chord/ring"
)

// Recall tells a process that was a member before which others it knew then, by their addresses: it looks for them if they are in another
// ring, and while the ring has fewer than N processes and one of these has not been seen, a read does not deny a key that nobody
// present has. Call it before Bootstrap or Join.
func (p *Process) Recall(addrs []string) {
	p.memory.recall(slices.DeleteFunc(slices.Clone(addrs), func(a string) bool { return a == p.addr }))
}

// Membership is the sorted list of all nodes of a ring that begins. It may be shared by many processes.
type Membership struct{ refs []ring.Ref }

// NewMembership returns the membership of the given nodes. Errors: ErrInvalid if two have the same identifier.
func NewMembership(refs []ring.Ref) (Membership, error) {
	refs = slices.Clone(refs)
	slices.SortFunc(refs, func(a, b ring.Ref) int { return a.ID.Compare(b.ID) })
	for i := 1; i < len(refs); i++ {
		if refs[i].ID == refs[i-1].ID {
			return Membership{}, fmt.Errorf("%w: bootstrap: two members have the id %v", ErrInvalid, refs[i].ID)
		}
	}
	return Membership{refs}, nil
}

// contains reports whether a node is a member.
func (m Membership) contains(r ring.Ref) bool {
	i, ok := slices.BinarySearchFunc(m.refs, r.ID, func(m ring.Ref, id ring.ID) int { return m.ID.Compare(id) })
	return ok && m.refs[i] == r
}

// Bootstrap makes the process a member of the ideal ring of all given nodes, its own among them; every process that hosts
// one of them must be given the same. The proof of [Zave] holds for rings that start with at least Config.Successors + 1 nodes.
func (p *Process) Bootstrap(members Membership) error {
	for _, n := range p.nodes {
		if !members.contains(n.self) {
			return fmt.Errorf("%w: bootstrap: own node %v is not among the members", ErrInvalid, n.self)
		}
	}
	if p.phase.Load() != outside {
		return fmt.Errorf("%w: bootstrap: already a member", ErrInvalid)
	}
	for _, n := range p.nodes {
		n.update(func(st *ring.State) bool {
			st.Ideal(members.refs)
			return true
		})
		p.memory.meet(n.fingers(), p.addr)
		p.memory.meet(n.snap.Load().view.Succs, p.addr)
		p.place(n)
	}
	p.begin(true)
	return nil
}

// Create makes the process a ring of its own, which others may join: create() of [ToN] Fig. 6.
func (p *Process) Create() error {
	members, err := NewMembership(p.Nodes())
	if err != nil {
		return err
	}
	return p.Bootstrap(members)
}

// Join makes the process's nodes members of the ring that the seeds, addresses of processes, belong to. It tries each seed
// once, stops at the first that works, or knows another process of the same identity, and returns what went wrong with each if none did; the caller decides when to try again. A
// request that reaches the process before is refused with ErrNotReady. Errors: ErrInvalid, ErrTaken, ErrNoRoute, ErrUnreachable, that of ctx.
func (p *Process) Join(ctx context.Context, seeds []string) error {
	if p.phase.Load() != outside {
		return fmt.Errorf("%w: join: already a member", ErrInvalid)
	}
	var errs []error
	for _, seed := range seeds {
		if seed == p.addr {
			errs = append(errs, fmt.Errorf("%w: join through %s: that is this process", ErrInvalid, seed))
			continue
		}
		err := p.joinThrough(ctx, seed)
		if err == nil {
			p.begin(false)
			return nil
		}
		errs = append(errs, fmt.Errorf("join through %s: %w", seed, err))
		if errors.Is(err, ErrTaken) {
			break
		}
	}
	if len(errs) == 0 {
		return fmt.Errorf("%w: join: no seed given", ErrInvalid)
	}
	return errors.Join(errs...)
}

func (p *Process) joinThrough(ctx context.Context, seed string) error {
	for _, n := range p.nodes {
		if n.snap.Load().serving {
			continue // an earlier seed got this far
		}
		if err := n.join(ctx, ring.Ref{Addr: seed}); err != nil {
			return fmt.Errorf("node %s: %w", n.self.ID.Short(), err)
		}
		p.place(n)
	}
	return nil
}

// begin starts the life of a member: of a ring that begins with it, or of one that it has joined.
func (p *Process) begin(founder bool) {
	p.phase.Store(member)
	if p.cfg.TombstoneGrace > 0 {
		p.beginContact(founder)
		p.every(p.collectInterval(), p.collect)
	}
	p.every(p.cfg.SweepInterval, p.sweep)
	p.healAfter(p.cfg.HealInterval)
}

// place lets a node answer for its arc, and keeps it in the ring from now on: those that join behind it, the next of its own process among them,
// are members only when it has found out.
func (p *Process) place(n *vnode) {
	n.setServing(true)
	n.repairAfter(p.cfg.SettleDelay)
	n.maintain()
	if p.events.Joined != nil {
		p.events.Joined(n.self)
	}
}

// join finds the node before this one, takes over its list [Zave, Join], and waits until both neighbors have accepted this node: from then
// on nobody else answers for the arc.
func (n *vnode) join(ctx context.Context, seed ring.Ref) error {
	var err error
	for attempt := range n.p.cfg.MaxAttempts {
		if attempt > 0 {
			if err := n.p.rt.Sleep(ctx, n.p.jitter(n.p.cfg.StabilizeInterval/4)); err != nil {
				return err
			}
		}
		var before ring.View
		if before, err = n.preceding(ctx, seed); errors.Is(err, ErrTaken) {
			return err
		}
		if err != nil {
			continue
		}
		if !n.change(func(st *ring.State) bool { return st.Join(before) }) {
			err = fmt.Errorf("%w: the ring changed under the join", ErrNoRoute)
			continue
		}
		if mutantServeEarly.on() {
			n.setServing(true)
		}
		if err = n.accepted(ctx); err == nil {
			return nil
		}
	}
	return err
}

// accepted stabilizes until the successor has this node as its predecessor, and the predecessor has it as its successor. The first is not enough
// where two nodes join side by side: the successor takes the nearer one, which does not know of the other and would answer for its arc too.
func (n *vnode) accepted(ctx context.Context) error {
	wait := 5 * time.Millisecond // the successor rectifies on a task of its own
	for range n.p.cfg.MaxAttempts {
		n.stabilize(ctx)
		succs := n.snap.Load().view.Succs
		if len(succs) == 0 {
			return fmt.Errorf("%w: no live successor", ErrNoRoute)
		}
		if v, err := n.p.callNeighbors(ctx, succs[0]); err == nil && v.Pred == n.self && n.follows(ctx) {
			return nil
		}
		if err := n.p.rt.Sleep(ctx, wait); err != nil {
			return err
		}
		wait *= 2
	}
	return fmt.Errorf("%w: the neighbors %v do not accept this node", ErrNoRoute, n.snap.Load().view)
}

// follows reports whether the predecessor has this node as its successor. If it has one that lies between, which joined meanwhile, that is the predecessor
// to ask next; if it has one beyond, it is told to look again.
func (n *vnode) follows(ctx context.Context) bool {
	pred := n.snap.Load().view.Pred
	v, err := n.p.callNeighbors(ctx, pred)
	if err != nil || len(v.Succs) == 0 {
		return false
	}
	next := v.Succs[0]
	switch {
	case next == n.self:
		return true
	case ring.Between(n.self.ID, next.ID, pred.ID):
		_ = n.p.callChanged(ctx, pred, n.self) // it may have missed this node when it looked, or believe that its process is dead still
	default:
		if _, err := n.p.callNeighbors(ctx, next); err == nil {
			n.change(func(st *ring.State) bool { return st.AdoptPredecessor(next) })
		}
	}
	return false
}

// preceding returns the view of the live node after which this one belongs, without the dead nodes that its list has before this one: it
// is about to drop them itself.
func (n *vnode) preceding(ctx context.Context, seed ring.Ref) (ring.View, error) {
	w := walk{p: n.p, id: n.self.ID}
	w.start(seed)
	owner, err := w.find(ctx)
	switch {
	case err != nil:
		return ring.View{}, err
	case owner.Self.ID == n.self.ID && owner.Self.Addr != n.self.Addr: // it has just answered
		return ring.View{}, &TakenError{owner.Self.Addr}
	}
	v, err := n.p.callNeighbors(ctx, owner.Pred)
	if dead(err) {
		// The owner does not know yet who comes before its dead predecessor. Whoever covers that one's place stands before it.
		w := walk{p: n.p, id: owner.Pred.ID}
		w.start(owner.Self)
		if _, err = w.approach(ctx); err == nil {
			v, err = n.p.callNeighbors(ctx, w.from)
		}
	}
	for range n.p.cfg.MaxHops {
		if err != nil {
			return ring.View{}, err
		}
		next, ok := n.nearer(ctx, &v)
		if !ok || mutantJoinFar.on() {
			return v, nil
		}
		v, err = n.p.callNeighbors(ctx, next)
	}
	return ring.View{}, fmt.Errorf("%w: more than %d calls", ErrNoRoute, n.p.cfg.MaxHops)
}

// nearer returns the last live node of v's list that still lies before this one. If there is none, it cuts those that do not answer.
func (n *vnode) nearer(ctx context.Context, v *ring.View) (ring.Ref, bool) {
	before := 0
	for before < len(v.Succs) && ring.Between(v.Self.ID, v.Succs[before].ID, n.self.ID) {
		before++
	}
	for _, s := range slices.Backward(v.Succs[:before]) {
		if _, err := n.p.callNeighbors(ctx, s); err == nil {
			return s, true
		}
	}
	v.Succs = v.Succs[before:]
	return ring.Ref{}, false
}
