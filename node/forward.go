package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/chordkv/chord/ring"
)

// Query is a recursive lookup on its way: find_successor of [ToN] Fig. 5, forwarded from node to node until it is at the owner, who answers the
// process that asked, directly. A way of k nodes takes k+1 times what a message takes; iteratively it would be k round trips.
//
// Deviation: [ToN] has the answer come back the way that the query went, so that one death on it loses both.
type Query struct {
	Number uint64 // drawn by the asker, so that only those on the way can answer
	ID     ring.ID
	Asker  string // address of the process that waits for the answer
	Last   bool   // whoever the query is sent to is the owner, as far as the sender knows
	Hops   []Hop  // the calls that it took so far, those in vain too; an RTT is known only of these
}

// Arrival answers a Query.
type Arrival struct {
	Number uint64
	Owner  ring.View // of the owner; zero if the query came to a node that knew no way on
	Hops   []Hop     // of the Query, the one to the owner among them
}

// ErrPassedOver is, in the hops of a query, why a node was left out: only the one that called it knows more.
var ErrPassedOver = fmt.Errorf("%w: the node before it got no answer", ErrUnreachable)

// errCrowded: a process has as many queries to forward as it takes at a time. It is alive; there are other ways.
var errCrowded = errors.New("too many queries at a time")

// maxForwards bounds the queries that a process is forwarding at a time.
const maxForwards = 1024

// avoid returns the nodes that did not take the query.
func (q *Query) avoid() (ids []ring.ID) {
	for i := range q.Hops {
		if q.Hops[i].Err != nil {
			ids = append(ids, q.Hops[i].Node.ID)
		}
	}
	return ids
}

// back returns how many nodes in a row, up to the present one, knew the owner, as they thought: the first by its list, the others by their predecessors.
func (q *Query) back() (n int) {
	for i := len(q.Hops) - 1; i >= 0 && (q.Hops[i].Covered || q.Hops[i].Err != nil); i-- {
		n++
	}
	return n
}

// Forward takes over a query for one of the own nodes. That is all that the answer says: the query goes on from a task of its own, once, however often
// it comes. Errors: ErrNoNode, ErrNotReady; ErrInvalid, if it has made all the calls that a lookup may.
func (p *Process) Forward(node ring.ID, q Query) error {
	n, _, err := p.hosted(node)
	if err != nil {
		return err
	}
	if len(q.Hops) == 0 || len(q.Hops) > p.cfg.MaxHops {
		return fmt.Errorf("%w: a query of %d calls, at most %d allowed", ErrInvalid, len(q.Hops), p.cfg.MaxHops)
	}
	if p.passed().before(q.Number, node) {
		return nil
	}
	if p.sending.Add(1) > maxForwards {
		p.sending.Add(-1)
		return errCrowded
	}
	p.rt.Go(func() {
		defer p.sending.Add(-1)
		p.forward(p.ctx, n, q)
	})
	return nil
}

// forward sends a query on from an own node to the first that takes it, or answers it, because that node owns the identifier or there is no way on.
func (p *Process) forward(ctx context.Context, n *vnode, q Query) {
	here := len(q.Hops) - 1 // the call that brought it
	q.Hops = append(make([]Hop, 0, len(q.Hops)+1), q.Hops...)
	named := q.Last // as the owner: the node that the query is at, not those to which it is to go on
	for range p.cfg.MaxAttempts {
		owner, next := p.onward(n, named, &q)
		if here >= 0 {
			q.Hops[here].Covered = q.Last
		}
		if next.IsZero() || len(q.Hops) == p.cfg.MaxHops {
			p.answer(ctx, Arrival{Number: q.Number, Owner: owner, Hops: q.Hops}, q.Asker)
			return
		}
		q.Hops = append(q.Hops, Hop{Node: next})
		began := p.rt.Now()
		if err := p.callForward(ctx, next, q); err == nil || ctx.Err() != nil {
			return
		}
		failed := &q.Hops[len(q.Hops)-1]
		failed.RTT, failed.Err = p.rt.Now().Sub(began), ErrPassedOver
	}
	p.answer(ctx, Arrival{Number: q.Number, Hops: q.Hops}, q.Asker)
}

