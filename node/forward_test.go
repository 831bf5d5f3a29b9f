package node_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// recurse looks an identifier up recursively, and fails unless that ends at its owner among refs.
func (c *cluster) recurse(p *process, refs []ring.Ref, id ring.ID) node.Lookup {
	c.t.Helper()
	l, err := p.LookupBy(c.t.Context(), node.Recursive, id)
	if want := successorIn(refs, id); err != nil || l.Owner.Self != want {
		c.t.Fatalf("lookup of %v from %v: got %v, %v, want %v", id, p.addr, l.Owner.Self, err, want)
	}
	return l
}

// TestRecursiveLookups: in a stable ring a query goes the way that an iterative lookup goes, the asker is told all of it, and it takes a message
// for each node on the way and one back.
func TestRecursiveLookups(t *testing.T) {
	inCluster(t, 1, node.DefaultConfig(), func(c *cluster) {
		c.bootstrap(64, 2)
		c.converge(10 * time.Second)
		refs := liveRefs(c)
		for i, p := range c.all() {
			id := ring.Hash(fmt.Appendf(nil, "key-%d", i))
			began := time.Now()
			l := c.recurse(p, refs, id)
			if got, want := time.Since(began), time.Duration(len(l.Hops)+1)*delay; len(l.Hops) > 0 && got != want {
				c.t.Errorf("%d hops took %v, want %v", len(l.Hops), got, want)
			}
			it, err := p.Lookup(c.t.Context(), id)
			if err != nil {
				c.t.Fatal(err)
			}
			if len(l.Hops) > len(it.Hops) {
				c.t.Errorf("recursively by %v, iteratively by %v", l.Hops, it.Hops)
			}
			for j, h := range l.Hops {
				if last := j == len(l.Hops)-1; h.Err != nil || h.RTT != 0 || last && (h.Node != l.Owner.Self || !h.Covered) {
					c.t.Errorf("hop %d of %d to %v: %+v", j+1, len(l.Hops), l.Owner.Self, h)
				}
			}
		}
	})
}

// TestRecursiveLookupsAmongTheDead: a node sends a query round those that do not take it, and the asker sees which.
func TestRecursiveLookupsAmongTheDead(t *testing.T) {
	inCluster(t, 2, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(largeRing(), 1)
		c.rng.Shuffle(len(procs), func(i, j int) { procs[i], procs[j] = procs[j], procs[i] })
		for _, p := range procs[:len(procs)*30/100] {
			c.kill(p)
		}
		refs, passed := liveRefs(c), 0
		for i, p := range c.all() {
			for j := range 8 {
				for _, h := range c.recurse(p, refs, ring.Hash(fmt.Appendf(nil, "key-%d-%d", i, j))).Hops {
					if errors.Is(h.Err, node.ErrPassedOver) {
						passed++
					}
				}
			}
		}
		if passed == 0 {
			c.t.Error("no query met a dead node")
		}
	})
}

// TestRecursiveLookupOfADeadOwner: a node that finds the owner dead goes on along its list, and the query does not wander back along predecessors.
func TestRecursiveLookupOfADeadOwner(t *testing.T) {
	inCluster(t, 6, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(largeRing(), 1)
		id := procs[0].Nodes()[0].ID
		c.kill(procs[0])
		refs, began := liveRefs(c), time.Now()
		l := c.recurse(procs[1], refs, id)
		if took := time.Since(began); took > 100*time.Millisecond || len(l.Hops) > 20 {
			c.t.Errorf("%d hops in %v", len(l.Hops), took)
		}
	})
}

// TestRecursiveLookupWithoutAnAnswer: where the owner cannot tell the asker, the asker finds it all the same.
func TestRecursiveLookupWithoutAnAnswer(t *testing.T) {
	inCluster(t, 3, node.DefaultConfig(), func(c *cluster) {
		p := c.bootstrap(64, 1)[0]
		refs := liveRefs(c)
		for _, q := range c.all() {
			c.setFault(q.addr+">"+p.addr, errSilent)
		}
		began := time.Now()
		c.recurse(p, refs, ring.Hash([]byte("key")))
		if took := time.Since(began); took < c.cfg.RingTimeout || took > 3*c.cfg.RingTimeout {
			c.t.Errorf("took %v", took)
		}
	})
}

// forwardCounter counts the queries that are sent.
type forwardCounter struct {
	*wire
	n *atomic.Int32
}

func (f forwardCounter) Forward(ctx context.Context, to ring.Ref, q node.Query) error {
	f.n.Add(1)
	return f.wire.Forward(ctx, to, q)
}

// TestForgedQueries: what others claim of queries changes nothing, and a query goes on once from each node, however often it comes.
func TestForgedQueries(t *testing.T) {
	cfg := node.DefaultConfig()
	inCluster(t, 4, cfg, func(c *cluster) {
		var forwards atomic.Int32
		c.peers = func(w *wire) node.Peers { return forwardCounter{w, &forwards} }
		procs := c.bootstrap(64, 1)
		p, at := procs[0], procs[0].Nodes()[0]
		q := node.Query{Number: 1, ID: ring.Hash([]byte("key")), Asker: "10.9.9.9:7400", Hops: make([]node.Hop, cfg.MaxHops+1)}
		for _, hops := range [][]node.Hop{nil, q.Hops} {
			q.Hops = hops
			if err := p.Forward(at.ID, q); !errors.Is(err, node.ErrInvalid) {
				c.t.Errorf("%d hops: got %v", len(hops), err)
			}
		}
		if err := p.Arrived(node.Arrival{Hops: make([]node.Hop, cfg.MaxHops+1)}); !errors.Is(err, node.ErrInvalid) {
			c.t.Errorf("an answer of too many hops: got %v", err)
		}
		if err := p.Arrived(node.Arrival{Number: 1, Owner: ring.View{Self: at, Pred: at}}); err != nil {
			c.t.Errorf("an answer that nobody waits for: got %v", err)
		}

		q.Hops = []node.Hop{{Node: at}}
		for range 100 {
			if err := p.Forward(at.ID, q); err != nil {
				c.t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if n := forwards.Load(); n == 0 || n > 6 {
			c.t.Errorf("one query, sent 100 times, was forwarded %d times", n)
		}

		if err := p.Forward(ring.ID{1}, q); !errors.Is(err, node.ErrNoNode) {
			c.t.Errorf("of a node that is not there: got %v", err)
		}
	})
}

// liar is a network in which whoever gets a query claims to own what it looks for, with an arc that does not say so.
type liar struct{ *wire }

func (l liar) Forward(ctx context.Context, to ring.Ref, q node.Query) error {
	p, err := l.to(ctx, ring.Ref{Addr: q.Asker})
	if err != nil {
		return err
	}
	return p.Arrived(node.Arrival{Number: q.Number, Owner: ring.View{Self: to, Pred: ring.Ref{ID: q.ID, Addr: to.Addr}}})
}

// TestRecursiveLookupAmongLiars: a node that claims to be the owner, and whose arc does not hold the identifier, is not believed.
func TestRecursiveLookupAmongLiars(t *testing.T) {
	inCluster(t, 5, node.DefaultConfig(), func(c *cluster) {
		c.peers = func(w *wire) node.Peers { return liar{w} }
		p := c.bootstrap(64, 1)[0]
		c.recurse(p, liveRefs(c), ring.Hash([]byte("key")))
	})
}
