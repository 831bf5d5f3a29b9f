package node_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/chordkv/chord/internal/raced"
	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// successorIn returns the first of the refs clockwise from id: the answer that every lookup must give.
func successorIn(refs []ring.Ref, id ring.ID) ring.Ref {
	return slices.MinFunc(refs, func(a, b ring.Ref) int {
		return ring.Distance(id, a.ID).Compare(ring.Distance(id, b.ID))
	})
}

func largeRing() int {
	if raced.Enabled {
		return 64
	}
	return 256
}

func liveRefs(c *cluster) []ring.Ref {
	var refs []ring.Ref
	for _, p := range c.all() {
		refs = append(refs, p.Nodes()...)
	}
	return refs
}

// idealFingers computes from the definition, finger k = successor(n + 2^k), the distinct ones beyond the successor list.
func idealFingers(refs []ring.Ref, v ring.View) []ring.Ref {
	var fingers []ring.Ref
	last := v.Succs[len(v.Succs)-1]
	for k := range ring.Bits {
		f := successorIn(refs, v.Self.ID.Add(ring.PowerOfTwo(k)))
		if ring.Between(last.ID, f.ID, v.Self.ID) && !slices.Contains(fingers, f) {
			fingers = append(fingers, f)
		}
	}
	return fingers
}

// [ToN] section IV-C and Theorem IV.2: in a stable ring of 256 nodes fix_fingers reaches the ideal fingers, and a lookup takes one half log2 N
// calls less what the successor list saves.
func TestStableRing(t *testing.T) {
	cfg := node.DefaultConfig()
	inCluster(t, 1, cfg, func(c *cluster) {
		n := largeRing()
		c.bootstrap(n, 1)
		c.converge(10 * time.Second)
		refs := liveRefs(c)
		time.Sleep(20 * time.Second) // checking is dear
		c.eventually(5*time.Minute, func() error {
			for _, p := range c.all() {
				st := p.Status().Nodes[0]
				if want := idealFingers(refs, st.View); !slices.Equal(st.Fingers, want) {
					return fmt.Errorf("fingers of %v: got %v, want %v", st.View.Self, st.Fingers, want)
				}
			}
			return nil
		})
		wrapped := 0
		for _, p := range c.all() {
			st := p.Status().Nodes[0]
			if f := st.Fingers[len(st.Fingers)-1]; f.ID.Less(st.View.Self.ID) {
				wrapped++
			}
		}
		if wrapped == 0 {
			c.t.Error("no finger wraps past 0: the test proves less than it says")
		}

		hops, lookups := 0, 0
		for i, p := range c.all() {
			for j := range 8 {
				id := ring.Hash(fmt.Appendf(nil, "key-%d-%d", i, j))
				l, err := p.Lookup(c.t.Context(), id)
				if err != nil {
					c.t.Fatal(err)
				}
				if want := successorIn(refs, id); l.Owner.Self != want {
					c.t.Fatalf("lookup of %v: got %v, want %v", id, l.Owner.Self, want)
				}
				hops += len(l.Hops)
				lookups++
			}
		}
		got := float64(hops) / float64(lookups)
		want := math.Log2(float64(n))/2 - math.Log2(float64(cfg.Successors))/2 + 1
		if !raced.Enabled && math.Abs(got-want) > 0.05*want {
			c.t.Errorf("mean path: got %.2f calls, want %.2f, one half log2 N less the successor list's share, within 5 %%", got, want)
		}
	})
}

// TestFingersFollowTheRing: long after the first pass of fix_fingers, the fingers still become those of the ring as it is.
func TestFingersFollowTheRing(t *testing.T) {
	inCluster(t, 1, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(64, 1)
		time.Sleep(3 * time.Minute) // passes that find everything right
		for _, p := range procs[:16] {
			c.kill(p)
			time.Sleep(5 * time.Second)
		}
		refs := liveRefs(c)
		c.eventually(5*time.Minute, func() error {
			for _, p := range c.all() {
				st := p.Status().Nodes[0]
				if want := idealFingers(refs, st.View); !slices.Equal(st.Fingers, want) {
					return fmt.Errorf("fingers of %v: got %v, want %v", st.View.Self, st.Fingers, want)
				}
			}
			return nil
		})
	})
}

