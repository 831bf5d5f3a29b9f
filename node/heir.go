package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/chordkv/chord/ring"
)

// The heir of a node is the one that takes over its arc when its process is gone. A process that was stopped, or cut off, and goes on does not know that it was taken for dead, but its heir does. So
// whoever decides something as an owner has heard from its heir since, or so shortly before that it could not have been taken for dead.

// heir returns the node that would own the arc of a snapshot if its process were gone; zero if there is none.
func (s *snapshot) heir() ring.Ref { return heirOf(s.view) }

func heirOf(v ring.View) ring.Ref {
	for _, r := range v.Succs {
		if r.Addr != v.Self.Addr {
			return r
		}
	}
	return ring.Ref{}
}

// heirs returns the heir, that which would own the arc if the heir were gone, too, and so on.
func (s *snapshot) heirs(most int) (heirs []ring.Ref) {
	for _, r := range s.view.Succs {
		if len(heirs) < most && r.Addr != s.view.Self.Addr && !slices.ContainsFunc(heirs, func(h ring.Ref) bool { return h.Addr == r.Addr }) {
			heirs = append(heirs, r)
		}
	}
	return heirs
}

// disputes reports whether another node owns a part of the arc of a snapshot, as its view says.
func disputes(view ring.View, s *snapshot) bool {
	return !view.Self.IsZero() && len(view.Arc().Overlap(s.arc)) > 0
}

// askHeir returns the view of the heir, zero if there is none.
func (n *vnode) askHeir(ctx context.Context, s *snapshot) (v ring.View, err error) {
	if heir := s.heir(); !heir.IsZero() {
		v, _, err = n.ask(ctx, heir)
	}
	return v, err
}

// ask returns the view of a node, and when the attempt that was answered began. It takes the view in if that is the heir's.
func (n *vnode) ask(ctx context.Context, to ring.Ref) (v ring.View, began time.Time, err error) {
	err = n.p.callRing(ctx, to, func(ctx context.Context) error {
		began = n.p.rt.Now()
		v, err = n.p.peers.Neighbors(ctx, to)
		return err
	})
	if err == nil {
		n.hearHeir(v, began)
	}
	return v, began, err
}

// hearHeir takes in what the heir, if it is that, has answered to a call that began at a time.
func (n *vnode) hearHeir(v ring.View, began time.Time) {
	if s := n.snap.Load(); v.Self == s.heir() && !disputes(v, s) {
		n.heard(began)
	}
}

// heard notes that the heir had not taken over at a time.
func (n *vnode) heard(at time.Time) {
	if t := at.UnixNano(); n.heardHeir.Load() != t { // not the latest: clocks may be set back
		n.heardHeir.Store(t)
	}
}

// hearHeirs is the first step of writes. A process that was stopped does not know it, and its versions would be above those that another owner has given meanwhile. So a node that has not heard for some time from
// the one that would have taken over, its heir, asks that one whether it has.
func (b *batch) hearHeirs() {
	var silent []*owned // one of each node
	now := b.p.rt.Now()
	for i := range b.ops {
		o := &b.ops[i]
		if !o.n.heardSince(now) && !slices.ContainsFunc(silent, func(other *owned) bool { return other.n == o.n }) {
			silent = append(silent, o)
		}
	}
	if len(silent) == 0 || mutantEpochUnchecked.on() {
		return
	}
	b.p.rt.Gather(len(silent), func(i int) error {
		silent[i].n.inquire(silent[i].s)
		return nil
	}, nil, func(int, error) (enough bool) { return false })
}

// heardSince reports whether the node has heard from its heir less than RingTimeout before now.
func (n *vnode) heardSince(now time.Time) bool { return n.heardWithin(now, n.p.cfg.RingTimeout) }

// heardWithin is heardSince for another time.
func (n *vnode) heardWithin(now time.Time, d time.Duration) bool {
	since := now.UnixNano() - n.heardHeir.Load()
	return since >= 0 && since < int64(d)
}

