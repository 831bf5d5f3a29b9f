package node_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// TestStale: what the ring did without a process counts, not how long it is ago.
func TestStale(t *testing.T) {
	at := func(hours int) time.Time { return time.Unix(0, 0).Add(time.Duration(hours) * time.Hour) }
	own := node.Contact{Since: at(0), Until: at(100)}
	for _, test := range []struct {
		name   string
		others []node.Contact
		want   bool
	}{
		{"nobody", nil, false},
		{"a process that was never in contact", []node.Contact{{}}, false},
		{"one that went on for half the grace", []node.Contact{{Since: at(0), Until: at(124), Lasts: true}}, false},
		{"one that went on for longer", []node.Contact{{}, {Since: at(0), Until: at(125), Lasts: true}}, true},
		{"one that was down too, but less long", []node.Contact{{Since: at(0), Until: at(125)}}, true},
		{"one that was down just as long, and goes on", []node.Contact{{Since: at(200), Until: at(201), Lasts: true}}, false},
		{"one that went on then, and still does", []node.Contact{{Since: at(200), Until: at(225), Lasts: true}}, true},
	} {
		if got := node.Stale(own, test.others, 48*time.Hour); got != test.want {
			t.Errorf("%s: stale %v, want %v", test.name, got, test.want)
		}
	}
	if node.Stale(node.Contact{}, []node.Contact{{Since: at(0), Until: at(125), Lasts: true}}, 48*time.Hour) {
		t.Error("a process that never was a member has missed something")
	}
	if node.Stale(own, []node.Contact{{Since: at(0), Until: at(1000), Lasts: true}}, 0) {
		t.Error("stale where deletes are remembered for ever")
	}
}

// hearing makes all processes of a ring know each other by hearsay.
func hearing(c *cluster, procs []*process) {
	for _, subject := range procs {
		tell(procs, func(p *process) { p.HearAlive(c.t.Context(), subject.Nodes()) })
	}
}

func tombstones(procs []*process) (n int64) {
	for _, p := range procs {
		n += p.store.Stats().Tombstones
	}
	return n
}

// TestTombstonesAreCollected: a delete is remembered for as long as it must, and longer if somebody is missed or one of the replicas cannot be asked.
func TestTombstonesAreCollected(t *testing.T) {
	cfg := node.DefaultConfig()
	cfg.TombstoneGrace = 2 * time.Hour
	inCluster(t, 101, cfg, func(c *cluster) {
		procs := c.bootstrap(5, 1)
		c.converge(10 * time.Second)
		time.Sleep(c.cfg.TombstoneGrace) // a ring forgets nothing before
		remove := func(prefix string) {
			for i := range 20 {
				key := fmt.Sprint(prefix, i)
				c.put(procs[0], key, "value")
				if _, err := procs[0].Do(c.t.Context(), node.Op{Kind: node.OpDelete, Key: []byte(key)}); err != nil {
					c.t.Fatal(err)
				}
			}
		}
		want := func(what string, n int64) {
			t.Helper()
			if got := tombstones(procs); got != n {
				t.Errorf("%s: %d tombstones, want %d", what, got, n)
			}
		}
		remove("unheard-of")
		time.Sleep(c.cfg.TombstoneGrace + 10*time.Minute)
		want("without gossip", 60)
		hearing(c, procs)
		time.Sleep(3 * time.Minute)
		want("with gossip", 0)

		remove("young")
		time.Sleep(c.cfg.TombstoneGrace - time.Minute)
		want("before the grace is over", 60)
		dead := somebody("dead")
		tell(procs, func(p *process) { p.HearAlive(c.t.Context(), dead); p.HearDead(c.t.Context(), dead) })
		time.Sleep(10 * time.Minute)
		want("while somebody is missed", 60)
		time.Sleep(c.cfg.ForgetDead)
		want("afterwards", 0)
	})
}

// TestCollectDropsOnlyOldTombstones: whoever asks for more gets nothing dropped.
func TestCollectDropsOnlyOldTombstones(t *testing.T) {
	inCluster(t, 102, node.DefaultConfig(), func(c *cluster) {
		p := c.start(1)
		version := func(age time.Duration) node.Version {
			return node.Version{Time: uint64(time.Now().Add(-age).UnixMilli()) << 16, Origin: 1}
		}
		old, young := version(c.cfg.TombstoneGrace+time.Second), version(c.cfg.TombstoneGrace-time.Second)
		records := []node.Record{
			{Key: []byte("old"), Version: old, Tombstone: true},
			{Key: []byte("young"), Version: young, Tombstone: true},
			{Key: []byte("value"), Version: old, Value: []byte("v")},
			{Key: []byte("rewritten"), Version: young, Tombstone: true},
		}
		if _, err := p.store.Apply(records); err != nil {
			t.Fatal(err)
		}
		ask := []node.Entry{{Key: []byte("rewritten"), Version: old}, {Key: []byte("absent"), Version: old}}
		for _, r := range records[:3] {
			ask = append(ask, node.Entry{Key: r.Key, Version: r.Version})
		}
		if err := p.Collect(c.t.Context(), ask); err != nil {
			t.Fatal(err)
		}
		left, err := p.store.List(ring.FullArc(), node.Cursor{}, 10)
		if err != nil || len(left) != 3 {
			t.Errorf("%d records are left (%v), want all but the old tombstone", len(left), err)
		}
		if v, err := p.store.Version([]byte("old")); err != nil || !v.IsZero() {
			t.Errorf("the old tombstone is left: %v, %v", v, err)
		}
	})
}

// TestContactOfAWholeRing: a ring that was down as a whole for a long time is in contact again when everybody is back, nobody has missed anything, and what was
// in contact before goes on in those who come back first only after half the grace.
func TestContactOfAWholeRing(t *testing.T) {
	cfg := node.DefaultConfig()
	cfg.TombstoneGrace = 2 * time.Hour
	inCluster(t, 103, cfg, func(c *cluster) {
		procs := c.bootstrap(4, 1)
		c.converge(10 * time.Second)
		contacts, known := make([]node.Contact, len(procs)), make([][]string, len(procs))
		for i, p := range procs {
			if contacts[i], known[i] = p.Contact(), p.Known(); !contacts[i].Lasts {
				t.Errorf("%s is not in contact", p.addr)
			}
		}
		for _, p := range procs {
			c.kill(p)
		}
		time.Sleep(10 * cfg.TombstoneGrace)
		back := func(i int, via *process) *process {
			p := c.restart(procs[i].id, procs[i].addr, procs[i].store)
			p.Recall(known[i])
			p.RecallContact(contacts[i])
			var err error
			if via == nil {
				err = p.Create()
			} else {
				if node.Stale(p.Contact(), []node.Contact{via.Contact()}, cfg.TombstoneGrace) {
					t.Errorf("%s has missed too much", p.addr)
				}
				err = p.Join(c.t.Context(), []string{via.addr})
			}
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		lasts := func(p *process, want bool) {
			t.Helper()
			if c := p.Contact(); c.Lasts != want {
				t.Errorf("%s: in contact %v, want %v", p.addr, c.Lasts, want)
			}
		}
		first := back(0, nil)
		second, third := back(1, first), back(2, first)
		time.Sleep(cfg.TombstoneGrace / 4)
		lasts(first, false)
		time.Sleep(cfg.TombstoneGrace / 2)
		lasts(first, true)
		lasts(second, true)
		lasts(third, true)
		last := back(3, second)
		time.Sleep(5 * time.Minute)
		lasts(last, true)
	})
}
