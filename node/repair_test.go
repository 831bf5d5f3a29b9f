package node_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// rarely is a configuration in which nothing is compared but when the ring changes.
func rarely() node.Config {
	cfg := node.DefaultConfig()
	cfg.RepairInterval, cfg.SweepInterval = 1000*time.Hour, 1000*time.Hour
	return cfg
}

// seed stores records of the given size at one process alone.
func (c *cluster) seed(p *process, n, size int) (keys [][]byte) {
	c.t.Helper()
	records := make([]node.Record, n)
	for i := range records {
		v := node.Version{Time: uint64(time.Now().UnixMilli()) << 16, Origin: uint64(i + 1)}
		records[i] = node.Record{Key: fmt.Append(nil, "key", i), Value: make([]byte, size), Version: v}
		keys = append(keys, records[i].Key)
	}
	if _, err := p.store.Apply(records); err != nil {
		c.t.Fatal(err)
	}
	return keys
}

func TestRepairOnDemand(t *testing.T) {
	inCluster(t, 1, rarely(), func(c *cluster) {
		procs := c.bootstrap(3, 4)
		c.converge(time.Minute)
		keys := c.seed(procs[0], 1000, 10)

		var half ring.Arc // from 0 to the middle of the circle
		half.After, half.Through = ring.ID{}.Prev(), ring.ID{0x7f}
		sent := 0
		err := procs[0].Repair(c.t.Context(), half, func(r node.Repaired) {
			if r.Err != nil || r.Received != 0 || r.Arc.Overlap(half)[0] != r.Arc {
				c.t.Errorf("repaired %+v", r)
			}
			sent += r.Sent
		})
		if err != nil {
			c.t.Fatal(err)
		}
		owned := func(within ring.Arc) (n int) {
			for _, k := range keys {
				for _, v := range procs[0].Status().Nodes {
					if id := ring.Hash(k); within.Contains(id) && v.View.Arc().Contains(id) {
						n++
					}
				}
			}
			return n
		}
		if want := 2 * owned(half); sent != want || want == 0 {
			c.t.Errorf("%d records were sent to two replicas, want %d", sent, want)
		}
		// The others own the rest, and fetch it.
		for _, p := range procs {
			if err := p.Repair(c.t.Context(), ring.FullArc(), nil); err != nil {
				c.t.Fatal(err)
			}
		}
		c.copies(0, keys)

		self := procs[1].Nodes()[0].ID
		if err := procs[0].Repair(c.t.Context(), ring.Arc{After: self.Prev(), Through: self}, nil); !errors.Is(err, node.ErrInvalid) {
			c.t.Errorf("repair of what another owns: %v", err)
		}
		c.kill(procs[2])
		if err := procs[0].Repair(c.t.Context(), ring.FullArc(), nil); !errors.Is(err, node.ErrUnreachable) {
			c.t.Errorf("repair with a dead replica: %v", err)
		}
	})
}

func TestRepairRate(t *testing.T) {
	cfg := rarely()
	cfg.RepairRate = 100_000
	inCluster(t, 2, cfg, func(c *cluster) {
		procs := c.bootstrap(3, 1)
		c.converge(time.Minute)
		c.seed(procs[0], 3000, 1000)
		began, sent := time.Now(), 0
		ctx, cancel := context.WithCancel(c.t.Context())
		defer cancel()
		go func() { // a third of the way
			time.Sleep(5 * time.Second)
			s := procs[0].RepairStatus()
			if s.Comparing != 1 || s.Moved == 0 || s.Bytes < 1000*s.Moved || s.Left == 0 || s.LeftTime == 0 {
				c.t.Errorf("status while it repairs: %+v", s)
			}
		}()
		if err := procs[0].Repair(ctx, ring.FullArc(), func(r node.Repaired) { sent += r.Sent }); err != nil {
			c.t.Fatal(err)
		}
		took := time.Since(began)
		if least := time.Duration(sent) * 1000 * time.Second / 100_000; took < least || took > least*3/2 || sent < 1000 {
			c.t.Errorf("%d records of 1,000 bytes took %v at 100,000 bytes a second, want %v and a little more", sent, took, least)
		}
		if s := procs[0].RepairStatus(); s != (node.RepairStatus{}) {
			c.t.Errorf("status afterwards: %+v", s)
		}
	})
}

// TestRepairYields measures a repair while nobody wants anything, and one while clients are served.
func TestRepairYields(t *testing.T) {
	took := func(served bool) (d time.Duration) {
		inCluster(t, 3, rarely(), func(c *cluster) {
			procs := c.bootstrap(3, 1)
			c.converge(time.Minute)
			c.seed(procs[0], 20_000, 10)
			ctx, cancel := context.WithCancel(c.t.Context())
			var clients sync.WaitGroup
			for client := range 16 {
				clients.Go(func() {
					for i := 0; served && ctx.Err() == nil; i++ {
						c.put(procs[0], fmt.Sprint("client", client, i), "value")
					}
				})
			}
			began := time.Now()
			if err := procs[0].Repair(ctx, ring.FullArc(), nil); err != nil {
				c.t.Error(err)
			}
			d = time.Since(began)
			cancel()
			clients.Wait()
		})
		return d
	}
	idle, busy := took(false), took(true)
	t.Logf("%v alone, %v beside clients", idle, busy)
	if busy < idle*5/4 || busy > 3*idle {
		t.Errorf("a repair takes %v, and %v while clients are served", idle, busy)
	}
}

func TestRepairTakesTurns(t *testing.T) {
	cfg := node.DefaultConfig()
	cfg.RepairArcs, cfg.SettleDelay = 1, 5*time.Millisecond // within which all arcs of a process come at the same time, about
	inCluster(t, 4, cfg, func(c *cluster) {
		procs := c.bootstrap(4, 8)
		waited, behind := 0, 0
		for range 2000 {
			for _, p := range procs {
				s := p.RepairStatus()
				if s.Comparing > 1 {
					c.t.Fatalf("%d arcs are compared at once, want 1", s.Comparing)
				}
				waited, behind = max(waited, s.Waiting), max(behind, s.Behind)
			}
			time.Sleep(time.Millisecond)
		}
		c.converge(time.Minute)
		if waited == 0 || behind == 0 {
			c.t.Errorf("at most %d arcs were behind and %d waited", behind, waited)
		}
		for _, p := range procs {
			if s := p.RepairStatus(); s.Behind > 0 || s.Waiting > 0 {
				c.t.Errorf("in the end: %+v", s)
			}
		}
	})
}