// onward returns where a query goes from an own node, nowhere if that owns the identifier or knows no way, and says in the query whether that is the owner.
// Who is named as the owner and is not names its predecessor, as in a lookup that settles.
func (p *Process) onward(n *vnode, named bool, q *Query) (owner ring.View, next ring.Ref) {
	avoid := q.avoid()
	if named {
		v := n.snap.Load().view
		switch {
		case v.Arc().Contains(q.ID):
			return v, ring.Ref{}
		case slices.Contains(avoid, v.Pred.ID) || q.back() > maxBack:
			return ring.View{}, ring.Ref{} // it may be the owner now, or there are shorter ways: whoever goes on iteratively will find out
		}
		return ring.View{}, v.Pred
	}
	step := p.localStep(q.ID, avoid)
	q.Last = step.Covered
	if !step.Covered {
		step.Nodes = p.trusted(step.Nodes)
	}
	for _, next := range step.Nodes {
		if next.Addr != p.addr {
			return ring.View{}, next
		}
		if v, err := p.Neighbors(next.ID); err == nil && v.Arc().Contains(q.ID) {
			return v, ring.Ref{}
		}
	}
	return ring.View{}, ring.Ref{}
}

// answer tells the process that asked. If it does not get it, it waits in vain, and then looks for the owner itself.
func (p *Process) answer(ctx context.Context, a Arrival, asker string) {
	if asker == p.addr {
		_ = p.Arrived(a)
		return
	}
	_ = p.callRing(ctx, ring.Ref{Addr: asker}, func(ctx context.Context) error {
		return p.peers.Arrived(ctx, ring.Ref{Addr: asker}, a)
	})
}

// Arrived takes the answer to a query of this process; one that it does not wait for is none of its business. Errors: ErrInvalid, if the way is longer
// than any may be.
func (p *Process) Arrived(a Arrival) error {
	if len(a.Hops) > p.cfg.MaxHops {
		return fmt.Errorf("%w: a query of %d calls, at most %d allowed", ErrInvalid, len(a.Hops), p.cfg.MaxHops)
	}
	if deliver := p.memory.arrived(a.Number); deliver != nil {
		deliver(a)
	}
	return nil
}

// queries is the name under which roundTrips remembers how long the answers to queries take: no peer has it.
const queries = ""

// patience returns how long to wait for the answer to a query, by how long others took: there are as many messages in it as in a few round trips.
func (p *Process) patience() time.Duration {
	most := 2 * p.cfg.RingTimeout
	if e := p.trips.of(queries); e != 0 {
		return min(e.mean()+max(4*e.dev(), p.cfg.MinTimeout), most)
	}
	return most
}

// query looks an identifier up recursively. It returns a zero view if the query was lost on its way, or came to nothing, and what is known of the way.
func (p *Process) query(ctx context.Context, id ring.ID) (owner ring.View, hops []Hop) {
	waiting, cancel := p.rt.WithTimeout(ctx, p.patience())
	defer cancel()
	q := Query{Number: p.rt.Uint64(), ID: id, Asker: p.addr}
	defer func() { _ = p.memory.arrived(q.Number) }() // nobody waits any more
	began := p.rt.Now()
	var a Arrival
	err := p.rt.Await(waiting, func(wake func()) {
		p.memory.await(q.Number, func(got Arrival) {
			a = got
			wake()
		})
		p.rt.Go(func() { p.forward(waiting, p.nodes[0], q) })
	})
	if ctx.Err() == nil {
		p.trips.observe(queries, p.rt.Now().Sub(began))
	}
	if err != nil {
		return ring.View{}, nil // a may be written this moment
	}
	if !a.Owner.Arc().Contains(id) {
		a.Owner = ring.View{}
	}
	return a.Owner, a.Hops
}

// passed returns the memory of forwarded queries, made when the first comes.
func (p *Process) passed() *passed {
	if m := p.forwarded.Load(); m != nil {
		return m
	}
	p.forwarded.CompareAndSwap(nil, new(passed))
	return p.forwarded.Load()
}

// passed remembers the queries that went through lately, each until another takes its place. A query whose taker seemed not to take it is sent to the next as
// well; where the ways of both meet, one ends, and so a process forwards a query once for each of its nodes at most, whatever its number of copies.
type passed [64]atomic.Uint64

// before reports whether a query has been at a node already, and remembers it.
func (m *passed) before(number uint64, node ring.ID) bool {
	number ^= binary.BigEndian.Uint64(node[:])
	return m[number%uint64(len(m))].Swap(number) == number
}
