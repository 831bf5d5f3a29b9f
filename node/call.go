package node

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/chordkv/chord/ring"
)

// This file is how the process calls others: with a deadline, without the network if the node is its own, and remembering who does
// not answer.

// dead reports whether an error of a call means that the node is to be treated as dead.
func dead(err error) bool {
	return errors.Is(err, ErrUnreachable) || errors.Is(err, ErrNoNode) || errors.Is(err, ErrNotReady)
}

// call runs f, which calls the node to, with a deadline.
func (p *Process) call(ctx context.Context, to ring.Ref, timeout time.Duration, f func(ctx context.Context) error) error {
	callCtx, cancel := p.rt.WithTimeout(ctx, timeout)
	defer cancel()
	err := f(callCtx)
	if err != nil && ctx.Err() != nil {
		return err // the caller's end says nothing about the peer
	}
	return p.judge(to, timeout, err)
}

// judge draws the conclusions from how a call with its own deadline ended. A peer that does not answer becomes suspect, but not by missing
// a deadline shorter than RingTimeout.
func (p *Process) judge(to ring.Ref, timeout time.Duration, err error) error {
	if err == nil {
		p.memory.trust(to.Addr)
		return nil
	}
	late := errors.Is(err, context.DeadlineExceeded)
	if late {
		err = errors.Join(ErrUnreachable, err)
	}
	if errors.Is(err, ErrUnreachable) && (!late || timeout >= p.cfg.RingTimeout) && p.ctx.Err() == nil {
		p.suspect(to, err)
	}
	return err
}

// deadlines hands out contexts that end after a fixed time, or up to a sixteenth later. The calls of the data path share them: a timer
// for each would cost as much as the rest of the call.
type deadlines struct {
	timeout time.Duration
	current atomic.Pointer[sharedContext]
}

type sharedContext struct {
	context.Context
	until time.Time // for calls that begin before
}

// get returns a context of the process.
func (d *deadlines) get(p *Process) context.Context {
	now := p.rt.Now()
	c := d.current.Load()
	if c == nil || !now.Before(c.until) || now.Before(c.until.Add(-d.timeout/16)) { // the last: the clock was set back
		ctx, _ := p.rt.WithTimeout(p.ctx, d.timeout+d.timeout/16) // ends by itself
		c = &sharedContext{ctx, now.Add(d.timeout / 16)}
		d.current.Store(c)
	}
	return c.Context
}

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
			n.stabilizeSoon()
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

func (p *Process) callChanged(ctx context.Context, to, from ring.Ref) error {
	if to.Addr == p.addr {
		return p.Changed(to.ID, from)
	}
	return p.call(ctx, to, p.cfg.RingTimeout, func(ctx context.Context) error {
		return p.peers.Changed(ctx, to, from)
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

func (p *Process) callApply(ctx context.Context, to ring.Ref, records []Record) (versions []Version, err error) {
	if to.Addr == p.addr {
		return p.store.Apply(records)
	}
	err = p.call(ctx, to, p.cfg.ReplicaTimeout, func(ctx context.Context) error {
		versions, err = p.peers.Apply(ctx, to, records)
		return err
	})
	return versions, err
}

// applyAt is callApply for the data path.
func (p *Process) applyAt(to ring.Ref, records []Record) ([]Version, error) {
	if to.Addr == p.addr {
		return p.store.Apply(records)
	}
	versions, err := p.peers.Apply(p.patient.get(p), to, records)
	return versions, p.judge(to, p.patient.timeout, err)
}

// fetchFrom is callFetch for the data path, with the hasty or the patient deadline.
func (p *Process) fetchFrom(to ring.Ref, wants []Want, by *deadlines) ([]Found, error) {
	found, err := p.peers.Fetch(by.get(p), to, wants)
	return found, p.judge(to, by.timeout, err)
}

func (p *Process) callFetch(ctx context.Context, to ring.Ref, wants []Want) (found []Found, err error) {
	err = p.call(ctx, to, p.cfg.ReplicaTimeout, func(ctx context.Context) error {
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
