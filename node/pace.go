package node

import (
	"context"
	"sync/atomic"
	"time"
)

// pace holds back what a process moves of its own accord, for repair, sweep and leave, so that it does not get in the way of clients.
type pace struct {
	served atomic.Uint64 // operations of clients so far
	paid   atomic.Int64  // Unix time in ns at which what was moved so far is paid for, at Config.RepairRate
}

// turn is the time that a batch of records takes.
type turn struct {
	began  time.Time
	served uint64
}

// takeTurn begins a turn.
func (p *Process) takeTurn() turn { return turn{p.rt.Now(), p.pace.served.Load()} }

// rest ends a turn in which so many bytes were moved. It waits as long as the rate asks for; and, if clients were served meanwhile, as long again as the turn
// took, so that the next one leaves them half of whatever is scarce.
func (p *Process) rest(ctx context.Context, t turn, bytes int) error {
	now := p.rt.Now()
	wait := p.pace.debt(now, bytes, p.cfg.RepairRate)
	if wait = max(wait, p.respite(t)); wait <= 0 {
		return nil
	}
	return p.rt.Sleep(ctx, wait)
}

// respite returns how long to wait after a turn for the sake of clients: if some were served meanwhile, as long as it took.
func (p *Process) respite(t turn) time.Duration {
	if p.pace.served.Load() == t.served {
		return 0
	}
	return min(p.rt.Now().Sub(t.began), p.cfg.RingTimeout)
}

// debt adds bytes to what has to be paid for, at a rate in bytes per second, and returns how long that will take; a rate of 0 costs nothing.
func (c *pace) debt(now time.Time, bytes, rate int) time.Duration {
	if rate == 0 {
		return 0
	}
	cost := int64(float64(bytes) / float64(rate) * float64(time.Second))
	// Bound: another task has added something each time around.
	for {
		old := c.paid.Load()
		until := max(old, now.UnixNano()) + cost
		if c.paid.CompareAndSwap(old, until) {
			return time.Duration(until - now.UnixNano())
		}
	}
}

// progress is how far the comparison of an arc with its replicas is. A nil progress notes nothing.
type progress struct {
	began time.Time
	left  atomic.Int64 // records that have to be moved still, as far as that is known
	moved atomic.Int64
	bytes atomic.Int64
}

// expect notes that so many records have to be moved, at least.
func (g *progress) expect(records uint64) {
	if g != nil {
		g.left.Store(int64(max(records, uint64(g.left.Load()))))
	}
}

// compared notes that one replica has nothing more to give or get.
func (g *progress) compared() {
	if g != nil {
		g.left.Store(0)
	}
}

// add notes that records were moved.
func (g *progress) add(records, bytes int) {
	if g != nil {
		g.moved.Add(int64(records))
		g.bytes.Add(int64(bytes))
		g.left.Store(max(0, g.left.Load()-int64(records)))
	}
}

// RepairStatus is where repair stands.
type RepairStatus struct {
	Behind    int           // own arcs of which not all replicas agree since the last change of arc or group, but for those
	Held      int           // own arcs of which some copies are not made again yet, because who has them may come back
	HeldTime  time.Duration // for how long at most
	Comparing int           // own arcs that are being compared with their replicas
	Waiting   int           // own arcs that wait for their turn
	Moved     int64         // records sent and received by these comparisons so far
	Bytes     int64         // of those records
	Left      int64         // records that have to be moved still, as far as that is known yet: it may become more
	LeftTime  time.Duration // for that, at the rate so far; 0 if there is none
}

// RepairStatus tells where repair stands.
func (p *Process) RepairStatus() RepairStatus {
	s := RepairStatus{Waiting: p.memory.waitingRepairs()}
	for _, n := range p.nodes {
		switch snap := n.snap.Load(); {
		case snap.serving && !snap.settled:
			s.Behind++
		case snap.serving && snap.outage != nil:
			s.Held++
			s.HeldTime = max(s.HeldTime, snap.outage.until.Sub(p.rt.Now()))
		}
		g := n.progress.Load()
		if g == nil {
			continue
		}
		s.Comparing++
		moved, left := g.moved.Load(), g.left.Load()
		s.Moved, s.Bytes, s.Left = s.Moved+moved, s.Bytes+g.bytes.Load(), s.Left+left
		if moved > 0 { // side by side: the slowest takes longest
			s.LeftTime = max(s.LeftTime, time.Duration(float64(p.rt.Now().Sub(g.began))/float64(moved)*float64(left)))
		}
	}
	return s
}