// [ToN] Theorem IV.5: with 30 % of the nodes dead at once, and before any repair, every lookup ends at the right node.
func TestLookupsAmongTheDead(t *testing.T) {
	inCluster(t, 2, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(largeRing(), 1)
		c.converge(10 * time.Second)
		time.Sleep(20 * time.Second) // for the fingers
		c.rng.Shuffle(len(procs), func(i, j int) { procs[i], procs[j] = procs[j], procs[i] })
		for _, p := range procs[:len(procs)*30/100] {
			c.kill(p)
		}
		refs := liveRefs(c)
		for i, p := range c.all() {
			for j := range 4 {
				id := ring.Hash(fmt.Appendf(nil, "key-%d-%d", i, j))
				l, err := p.Lookup(c.t.Context(), id)
				if err != nil {
					c.t.Fatalf("lookup of %v from %v: %v", id, p.addr, err)
				}
				if want := successorIn(refs, id); l.Owner.Self != want {
					c.t.Fatalf("lookup of %v: got %v, want %v", id, l.Owner.Self, want)
				}
			}
		}
		c.converge(time.Minute)
	})
}

// A list that does not know yet of a newcomer behind which a node has died must not give the newcomer's keys to the node behind the dead one, as that one would itself: whoever looks up
// asks the last live node before them.
func TestLookupByAStaleList(t *testing.T) {
	cfg := hearsayOnly()
	cfg.SettleDelay = time.Hour
	inCluster(t, 13, cfg, func(c *cluster) {
		procs := c.bootstrap(12, 1)
		slices.SortFunc(procs, func(a, b *process) int { return a.Nodes()[0].ID.Compare(b.Nodes()[0].ID) })
		newcomer := c.start(1)
		at, _ := slices.BinarySearchFunc(procs, newcomer.Nodes()[0].ID, func(p *process, id ring.ID) int { return p.Nodes()[0].ID.Compare(id) })
		near := func(steps int) *process { return procs[(at+steps+len(procs))%len(procs)] }
		stale := near(-4)
		c.setFault(stale.addr, node.ErrUnreachable) // nobody can tell it
		if err := newcomer.Join(c.t.Context(), []string{near(3).addr}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		c.setFault(stale.addr, nil)
		self := newcomer.Nodes()[0]
		if view := stale.Status().Nodes[0].View; slices.Contains(view.Succs, self) {
			t.Fatalf("it knows the newcomer %v: %v", self, view)
		}
		c.kill(near(0))
		l, err := stale.Lookup(c.t.Context(), self.ID)
		if err != nil || l.Owner.Self != self {
			t.Errorf("got %v, %v, want %v: %v", l.Owner.Self, err, self, l.Hops)
		}
	})
}

func TestJoinOneByOne(t *testing.T) {
	inCluster(t, 3, node.DefaultConfig(), func(c *cluster) {
		first := c.start(8)
		if err := first.Create(); err != nil {
			c.t.Fatal(err)
		}
		for range 5 {
			c.join(first, 8)
		}
		c.converge(time.Minute)
		if broken := ring.CheckRing(c.views(), c.cfg.Successors); len(broken) > 0 {
			c.t.Error(broken)
		}
	})
}

// A known way to die (gord): the predecessor of the place where a node joins is dead, is never cleared, and the newcomer stays
// outside for ever.
func TestJoinBesideADeadPredecessor(t *testing.T) {
	for seed := range uint64(10) {
		inCluster(t, seed, node.DefaultConfig(), func(c *cluster) {
			procs := c.bootstrap(20, 1)
			c.converge(10 * time.Second)
			// The newcomer's place is just before that of the node which dies now.
			newcomer := c.start(1)
			before := successorIn(liveRefs(c)[:20], newcomer.Nodes()[0].ID)
			for _, p := range procs {
				if p.Nodes()[0] == before {
					c.kill(p)
				}
			}
			via := c.all()[0]
			if via == newcomer {
				via = c.all()[1]
			}
			c.eventually(10*time.Second, func() error { return newcomer.Join(c.t.Context(), []string{via.addr}) })
			c.converge(30 * time.Second)
		})
	}
}

// A known way to die: one address that never answers freezes all calls.
func TestSilentPeerDelaysNobodyElse(t *testing.T) {
	inCluster(t, 4, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(8, 4)
		c.converge(10 * time.Second)
		silent := procs[3]
		c.setFault(silent.addr, errSilent)
		time.Sleep(5 * time.Second)
		for i := range 200 {
			// Suspicion is renewed now and then by a call that has to time out; nothing waits for more than one of those.
			limit := c.cfg.ReplicaTimeout + c.cfg.RingTimeout + time.Second/2
			began := time.Now()
			c.put(procs[0], fmt.Sprint("key", i), "value")
			if took := time.Since(began); took > limit {
				c.t.Fatalf("put took %v", took)
			}
			began = time.Now()
			c.wantValue(procs[1], fmt.Sprint("key", i), "value")
			if took := time.Since(began); took > limit {
				c.t.Fatalf("get took %v", took)
			}
		}
	})
}

