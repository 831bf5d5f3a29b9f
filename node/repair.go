package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chordkv/chord/ring"
)

// Repair makes all replicas of an arc equal. The owner does it with each member of the group: soon after its arc or its group
// changed, which is how a newcomer gets its keys and a lost copy is made again, and now and then for the rest. Of the arcs of a process
// Config.RepairArcs are compared at a time, and each batch of records is followed by a rest (pace).

// repairAfter makes the next repair of the node's arc happen after d at the latest.
func (n *vnode) repairAfter(d time.Duration) {
	if n.p.ctx.Err() != nil {
		return
	}
	stop := n.p.rt.AfterFunc(n.p.jitter(d), func() { n.repair(n.p.ctx) })
	if old := n.swapRepairStop(stop); old != nil {
		old()
	}
}

// repair waits for its turn and reconciles the arc with every member of the group.
func (n *vnode) repair(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	if !n.repairing.CompareAndSwap(false, true) {
		n.repairAfter(n.p.cfg.SettleDelay)
		return
	}
	if n.p.memory.beginRepair(n, n.p.cfg.RepairArcs) {
		n.repairNow(ctx)
	}
}

// repairNow reconciles the arc with every member of the group, and lets the next arc that waits begin. If all went well and nothing changed meanwhile, the
// arc is settled: whatever was acknowledged is known to its owner.
func (n *vnode) repairNow(ctx context.Context) {
	defer func() {
		n.repairing.Store(false)
		if next := n.p.memory.endRepair(); next != nil {
			n.p.rt.Go(func() { next.repairNow(ctx) })
		}
	}()
	s := n.snap.Load()
	if ctx.Err() != nil || !s.serving {
		return
	}
	began := n.p.rt.Now()
	outage := n.hold(began)
	err := n.reconcileAll(ctx, s, s.arc, outage, nil)
	held := errors.Is(err, errHeld)
	if err != nil && !held {
		n.repairAfter(2 * n.p.cfg.SettleDelay)
		return
	}
	if !n.setSettled(s.epoch, held) {
		return // the change has asked for another repair
	}
	next, now := n.p.cfg.RepairInterval, n.p.rt.Now()
	switch {
	case held:
		left := max(outage.until.Sub(now), n.p.cfg.SettleDelay)
		next = min(next, left)
		if s.outage == nil && n.p.events.Held != nil {
			n.p.events.Held(n.self, s.arc, left)
		}
	case (!s.settled || s.outage != nil) && n.p.events.Settled != nil:
		n.p.events.Settled(n.self, s.arc, s.group, now.Sub(began))
	}
	n.repairAfter(next)
}

// reconcileAll reconciles an arc of a snapshot, or a part of it, with its group, one member at a time: what one sends can be passed on to the
// next. A second round gives the first members what the last had. It tells report, if there is one, about each comparison. With an outage it fetches from stand-ins what it lacks,
// until the arc is settled, and sends them nothing: its error is errHeld if nothing else is wrong, but one of them lacks some.
func (n *vnode) reconcileAll(ctx context.Context, s *snapshot, arc ring.Arc, outage *outage, report func(Repaired)) error {
	if mutantRepairNever.on() {
		return nil
	}
	g := &progress{began: n.p.rt.Now()}
	if n.progress.CompareAndSwap(nil, g) { // else a repair on demand runs beside another
		defer n.progress.Store(nil)
	}
	var errs []error
	claims := []Claim{s.claim()}
	received, held := 0, false
	for range 2 {
		before := received
		for i, peer := range s.group[1:] {
			hold := outage.standsIn(peer)
			if hold && s.outage != nil { // what it has newer was fetched when the arc was settled
				held = true
				continue
			}
			r := reconciliation{p: n.p, peer: peer, pull: true, claims: claims, hold: hold, progress: g}
			err := r.perform(ctx, arc)
			if errors.Is(err, errHeld) {
				held, err = true, nil
			}
			n.doubted(s, err)
			if n.p.events.Reconciled != nil && (err != nil || r.sent+r.received > 0) {
				n.p.events.Reconciled(n.self, peer, r.sent, r.received, err)
			}
			if report != nil {
				report(Repaired{Node: n.self, Peer: peer, Arc: arc, Sent: r.sent, Received: r.received, Err: err})
			}
			errs = append(errs, err)
			if i > 0 {
				received += r.received
			}
		}
		if received == before {
			break
		}
	}
	if err := errors.Join(errs...); err != nil || !held {
		return err
	}
	return errHeld
}

// Repaired is what came of the comparison of an arc with one of its replicas.
type Repaired struct {
	Node, Peer     ring.Ref
	Arc            ring.Arc
	Sent, Received int // records
	Err            error
}

// Repair compares the part of the own nodes' arcs that lies within an arc with its replicas, now, and tells report about each comparison. An arc of
// which some replica did not agree in the end makes it fail, when it has tried the others. Errors: ErrNotReady; ErrInvalid, there is no such part; those
// of the comparisons.
func (p *Process) Repair(ctx context.Context, within ring.Arc, report func(Repaired)) error {
	if !p.Ready() {
		return fmt.Errorf("repair: %w", ErrNotReady)
	}
	var errs []error
	parts := 0
	for _, n := range p.nodes {
		s := n.snap.Load()
		if !s.serving {
			continue
		}
		for _, part := range s.arc.Overlap(within) {
			parts++
			err := n.reconcileAll(ctx, s, part, nil, report)
			if err == nil && part == s.arc {
				n.setSettled(s.epoch, false)
			}
			errs = append(errs, err)
		}
	}
	if parts == 0 {
		return fmt.Errorf("repair: %w: %s owns nothing in %v", ErrInvalid, p.addr, within)
	}
	return errors.Join(errs...)
}
