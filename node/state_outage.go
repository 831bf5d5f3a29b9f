package node

import (
	"slices"
	"time"

	"github.com/chordkv/chord/ring"
)

// outage, which nobody changes, is what a node knows of those that have copies of its arc and are missed. They may come back: until Config.Grace is over, their copies are not made again. Of the group
// as it is meanwhile, members that were in it before are kept equal as ever; those that have moved up to take the place of one that is missed, the stand-ins, get what is
// written from then on, and nothing else. See docs/decisions/0016-restarts-are-not-departures.md.
type outage struct {
	missed   []ring.ID // nodes
	standIns []string  // addresses
	until    time.Time // when it has been long enough for the first
	held     bool      // the arc was settled, but for the copies that stand-ins lack
}

// noteMissed takes in which of those that have copies of the arc are gone after a change, and who stands in for them: until then, if they are the first.
// It reports whether one is back.
func (n *vnode) noteMissed(before, after *snapshot, until time.Time) (back bool) {
	n.lock()
	defer n.mu.Unlock()
	var o outage
	var missed []ring.ID // before
	if n.outage != nil {
		missed = n.outage.missed
		o.missed = slices.DeleteFunc(slices.Clone(missed), func(id ring.ID) bool { return shows(after.view, id) })
		o.standIns = slices.DeleteFunc(slices.Clone(n.outage.standIns), func(addr string) bool { return !slices.ContainsFunc(after.group, at(addr)) })
		o.until, o.held = n.outage.until, n.outage.held
		back = len(o.missed) < len(missed)
	}
	had := [][]ring.Ref{before.group} // that of each part of the arc
	if pred := before.view.Pred; !pred.IsZero() && before.arc != after.arc && after.arc.Contains(pred.ID) {
		had = append(had, ring.View{Self: pred, Succs: append([]ring.Ref{n.self}, before.view.Succs...)}.Group(n.p.cfg.Replicas))
	}
	for _, r := range slices.Concat(had...) {
		if shows(after.view, r.ID) || slices.Contains(o.missed, r.ID) {
			continue
		}
		if len(o.missed) == 0 {
			o.until = until
		}
		o.missed = append(o.missed, r.ID)
	}
	if n.outage = nil; len(o.missed) == 0 {
		return back
	}
	for _, r := range after.group {
		newcomer := slices.Contains(missed, r.ID) || !shows(before.view, r.ID) && !beyond(before.view, r.ID)
		lacks := slices.ContainsFunc(had, func(group []ring.Ref) bool { return !slices.ContainsFunc(group, at(r.Addr)) })
		if !newcomer && lacks && !o.standsIn(r) {
			o.standIns = append(o.standIns, r.Addr)
		}
	}
	n.outage = &o
	return back
}

func at(addr string) func(ring.Ref) bool { return func(r ring.Ref) bool { return r.Addr == addr } }

// shows reports whether a node is in a view.
func shows(v ring.View, id ring.ID) bool {
	return v.Self.ID == id || v.Pred.ID == id || slices.ContainsFunc(v.Succs, func(r ring.Ref) bool { return r.ID == id })
}

// beyond reports whether a node lies behind the end of the successor list.
func beyond(v ring.View, id ring.ID) bool {
	return len(v.Succs) > 0 && ring.Between(v.Succs[len(v.Succs)-1].ID, id, v.Self.ID)
}

// hold returns the outage because of which stand-ins are not given copies yet. It is nil if there is none, or it has lasted long enough, or fewer than W processes would have
// copies meanwhile.
func (n *vnode) hold(now time.Time) *outage {
	n.lock()
	defer n.mu.Unlock()
	o := n.outage
	if o == nil || !now.Before(o.until) || len(o.standIns) > n.p.cfg.Replicas-n.p.cfg.WriteQuorum {
		return nil
	}
	return o
}

// standsIn reports whether a node is one of a stand-in.
func (o *outage) standsIn(r ring.Ref) bool { return o != nil && slices.Contains(o.standIns, r.Addr) }

// settled returns what is left of an outage when the arc is settled: nothing, if nobody lacks copies.
func (o *outage) settled(held bool) *outage {
	if o == nil || !held {
		return nil
	}
	return &outage{missed: o.missed, standIns: o.standIns, until: o.until, held: true}
}
