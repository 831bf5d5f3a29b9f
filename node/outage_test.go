package node_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// A process that comes back with its data gets what it has missed, and nothing that it has.
func TestRestartCostsTheDifference(t *testing.T) {
	for _, grace := range []time.Duration{0, 10 * time.Minute} {
		t.Run(grace.String(), func(t *testing.T) { restartsCheaply(t, grace) })
	}
}

// restartsCheaply has a process away for 20 s. With grace nothing is moved meanwhile either, but for the new records; without, the others have made all its copies again by then.
func restartsCheaply(t *testing.T, grace time.Duration) {
	cfg := node.DefaultConfig()
	cfg.Grace = grace
	inCluster(t, 7, cfg, func(c *cluster) {
		procs := c.bootstrap(5, 4)
		c.converge(30 * time.Second)
		var records []node.Record
		for i := range 20_000 {
			v := node.Version{Time: uint64(time.Now().UnixMilli()) << 16, Origin: uint64(i + 1)}
			records = append(records, node.Record{Key: fmt.Append(nil, "key", i), Value: []byte("value"), Version: v})
		}
		for _, p := range procs { // each with its share, and the rest for the sweep to drop: nothing is sent
			if _, err := p.store.Apply(records); err != nil {
				c.t.Fatal(err)
			}
		}
		keys := make([][]byte, len(records))
		for i := range records {
			keys[i] = records[i].Key
		}
		c.copies(5*time.Minute, keys)
		gone := procs[2]
		stored := int(gone.store.Stats().Records)
		c.clearMoved()
		c.kill(gone)
		time.Sleep(10 * time.Second)
		missed := 0
		for i := range 50 {
			key := fmt.Sprint("key", 100*i)
			if v, err := gone.store.Version([]byte(key)); err != nil {
				c.t.Fatal(err)
			} else if !v.IsZero() {
				missed++
			}
			c.put(procs[0], key, "written meanwhile")
		}
		time.Sleep(10 * time.Second)
		c.wantValue(procs[0], "key0", "written meanwhile")
		c.wantValue(procs[0], "key7", "value")
		moved := 0
		c.mu.Lock()
		for _, n := range c.moved {
			moved += n
		}
		c.mu.Unlock()
		if few := moved < stored/20; few != (grace > 0) {
			c.t.Errorf("%d records were moved while a process was away that has %d, grace %v", moved, stored, grace)
		}
		c.clearMoved()
		back := c.restart(gone.id, gone.addr, gone.store)
		if err := back.Join(c.t.Context(), []string{procs[0].addr}); err != nil {
			c.t.Fatal(err)
		}
		c.converge(time.Minute)
		c.copies(5*time.Minute, keys)
		c.mu.Lock()
		defer c.mu.Unlock()
		if n := c.moved[gone.addr]; missed == 0 || n < missed || n > stored/50 {
			c.t.Errorf("%d records came to a process that has %d and missed %d", n, stored, missed)
		}
		for _, p := range procs {
			if n := c.moved[p.addr]; p != gone && n > stored/50 {
				c.t.Errorf("%d records went to %s, which missed none", n, p.addr)
			}
		}
		c.t.Logf("%d stored, %d missed, moved: %v", stored, missed, c.moved)
	})
}

// Who does not come back within the grace is replaced.
func TestGraceEnds(t *testing.T) {
	cfg := node.DefaultConfig()
	cfg.Grace = 2 * time.Minute
	inCluster(t, 8, cfg, func(c *cluster) {
		procs := c.bootstrap(6, 2)
		c.converge(30 * time.Second)
		keys := c.putMany(300)
		c.copies(time.Minute, keys)
		c.kill(procs[3])
		time.Sleep(time.Minute)
		if incomplete := c.copied(keys); incomplete == nil {
			c.t.Error("all copies were made again after half of the grace")
		}
		c.wantAll(keys)
		c.copies(2*time.Minute, keys)
		c.converge(2 * time.Minute)
	})
}

