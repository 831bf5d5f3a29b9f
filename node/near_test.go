package node_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// hearAll tells every process of every other.
func (c *cluster) hearAll() {
	procs := c.all()
	tell(procs, func(p *process) {
		for _, o := range procs {
			p.HearAlive(c.t.Context(), o.Nodes())
		}
	})
}

// group returns the processes that have a key, its owner first.
func (c *cluster) group(key string) []*process {
	owner := ownerOf(c, []byte(key))
	var group []*process
	for _, n := range owner.Status().Nodes {
		if !n.View.Arc().Contains(ring.Hash([]byte(key))) {
			continue
		}
		for _, r := range n.Group {
			group = append(group, c.at(r.Addr))
		}
	}
	return group
}

func (c *cluster) at(addr string) *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.procs[addr]
}

// stranger returns a process that is no replica of a key.
func (c *cluster) stranger(key string) *process {
	group := c.group(key)
	for _, p := range c.all() {
		if !slices.Contains(group, p) {
			return p
		}
	}
	c.t.Fatalf("everybody has %q", key)
	return nil
}

// read gets a key and returns how long that took, and how many calls.
func (c *cluster) read(p *process, key string, level node.Level) (r node.Result, took time.Duration, calls int) {
	c.t.Helper()
	began, before := time.Now(), c.callsMade()
	r, err := p.Do(c.t.Context(), node.Op{Kind: node.OpGet, Key: []byte(key), Level: level})
	if err != nil {
		c.t.Fatalf("get %q at %v from %s: %v", key, level, p.addr, err)
	}
	return r, time.Since(began), c.callsMade() - before
}

// quiet is a configuration in which nothing is called between two reads.
func quiet() node.Config {
	cfg := hearsayOnly()
	cfg.RepairInterval = time.Hour
	return cfg
}

// TestNearReads: whoever knows everybody reads in the time of one call, from as many replicas as the level says but itself, the owner's heir among them.
func TestNearReads(t *testing.T) {
	inCluster(t, 1, quiet(), func(c *cluster) {
		c.bootstrap(7, 2)
		keys := c.putMany(40)
		time.Sleep(10 * time.Second) // arcs settle
		c.hearAll()
		for level, need := range map[node.Level]int{node.LevelOne: 1, node.LevelQuorum: 2, node.LevelAll: 3} {
			for _, key := range keys {
				group := c.group(string(key))
				for _, p := range c.all() {
					r, took, calls := c.read(p, string(key), level)
					want := need
					most := need
					switch i := slices.Index(group, p); {
					case i == 2 && level == node.LevelQuorum:
						most++ // with the owner the heir is asked, too
					case i >= 0:
						want--
					}
					if string(r.Value) != "value of "+string(key) || r.Acks < need || r.Acks > most || calls != want || took > delay {
						c.t.Fatalf("get %q at %v: %q, %d answers, %d calls, %v; want %d answers, %d calls, %v", key, level, r.Value, r.Acks, calls, took, need, want, delay)
					}
					owner := r.Owner.Addr == group[0].addr && r.Arc.Through == r.Owner.ID && r.Arc.Contains(ring.Hash(key))
					if level != node.LevelOne && !owner {
						c.t.Fatalf("get %q at %v: by %v, which owns %v", key, level, r.Owner, r.Arc)
					}
				}
			}
		}
	})
}

