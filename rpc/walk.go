package rpc

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// Hop is one call of a lookup, as the client saw it.
type Hop struct {
	Node    ring.Ref // without identifier if the process at the address could not even be asked for its nodes
	Settled bool     // the node was asked for its neighbors, to find out whether it is the owner, and not for the way
	Covered bool     // its successor list covers the identifier, or, of a settling call, its arc
	Arc     ring.Arc // what the node owns; of settling calls only, because answers about the way do not say it
	RTT     time.Duration
	Err     error // it did not answer; the lookup went on without it
}

// Trace is a lookup and the way it took.
type Trace struct {
	ID      ring.ID
	Owner   ring.View // of the owner; its arc may lack ID while the ring heals round a dead predecessor
	Group   []ring.Ref
	Hops    []Hop // every call that was made, in order
	Elapsed time.Duration
}

// Lookup finds the owner of an identifier from outside of the ring, hop by hop, as a node does it (docs/design.md, "Lookup"): it asks
// nodes for the way, avoids those that do not answer, and ends at the node that owns the identifier. visit, which may be nil, sees
// each hop as soon as it is made. The Trace is returned with an error too: it shows how far the lookup came.
func (c *Client) Lookup(ctx context.Context, id ring.ID, visit func(Hop)) (Trace, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	w := &walker{c: c, visit: visit, start: time.Now(), trace: Trace{ID: id}}
	owner, err := w.run(ctx)
	var hello Hello
	if err == nil {
		hello, err = c.Hello(ctx)
	}
	w.trace.Elapsed = time.Since(w.start)
	if err != nil {
		return w.trace, w.failed(err)
	}
	w.trace.Owner, w.trace.Group = owner, owner.Group(hello.Replicas)
	c.table.learn(owner.Self, owner.Arc())
	return w.trace, nil
}

// walker is one lookup under way.
type walker struct {
	c     *Client
	visit func(Hop)
	start time.Time
	trace Trace
	avoid []ring.ID  // nodes that did not answer
	ways  []ring.Ref // nodes to ask for the way, the best last
	tried []string   // servers through which the ring was entered
}

func (w *walker) run(ctx context.Context) (ring.View, error) {
	for ctx.Err() == nil {
		if len(w.trace.Hops) >= w.c.cfg.MaxHops {
			return ring.View{}, fmt.Errorf("%w: gave up after %d calls", node.ErrNoRoute, len(w.trace.Hops))
		}
		at, ok := w.next(ctx)
		if !ok {
			return ring.View{}, w.deadEnd()
		}
		step, err := w.route(ctx, at)
		if err != nil {
			continue
		}
		nodes := slices.DeleteFunc(step.Nodes, w.avoided)
		switch {
		case len(nodes) == 0:
			// All that at knows was tried in vain: back to an alternative.
		case !step.Covered:
			slices.Reverse(nodes)
			w.ways = append(w.ways, nodes...)
		default:
			if owner, ok := w.settle(ctx, nodes); ok {
				return owner, nil
			}
			// None of the nodes answered. Told so, at may know others, or the way round.
			w.ways = append(w.ways, at)
		}
	}
	return ring.View{}, fmt.Errorf("%w: %w", node.ErrNoRoute, ctx.Err())
}

// next takes the best node to ask; with none left, the ring is entered again through another server.
func (w *walker) next(ctx context.Context) (ring.Ref, bool) {
	for len(w.ways) > 0 {
		at := w.ways[len(w.ways)-1]
		w.ways = w.ways[:len(w.ways)-1]
		if !w.avoided(at) {
			return at, true
		}
	}
	for ctx.Err() == nil {
		s := w.c.servers.pick(w.tried)
		if s == nil || slices.Contains(w.tried, s.addr) {
			return ring.Ref{}, false
		}
		w.tried = append(w.tried, s.addr)
		asked := time.Now()
		hello, err := w.c.askHello(ctx, s.addr)
		if err != nil {
			w.hop(Hop{Node: ring.Ref{Addr: s.addr}, RTT: time.Since(asked), Err: err})
			continue
		}
		if nodes := slices.DeleteFunc(slices.Clone(hello.Nodes), w.avoided); len(nodes) > 0 {
			return slices.MinFunc(nodes, func(a, b ring.Ref) int {
				return ring.Distance(a.ID, w.trace.ID).Compare(ring.Distance(b.ID, w.trace.ID))
			}), true
		}
	}
	return ring.Ref{}, false
}

func (w *walker) route(ctx context.Context, at ring.Ref) (ring.Step, error) {
	asked := time.Now()
	step, err := w.c.askRoute(ctx, at, w.trace.ID, w.avoid)
	w.hop(Hop{Node: at, Covered: step.Covered, RTT: time.Since(asked), Err: err})
	return step, err
}

