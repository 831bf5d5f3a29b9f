package node

import (
	"bytes"
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

// callRing runs f, a call that never waits for a third node and does no harm twice: with the deadline that the peer's round trips suggest, with twice
// that, and then with RingTimeout. One message that is lost or late is no reason to take a peer for dead.
func (p *Process) callRing(ctx context.Context, to ring.Ref, f func(ctx context.Context) error) error {
	hurried := p.hurried(to)
	for _, timeout := range [...]time.Duration{hurried, 2 * hurried} {
		if timeout >= p.cfg.RingTimeout {
			break
		}
		err := p.timed(ctx, to, timeout, f)
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}
	}
	return p.timed(ctx, to, p.cfg.RingTimeout, f)
}

// hurried returns how long the answer of a peer to a ring call may take before something else is tried: four deviations longer than usual, and MinTimeout
// at least, because where all take equally long a little more is nothing unusual. It is at most half of RingTimeout, unless MinTimeout is more than that.
func (p *Process) hurried(to ring.Ref) time.Duration {
	d := p.cfg.RingTimeout / 2 // of a stranger
	if e := p.trips.of(to.Addr); e != 0 {
		d = e.mean() + max(4*e.dev(), p.cfg.MinTimeout)
	}
	if p.cfg.MinTimeout > p.cfg.RingTimeout/2 {
		return p.cfg.RingTimeout
	}
	return min(d, p.cfg.RingTimeout/2)
}

// timed runs f, a ring call to the node to, with a deadline, and takes note of the round trip.
func (p *Process) timed(ctx context.Context, to ring.Ref, timeout time.Duration, f func(ctx context.Context) error) error {
	began := p.rt.Now()
	err := p.within(ctx, timeout, f)
	if err != nil && ctx.Err() != nil {
		return err // the caller's end says nothing about the peer
	}
	if err == nil {
		p.trips.observe(to.Addr, p.rt.Now().Sub(began))
	}
	if errors.Is(err, context.DeadlineExceeded) && timeout < p.cfg.RingTimeout {
		return errors.Join(ErrUnreachable, err)
	}
	return p.judge(to, err)
}

// within runs f with a deadline, and again if that has passed while this process stood still, which says nothing about the peer.
func (p *Process) within(ctx context.Context, timeout time.Duration, f func(ctx context.Context) error) error {
	// Bound: the deadline of ctx, or a stop of the process for each turn.
	for {
		began := p.rt.Now()
		callCtx, cancel := p.rt.WithTimeout(ctx, timeout)
		err := f(callCtx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil || p.rt.Now().Sub(began) < timeout+p.cfg.RingTimeout/4 {
			return err
		}
	}
}

// call runs f, which calls the node to about records, with a deadline.
func (p *Process) call(ctx context.Context, to ring.Ref, timeout time.Duration, f func(ctx context.Context) error) error {
	callCtx, cancel := p.rt.WithTimeout(ctx, timeout)
	defer cancel()
	err := f(callCtx)
	if err != nil && ctx.Err() != nil {
		return err
	}
	return p.judgeRecords(to, timeout, err)
}

// judge draws the conclusions from how a call ended that had all the time it needs: a peer that does not answer becomes suspect.
func (p *Process) judge(to ring.Ref, err error) error {
	if err == nil {
		p.memory.trust(to.Addr)
		return nil
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.Join(ErrUnreachable, err)
	}
	if errors.Is(err, ErrUnreachable) && p.ctx.Err() == nil {
		p.suspect(to, err)
	}
	return err
}

// judgeRecords is judge for a call about records. How long that takes depends on disks and on what else there is to do, and a lost message is
// not sent again; so a peer that is late is asked whether it is there at all.
func (p *Process) judgeRecords(to ring.Ref, timeout time.Duration, err error) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return p.judge(to, err)
	}
	if timeout >= p.cfg.RingTimeout && p.ctx.Err() == nil && p.verifying.CompareAndSwap(false, true) {
		p.rt.Go(func() {
			defer p.verifying.Store(false)
			_, _ = p.callNeighbors(p.ctx, to)
		})
	}
	return errors.Join(ErrUnreachable, err)
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
	p.miss(ref)
	if !p.memory.suspect(ref.Addr, now, now.Add(p.cfg.SuspectTime)) {
		return
	}
	if p.events.PeerFailed != nil {
		p.events.PeerFailed(ref, err)
	}
	p.recheck(ref.Addr)
}

