package node_test

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// hearsayOnly is a configuration in which nothing periodic happens while a test lasts, so that what changes, changes by hearsay.
func hearsayOnly() node.Config {
	cfg := node.DefaultConfig()
	cfg.StabilizeInterval, cfg.FixFingersInterval, cfg.HealInterval, cfg.SweepInterval = time.Hour, time.Hour, time.Hour, time.Hour
	return cfg
}

// tell calls hear for every process at once, and returns when all have heard.
func tell(procs []*process, hear func(p *process)) {
	var hearing sync.WaitGroup
	for _, p := range procs {
		hearing.Go(func() { hear(p) })
	}
	hearing.Wait()
}

func (c *cluster) callsMade() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

// Where the connection to a successor breaks, it is asked at once: a dead one is gone from every list before a round of stabilization would have
// found out, one that lives stays, and a connection to somebody else is nothing.
func TestHearLost(t *testing.T) {
	cfg := hearsayOnly()
	cfg.SettleDelay = time.Hour
	inCluster(t, 77, cfg, func(c *cluster) {
		procs := c.bootstrap(12, 3)
		lost := func(addr string) {
			for _, p := range c.all() {
				p.HearLost(addr)
			}
		}
		before := c.callsMade()
		lost(procs[3].addr)
		lost("nobody")
		time.Sleep(time.Second)
		if err := ring.CheckIdeal(c.views(), c.cfg.Successors); err != nil {
			t.Error(err)
		}
		if asked := c.callsMade() - before; asked == 0 || asked > 3 {
			t.Errorf("%d calls when a process that lives is lost, want one by each node before its three", asked)
		}
		c.kill(procs[3])
		lost(procs[3].addr)
		c.eventually(time.Second, func() error { return ring.CheckIdeal(c.views(), c.cfg.Successors) })
	})
}

// A dead process is gone from every list as soon as all have heard, whether its death shows by refused calls or by silence; even two that are
// neighbors cost few deadlines, not one for each of their nodes.
func TestHearDead(t *testing.T) {
	for name, silent := range map[string]bool{"refuses": false, "is silent": true} {
		t.Run(name, func(t *testing.T) {
			inCluster(t, 71, hearsayOnly(), func(c *cluster) {
				procs := c.bootstrap(12, 3)
				dead, rest := procs[:2], procs[2:]
				for _, p := range dead {
					c.kill(p)
					if silent {
						c.setFault(p.addr, errSilent)
					}
				}
				began := time.Now()
				var telling sync.WaitGroup
				for _, d := range dead {
					telling.Go(func() { tell(rest, func(p *process) { p.HearDead(c.t.Context(), d.Nodes()) }) })
				}
				telling.Wait()
				c.eventually(2*c.cfg.RingTimeout+time.Second, func() error { return ring.CheckIdeal(c.views(), c.cfg.Successors) })
				t.Logf("ideal again after %v of virtual time", time.Since(began))
			})
		})
	}
}

// Hearsay that a live process is dead costs each process that knows it one call, and changes nothing.
func TestHearDeadOfTheLiving(t *testing.T) {
	inCluster(t, 72, hearsayOnly(), func(c *cluster) {
		procs := c.bootstrap(8, 2)
		c.converge(10 * time.Second)
		before, calls := c.views(), c.callsMade()
		for _, subject := range procs {
			tell(procs, func(p *process) { p.HearDead(c.t.Context(), subject.Nodes()) })
		}
		time.Sleep(time.Second) // whatever that set off
		if after := c.views(); !reflect.DeepEqual(after, before) {
			t.Errorf("views changed from\n%v to\n%v", before, after)
		}
		if got, most := c.callsMade()-calls, len(procs)*(len(procs)-1); got > most {
			t.Errorf("%d calls, want at most %d", got, most)
		}
	})
}

// A process that was cut off, and so left all lists, is back in exactly its place when the others hear that it is alive.
func TestHearAliveAfterWrongSuspicion(t *testing.T) {
	inCluster(t, 73, hearsayOnly(), func(c *cluster) {
		procs := c.bootstrap(8, 2)
		before := c.views()
		lost, rest := procs[0], procs[1:]
		c.setFault(lost.addr, errSilent)
		tell(rest, func(p *process) { p.HearDead(c.t.Context(), lost.Nodes()) })
		time.Sleep(5 * time.Second) // until no call waits for it any more
		for _, p := range rest {
			for _, n := range p.Status().Nodes {
				if slices.ContainsFunc(n.View.Succs, func(r ring.Ref) bool { return r.Addr == lost.addr }) {
					t.Fatalf("%v still has %s in its list", n.View.Self, lost.addr)
				}
			}
		}
		c.setFault(lost.addr, nil)
		tell(rest, func(p *process) { p.HearAlive(c.t.Context(), lost.Nodes()) })
		c.eventually(5*time.Second, func() error {
			for i, v := range c.views() {
				if !reflect.DeepEqual(v, before[i]) {
					return fmt.Errorf("view is\n%v, want\n%v", v, before[i])
				}
			}
			return nil
		})
	})
}

// Two rings of one cluster become one as soon as each hears of the other's processes.
func TestHearAliveMergesRings(t *testing.T) {
	inCluster(t, 74, hearsayOnly(), func(c *cluster) {
		one, other := c.bootstrap(4, 2), c.bootstrap(5, 2)
		all := slices.Concat(one, other)
		for _, subject := range all {
			tell(all, func(p *process) { p.HearAlive(c.t.Context(), subject.Nodes()) })
		}
		c.eventually(5*time.Second, func() error { return ring.CheckIdeal(c.views(), c.cfg.Successors) })
		for _, p := range all {
			if known := len(p.Status().Known); known != len(all)-1 {
				t.Errorf("%s remembers %d processes, want %d", p.addr, known, len(all)-1)
			}
		}
	})
}