// A known way to die: a node that nobody could reach for a while never gets its place back. It was not killed and does not join again.
func TestUnreachableNodeGetsItsPlaceBack(t *testing.T) {
	inCluster(t, 5, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(10, 1)
		c.converge(10 * time.Second)
		lost := procs[4]
		c.setFault(lost.addr, fmt.Errorf("%w: no route to host", node.ErrUnreachable))
		for _, p := range procs {
			c.setFault(lost.addr+">"+p.addr, fmt.Errorf("%w: no route to host", node.ErrUnreachable))
		}
		time.Sleep(20 * time.Second)
		for _, v := range c.views() {
			if v.Self != lost.Nodes()[0] && slices.Contains(v.Succs, lost.Nodes()[0]) {
				c.t.Fatalf("%v still has the unreachable node in its list", v.Self)
			}
		}
		c.setFault(lost.addr, nil)
		for _, p := range procs {
			c.setFault(lost.addr+">"+p.addr, nil)
		}
		c.converge(time.Minute)
	})
}

// A copy of a process, with its identity, does not get into the ring beside it, and says why. As soon as the other has died, it does.
func TestTwinStaysOutside(t *testing.T) {
	inCluster(t, 6, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(5, 4)
		c.converge(10 * time.Second)
		before := c.views()
		twin := c.restart(procs[1].id, "10.9.9.9:1", procs[1].store)
		err := twin.Join(c.t.Context(), []string{procs[0].addr, procs[2].addr})
		wantIs(c.t, "Join", err, node.ErrTaken)
		if taken := new(node.TakenError); !errors.As(err, &taken) || taken.Addr != procs[1].addr {
			c.t.Errorf("Join: got %v, want who has it: %s", err, procs[1].addr)
		}
		if after := c.views()[:len(before)]; !reflect.DeepEqual(before, after) {
			c.t.Errorf("the ring has changed from %v to %v", before, after)
		}
		c.kill(procs[1])
		c.eventually(10*time.Second, func() error { return twin.Join(c.t.Context(), []string{procs[0].addr}) })
		c.converge(30 * time.Second)
	})
}

// A known way to die: a request that comes before the join is complete.
func TestRequestsBeforeTheJoin(t *testing.T) {
	inCluster(t, 6, node.DefaultConfig(), func(c *cluster) {
		p := c.start(2)
		id := p.Nodes()[0].ID
		_, err := p.Do(c.t.Context(), node.Op{Kind: node.OpGet, Key: []byte("k")})
		wantIs(c.t, "Do", err, node.ErrNotReady)
		_, err = p.Serve(c.t.Context(), node.Op{Kind: node.OpGet, Key: []byte("k")})
		wantIs(c.t, "Serve", err, node.ErrNotReady)
		_, err = p.Neighbors(id)
		wantIs(c.t, "Neighbors", err, node.ErrNotReady)
		_, err = p.Route(id, id, nil)
		wantIs(c.t, "Route", err, node.ErrNotReady)
		_, err = p.Route(ring.ID{}, id, nil)
		wantIs(c.t, "Route to any", err, node.ErrNotReady)
		wantIs(c.t, "Notify", p.Notify(id, ring.Ref{ID: ring.Hash([]byte("x")), Addr: "10.9.9.9:1"}), node.ErrNotReady)
		_, err = p.Lookup(c.t.Context(), id)
		wantIs(c.t, "Lookup", err, node.ErrNotReady)
		wantIs(c.t, "Leave", p.Leave(c.t.Context()), node.ErrNotReady)
	})
}

// A known way to die: a forged notify for an identifier that does not answer is believed.
func TestForgedNotify(t *testing.T) {
	inCluster(t, 7, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(6, 1)
		c.converge(10 * time.Second)
		before := c.views()
		victim := procs[0].Nodes()[0]
		for _, forged := range []ring.Ref{
			{ID: victim.ID.Prev(), Addr: "10.9.9.9:1"},       // nobody there
			{ID: victim.ID.Prev(), Addr: procs[1].addr},      // a live process that does not host it
			{ID: victim.ID.Prev(), Addr: procs[0].addr},      // the victim's own process
			{ID: victim.ID, Addr: "10.9.9.9:1"},              // the victim's own id elsewhere
			{ID: procs[1].Nodes()[0].ID, Addr: "10.9.9.9:1"}, // a member's id elsewhere
			{},
		} {
			if err := procs[0].Notify(victim.ID, forged); err != nil {
				c.t.Errorf("notify %v: %v", forged, err)
			}
			time.Sleep(5 * time.Second)
			for i, v := range c.views() {
				if v.Pred != before[i].Pred || !slices.Equal(v.Succs, before[i].Succs) {
					c.t.Fatalf("after a forged notify for %v: got %v, want %v", forged, v, before[i])
				}
			}
		}
	})
}

