package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chordkv/chord/ring"
)

// This file is how the process calls others: with a deadline, without the network if the node is its own, and remembering who does
// not answer.

// dead reports whether an error of a call means that the node is to be treated as dead.
func dead(err error) bool {
	return errors.Is(err, ErrUnreachable) || errors.Is(err, ErrNoNode) || errors.Is(err, ErrNotReady)
}

// call runs f, which calls the node to, with a deadline; with ownDeadline as timeout ctx has one already, that of this call. A peer that does not
// answer becomes suspect, but not by missing a deadline shorter than RingTimeout.
func (p *Process) call(ctx context.Context, to ring.Ref, timeout time.Duration, f func(ctx context.Context) error) error {
	own := timeout == ownDeadline
	callCtx := ctx
	if !own {
		var cancel context.CancelFunc
		callCtx, cancel = p.rt.WithTimeout(ctx, timeout)
		defer cancel()
	}
	err := f(callCtx)
	if err == nil {
		p.memory.trust(to.Addr)
		return nil
	}
	if !own && ctx.Err() != nil {
		return err // the caller's deadline says nothing about the peer
	}
	late := errors.Is(err, context.DeadlineExceeded)
	if late {
		err = errors.Join(ErrUnreachable, err)
	}
	if errors.Is(err, ErrUnreachable) && !(late && !own && timeout < p.cfg.RingTimeout) {
		p.suspect(to, err)
	}
	return err
}

// ownDeadline is a timeout for call.
const ownDeadline = 0

// suspect remembers that the process that hosts ref did not answer. Nodes whose first successor it hosts find out for
// themselves at once.
func (p *Process) suspect(ref ring.Ref, err error) {
	for _, n := range p.nodes {
		n.dropFinger(ref)
	}
	now := p.rt.Now()
	if !p.memory.suspect(ref.Addr, now, now.Add(p.cfg.SuspectTime)) {
		return
	}
	if p.events.PeerFailed != nil {
		p.events.PeerFailed(ref, err)
	}
	for _, n := range p.nodes {
		if succs := n.snap.Load().view.Succs; len(succs) > 0 && succs[0].Addr == ref.Addr {
			p.rt.Go(func() { n.stabilize(p.ctx) })
		}
	}
}

func (p *Process) suspected(ref ring.Ref) bool {
	return p.memory.suspectCount.Load() > 0 && p.memory.suspected(ref.Addr, p.rt.Now())
}

// trusted returns the refs with those of suspected processes last.
func (p *Process) trusted(refs []ring.Ref) []ring.Ref {
	if p.memory.suspectCount.Load() == 0 {
		return refs
	}
	out := make([]ring.Ref, 0, len(refs))
	var last []ring.Ref
	for _, r := range refs {
		if p.suspected(r) {
			last = append(last, r)
		} else {
			out = append(out, r)
		}
	}
	return append(out, last...)
}

func (p *Process) callNeighbors(ctx context.Context, to ring.Ref) (v ring.View, err error) {
	if to.Addr == p.addr {
		return p.Neighbors(to.ID)
	}
	if p.suspected(to) {
		// One failed call is enough for all nodes of a process; this one would only wait for the same.
		return ring.View{}, fmt.Errorf("%w: %s did not answer within the last %v", ErrUnreachable, to.Addr, p.cfg.SuspectTime)
	}
	err = p.call(ctx, to, p.cfg.RingTimeout, func(ctx context.Context) error {
		v, err = p.peers.Neighbors(ctx, to)
		return err
	})
	return v, err
}

func (p *Process) callNotify(ctx context.Context, to, from ring.Ref) error {
	if to.Addr == p.addr {
		return p.Notify(to.ID, from)
	}
	return p.call(ctx, to, p.cfg.RingTimeout, func(ctx context.Context) error {
		return p.peers.Notify(ctx, to, from)
	})
}

func (p *Process) callRoute(ctx context.Context, to ring.Ref, id ring.ID, avoid []ring.ID) (s ring.Step, err error) {
	if to.Addr == p.addr {
		return p.Route(to.ID, id, avoid)
	}
	err = p.call(ctx, to, p.cfg.RingTimeout, func(ctx context.Context) error {
		s, err = p.peers.Route(ctx, to, id, avoid)
		return err
	})
	return s, err
}

func (p *Process) callApply(ctx context.Context, to ring.Ref, records []Record, timeout time.Duration) (versions []Version, err error) {
	if to.Addr == p.addr {
		return p.store.Apply(records)
	}
	err = p.call(ctx, to, timeout, func(ctx context.Context) error {
		versions, err = p.peers.Apply(ctx, to, records)
		return err
	})
	return versions, err
}

func (p *Process) callFetch(ctx context.Context, to ring.Ref, wants []Want, timeout time.Duration) (found []Found, err error) {
	err = p.call(ctx, to, timeout, func(ctx context.Context) error {
		found, err = p.peers.Fetch(ctx, to, wants)
		return err
	})
	return found, err
}

func (p *Process) callDigest(ctx context.Context, to ring.Ref, arcs []ring.Arc) (sums []Summary, err error) {
	err = p.call(ctx, to, p.cfg.ReplicaTimeout, func(ctx context.Context) error {
		sums, err = p.peers.Digest(ctx, to, arcs)
		return err
	})
	return sums, err
}

func (p *Process) callList(ctx context.Context, to ring.Ref, arc ring.Arc, from Cursor, limit int) (entries []Entry, err error) {
	err = p.call(ctx, to, p.cfg.ReplicaTimeout, func(ctx context.Context) error {
		entries, err = p.peers.List(ctx, to, arc, from, limit)
		return err
	})
	return entries, err
}