// Forged hearsay changes nothing: nodes that nobody hosts, a live node under an address where it is not, a process that is no member.
func TestHearAliveForged(t *testing.T) {
	inCluster(t, 75, hearsayOnly(), func(c *cluster) {
		procs := c.bootstrap(6, 2)
		outsider := c.start(2)
		before := c.views()
		var forged []ring.Ref
		for _, n := range procs[0].Nodes() {
			next := ring.Ref{ID: n.ID.Next(), Addr: procs[1].addr}
			forged = append(forged, next, ring.Ref{ID: next.ID, Addr: "10.9.9.9:7400"}, ring.Ref{ID: n.ID, Addr: procs[2].addr})
		}
		for _, r := range append(forged, outsider.Nodes()...) {
			tell(procs, func(p *process) { p.HearAlive(c.t.Context(), []ring.Ref{r}) })
			tell(procs, func(p *process) { p.HearDead(c.t.Context(), []ring.Ref{r}) })
		}
		outsider.HearAlive(c.t.Context(), procs[0].Nodes())
		procs[0].HearAlive(c.t.Context(), nil)
		procs[0].HearDead(c.t.Context(), nil)
		time.Sleep(time.Second)
		if after := c.views(); !reflect.DeepEqual(after, before) {
			t.Errorf("views changed from %v to %v", before, after)
		}
	})
}

// TestLookupsByHearsay: who has heard of everybody asks the owner at once, and who has heard what is not true finds it all the same: dead
// nodes said to be alive, live ones said to be dead, some never heard of, and none that exists.
func TestLookupsByHearsay(t *testing.T) {
	inCluster(t, 75, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(60, 2)
		c.converge(10 * time.Second)
		asker, rest := procs[0], procs[1:]
		find := func(most int) {
			c.t.Helper()
			refs := liveRefs(c)
			for i := range 300 {
				id := ring.Hash(fmt.Appendf(nil, "key-%d", i))
				l, err := asker.Lookup(c.t.Context(), id)
				if want := successorIn(refs, id); err != nil || l.Owner.Self != want {
					c.t.Fatalf("lookup of %v: got %v, %v; want %v", id, l.Owner.Self, err, want)
				}
				if len(l.Hops) > most {
					c.t.Fatalf("lookup of %v took %d calls, want at most %d: %v", id, len(l.Hops), most, l.Hops)
				}
			}
		}
		for _, p := range rest {
			asker.HearAlive(c.t.Context(), p.Nodes())
		}
		find(1)

		for _, p := range rest[:6] {
			asker.HearDead(c.t.Context(), p.Nodes())
		}
		for _, p := range rest[6:12] {
			c.kill(p)
		}
		find(8)
		for i := range 20 {
			asker.HearAlive(c.t.Context(), []ring.Ref{{ID: ring.Hash(fmt.Appendf(nil, "nobody-%d", i)), Addr: rest[20+i].addr}})
		}
		find(8)
		for i := range 200 {
			op := node.Op{Kind: node.OpPut, Key: fmt.Appendf(nil, "key-%d", i), Value: []byte("v")}
			if _, err := asker.Do(c.t.Context(), op); err != nil {
				c.t.Fatal(err)
			}
		}
	})
}

// TestLookupsByMuchHearsay: of more processes than there is room for, those that have it are as good as fingers.
func TestLookupsByMuchHearsay(t *testing.T) {
	cfg := node.DefaultConfig()
	cfg.Successors, cfg.RoutingPeers = 4, 40
	mean := func(gossip bool) (calls float64) {
		inCluster(t, 76, cfg, func(c *cluster) {
			procs := c.bootstrap(160, 1)
			time.Sleep(10 * time.Second)
			refs, hops := liveRefs(c), 0
			for _, p := range procs[1:] {
				if gossip {
					procs[0].HearAlive(c.t.Context(), p.Nodes())
				}
			}
			for i := range 200 {
				id := ring.Hash(fmt.Appendf(nil, "key-%d", i))
				l, err := procs[0].Lookup(c.t.Context(), id)
				if want := successorIn(refs, id); err != nil || l.Owner.Self != want {
					c.t.Fatalf("lookup of %v: got %v, %v; want %v", id, l.Owner.Self, err, want)
				}
				hops += len(l.Hops)
			}
			calls = float64(hops) / 200
		})
		return calls
	}
	with, without := mean(true), mean(false)
	if with > 0.8*without {
		t.Errorf("lookups took %.2f calls, and %.2f without 40 processes that were heard of", with, without)
	}
}

// TestLookupWhereAllHeardOfAreDead: it ends, and asks nobody twice.
func TestLookupWhereAllHeardOfAreDead(t *testing.T) {
	inCluster(t, 77, hearsayOnly(), func(c *cluster) {
		procs := c.bootstrap(3, 1)
		for _, p := range procs[1:] {
			procs[0].HearAlive(c.t.Context(), p.Nodes())
			c.kill(p)
		}
		for i := range 20 {
			if l, _ := procs[0].Lookup(c.t.Context(), ring.Hash(fmt.Appendf(nil, "key-%d", i))); len(l.Hops) > 8 {
				c.t.Errorf("%d calls in a ring of 3 of which 2 are dead: %v", len(l.Hops), l.Hops)
			}
		}
	})
}
