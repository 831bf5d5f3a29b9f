package sim

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// holders returns the hosts whose disks have a version of a key or a newer one, whether they run or not, but for those that have left.
func (c *Checker) holders(k *keyHistory, v node.Version) []int {
	var holders []int
	for i := range c.hosts {
		if !c.hosts[i].left && !v.Newer(c.synced(i, k.key)) {
			holders = append(holders, i)
		}
	}
	return holders
}

// takers returns the hosts whose disks have a version that a write was given, or one that took its place: not one that was acknowledged before the write
// began, which kept it out.
func (c *Checker) takers(k *keyHistory, v node.Version, b *begun) []int {
	return slices.DeleteFunc(c.holders(k, v), func(host int) bool { return c.synced(host, k.key) == b.exact.version && b.exact.version != v })
}

// synced returns the version of a key that would be on a host's disk if its machine crashed now.
func (c *Checker) synced(host int, key []byte) node.Version {
	h := c.w.Host(host)
	if h.traits != nil {
		for i := range h.traits.tail {
			if u := &h.traits.tail[i]; u.synced > c.w.Now() && bytes.Equal(u.now.Key, key) {
				return u.before.Version
			}
		}
	}
	v, err := h.Store().Version(key)
	if err != nil {
		return node.Version{}
	}
	return v
}

// forgets reports whether the last that is known of a key is a delete, or something that has expired, or one of these of which nobody knows whether it has taken effect,
// that its replicas may have forgotten by now. Their clocks may be fast.
func (c *Checker) forgets(k *keyHistory) bool {
	_, gone := c.gone(&k.acked)
	return gone && c.old(k.acked.begin) || slices.ContainsFunc(k.unknown, func(begin time.Duration) bool {
		return c.old(begin) && begin > k.acked.begin-c.longest
	})
}

func (c *Checker) old(since time.Duration) bool {
	return c.cfg.TombstoneGrace > 0 && c.w.Now()-since > c.cfg.TombstoneGrace*3/4
}

// remembered returns nil if no running process has a tombstone that everybody should have forgotten long ago. Without gossip nobody forgets any.
func (c *Checker) remembered() error {
	if !c.w.options.Gossip.On || c.cfg.TombstoneGrace == 0 {
		return nil
	}
	old := c.cfg.TombstoneGrace + 3*c.cfg.RepairInterval
	before := uint64(epoch.Add(c.w.Now()).Add(-old).UnixMilli()) << 16
	for i := range c.hosts {
		if c.hosts[i].running {
			if list, err := c.w.Host(i).Store().Tombstones(before, node.Entry{}, 1); err == nil && len(list) > 0 {
				return fmt.Errorf("%s remembers the delete of %q, version %v, after more than %v", addrOf(i), list[0].Key, list[0].Version, old)
			}
		}
	}
	return nil
}

func addrsOf(hosts []int) string {
	if len(hosts) == 0 {
		return "none"
	}
	var b strings.Builder
	for i, h := range hosts {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(addrOf(h))
	}
	return b.String()
}

// entries calls f for every record on a host's disk.
func (c *Checker) entries(host int, f func(e node.Entry)) {
	const page = 512
	store := c.w.Host(host).Store()
	for from := (node.Cursor{}); ; {
		list, err := store.List(ring.FullArc(), from, page)
		if err != nil {
			return
		}
		for _, e := range list {
			f(e)
		}
		if len(list) < page {
			return
		}
		from = node.Cursor{Key: list[len(list)-1].Key}
	}
}

// countCopies counts, for every key that was acknowledged, the disks that have it: they are never fewer than they were, up to N, but
// by the loss of a disk.
func (c *Checker) countCopies() {
	if !c.durable() {
		return
	}
	count := make(map[string]int, len(c.keys))
	for i := range c.hosts {
		if !c.hosts[i].left {
			t := c.w.Host(i).traits
			unsynced := t != nil && len(t.tail) > 0
			c.entries(i, func(e node.Entry) {
				k := c.keys[string(e.Key)]
				if k != nil && !k.acked.version.Newer(e.Version) && !(unsynced && k.acked.version.Newer(c.synced(i, e.Key))) {
					count[string(e.Key)]++
				}
			})
		}
	}
	for _, k := range c.sorted {
		n := count[string(k.key)]
		switch {
		case k.acked.version.IsZero() || k.lost || c.forgets(k):
		case n < k.copies:
			c.report(CheckCopies, fmt.Sprintf("version %v of %q, acknowledged at %v, was on %d disks and is on %d: %s",
				k.acked.version, k.key, k.acked.end, k.copies, n, addrsOf(c.holders(k, k.acked.version))), c.groupHosts(k)...)
			return
		default:
			k.copies = min(n, c.cfg.Replicas)
		}
	}
}

// copiesLost takes copies off what must be there, because so many disks were emptied, or a process has left without having handed over everything.
func (c *Checker) copiesLost(disks int) {
	c.lastLoss = c.w.Now()
	if !c.durable() {
		return
	}
	for _, k := range c.sorted {
		if k.acked.version.IsZero() || k.lost || c.forgets(k) {
			continue
		}
		holders := c.holders(k, k.acked.version)
		if n := len(holders); n < k.copies-disks {
			c.report(CheckCopies, fmt.Sprintf("version %v of %q, acknowledged at %v, was on %d disks, %d were lost, and it is on %d: %s",
				k.acked.version, k.key, k.acked.end, k.copies, disks, n, addrsOf(holders)), c.groupHosts(k)...)
			return
		}
		k.copies = min(k.copies, len(holders))
		k.lost = len(holders) == 0
	}
}

// checkHandOver: a process that has left a stable ring leaves nothing to repair. Records that were written a moment ago may still be on their way.
func (c *Checker) checkHandOver(host int) {
	if !c.checks.Data || !c.durable() {
		return
	}
	need := min(c.cfg.Replicas, c.w.running)
	c.entries(host, func(e node.Entry) {
		k := c.keys[string(e.Key)]
		if k == nil || c.w.Now()-k.touched < 2*c.cfg.ReplicaTimeout || c.forgets(k) {
			return
		}
		if holders := c.holders(k, e.Version); len(holders) < need {
			c.report(CheckHandOver, fmt.Sprintf("%s left and had version %v of %q, which only %s have", addrOf(host), e.Version, e.Key, addrsOf(holders)))
		}
	})
}