// While one process is away, its keys are read and written as ever, by those that are there; and of those that have lost a second copy all are made at once.
func TestGraceIsForTheFirst(t *testing.T) {
	inCluster(t, 9, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(7, 2)
		c.converge(30 * time.Second)
		keys := c.putMany(300)
		c.copies(time.Minute, keys)
		fewest := func() int {
			n := c.cfg.Replicas
			for _, key := range keys {
				n = min(n, len(c.with(key)))
			}
			return n
		}

		c.kill(procs[3])
		c.converge(30 * time.Second)
		if n := fewest(); n != 2 {
			c.t.Fatalf("%d copies of some key, want that the third is not made again", n)
		}
		held := 0
		for _, p := range c.all() {
			r := p.Status().Repair
			if held += r.Held; (r.Held > 0) != (r.HeldTime > 9*time.Minute) {
				c.t.Errorf("%s: %d arcs are held, for %v", p.addr, r.Held, r.HeldTime)
			}
		}
		if held == 0 {
			c.t.Error("no arc is said to be held")
		}
		calls := c.callsMade()
		for _, key := range keys {
			if _, err := c.all()[0].Do(c.t.Context(), node.Op{Kind: node.OpGet, Key: key}); err != nil {
				c.t.Fatal(err)
			}
		}
		if each := float64(c.callsMade()-calls) / float64(len(keys)); each > 3 { // to the owner and by it to a replica, beside maintenance
			c.t.Errorf("a read takes %.1f calls", each)
		}
		c.put(procs[0], "key7", "value of key7")
		time.Sleep(time.Second)
		if n := len(c.with([]byte("key7"))); n < 3 {
			c.t.Errorf("what is written meanwhile has %d copies", n)
		}

		c.kill(procs[5])
		if n := fewest(); n != 1 {
			c.t.Fatalf("%d copies of some key, want that some have lost a second", n)
		}
		c.converge(30 * time.Second)
		if n := fewest(); n != 2 {
			c.t.Errorf("%d copies of some key, want 2", n)
		}
		c.kill(procs[1])
		c.wantAll(keys)
	})
}

// TestAllReplicasGone: while all replicas of a key are said to be dead, or have said that they stop, and may come back, nobody says that the key is not there. Of keys that others had, one does. When the grace is over, nobody waits any more.
func TestAllReplicasGone(t *testing.T) {
	for _, back := range []bool{true, false} {
		cfg := node.DefaultConfig()
		cfg.Grace = time.Minute
		inCluster(t, 142, cfg, func(c *cluster) {
			procs := c.bootstrap(8, 1)
			c.converge(10 * time.Second)
			slices.SortFunc(procs, func(a, b *process) int { return a.Nodes()[0].ID.Compare(b.Nodes()[0].ID) })
			gone, asked := procs[2:5], procs[7] // neighbors
			keyOf := func(i int) string {       // that a process owns
				for n := 0; ; n++ {
					key := fmt.Sprint("key ", n)
					if id := ring.Hash([]byte(key)); ring.Between(procs[i-1].Nodes()[0].ID, id, procs[i].Nodes()[0].ID) {
						return key
					}
				}
			}
			lost, kept := keyOf(2), keyOf(4) // of the first all replicas go, of the other one the last of the three
			c.put(asked, lost, "value")
			time.Sleep(time.Second)
			for _, p := range gone {
				c.kill(p)
				for _, other := range c.all() {
					if back {
						other.HearStopped(c.t.Context(), p.Nodes())
					} else {
						other.HearDead(c.t.Context(), p.Nodes())
					}
				}
			}
			get := func(key string, level node.Level) (node.Result, error) {
				return asked.Do(c.t.Context(), node.Op{Kind: node.OpGet, Key: []byte(key), Level: level})
			}
			time.Sleep(10 * time.Second)
			if r, err := get(lost, node.LevelQuorum); !errors.Is(err, node.ErrConsistency) {
				c.t.Errorf("found %v, %v while all replicas may come back, want node.ErrConsistency", r.Found, err)
			}
			create := node.Op{Kind: node.OpPut, Key: []byte(lost), Value: []byte("new"), If: node.IfAbsent}
			if _, err := asked.Do(c.t.Context(), create); !errors.Is(err, node.ErrConsistency) || errors.Is(err, node.ErrUnknown) {
				c.t.Errorf("create: got %v, want node.ErrConsistency", err)
			}
			if r, err := get(lost, node.LevelOne); r.Found || err != nil {
				c.t.Errorf("at level one: found %v, %v", r.Found, err)
			}
			if r, err := get(kept, node.LevelQuorum); r.Found || err != nil {
				c.t.Errorf("a key that two others have: found %v, %v", r.Found, err)
			}
			if back {
				c.restart(gone[1].id, gone[1].addr, gone[1].store)
				if err := c.procs[gone[1].addr].Join(c.t.Context(), []string{asked.addr}); err != nil {
					c.t.Fatal(err)
				}
				c.eventually(10*time.Second, func() error {
					if r, err := get(lost, node.LevelQuorum); !r.Found || err != nil {
						return fmt.Errorf("found %v, %v after a replica has come back", r.Found, err)
					}
					return nil
				})
				return
			}
			time.Sleep(cfg.Grace)
			if r, err := get(lost, node.LevelQuorum); r.Found || err != nil {
				c.t.Errorf("found %v, %v when the grace is over", r.Found, err)
			}
		})
	}
}