// inquire asks the heir whether it has taken over, and suspends the node if so. If that one does not answer, the next one is the heir.
func (n *vnode) inquire(s *snapshot) {
	for _, heir := range s.heirs(n.p.cfg.Replicas) {
		// Bound: another turn takes a stop of this process, or that many messages are lost.
		for n.p.ctx.Err() == nil {
			view, began, err := n.ask(n.p.ctx, heir)
			if err != nil {
				break
			}
			if disputes(view, s) {
				n.superseded(s, s.epoch)
				return
			}
			if n.p.rt.Now().Sub(began) < n.p.cfg.RingTimeout {
				return
			}
		}
	}
}

// hear takes in what a process that was asked at a time says of the owner of the key.
func (q *quorumRead) hear(from ring.Ref, f *Found, asked time.Time) {
	q.epoch = max(q.epoch, f.Epoch)
	if !f.Mine && !q.hearSoon {
		return
	}
	switch heir := from.Addr == q.s.heir().Addr; {
	case heir && f.Mine:
		q.epoch = max(q.epoch, q.s.epoch+1) // perhaps it has not heard of the newest claim of this node
	case heir && f.Epoch <= q.s.epoch:
		q.heirSilent, q.hearSoon = false, false
		q.n.heard(asked)
	}
}

// due notes whether the heir has to be asked for a read that is sent to replicas at a time, and whether the next one should find that it has been.
func (q *quorumRead) due(now time.Time) {
	timeout := q.n.p.cfg.RingTimeout
	q.heirSilent, q.hearSoon = !q.n.heardWithin(now, timeout), !q.n.heardWithin(now, timeout/2)
}

// hearAgain asks the heir if it was not among those that a read has asked, so that the next ones need not wait for it.
func (q *quorumRead) hearAgain() {
	if n := q.n; q.hearSoon && n.hearing.CompareAndSwap(false, true) {
		n.p.rt.Go(func() {
			_, _ = n.askHeir(n.p.ctx, q.s)
			n.hearing.Store(false)
		})
	}
}

// slower reports whether one peer takes so many times as long to answer as another, a power of two, as far as is known.
func (p *Process) slower(one, than ring.Ref, times int) bool {
	const twice = 4 // steps of distance
	d := p.distance(one)
	return d != math.MaxInt && d-twice*(bits.Len(uint(times))-1) > p.distance(than)
}

// hearHeir finds out whether the heir has taken over, if that is not known: by the heir or, when that hesitates, by those that would be its replicas. As an owner it would have acknowledged
// nothing that is not at W - 1 of them, and its claim with it.
func (q *quorumRead) hearHeir() error {
	if !q.heirSilent || mutantEpochUnchecked.on() {
		return nil
	}
	p := q.n.p
	heirs := q.s.view.Candidates(p.cfg.Replicas, q.s.view.Self)
	if heirs = heirs[:min(len(heirs), p.cfg.Replicas)]; len(heirs) == 0 {
		return nil
	}
	silent := len(q.unanswered(heirs[1:]))
	known := func() bool { return !q.heirSilent || q.epoch > q.s.epoch || silent < p.cfg.WriteQuorum-1 }
	if known() {
		return nil
	}
	asked, began := q.unanswered(heirs), p.rt.Now()
	if slices.Contains(q.group, heirs[0]) { // it has been asked, and hesitates, or is slow
		asked = last(asked, func(r ring.Ref) bool { return r == heirs[0] })
	}
	wants, found := []Want{{Key: q.Key, Bare: true}}, make([][]Found, len(asked))
	ask := func(i int) (err error) {
		found[i], err = p.fetchFrom(asked[i], wants)
		return err
	}
	hear := func(i int, err error) (enough bool) {
		if err != nil {
			q.fail(asked[i], err)
			return false
		}
		q.hear(asked[i], &found[i][0], began)
		if asked[i] != heirs[0] {
			silent--
		}
		return known()
	}
	if err := p.await(p.ctx, func(wake func()) { p.hedge(len(asked), 1, p.late(asked[:1]), ask, hear, wake) }); err != nil {
		return err
	}
	if !known() {
		return fmt.Errorf("%w: neither %v, which would have taken over, nor its replicas answered: %w", ErrConsistency, heirs[0], errors.Join(q.failures...))
	}
	return nil
}
