package node_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
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
