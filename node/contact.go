package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/chordkv/chord/ring"
)

// A process that was away must not bring back what was deleted meanwhile, once the others have forgotten the delete. They forget it when it is
// Config.TombstoneGrace old; so whoever has missed half of that of what the cluster did begins anew, without records, and whoever has missed less has the
// other half to get what he missed. What counts as missed is decided by contact. See docs/decisions/0010-tombstones.md for why that is enough.

// Contact is a time during which a process was in contact with its cluster, or had nothing that could be out of date. The zero Contact is that of a process
// that has never been a member, or remembers deletes for ever.
type Contact struct {
	Since time.Time // when the cluster, or what was back of it, began to go on without waiting for anybody
	Until time.Time
	Lasts bool // it goes on: Until is now
}

// By returns the contact of another process by the clock of this one, from what both clocks show at the same time.
func (c Contact) By(theirs, ours time.Time) Contact {
	if c.Until.IsZero() {
		return c
	}
	ahead := ours.Sub(theirs)
	return Contact{c.Since.Add(ahead), c.Until.Add(ahead), c.Lasts}
}

// Misses returns how much of the time of another process this one was not there.
func (c Contact) Misses(other Contact) time.Duration {
	began := c.Until
	if other.Since.After(began) {
		began = other.Since
	}
	return max(other.Until.Sub(began), 0)
}

// Stale reports whether the records of a process with the first contact are out of date in a ring with members that have the others.
func Stale(own Contact, others []Contact, grace time.Duration) bool {
	return grace > 0 && !own.Until.IsZero() && !mutantStaleKept.on() &&
		slices.ContainsFunc(others, func(c Contact) bool { return own.Misses(c) > grace/2 })
}

// RecallContact tells a process that was a member before until when it was in contact then. Call it before Bootstrap or Join.
func (p *Process) RecallContact(c Contact) { p.memory.recallContact(c) }

// Contact returns until when the process has been in contact: until now, while it is a member and neither cut off nor has missed anything. It is to be written
// down every minute, for RecallContact.
func (p *Process) Contact() Contact {
	now := p.rt.Now()
	c := p.memory.contactNow()
	if c.Lasts = c.Lasts && !p.lost(now, c.Until); c.Lasts {
		c.Until = now
	}
	return c
}

// lost reports whether the contact that the process had when it looked last is over: it is cut off, or it was stopped and has not looked since.
func (p *Process) lost(now, last time.Time) bool {
	return p.memory.cut.Load() || now.Sub(last) > p.cfg.TombstoneGrace/4
}

// contactInterval is the time between two looks.
func (p *Process) contactInterval() time.Duration {
	return min(p.cfg.RepairInterval, p.cfg.TombstoneGrace/16)
}

// beginContact is what a new member knows: whoever founds a ring has missed nothing, and whoever joins one without an earlier contact has no records that
// are out of date.
func (p *Process) beginContact(founder bool) {
	first := p.contactInterval()
	if p.memory.beginContact(p.rt.Now(), founder) {
		first = p.cfg.SettleDelay // others wait for what it has
	}
	p.every(first, func(ctx context.Context) time.Duration {
		p.keepContact(ctx)
		return p.contactInterval()
	})
}

func (p *Process) keepContact(ctx context.Context) {
	now := p.rt.Now()
	c := p.memory.contactNow()
	switch {
	case c.Lasts && !p.lost(now, c.Until):
		p.memory.extendContact(now)
	case c.Lasts:
		p.memory.loseContact(now)
	case p.Ready():
		p.regain(ctx)
	}
}

// regain looks whether the process is in contact again.
func (p *Process) regain(ctx context.Context) {
	company := p.askContacts(ctx)
	own, waiting := p.memory.reach()
	var since time.Time // the latest, of those that are in contact
	waits := false      // for somebody who is to find out that he has missed too much
	for _, c := range company {
		if Stale(own, []Contact{c}, p.cfg.TombstoneGrace) {
			p.turnStale(own, c)
			return
		}
		waits = waits || Stale(c, []Contact{own}, p.cfg.TombstoneGrace)
		if c.Lasts && since.Before(c.Since) {
			since = c.Since
		}
	}
	now, cut := p.rt.Now(), p.memory.cut.Load()
	p.memory.round(cut)
	switch {
	case cut:
	case !since.IsZero():
		p.memory.touch(now)
		if p.settled() {
			p.memory.gainContact(since, now)
		}
	case !waits && p.settled() && p.gathered(now, waiting):
		p.memory.gainContact(now, now)
	}
}

// reliable returns an error if the process may be about to begin anew, so that nobody should count on what it has.
func (p *Process) reliable() error {
	if p.cfg.TombstoneGrace > 0 && p.memory.doubts(p.cfg.TombstoneGrace/2, p.rt.Now()) {
		return fmt.Errorf("%w: it has been out of contact for long and asks around what it has missed", ErrConsistency)
	}
	return nil
}

// gathered reports whether a process may go on without waiting for anybody, though it knows nobody who does: everybody is back, or most are and the others had
// half the grace to come. waiting is since when it is not in contact, zero if it has joined without records: then others have to know.
func (p *Process) gathered(now, waiting time.Time) bool {
	switch waited := now.Sub(waiting); {
	case waiting.IsZero() || waited < 2*p.contactInterval(): // whoever has missed something needs the time to find out
		return false
	case p.memory.complete() && p.Standing().Dead == 0:
		return true
	default:
		return waited > p.cfg.TombstoneGrace/2 && p.memory.mostlyBack()
	}
}

// settled reports whether all arcs of the own nodes are.
func (p *Process) settled() bool {
	return !slices.ContainsFunc(p.nodes, func(n *vnode) bool { return !n.snap.Load().settled })
}

// turnStale reports that the process has missed too much.
func (p *Process) turnStale(own, other Contact) {
	if p.events.Stale != nil {
		p.events.Stale(fmt.Errorf("%w: in contact until %v, and then the ring went on without it for %v; deletes are remembered for %v", ErrStale,
			own.Until.UTC().Format(time.DateTime), own.Misses(other).Round(time.Second), p.cfg.TombstoneGrace))
	}
}

// maxCompany bounds how many others are asked at a time.
const maxCompany = 16

// askContacts asks the processes next to the own nodes until when they have been in contact. Those that do not answer, or never were, are left out.
func (p *Process) askContacts(ctx context.Context) (company []Contact) {
	peers := p.company()
	answers := make([]Contact, len(peers))
	p.rt.Gather(len(peers), func(i int) (err error) {
		answers[i], err = p.callContact(ctx, peers[i])
		return err
	}, nil, func(i int, err error) (enough bool) {
		if err == nil && !answers[i].Until.IsZero() {
			company = append(company, answers[i])
		}
		return false
	})
	return company
}

// company returns one node of each other process next to the own nodes.
func (p *Process) company() (peers []ring.Ref) {
	for _, n := range p.nodes {
		view := n.snap.Load().view
		for _, r := range append([]ring.Ref{view.Pred}, view.Succs...) {
			known := r.Addr == p.addr || slices.ContainsFunc(peers, func(k ring.Ref) bool { return k.Addr == r.Addr })
			if !known && len(peers) < maxCompany {
				peers = append(peers, r)
			}
		}
	}
	return peers
}
