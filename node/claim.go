package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chordkv/chord/ring"
)

// An owner decides about keys because it believes that they are its own. It may be wrong: it was stopped for a while, or cut off, and its successor has taken over. So an owner claims its arc
// in what it tells replicas to store and to compare: since epoch so and so this node owns that arc. The epochs of a process grow with each change of an arc or its group of replicas,
// and are above all that it has heard of (Lamport, CACM 1978). A replica keeps the newest claim to each part of the circle, and refuses what somebody else decides by an older one: of two nodes that both take
// themselves for the owner, the later one keeps the other from acknowledging anything, as soon as it has reached as many replicas as that one would need. See
// docs/decisions/0015-epochs.md.

// Claim says that a node owns an arc, that which ends at it, since an epoch.
type Claim struct {
	Arc   ring.Arc
	Epoch uint64
}

// errSuspended is what a node says that is suspended, until it has renewed its claim.
var errSuspended = fmt.Errorf("%w: the owner of the key has to find out whether it still is one", ErrSuperseded)

// newer reports whether a claim by an owner takes precedence over one by another.
func newer(epoch uint64, owner ring.ID, thanEpoch uint64, thanOwner ring.ID) bool {
	return epoch > thanEpoch || epoch == thanEpoch && owner.Compare(thanOwner) > 0
}

func (s *snapshot) claim() Claim { return Claim{s.arc, s.epoch} }

// heed takes in a claim. The error is a SupersededError if somebody else has a newer one to a part of its arc.
func (p *Process) heed(c Claim) error {
	if p.claims.known(c) || mutantEpochUnchecked.on() {
		return nil
	}
	own := p.ownEpoch(c, func(s *snapshot) bool { return len(s.arc.Overlap(c.Arc)) > 0 })
	if epoch := max(own, p.claims.take(c)); epoch != 0 {
		return &SupersededError{Epoch: epoch}
	}
	return nil
}

// heedAbout takes in the claims by which records were decided. The error is a SupersededError if somebody else has a newer one to a key of them: while nodes join, an arc may be
// claimed that is a little too large.
func (p *Process) heedAbout(claims []Claim, records []Record) error {
	for _, c := range claims {
		if p.heed(c) == nil {
			continue
		}
		for i := range records {
			if id := records[i].ID(); c.Arc.Contains(id) {
				if err := p.disputed(c, id); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// disputed returns an error if somebody else has a newer claim to a place in the arc of a claim.
func (p *Process) disputed(c Claim, id ring.ID) error {
	epoch := p.ownEpoch(c, func(s *snapshot) bool { return s.arc.Contains(id) })
	if epoch == 0 {
		epoch = p.claims.above(c, id)
	}
	if epoch != 0 {
		return &SupersededError{Epoch: epoch}
	}
	return nil
}

// claimsTo returns the claims that records were decided by.
func claimsTo(records []Record, claims []Claim) []Claim {
	return slices.DeleteFunc(slices.Clone(claims), func(c Claim) bool {
		return !slices.ContainsFunc(records, func(r Record) bool { return c.Arc.Contains(r.ID()) })
	})
}

// ownEpoch returns the epoch of an own node that is concerned by a claim of another, and has its own since later; 0 if there is none.
func (p *Process) ownEpoch(c Claim, concerned func(s *snapshot) bool) uint64 {
	for _, n := range p.nodes {
		s := n.snap.Load()
		if s.serving && n.self.ID != c.Arc.Through && newer(s.epoch, n.self.ID, c.Epoch, c.Arc.Through) && concerned(s) {
			return s.epoch
		}
	}
	return 0
}

// epochAt returns the epoch of the newest claim to a place of the circle that the process knows of, its own among them, 0 if it knows of none, and whether it has one itself.
func (p *Process) epochAt(id ring.ID) (epoch uint64, mine bool) {
	epoch = p.claims.at(id)
	_, s := p.owner(id)
	if s != nil {
		epoch = max(epoch, s.epoch)
	}
	return epoch, s != nil
}

// superseded takes in that somebody else has a newer claim to a part of what a node owned by a snapshot, unless that has changed since: until its claim is renewed, the node decides nothing.
func (n *vnode) superseded(s *snapshot, epoch uint64) {
	n.p.claims.observe(epoch)
	if s.epoch == n.snap.Load().epoch && n.suspended.CompareAndSwap(false, true) {
		if n.p.events.Suspended != nil {
			n.p.events.Suspended(n.self, s.heir())
		}
		n.p.rt.Go(func() { n.renew(n.p.ctx) })
	}
}

// mayDecide returns an error if a node must not decide anything about a key by a snapshot, as far as this process knows. What was settled in an epoch that is over may not be so any more.
func (n *vnode) mayDecide(s *snapshot, key []byte) error {
	if n.suspended.Load() || n.snap.Load().epoch != s.epoch {
		return errSuspended
	}
	if c := s.claim(); n.p.heed(c) != nil {
		err := n.p.disputed(c, ring.Hash(key))
		n.doubted(s, err)
		return err
	}
	return nil
}

// mayDecide returns an error if the node must not decide anything about the key. What it knows of that was asked at the beginning; if that is long ago, it asks again.
func (w *write) mayDecide() error {
	if w.outdated() {
		w.n.inquire(w.s)
		w.asked = w.n.p.rt.Now()
	}
	return w.n.mayDecide(w.s, w.Key)
}

// outdated reports whether it is so long ago that the heir was asked, or has said by itself that it has not taken over, that it may have done so.
func (w *write) outdated() bool {
	now := w.n.p.rt.Now()
	return now.Sub(w.asked) >= w.n.p.cfg.RingTimeout && !w.n.heardSince(now) && !mutantEpochUnchecked.on()
}

// doubted is superseded if that is what an error says of a call that was made as the owner.
func (n *vnode) doubted(s *snapshot, err error) {
	var e *SupersededError
	if errors.As(err, &e) {
		n.superseded(s, e.Epoch)
	}
}

// renew claims the arc of a node anew when its heir says that it is the node's. Before that, what the node has decided by its old claim must have come to an end, or the new one would
// let it pass.
func (n *vnode) renew(ctx context.Context) {
	const first = 10 * time.Millisecond
	// Bound: the process's life. Either the heir gives way, or the ring closes over it; both are what stabilize works at.
	for wait := first; ctx.Err() == nil; wait = min(2*wait, n.p.cfg.RingTimeout) {
		if n.deciding.Load() == 0 {
			s := n.snap.Load()
			if !s.serving {
				break
			}
			if view, err := n.askHeir(ctx, s); err == nil && !disputes(view, s) && n.reclaim(s) {
				break
			}
			n.p.recheck(s.heir().Addr)
		}
		if n.p.rt.Sleep(ctx, n.p.jitter(wait)) != nil {
			break
		}
	}
	n.suspended.Store(false)
	n.repairAfter(n.p.cfg.SettleDelay)
}
