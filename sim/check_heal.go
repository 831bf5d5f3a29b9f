package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// Heal demands, once faults are over and the dead are back, that the ring becomes ideal, every arc settles, and every key comes to be on
// exactly the processes that should have it, and no delete is remembered for too long, within a time; and then that every process reads every key. It returns how long that took, and is called
// on a task of the harness, which it suspends.
func (c *Checker) Heal(within time.Duration) time.Duration {
	began := c.w.Now()
	c.scan()
	healed := c.w.WaitFor(func() bool { return c.found != nil || c.healed() == nil }, time.Second, within)
	took := c.w.Now() - began
	if c.found != nil {
		return took
	}
	if err := c.healed(); err != nil && !healed {
		c.report(CheckHeal, fmt.Sprintf("%v after the faults have ended: %v", within, err), c.concerned(err)...)
		return took
	}
	if c.checks.Data {
		c.readBack()
	}
	return took
}

// misplaced says which processes have a key and which should.
type misplaced struct {
	key  []byte
	id   ring.ID
	have []int
	want []int
}

func (m *misplaced) Error() string {
	return fmt.Sprintf("%q at %s is on %s, should be on %s", m.key, m.id.Short(), addrsOf(m.have), addrsOf(m.want))
}

// concerned returns the hosts that an error of healed is about.
func (c *Checker) concerned(err error) []int {
	var m *misplaced
	if errors.As(err, &m) {
		return append(slices.Clone(m.want), m.have...)
	}
	return c.allRunning()
}

// healed returns nil when nothing is left to repair.
func (c *Checker) healed() error {
	if err := c.ideal(); err != nil {
		return err
	}
	if err := c.settled(); err != nil {
		return err
	}
	if !c.checks.Data {
		return nil
	}
	if err := c.placed(); err != nil {
		return err
	}
	return c.remembered()
}

// placed returns nil if every record is on exactly the N processes that should have it, all with the same version, which is not older than what was
// acknowledged.
func (c *Checker) placed() error {
	type copies struct {
		version node.Version
		hosts   []int
		torn    bool
	}
	all := make(map[string]*copies)
	var order []string
	for i := range c.hosts {
		if !c.hosts[i].running {
			continue
		}
		c.entries(i, func(e node.Entry) {
			k := all[string(e.Key)]
			if k == nil {
				k = &copies{version: e.Version}
				all[string(e.Key)] = k
				order = append(order, string(e.Key))
			}
			k.torn = k.torn || k.version != e.Version
			k.hosts = append(k.hosts, i)
		})
	}
	for _, key := range order {
		k := all[key]
		m := misplaced{key: []byte(key), id: ring.Hash([]byte(key)), have: k.hosts}
		for _, r := range c.oracle.Group(m.id, c.cfg.Replicas) {
			if i, ok := c.hostOf(r); ok {
				m.want = append(m.want, i)
			}
		}
		slices.Sort(m.want)
		if !slices.Equal(m.have, m.want) {
			return &m
		}
		if k.torn {
			return fmt.Errorf("%q has different versions on %s", key, addrsOf(k.hosts))
		}
	}
	for _, k := range c.sorted {
		if k.acked.version.IsZero() || k.lost {
			continue
		}
		got := all[string(k.key)]
		if got == nil && c.forgets(k) {
			continue
		}
		if got != nil && k.acked.deleted && k.acked.version.Newer(got.version) {
			return fmt.Errorf("%q, deleted at %v with version %v, is back: %s have version %v", k.key, k.acked.end, k.acked.version, addrsOf(got.hosts), got.version)
		}
		if got == nil || k.acked.version.Newer(got.version) {
			return fmt.Errorf("version %v of %q, acknowledged at %v, is nowhere", k.acked.version, k.key, k.acked.end)
		}
	}
	return nil
}

// readBack reads every key from some process.
func (c *Checker) readBack() {
	var from []*Host
	for i := range c.hosts {
		if c.hosts[i].running {
			from = append(from, c.w.Host(i))
		}
	}
	const batch = 64
	for keys := range slices.Chunk(c.sorted, batch) {
		c.w.Gather(len(keys), func(i int) {
			if c.found == nil {
				c.readOne(keys[i], from[(i+int(keys[i].id[0]))%len(from)])
			}
		})
	}
}

func (c *Checker) readOne(k *keyHistory, from *Host) {
	var r node.Result
	var err error
	ended := from.Call(func() {
		ctx, cancel := c.w.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		r, err = from.Process().Do(ctx, node.Op{Kind: node.OpGet, Key: k.key})
	})
	surely, maybe := c.gone(&k.acked)
	switch err = errors.Join(ended, err); {
	case err != nil:
		c.report(CheckReadBack, fmt.Sprintf("get of %q from %s in a healed ring: %v", k.key, from.Addr(), err), append(c.groupHosts(k), from.Number())...)
	case !r.Found && c.forgets(k):
	case k.acked.version.Newer(r.Version) && !k.lost && r.Found && k.acked.deleted:
		c.report(CheckDeleted, fmt.Sprintf("get of %q from %s in a healed ring returned version %v, but it was deleted at %v, version %v", k.key, from.Addr(),
			r.Version, k.acked.end, k.acked.version), append(c.groupHosts(k), from.Number())...)
	case k.acked.version.Newer(r.Version) && !k.lost:
		c.report(CheckReadBack, fmt.Sprintf("get of %q from %s in a healed ring returned version %v, but %v was acknowledged at %v", k.key, from.Addr(),
			r.Version, k.acked.version, k.acked.end), append(c.groupHosts(k), from.Number())...)
	case r.Version == k.acked.version && !r.Version.IsZero() && (r.Found && surely || !r.Found && !maybe):
		c.report(CheckReadBack, fmt.Sprintf("get of %q from %s in a healed ring: found %v, deleted %v, at version %v", k.key, from.Addr(), r.Found,
			k.acked.deleted, r.Version), append(c.groupHosts(k), from.Number())...)
	case r.Found && k.counter.begun > 0:
		c.checkTotal(k, r.Value, from)
	case r.Found:
		w := k.writes[hashOf(r.Value)]
		if w == nil || w.refused {
			c.report(CheckReadBack, fmt.Sprintf("get of %q from %s in a healed ring returned a value that was never put, or refused: %.40q",
				k.key, from.Addr(), r.Value), from.Number())
		}
	}
}
