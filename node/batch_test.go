package node_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// outcome is how and when an operation of a batch was answered.
type outcome struct {
	node.Answer
	after time.Duration
}

// together executes operations that come to a process together, and waits for all answers.
func (c *cluster) together(p *process, ops []node.Op) []outcome {
	c.t.Helper()
	began := time.Now()
	answers := make(chan outcome, len(ops))
	p.ServeAll(context.Background(), ops, func(list []node.Answer) {
		for _, a := range list {
			answers <- outcome{a, time.Since(began)}
		}
	})
	outcomes := make([]outcome, len(ops))
	answered := make([]bool, len(ops))
	for range ops {
		o := <-answers
		if answered[o.Index] {
			c.t.Fatalf("operation %d was answered twice", o.Index)
		}
		outcomes[o.Index], answered[o.Index] = o, true
	}
	return outcomes
}

// ownKeys returns n keys that a process owns.
func (c *cluster) ownKeys(p *process, n int) []string {
	var keys []string
	for i := 0; len(keys) < n; i++ {
		if key := fmt.Sprint("key", i); ownerOf(c, []byte(key)) == p {
			keys = append(keys, key)
		}
	}
	return keys
}

// holders returns who has a record of a key, by address, and who should: the group of the owner.
func (c *cluster) holders(owner *process, key string) (have, want []string) {
	for _, p := range c.all() {
		if v, _ := p.store.Version([]byte(key)); !v.IsZero() {
			have = append(have, p.addr)
		}
	}
	for _, n := range owner.Status().Nodes {
		if n.View.Arc().Contains(ring.Hash([]byte(key))) {
			for _, r := range n.Group {
				want = append(want, r.Addr)
			}
		}
	}
	slices.Sort(want)
	return have, want
}

func puts(keys []string) []node.Op {
	var ops []node.Op
	for i, key := range keys {
		ops = append(ops, node.Op{Kind: node.OpPut, Key: []byte(key), Value: []byte("value of " + key), Request: node.RequestID{1, byte(i >> 8), byte(i)}})
	}
	return ops
}

func gets(keys []string) []node.Op {
	var ops []node.Op
	for _, key := range keys {
		ops = append(ops, node.Op{Kind: node.OpGet, Key: []byte(key)})
	}
	return ops
}

// Operations that come together cost about as many calls as one, from whichever of a process's arcs they are.
func TestTogetherIsCheap(t *testing.T) {
	inCluster(t, 1, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(5, 16)
		c.converge(30 * time.Second)
		keys := c.ownKeys(procs[0], 200)
		for _, ops := range [][]node.Op{puts(keys), gets(keys)} {
			before := c.calls
			for i, o := range c.together(procs[0], ops) {
				if o.Err != nil || o.Result.Acks < 2 || !o.Result.Arc.Contains(o.Result.Owner.ID) {
					c.t.Fatalf("%v %q: result %+v, error %v", ops[i].Kind, ops[i].Key, o.Result, o.Err)
				}
				if want := "value of " + keys[i]; ops[i].Kind == node.OpGet && string(o.Result.Value) != want {
					c.t.Fatalf("get %q: got %q, want %q", keys[i], o.Result.Value, want)
				}
			}
			// Two replicas are among four other processes: at most six batches, of two calls each. And each of 16 nodes asks its heir, before the first write in a while.
			if calls := c.calls - before; calls > 20+16 {
				c.t.Errorf("200 times %v took %d calls", ops[0].Kind, calls)
			}
			time.Sleep(2 * delay) // W of N were waited for
			for _, key := range keys {
				if have, want := c.holders(procs[0], key); !slices.Equal(have, want) {
					c.t.Fatalf("%q is on %v, want %v", key, have, want)
				}
			}
		}
		for _, key := range keys {
			c.wantValue(procs[1], key, "value of "+key)
		}
	})
}

