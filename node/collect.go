package node

import (
	"context"
	"slices"
	"time"

	"github.com/chordkv/chord/ring"
)

// Collection forgets deletes. A tombstone is there so that a replica that slept through the delete does not bring the value back; when it is
// Config.TombstoneGrace old, whoever still slept begins without records (see Contact), and the owner has it dropped once all N members of the group have
// confirmed that they have it on their disks.

// collect takes the tombstones that are old enough and has those of the own arcs dropped.
func (p *Process) collect(ctx context.Context) time.Duration {
	// Bound: the old tombstones of the store; each turn moves on past a page of them.
	for behind := (Entry{}); p.mayForget(); {
		page, err := p.store.Tombstones(p.forgettable(), behind, p.cfg.BatchRecords)
		if err != nil || len(page) == 0 {
			break
		}
		for _, n := range p.nodes {
			n.collect(ctx, page)
		}
		behind = page[len(page)-1]
	}
	return p.collectInterval()
}

// collectInterval is the time between two passes.
func (p *Process) collectInterval() time.Duration {
	return min(p.cfg.RepairInterval, p.cfg.TombstoneGrace/4)
}

// forgettable returns the version time below which a tombstone is old enough.
func (p *Process) forgettable() uint64 {
	return uint64(p.rt.Now().Add(-p.cfg.TombstoneGrace).UnixMilli()) << 16
}

// mayForget reports whether the process knows that nobody needs old tombstones any more: it hears who is alive, nobody is missed, and it has been in contact
// for so long that whoever was away when that began has been given up.
func (p *Process) mayForget() bool {
	c := p.Contact()
	return p.Ready() && p.memory.hears() && p.Standing().Dead == 0 && c.Lasts && c.Until.Sub(c.Since) > p.cfg.TombstoneGrace
}

// collect has those of the given tombstones dropped that lie in the node's arc, if all members of its group have them. What fails is tried again next
// time; where somebody has dropped one already, the repair, or that attempt, brings it back.
func (n *vnode) collect(ctx context.Context, page []Entry) {
	s := n.snap.Load()
	if !s.serving || !s.settled || s.outage != nil || len(s.group) < n.p.cfg.Replicas {
		return
	}
	var records []Record
	for _, e := range page {
		if r, ok, err := n.p.store.Get(e.Key); err == nil && ok && r.Version == e.Version && !n.p.early(&r) && s.arc.Contains(ring.Hash(e.Key)) {
			records = append(records, r)
		}
	}
	// A repair at the same time would bring back what some have dropped.
	if len(records) == 0 || !n.repairing.CompareAndSwap(false, true) {
		return
	}
	defer n.repairing.Store(false)
	for len(records) > 0 && ctx.Err() == nil {
		batch := records[:n.p.batch(records)]
		records = records[len(batch):]
		n.collectBatch(ctx, s.group[1:], batch)
	}
}

// batch returns how many of the records fit into a message.
func (p *Process) batch(records []Record) int {
	count, size := 0, 0
	for count < len(records) && (count == 0 || size < p.cfg.BatchBytes) {
		size += records[count].size()
		count++
	}
	return count
}

// collectBatch has tombstones dropped by all: by the others first, because they have to be asked again as long as one of them has not.
func (n *vnode) collectBatch(ctx context.Context, others []ring.Ref, records []Record) {
	entries := n.confirmed(ctx, others, records)
	if len(entries) == 0 {
		return
	}
	failed := false
	n.p.rt.Gather(len(others), func(i int) error { return n.p.callCollect(ctx, others[i], entries) }, nil, func(_ int, err error) (enough bool) {
		failed = failed || err != nil
		return false
	})
	if failed {
		return
	}
	if dropped, err := n.p.store.Drop(entries); err == nil && dropped > 0 && n.p.events.Collected != nil {
		n.p.events.Collected(n.self, dropped)
	}
}

// confirmed returns those of the records that all others have on their disks, and nothing newer. Whoever lacks one gets it by being asked: Apply answers for
// what is durable, which Fetch does not.
func (n *vnode) confirmed(ctx context.Context, others []ring.Ref, records []Record) (entries []Entry) {
	have := make([]int, len(records))
	answers := make([][]Version, len(others))
	if !mutantTombstoneUnconfirmed.on() {
		n.p.rt.Gather(len(others), func(i int) (err error) {
			answers[i], err = n.p.callApply(ctx, others[i], records)
			return err
		}, nil, func(i int, err error) (enough bool) {
			for j, v := range answers[i] {
				if err == nil && v == records[j].Version {
					have[j]++
				}
			}
			return false
		})
	}
	for j, r := range records {
		if have[j] == len(others) || mutantTombstoneUnconfirmed.on() {
			entries = append(entries, Entry{Key: r.Key, Version: r.Version})
		}
	}
	return entries
}

// Collect drops those of the entries that are tombstones here, maybe by having expired, of this very version and, by the own clock, old enough: whoever asks can take away nothing else.
// Errors: ErrNotReady; those of the store.
func (p *Process) Collect(_ context.Context, entries []Entry) error {
	if p.phase.Load() >= closing {
		return ErrNotReady
	}
	old := p.forgettable()
	var drop []Entry
	for _, e := range entries {
		if e.Version.Time >= old {
			continue
		}
		r, ok, err := p.store.Get(e.Key)
		if err != nil {
			return err
		}
		if r = p.lapsed(r); ok && r.Tombstone && r.Version == e.Version && !p.early(&r) {
			drop = append(drop, e)
		}
	}
	_, err := p.store.Drop(slices.Clip(drop))
	return err
}
