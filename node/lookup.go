package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/chordkv/chord/ring"
)

// Lookup is the result of looking an identifier up.
type Lookup struct {
	ID    ring.ID
	Owner ring.View // of the owner: its arc, and its group through Owner.Group
	Hops  []Hop     // every call that was made, in order
}

// Hop is one call of a lookup.
type Hop struct {
	Node    ring.Ref
	Covered bool          // the node's successor list covers the identifier, or it is the owner
	RTT     time.Duration // 0 of a call that a node made on behalf of this process, unless it was in vain: how long that waited
	Err     error         // the node did not answer
}

// Style is the way in which a lookup goes.
type Style uint8

// The styles.
const (
	Iterative Style = iota // the process that asks calls one node after the other
	Recursive              // each node calls the next, and the owner the process that asked
)

var styleNames = [...]string{Iterative: "iterative", Recursive: "recursive"}

func (s Style) String() string { return styleNames[s] }

// ParseStyle reads what String writes. Error: ErrInvalid.
func ParseStyle(s string) (Style, error) {
	i := slices.Index(styleNames[:], s)
	if i < 0 {
		return 0, fmt.Errorf("%w: style of lookup %q, want iterative or recursive", ErrInvalid, s)
	}
	return Style(i), nil
}

// Lookup finds the owner of an identifier: iteratively, so that this process sees every hop, goes round nodes that do not answer,
// and falls back on its other alternatives while a live path exists. The owner has answered. With an error, the Lookup shows how far
// it came; errors: ErrNotReady, ErrNoRoute, that of ctx.
func (p *Process) Lookup(ctx context.Context, id ring.ID) (Lookup, error) {
	return p.LookupBy(ctx, Iterative, id)
}

// LookupBy is Lookup in the given style. A recursive one goes on iteratively when no answer comes, and is iterative from the start
// where the process has heard who the owner is: then either takes one call.
func (p *Process) LookupBy(ctx context.Context, style Style, id ring.ID) (Lookup, error) {
	w := p.walk(id)
	defer w.end()
	if style == Recursive && p.present() == nil && len(p.memory.consult((*roster).owners, id)) == 0 {
		owner, hops := p.query(ctx, id)
		if !owner.Self.IsZero() {
			return Lookup{ID: id, Owner: owner, Hops: hops}, nil
		}
		w.hops, w.avoid = append(w.hops, hops...), (&Query{Hops: hops}).avoid()
	}
	w.start(ring.Ref{})
	owner, err := w.find(ctx)
	return Lookup{ID: id, Owner: owner, Hops: slices.Clone(w.hops)}, err
}

// locate is Lookup without the hops, through a given process, a Ref without ID, or from the own nodes if via is zero.
func (p *Process) locate(ctx context.Context, id ring.ID, via ring.Ref) (owner ring.View, err error) {
	w := p.walk(id)
	defer w.end()
	w.start(via)
	return w.find(ctx)
}

// walks are used again, for their room.
var walks = sync.Pool{New: func() any { return new(walk) }}

func (p *Process) walk(id ring.ID) *walk {
	w := walks.Get().(*walk)
	w.p, w.id = p, id
	return w
}

func (w *walk) end() {
	*w = walk{open: w.open[:0], hops: w.hops[:0]}
	walks.Put(w)
}

// openRoom and hopsRoom are what most lookups of a large ring need.
const (
	openRoom = 24
	hopsRoom = 8
)

// walk is one lookup under way.
type walk struct {
	p     *Process
	id    ring.ID
	open  []ring.Ref // where to go on, the best last
	avoid []ring.ID  // what did not answer, or not soon, or knows no way but through such nodes
	dead  []ring.ID  // of these, what did not answer in all the time it may take
	slow  bool       // the way leads through nodes that do not answer soon
	again bool       // started over, because all ways were to be avoided
	heard bool       // those were named who own it by what others say
	guess bool       // they are the candidates: there may be nodes between that nobody has told of
	from  ring.Ref   // the node whose list covers id; zero if that is one of the own
	hops  []Hop
	via   ring.Ref // where to start over; zero for the own nodes
}

// start makes the walk begin at a process, or at the own nodes if via is zero.
func (w *walk) start(via ring.Ref) {
	if w.via = via; !via.IsZero() {
		w.open = append(w.open, via)
	}
}

// find returns the view of the owner.
func (w *walk) find(ctx context.Context) (ring.View, error) {
	for range w.p.cfg.MaxHops {
		candidates, err := w.approach(ctx)
		if err != nil {
			return ring.View{}, err
		}
		if owner, ok := w.settle(ctx, candidates); ok {
			return owner, nil
		}
	}
	return ring.View{}, fmt.Errorf("%w: %d calls made", ErrNoRoute, len(w.hops))
}