// Each operation of a batch has its own outcome.
func TestTogetherEachForItself(t *testing.T) {
	inCluster(t, 2, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(3, 2)
		c.converge(30 * time.Second)
		own, foreign := c.ownKeys(procs[0], 3), c.ownKeys(procs[1], 1)
		put := puts(own)
		ops := []node.Op{
			put[0],
			{Kind: node.OpPut},
			put[1], puts(foreign)[0], gets([]string{own[2]})[0], put[0],
			{Kind: node.OpDelete, Key: []byte(own[1])},
		}
		got := c.together(procs[0], ops)
		for i, want := range []error{nil, node.ErrInvalid, nil, node.ErrNotOwner, nil, nil, nil} {
			if !errors.Is(got[i].Err, want) {
				c.t.Errorf("operation %d: got %v, want %v", i, got[i].Err, want)
			}
		}
		if got[4].Result.Found {
			c.t.Error("a key that nobody wrote was found")
		}
		if a, b := got[0].Result.Version, got[5].Result.Version; a != b {
			c.t.Errorf("the same request twice got versions %v and %v", a, b)
		}
		if put, del := got[2].Result.Version, got[6].Result.Version; !del.Newer(put) {
			c.t.Errorf("delete at %v is not after the put at %v", del, put)
		}
		r, err := procs[2].Do(c.t.Context(), node.Op{Kind: node.OpGet, Key: []byte(own[1])})
		if err != nil || r.Found {
			c.t.Errorf("after put and delete: found %v, error %v", r.Found, err)
		}
	})
}

// A replica that does not answer holds up only what needs it.
func TestTogetherWithASilentReplica(t *testing.T) {
	inCluster(t, 3, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(3, 1)
		c.converge(30 * time.Second)
		keys := c.ownKeys(procs[0], 10)
		for _, o := range c.together(procs[0], puts(keys)) {
			if o.Err != nil {
				c.t.Fatal(o.Err)
			}
		}
		for _, silent := range procs[1:] {
			c.setFault(silent.addr, errSilent)
			ops := append(gets(keys), puts(keys)...)
			ops[0].Level, ops[10].Level = node.LevelAll, node.LevelAll
			for i, o := range c.together(procs[0], ops) {
				op, limit := ops[i], 3*delay
				if op.Kind == node.OpGet {
					limit += c.cfg.HedgeDelay
				}
				switch {
				case op.Level == node.LevelAll && o.Err == nil:
					c.t.Errorf("%v %q: all replicas answered", op.Kind, op.Key)
				case op.Level != node.LevelAll && (o.Err != nil || o.after > limit):
					c.t.Errorf("%v %q: after %v, error %v; want within %v", op.Kind, op.Key, o.after, o.Err, limit)
				}
			}
			c.setFault(silent.addr, nil)
			time.Sleep(c.cfg.SuspectTime + c.cfg.ReplicaTimeout)
			c.converge(30 * time.Second)
		}
	})
}

// A key whose replicas disagree, or of which a replica has a newer version, is repaired or overtaken without its company.
func TestTogetherWithAStaleReplica(t *testing.T) {
	inCluster(t, 4, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(3, 1)
		c.converge(30 * time.Second)
		keys := c.ownKeys(procs[0], 10)
		c.together(procs[0], puts(keys))
		ahead := node.Version{Time: uint64(time.Now().Add(c.cfg.MaxClockAhead/2).UnixMilli()) << 16, Origin: 77}
		for _, p := range procs[1:] {
			if _, err := p.store.Apply([]node.Record{{Key: []byte(keys[3]), Value: []byte("elsewhere"), Version: ahead}}); err != nil {
				c.t.Fatal(err)
			}
		}
		for i, o := range c.together(procs[0], gets(keys)) {
			want := "value of " + keys[i]
			if i == 3 {
				want = "elsewhere"
			}
			if o.Err != nil || string(o.Result.Value) != want {
				c.t.Errorf("get %q: got %q, error %v; want %q", keys[i], o.Result.Value, o.Err, want)
			}
		}
		if v, _ := procs[0].store.Version([]byte(keys[3])); v != ahead {
			c.t.Errorf("the owner has version %v of what it read, want %v", v, ahead)
		}

		further := node.Version{Time: ahead.Time + 9<<16, Origin: 77}
		for _, p := range procs[1:] {
			if _, err := p.store.Apply([]node.Record{{Key: []byte(keys[3]), Value: []byte("elsewhere"), Version: further}}); err != nil {
				c.t.Fatal(err)
			}
		}
		ops := puts(keys)
		for i := range ops {
			ops[i].Request[15] = 1
		}
		got := c.together(procs[0], ops)
		for i, o := range got {
			if v := o.Result.Version; o.Err != nil || v.Newer(further) != (i == 3) {
				c.t.Errorf("put %q: version %v, error %v, beside %v", keys[i], v, o.Err, further)
			}
		}
		if after := slices.MaxFunc(got, func(a, b outcome) int { return int(a.after - b.after) }); after.Index != 3 {
			c.t.Errorf("put %q was answered last", keys[after.Index])
		}
	})
}