// Two rings that a partition made become one again, without gossip.
func TestPartitionHeals(t *testing.T) {
	inCluster(t, 8, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(10, 2)
		c.converge(10 * time.Second)
		cut := func(err error) {
			for i, a := range procs {
				for j, b := range procs {
					if i%2 != j%2 {
						c.setFault(a.addr+">"+b.addr, err)
					}
				}
			}
		}
		cut(fmt.Errorf("%w: partition", node.ErrUnreachable))
		time.Sleep(2 * time.Minute)
		if ring.CheckIdeal(c.views(), c.cfg.Successors) == nil {
			c.t.Fatal("the partition did not split the ring: the test proves nothing")
		}
		cut(nil)
		c.converge(5 * time.Minute)
	})
}

func wantIs(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// A process that is killed and comes back at once still stands in everybody's lists, under identifiers that do not answer yet.
func TestQuickRestart(t *testing.T) {
	for seed := range uint64(5) {
		inCluster(t, seed, node.DefaultConfig(), func(c *cluster) {
			procs := c.bootstrap(3, 8)
			c.converge(30 * time.Second)
			c.kill(procs[0])
			time.Sleep(time.Duration(seed) * 500 * time.Millisecond)
			back := c.restart(procs[0].id, procs[0].addr, procs[0].store)
			c.eventually(5*time.Second, func() error {
				return back.Join(c.t.Context(), []string{procs[1].addr})
			})
			c.converge(30 * time.Second)
		})
	}
}

// In a ring in which nothing changes each node makes one call about the ring every StabilizeQuiet, and one every StabilizeInterval when something has.
func TestQuietRing(t *testing.T) {
	cfg := node.DefaultConfig()
	cfg.Successors, cfg.SweepInterval, cfg.HealInterval, cfg.RepairInterval = 4, time.Hour, time.Hour, time.Hour
	cfg.FixFingersInterval, cfg.SettleDelay = time.Hour, time.Hour
	inCluster(t, 10, cfg, func(c *cluster) {
		const nodes = 20
		procs := c.bootstrap(nodes, 1)
		calls := func(during time.Duration) int {
			before := c.callsMade()
			time.Sleep(during)
			return c.callsMade() - before
		}
		want := func(when string, got, least, most int) {
			if got < least || got > most {
				t.Errorf("%s: %d calls, want %d to %d", when, got, least, most)
			}
		}
		want("in the first seconds", calls(3*time.Second), nodes, 4*nodes)
		time.Sleep(time.Minute)
		want("in a minute of a quiet ring", calls(time.Minute), 14*nodes, 16*nodes)
		c.kill(procs[7])
		time.Sleep(5 * cfg.StabilizeQuiet / 4) // it is found out within
		if err := ring.CheckIdeal(c.views(), c.cfg.Successors); err != nil {
			t.Errorf("after the longest interval: %v", err)
		}
	})
}

// A newcomer is in all r lists that it belongs to after some r calls, not after r intervals; and so is the news of a death.
func TestNewsTravelFast(t *testing.T) {
	inCluster(t, 9, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(40, 1)
		c.converge(10 * time.Second)
		c.join(procs[0], 1)
		ideal := func() error { return ring.CheckIdeal(c.views(), c.cfg.Successors) }
		c.eventually(2*c.cfg.StabilizeInterval, ideal)
		c.kill(procs[20])
		c.eventually(3*c.cfg.StabilizeInterval, ideal)
	})
}

// A process that is back before the others suspect it no longer is a member again at once: they take it for alive when it calls.
func TestRestartAmongTheSuspicious(t *testing.T) {
	inCluster(t, 12, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(6, 2)
		c.converge(10 * time.Second)
		p := procs[2]
		c.kill(p)
		time.Sleep(c.cfg.SuspectTime / 4)
		for _, other := range procs {
			if other != p { // whoever looks for it finds that it is dead
				for _, n := range p.Nodes() {
					_, _ = other.Lookup(c.t.Context(), n.ID)
				}
			}
		}
		back := c.restart(p.id, p.addr, p.store)
		began := time.Now()
		if err := back.Join(c.t.Context(), []string{procs[0].addr}); err != nil {
			c.t.Fatal(err)
		}
		if took := time.Since(began); took >= c.cfg.SuspectTime/4 {
			c.t.Errorf("it took %v to get the place back, and suspicions last for %v", took, c.cfg.SuspectTime)
		}
	})
}
