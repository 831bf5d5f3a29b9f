package node

import (
	"context"
	"errors"
	"time"
)

// Repair makes all replicas of an arc equal. The owner does it with each member of the group: soon after its arc or its group
// changed, which is how a newcomer gets its keys and a lost copy is made again, and now and then for the rest.

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

// repair reconciles the arc with every member of the group. If all went well and nothing changed meanwhile, the arc is settled.
func (n *vnode) repair(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	if !n.repairing.CompareAndSwap(false, true) {
		n.repairAfter(n.p.cfg.SettleDelay)
		return
	}
	defer n.repairing.Store(false)
	s := n.snap.Load()
	if !s.serving {
		return
	}
	began := n.p.rt.Now()
	if err := n.reconcileAll(ctx, s); err != nil {
		n.repairAfter(2 * n.p.cfg.SettleDelay)
		return
	}
	if !n.setSettled(s.epoch) {
		return // the change has asked for another repair
	}
	if !s.settled && n.p.events.Settled != nil {
		n.p.events.Settled(n.self, s.arc, s.group, n.p.rt.Now().Sub(began))
	}
	n.repairAfter(n.p.cfg.RepairInterval)
}

// reconcileAll reconciles the arc of a snapshot with its group, one member at a time: what one sends can be passed on to the
// next. A second round gives the first members what the last had.
func (n *vnode) reconcileAll(ctx context.Context, s *snapshot) error {
	var errs []error
	received := 0
	if mutantRepairNever.on() {
		return nil
	}
	for range 2 {
		before := received
		for i, peer := range s.group[1:] {
			r, err := n.p.reconcile(ctx, s.arc, peer, true)
			if n.p.events.Reconciled != nil && (err != nil || r.sent+r.received > 0) {
				n.p.events.Reconciled(n.self, peer, r.sent, r.received, err)
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
	return errors.Join(errs...)
}