// While an arc is not settled, each of its operations asks everybody who may have been a replica.
func TestTogetherInAnUnsettledArc(t *testing.T) {
	inCluster(t, 6, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(5, 1)
		keys := c.ownKeys(procs[0], 10)
		_, group := c.holders(procs[0], keys[0])
		for _, p := range procs {
			if slices.Contains(group, p.addr) {
				continue
			}
			for _, key := range keys {
				r := node.Record{Key: []byte(key), Value: []byte("value of " + key), Version: node.Version{Time: 1, Origin: 77}}
				if _, err := p.store.Apply([]node.Record{r}); err != nil {
					c.t.Fatal(err)
				}
			}
		}
		for i, o := range c.together(procs[0], gets(keys)) {
			if want := "value of " + keys[i]; o.Err != nil || string(o.Result.Value) != want {
				c.t.Errorf("get %q: got %q, error %v; want %q", keys[i], o.Result.Value, o.Err, want)
			}
		}
	})
}

// A version that the replicas refuse because it lies too far ahead fails its own write and no other.
func TestTogetherWithAVersionAhead(t *testing.T) {
	inCluster(t, 5, node.DefaultConfig(), func(c *cluster) {
		owner := c.bootstrap(1, 1)[0]
		c.cfg.MaxClockAhead /= 5
		c.join(owner, 1)
		c.join(owner, 1)
		c.converge(30 * time.Second)
		keys := c.ownKeys(owner, 9)
		ahead := node.Version{Time: uint64(time.Now().Add(2*c.cfg.MaxClockAhead).UnixMilli()) << 16, Origin: 77}
		if _, err := owner.store.Apply([]node.Record{{Key: []byte(keys[4]), Value: []byte("ahead"), Version: ahead}}); err != nil {
			c.t.Fatal(err)
		}
		// That write comes last: versions that the clock gives later are as far ahead.
		ops := puts(keys)
		ops[4], ops[8] = ops[8], ops[4]
		for i, o := range c.together(owner, ops) {
			if refused := string(ops[i].Key) == keys[4]; (o.Err != nil) != refused || refused && !errors.Is(o.Err, node.ErrClockSkew) {
				c.t.Errorf("put %q: version %v, error %v", ops[i].Key, o.Result.Version, o.Err)
			}
		}
	})
}

// unsure is a network in which owners answer writes with an error that says both that the outcome is unknown and that a replica is not ready.
type unsure struct {
	node.Peers
	asked *atomic.Int32
}

func (u unsure) Do(context.Context, ring.Ref, node.Op) (node.Result, error) {
	u.asked.Add(1)
	return node.Result{}, fmt.Errorf("%w: replica: %w", node.ErrUnknown, node.ErrNotReady)
}

// TestUnknownStaysUnknown: a write of which the owner does not know the outcome is not tried elsewhere, nor called not applied.
func TestUnknownStaysUnknown(t *testing.T) {
	inCluster(t, 8, node.DefaultConfig(), func(c *cluster) {
		var asked atomic.Int32
		c.peers = func(w *wire) node.Peers { return unsure{w, &asked} }
		procs := c.bootstrap(5, 1)
		c.converge(10 * time.Second)
		for i := range 20 {
			op := node.Op{Kind: node.OpPut, Key: fmt.Append(nil, "key", i), Value: []byte("value")}
			before := asked.Load()
			_, err := procs[0].Do(c.t.Context(), op)
			if n := asked.Load() - before; n == 0 && err == nil {
				continue // the process owns it
			} else if n != 1 || !errors.Is(err, node.ErrUnknown) {
				c.t.Errorf("%s: %d owners were asked, and the outcome is: %v", op.Key, n, err)
			}
		}
		if asked.Load() == 0 {
			c.t.Error("no key belongs to somebody else")
		}
	})
}