// recheck has nodes look at once whose first successor is hosted by the process at addr.
func (p *Process) recheck(addr string) {
	for _, n := range p.nodes {
		if first(n.snap.Load().view).Addr == addr {
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
	return last(refs, p.suspected)
}

// last returns the refs with those at the end for which less is true.
func last(refs []ring.Ref, less func(ring.Ref) bool) []ring.Ref {
	out := make([]ring.Ref, 0, len(refs))
	var end []ring.Ref
	for _, r := range refs {
		if less(r) {
			end = append(end, r)
		} else {
			out = append(out, r)
		}
	}
	return append(out, end...)
}

func (p *Process) callNeighbors(ctx context.Context, to ring.Ref) (v ring.View, err error) {
	if to.Addr == p.addr {
		return p.Neighbors(to.ID)
	}
	if p.suspected(to) {
		// One failed call is enough for all nodes of a process; this one would only wait for the same.
		return ring.View{}, fmt.Errorf("%w: %s did not answer within the last %v", ErrUnreachable, to.Addr, p.cfg.SuspectTime)
	}
	err = p.callRing(ctx, to, func(ctx context.Context) error {
		v, err = p.peers.Neighbors(ctx, to)
		return err
	})
	return v, err
}

func (p *Process) callNotify(ctx context.Context, to, from ring.Ref) error {
	if to.Addr == p.addr {
		return p.Notify(to.ID, from)
	}
	return p.callRing(ctx, to, func(ctx context.Context) error {
		return p.peers.Notify(ctx, to, from)
	})
}

func (p *Process) callChanged(ctx context.Context, to, from ring.Ref) error {
	if to.Addr == p.addr {
		return p.Changed(to.ID, from)
	}
	return p.callRing(ctx, to, func(ctx context.Context) error {
		return p.peers.Changed(ctx, to, from)
	})
}

// errNotSoon is a peer that may be alive, but took longer than its answers usually do.
var errNotSoon = errors.New("no answer soon")

// callRoute asks for the way. In a hurry it gives up with errNotSoon when the answer is unusually late: there are other ways.
func (p *Process) callRoute(ctx context.Context, to ring.Ref, id ring.ID, avoid []ring.ID, hurry bool) (s ring.Step, err error) {
	if to.Addr == p.addr {
		return p.Route(to.ID, id, avoid)
	}
	ask := func(ctx context.Context) error {
		s, err = p.peers.Route(ctx, to, id, avoid)
		return err
	}
	if !hurry {
		return s, p.callRing(ctx, to, ask)
	}
	return s, p.callSoon(ctx, to, ask)
}

// callSoon is callRing for a call in place of which there are others.
func (p *Process) callSoon(ctx context.Context, to ring.Ref, f func(ctx context.Context) error) error {
	timeout := p.hurried(to)
	if timeout == p.cfg.RingTimeout {
		return p.callRing(ctx, to, f)
	}
	err := p.timed(ctx, to, timeout, f)
	if errors.Is(err, context.DeadlineExceeded) {
		p.trips.observe(to.Addr, timeout) // it may be slower than it was, and then nothing else would tell
		err = fmt.Errorf("%w: %w", errNotSoon, err)
	}
	return err
}

// callForward hands a query over to a node of another process, and gives up when that is unusually slow to take it.
func (p *Process) callForward(ctx context.Context, to ring.Ref, q Query) error {
	if p.suspected(to) {
		return fmt.Errorf("%w: %s did not answer within the last %v", ErrUnreachable, to.Addr, p.cfg.SuspectTime)
	}
	return p.callSoon(ctx, to, func(ctx context.Context) error {
		return p.peers.Forward(ctx, to, q)
	})
}

func (p *Process) callApply(ctx context.Context, to ring.Ref, records []Record) (versions []Version, err error) {
	if to.Addr == p.addr {
		return p.apply(records)
	}
	err = p.call(ctx, to, p.cfg.ReplicaTimeout, func(ctx context.Context) error {
		versions, err = p.peers.Apply(ctx, to, records, nil)
		return err
	})
	return versions, err
}

// applyAt is callApply for the data path: for what an owner has decided by its claims.
func (p *Process) applyAt(to ring.Ref, records []Record, claims []Claim) ([]Version, error) {
	if to.Addr == p.addr {
		if err := p.heedAbout(claims, records); err != nil {
			return nil, err
		}
		return p.apply(records)
	}
	versions, err := p.peers.Apply(p.patient.get(p), to, records, claims)
	return versions, p.judgeRecords(to, p.patient.timeout, err)
}

// fetchFrom is callFetch for the data path. What it returns is about the first of the wants, one at least.
func (p *Process) fetchFrom(to ring.Ref, wants []Want) ([]Found, error) {
	began := p.rt.Now()
	found, err := p.peers.Fetch(p.patient.get(p), to, wants)
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		p.trips.observe(to.Addr, p.rt.Now().Sub(began))
	}
	if err = p.judgeRecords(to, p.patient.timeout, err); err == nil {
		err = aboutFirst(wants, found)
	}
	return found, err
}

// aboutFirst returns an error unless an answer is about the first of what was asked for.
func aboutFirst(wants []Want, found []Found) error {
	if len(found) < 1 || len(found) > len(wants) {
		return fmt.Errorf("%w: an answer about %d keys to a question about %d", ErrInvalid, len(found), len(wants))
	}
	for i := range found {
		if key := found[i].Record.Key; key != nil && !bytes.Equal(key, wants[i].Key) {
			return fmt.Errorf("%w: an answer about something else", ErrInvalid)
		}
	}
	return nil
}

func (p *Process) callFetch(ctx context.Context, to ring.Ref, wants []Want) (found []Found, err error) {
	err = p.call(ctx, to, p.cfg.ReplicaTimeout, func(ctx context.Context) error {
		found, err = p.peers.Fetch(ctx, to, wants)
		return err
	})
	return found, err
}

func (p *Process) callDigest(ctx context.Context, to ring.Ref, arcs []ring.Arc, claims []Claim) (sums []Summary, err error) {
	began := p.rt.Now()
	err = p.call(ctx, to, p.cfg.ReplicaTimeout, func(ctx context.Context) error {
		sums, err = p.peers.Digest(ctx, to, arcs, claims)
		return err
	})
	if err == nil && p.trips.of(to.Addr) == 0 { // an owner may have no other reason to call a replica before the first read
		p.trips.observe(to.Addr, p.rt.Now().Sub(began))
	}
	return sums, err
}

func (p *Process) callOutline(ctx context.Context, to ring.Ref, arcs []ring.Arc, detail Detail) (outlines []Outline, err error) {
	err = p.call(ctx, to, p.cfg.ReplicaTimeout, func(ctx context.Context) error {
		outlines, err = p.peers.Outline(ctx, to, arcs, detail)
		return err
	})
	return outlines, err
}

func (p *Process) callName(ctx context.Context, to ring.Ref, unnamed []Unnamed) (entries []Entry, err error) {
	err = p.call(ctx, to, p.cfg.ReplicaTimeout, func(ctx context.Context) error {
		entries, err = p.peers.Name(ctx, to, unnamed)
		return err
	})
	return entries, err
}

func (p *Process) callCollect(ctx context.Context, to ring.Ref, entries []Entry) error {
	return p.call(ctx, to, p.cfg.ReplicaTimeout, func(ctx context.Context) error {
		return p.peers.Collect(ctx, to, entries)
	})
}

func (p *Process) callContact(ctx context.Context, to ring.Ref) (c Contact, err error) {
	err = p.callRing(ctx, to, func(ctx context.Context) error {
		c, err = p.peers.Contact(ctx, to)
		return err
	})
	return c, err
}

func (p *Process) callList(ctx context.Context, to ring.Ref, arc ring.Arc, from Cursor, limit int) (entries []Entry, err error) {
	err = p.call(ctx, to, p.cfg.ReplicaTimeout, func(ctx context.Context) error {
		entries, err = p.peers.List(ctx, to, arc, from, limit)
		return err
	})
	return entries, err
}