// localStep answers a Route from whichever of the own nodes knows the shortest way: one whose list covers id, naming the closest
// successor of it, or else the one that names the closest node before it. Successor lists learn of a newcomer one stabilization per node
// later each; the predecessor of an own node may know better.
func (p *Process) localStep(id ring.ID, avoid []ring.ID) ring.Step {
	var best ring.Step
	for _, n := range p.nodes {
		if s := n.snap.Load(); !s.serving {
			continue
		}
		step := n.route(id, avoiding(avoid))
		if len(step.Nodes) > 0 && (len(best.Nodes) == 0 || closer(id, step, best)) {
			best = step
		}
	}
	if !best.Covered {
		return best
	}
	for _, n := range p.nodes {
		pred := n.snap.Load().view.Pred
		if !slices.Contains(avoid, pred.ID) && ring.Distance(id, pred.ID).Less(ring.Distance(id, best.Nodes[0].ID)) {
			best.Nodes = append([]ring.Ref{pred}, best.Nodes...)
		}
	}
	return best
}

// closer reports whether step a leads closer to id than step b.
func closer(id ring.ID, a, b ring.Step) bool {
	switch {
	case a.Covered != b.Covered:
		return a.Covered
	case a.Covered:
		return ring.Distance(id, a.Nodes[0].ID).Less(ring.Distance(id, b.Nodes[0].ID))
	default:
		return ring.Distance(a.Nodes[0].ID, id).Less(ring.Distance(b.Nodes[0].ID, id))
	}
}

// approach asks one node after the other for the way until one's successor list covers the identifier, and returns the
// candidates that it names. A node whose alternatives all turned out to be dead is asked again, now leaving those out. The loop is
// bounded by MaxHops.
func (w *walk) approach(ctx context.Context) ([]ring.Ref, error) {
	w.guess = false
	for len(w.hops) < w.p.cfg.MaxHops {
		if len(w.open) == 0 && w.via.IsZero() {
			if err := w.p.present(); err != nil {
				return nil, err
			}
			step := w.p.localStep(w.id, w.avoid)
			if step.Covered {
				return step.Nodes, nil
			}
			if owners := w.p.memory.consult((*roster).owners, w.id); len(owners) > 0 && !w.heard {
				w.heard, w.guess = true, true
				return w.p.trusted(owners), nil
			}
			w.push(step.Nodes)
			w.push(slices.DeleteFunc(w.p.memory.consult((*roster).preceding, w.id), func(r ring.Ref) bool {
				return slices.Contains(w.avoid, r.ID) || len(step.Nodes) > 0 && !ring.Between(step.Nodes[0].ID, r.ID, w.id)
			}))
		}
		if len(w.open) == 0 && len(w.avoid) > len(w.dead) && !w.again { // some were only late: now they get all the time
			w.avoid, w.slow, w.again = slices.Clone(w.dead), true, true
			w.start(w.via)
			continue
		}
		if len(w.open) == 0 {
			return nil, fmt.Errorf("%w: %d calls, %d nodes did not answer", ErrNoRoute, len(w.hops), len(w.avoid))
		}
		next := w.open[len(w.open)-1]
		w.open = w.open[:len(w.open)-1]
		if slices.Contains(w.avoid, next.ID) {
			continue
		}
		var step ring.Step
		entrance := next.ID.IsZero() // it is via: there is no other way in, and it may answer with any of its nodes
		err := w.hop(ctx, next, func() (covered bool, err error) {
			step, err = w.p.callRoute(ctx, next, w.id, w.avoid, !w.slow && !entrance)
			return step.Covered, err
		})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			continue
		}
		if len(step.Nodes) == 0 {
			if !entrance {
				w.avoid = append(w.avoid, next.ID) // or those before it would lead here again
			}
			continue
		}
		w.open = append(w.open, next)
		if step.Covered {
			w.from = next
			return step.Nodes, nil
		}
		// Only nodes that come closer, or a hostile answer could send the lookup in circles.
		w.push(slices.DeleteFunc(step.Nodes, func(r ring.Ref) bool {
			return !entrance && !ring.Between(next.ID, r.ID, w.id)
		}))
	}
	return nil, fmt.Errorf("%w: %d calls made", ErrNoRoute, len(w.hops))
}

// push adds alternatives, best first in refs, to the list, best last; processes that failed lately come after the others.
func (w *walk) push(refs []ring.Ref) {
	refs = w.p.trusted(refs)
	if w.open == nil {
		w.open = make([]ring.Ref, 0, openRoom)
	}
	for i := len(refs) - 1; i >= 0; i-- {
		w.open = append(w.open, refs[i])
	}
}