// settle asks the successors of the identifier, in order, which one owns it. A node that answers but has a predecessor between the
// identifier and itself is not the owner yet if that one lives.
func (w *walker) settle(ctx context.Context, nodes []ring.Ref) (ring.View, bool) {
	for _, n := range nodes {
		view, err := w.neighbors(ctx, n)
		for err == nil && !view.Arc().Contains(w.trace.ID) && !w.avoided(view.Pred) && len(w.trace.Hops) < w.c.cfg.MaxHops {
			var before ring.View
			if before, err = w.neighbors(ctx, view.Pred); err == nil {
				view = before
			}
		}
		if !view.Self.IsZero() {
			return view, true
		}
	}
	return ring.View{}, false
}

func (w *walker) neighbors(ctx context.Context, n ring.Ref) (ring.View, error) {
	asked := time.Now()
	view, err := w.c.askNeighbors(ctx, n)
	hop := Hop{Node: n, Settled: true, RTT: time.Since(asked), Err: err}
	if err == nil {
		hop.Arc = view.Arc()
		hop.Covered = hop.Arc.Contains(w.trace.ID)
	}
	w.hop(hop)
	return view, err
}

func (w *walker) hop(h Hop) {
	w.trace.Hops = append(w.trace.Hops, h)
	if h.Err != nil && !h.Node.ID.IsZero() {
		w.avoid = append(w.avoid, h.Node.ID)
	}
	if w.visit != nil {
		w.visit(h)
	}
}

func (w *walker) avoided(n ring.Ref) bool { return slices.Contains(w.avoid, n.ID) }

// deadEnd says that there is nobody left to ask, and why the last one did not help.
func (w *walker) deadEnd() error {
	for _, h := range slices.Backward(w.trace.Hops) {
		if h.Err != nil {
			return fmt.Errorf("%w: %w", node.ErrNoRoute, h.Err)
		}
	}
	return node.ErrNoRoute
}

func (w *walker) failed(err error) *OpError {
	e := &OpError{Op: "lookup " + w.trace.ID.Short(), Elapsed: w.trace.Elapsed, Retryable: true, Err: err}
	for _, h := range w.trace.Hops {
		e.attempt(h.Node.Addr)
	}
	return e
}

// Member is a node that a walk round the ring found.
type Member struct {
	Node ring.Ref
	View ring.View // unset if the node did not answer
	RTT  time.Duration
	Err  error // why it did not answer
}

const (
	ringWalkers    = 16      // calls that a walk round the ring has under way at once
	maxRingMembers = 1 << 20 // nodes after which it gives up
)

// Ring walks the whole ring: it asks one node for its neighbors, those for theirs, and so on, each node once, until all that were
// named have been asked: then it has come round. The members are sorted clockwise from the lowest identifier; those that are named
// by others but do not answer are among them with their error. progress, which may be nil, is told after each answer how many nodes
// have been asked and how many are known so far.
func (c *Client) Ring(ctx context.Context, progress func(asked, known int)) ([]Member, error) {
	start := time.Now()
	hello, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	var (
		known   = make(map[ring.Ref]bool)
		queue   []ring.Ref
		members []Member
		answers = make(chan Member, ringWalkers)
		pending int
	)
	add := func(refs ...ring.Ref) {
		for _, r := range refs {
			if !known[r] {
				known[r] = true
				queue = append(queue, r)
			}
		}
	}
	add(hello.Nodes...)
	for len(queue) > 0 || pending > 0 {
		for ; len(queue) > 0 && pending < ringWalkers; pending++ {
			n := queue[0]
			queue = queue[1:]
			go func() {
				asked := time.Now()
				view, err := c.askNeighbors(ctx, n)
				answers <- Member{Node: n, View: view, RTT: time.Since(asked), Err: err}
			}()
		}
		m := <-answers
		pending--
		members = append(members, m)
		if m.Err == nil && len(known) <= maxRingMembers && ctx.Err() == nil {
			add(append(m.View.Succs, m.View.Pred)...)
		}
		if progress != nil {
			progress(len(members), len(known))
		}
	}
	err = ctx.Err()
	if err == nil && len(known) > maxRingMembers {
		err = fmt.Errorf("more than %d nodes", maxRingMembers)
	}
	if err != nil {
		return members, &OpError{Op: "walk the ring", Elapsed: time.Since(start), Retryable: true, Err: err}
	}
	return sortMembers(members), nil
}

// sortMembers sorts clockwise from 0. A node that came back under another address is still named by its old one here and there:
// where it answered at one, the others are left out.
func sortMembers(members []Member) []Member {
	slices.SortFunc(members, func(a, b Member) int {
		return cmp.Or(a.Node.ID.Compare(b.Node.ID), cmp.Compare(failed(a), failed(b)), cmp.Compare(a.Node.Addr, b.Node.Addr))
	})
	return slices.CompactFunc(members, func(next, kept Member) bool {
		return next.Node.ID == kept.Node.ID && next.Err != nil && kept.Err == nil
	})
}

func failed(m Member) int {
	if m.Err != nil {
		return 1
	}
	return 0
}