// TestNearReadMisses: that there is no such key, or none any more, takes a quorum no longer than to find one; at level one the owner is asked.
func TestNearReadMisses(t *testing.T) {
	inCluster(t, 2, quiet(), func(c *cluster) {
		procs := c.bootstrap(7, 1)
		c.put(procs[0], "deleted", "x")
		if _, err := procs[0].Do(c.t.Context(), node.Op{Kind: node.OpDelete, Key: []byte("deleted")}); err != nil {
			c.t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		c.hearAll()
		for _, want := range []struct {
			key   string
			level node.Level
			took  time.Duration
		}{{"none", node.LevelQuorum, delay}, {"none", node.LevelOne, 2 * delay}, {"deleted", node.LevelQuorum, delay}, {"deleted", node.LevelOne, delay}} {
			if r, took, _ := c.read(c.stranger(want.key), want.key, want.level); r.Found || took != want.took {
				c.t.Errorf("get %q at %v: found %v after %v, want not, after %v", want.key, want.level, r.Found, took, want.took)
			}
		}
	})
}

// TestNearReadOfWhatReplicasDisagreeAbout: with a quorum the owner repairs and answers; at level one a replica that has nothing denies nothing.
func TestNearReadOfWhatReplicasDisagreeAbout(t *testing.T) {
	inCluster(t, 3, quiet(), func(c *cluster) {
		procs := c.bootstrap(7, 1)
		time.Sleep(10 * time.Second)
		c.hearAll()
		for i := range 20 {
			key := fmt.Sprint("key", i)
			c.put(procs[0], key, "old")
			time.Sleep(time.Second)
			group := c.group(key)
			newer := node.Record{Key: []byte(key), Value: []byte("new"), Version: node.Version{Time: uint64(time.Now().UnixMilli()) << 16, Origin: 7}}
			if _, err := group[i%3].store.Apply([]node.Record{newer}); err != nil {
				c.t.Fatal(err)
			}
			r, _, _ := c.read(c.stranger(key), key, node.LevelAll)
			if string(r.Value) != "new" {
				c.t.Fatalf("get %q at all: %q", key, r.Value)
			}
			time.Sleep(2 * delay) // repair waits for as many replicas as a later read could miss
			for _, p := range group {
				if v, err := p.store.Version([]byte(key)); err != nil || v != newer.Version {
					c.t.Fatalf("%q has version %v at %s after it was read", key, v, p.addr)
				}
			}
			for _, p := range group[1:] {
				if _, err := p.store.Drop([]node.Entry{{Key: []byte(key), Version: newer.Version}}); err != nil {
					c.t.Fatal(err)
				}
			}
			for _, level := range []node.Level{node.LevelOne, node.LevelQuorum} {
				if r, _, _ := c.read(c.stranger(key), key, level); string(r.Value) != "new" {
					c.t.Fatalf("get %q at %v: %q, found %v", key, level, r.Value, r.Found)
				}
			}
		}
	})
}

// TestNearReadByWhoKnowsAnOldGroup: who has not heard of newcomers that have become the owner, or a replica, reads what was written through them, with a quorum, also while their arcs
// are not settled; and so does who has heard of everybody when the owner has not.
func TestNearReadByWhoKnowsAnOldGroup(t *testing.T) {
	for seed := range uint64(20) {
		inCluster(t, 100+seed, node.DefaultConfig(), func(c *cluster) {
			procs := c.bootstrap(8, 1)
			c.putMany(60)
			time.Sleep(10 * time.Second)
			c.hearAll()
			newcomers := []*process{c.join(procs[0], 1), c.join(procs[1], 1), c.join(procs[2], 1)}
			for round := range 3 {
				for i := range 60 {
					key, value := fmt.Sprint("key", i), fmt.Sprint("round ", round)
					c.put(newcomers[i%3], key, value)
					for _, p := range []*process{procs[i%8], newcomers[(i+1)%3]} {
						c.wantValue(p, key, value)
					}
				}
				if round == 0 {
					procs[3].HearAlive(c.t.Context(), newcomers[0].Nodes())
				}
				time.Sleep(2 * time.Second)
			}
		})
	}
}

// TestNearReadAmongTheSilent: a replica that does not answer delays a read until another would have answered, and an owner until the ring has replaced it.
func TestNearReadAmongTheSilent(t *testing.T) {
	cfg := quiet()
	inCluster(t, 5, cfg, func(c *cluster) {
		procs := c.bootstrap(7, 1)
		c.put(procs[0], "k", "v")
		time.Sleep(10 * time.Second)
		c.hearAll()
		asker, group := c.stranger("k"), c.group("k")
		for _, p := range group {
			asker.HearRoundTrip(p.addr, delay, 0)
		}
		for i, p := range group[1:] {
			c.setFault(p.addr, errSilent)
			for _, level := range []node.Level{node.LevelOne, node.LevelQuorum} {
				r, took, _ := c.read(asker, "k", level)
				limit := 3*delay + cfg.HedgeDelay
				if i == 0 && level == node.LevelQuorum { // nobody but the owner can say that its silent heir has not taken over; it waits for it, too
					limit += 4*delay + 2*cfg.HedgeDelay
				}
				if string(r.Value) != "v" || took > limit {
					c.t.Errorf("get at %v while replica %d is silent: %q after %v, want at most %v", level, i+1, r.Value, took, limit)
				}
			}
			c.setFault(p.addr, nil)
			time.Sleep(cfg.SuspectTime + cfg.ReplicaTimeout)
		}
		c.setFault(group[0].addr, errSilent)
		if r, took, _ := c.read(asker, "k", node.LevelOne); string(r.Value) != "v" || took > 3*delay+cfg.HedgeDelay {
			c.t.Errorf("get at one while the owner is silent: %q after %v", r.Value, took)
		}
	})
}

// TestNearReadByCoordinates: of replicas that were never measured, the one that is nearest by what others say of where they are is asked first; what cannot be said with some
// certainty does not count, nor does a coordinate against what was measured.
func TestNearReadByCoordinates(t *testing.T) {
	inCluster(t, 6, quiet(), func(c *cluster) {
		procs := c.bootstrap(7, 1)
		c.put(procs[0], "k", "v")
		time.Sleep(10 * time.Second)
		c.hearAll()
		asker, group := c.stranger("k"), c.group("k")
		sight := func(near, far node.Coordinate) {
			sightings := []node.Sighting{node.NewSighting(group[2].addr, near)}
			for _, p := range group[:2] {
				sightings = append(sightings, node.NewSighting(p.addr, far))
			}
			asker.HearSightings(sightings)
		}
		first := func() (last bool) { // whether the last of the group is asked before the others
			for _, p := range group[:2] {
				c.setFault(p.addr, errSilent)
				defer c.setFault(p.addr, nil)
			}
			_, took, _ := c.read(asker, "k", node.LevelOne)
			return took <= delay
		}
		sight(node.CoordinateAt(0, 0.9), node.CoordinateAt(time.Second, 0.9))
		for range 100 {
			asker.HearRoundTrip("somebody", time.Millisecond, node.CoordinateAt(0, 0.1))
		}
		if got := asker.Coordinate(); got.Error() > 0.2 || got.RoundTrip(node.CoordinateAt(0, 0.1)) > 2*time.Millisecond {
			t.Fatalf("the asker is at %#x, with an error of %v", uint64(got), got.Error())
		}
		if first() {
			t.Error("a coordinate that may be all wrong was trusted")
		}
		time.Sleep(time.Minute) // nobody is suspect any more
		sight(node.CoordinateAt(0, 0.1), node.CoordinateAt(time.Second, 0.1))
		if !first() {
			t.Error("the nearest by coordinates was not asked first")
		}
	})
}