// hop makes one call and records it.
func (w *walk) hop(ctx context.Context, to ring.Ref, call func() (covered bool, err error)) error {
	began := w.p.rt.Now()
	covered, err := call()
	if w.hops == nil {
		w.hops = make([]Hop, 0, hopsRoom)
	}
	w.hops = append(w.hops, Hop{Node: to, Covered: covered, RTT: w.p.rt.Now().Sub(began), Err: err})
	if err != nil && ctx.Err() == nil && !to.ID.IsZero() && !mutantAvoidNone.on() {
		w.avoid = append(w.avoid, to.ID)
		if !errors.Is(err, errNotSoon) {
			w.dead = append(w.dead, to.ID)
		}
		w.slow = w.slow || len(w.avoid) >= len(w.dead)+2 // one may be slow; if several are, it is this process, or the network
	}
	return err
}

// maxBack is how many nodes that a list did not know of are asked one after the other.
const maxBack = 8

// settle asks the candidates in order, and whoever stands before them by then, until one owns the identifier: its arc contains it, or its predecessor is known to be
// dead, and it is the next after the last live node before the identifier. It gives up if very many stand before them, because there are shorter ways, and on a guess
// whose predecessor is dead, because somebody may stand before that one.
func (w *walk) settle(ctx context.Context, candidates []ring.Ref) (ring.View, bool) {
	for back := 0; len(candidates) > 0 && len(w.hops) < w.p.cfg.MaxHops && back < maxBack; {
		c := candidates[0]
		candidates = candidates[1:]
		if slices.Contains(w.dead, c.ID) {
			continue
		}
		var v ring.View
		err := w.ask(ctx, c, &v)
		if err != nil {
			continue
		}
		if v.Arc().Contains(w.id) {
			return v, true
		}
		between := v.Pred // the list did not know it yet
		if slices.Contains(w.dead, between.ID) {
			if w.guess {
				return v, false
			}
			var ok bool
			if between, ok = w.next(ctx); !ok || between == c {
				return v, ok
			}
		}
		candidates = append([]ring.Ref{between, c}, candidates...)
		back++
	}
	return ring.View{}, false
}

// next returns the first node behind the identifier that is not known to be dead, by the list of the last live one before it. The list that named the candidates may be that of a node
// farther away, which does not know yet who has joined between.
func (w *walk) next(ctx context.Context) (ring.Ref, bool) {
	var before ring.View
	from := w.from
	if from.IsZero() {
		from = w.p.lastBefore(w.id)
	}
	if w.ask(ctx, from, &before) != nil {
		return ring.Ref{}, false
	}
	for len(w.hops) < w.p.cfg.MaxHops {
		i := 0
		for i < len(before.Succs) && ring.Between(before.Self.ID, before.Succs[i].ID, w.id) {
			i++
		}
		closer := slices.IndexFunc(before.Succs[:i], func(r ring.Ref) bool { return !slices.Contains(w.dead, r.ID) })
		if closer < 0 {
			rest := before.Succs[i:]
			live := slices.IndexFunc(rest, func(r ring.Ref) bool { return !slices.Contains(w.dead, r.ID) })
			if live < 0 {
				return ring.Ref{}, false
			}
			return rest[live], true
		}
		// Bound: each turn comes closer to the identifier, or finds one more dead.
		for _, s := range slices.Backward(before.Succs[:i]) {
			var v ring.View
			if !slices.Contains(w.dead, s.ID) && w.ask(ctx, s, &v) == nil {
				before = v
				break
			}
		}
	}
	return ring.Ref{}, false
}

// lastBefore returns the own node that is the last before an identifier.
func (p *Process) lastBefore(id ring.ID) ring.Ref {
	i, _ := slices.BinarySearchFunc(p.nodes, id, func(n *vnode, id ring.ID) int { return n.self.ID.Compare(id) })
	return p.nodes[(i+len(p.nodes)-1)%len(p.nodes)].self
}

// ask reads a node's view: a hop, unless it is one of the own nodes.
func (w *walk) ask(ctx context.Context, to ring.Ref, v *ring.View) error {
	if to.Addr == w.p.addr {
		own, err := w.p.Neighbors(to.ID)
		if err != nil {
			w.avoid, w.dead = append(w.avoid, to.ID), append(w.dead, to.ID)
			return err
		}
		*v = own
		return nil
	}
	return w.hop(ctx, to, func() (covered bool, err error) {
		*v, err = w.p.callNeighbors(ctx, to)
		return err == nil && v.Arc().Contains(w.id), err
	})
}
