package node_test

import (
	"errors"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// unheard is a ring of five in which nobody can call the owner of a key any more, while that one can call the others and so takes itself for the owner: as it is
// after a process was stopped.
func unheard(t *testing.T, seed uint64, f func(c *cluster, key string, was, is *process)) {
	inCluster(t, seed, node.DefaultConfig(), func(c *cluster) {
		c.bootstrap(5, 1)
		c.converge(30 * time.Second)
		const key = "k"
		was := c.owner(key)
		c.put(was, key, "0")
		c.setFault(was.addr, errSilent)
		id := ring.Hash([]byte(key))
		var is *process
		c.eventually(30*time.Second, func() error {
			for _, p := range c.all() {
				if n := p.Status().Nodes[0]; p != was && n.View.Arc().Contains(id) {
					is = p
					return nil
				}
			}
			return errors.New("nobody has taken over")
		})
		time.Sleep(c.cfg.RingTimeout) // a process that is stopped for less is not taken for dead
		f(c, key, was, is)
	})
}

// An owner that others have replaced without its knowledge decides nothing, denies nothing and reads nothing old; and it serves again when they know of it again.
func TestOwnerThatWasReplaced(t *testing.T) {
	unheard(t, 1, func(c *cluster, key string, was, is *process) {
		c.put(is, key, "1")
		c.put(is, "counter", "0")
		for _, op := range []node.Op{
			{Kind: node.OpPut, Value: []byte("late")},
			{Kind: node.OpDelete},
			{Kind: node.OpIncrement, Add: 1},
			{Kind: node.OpGet},
		} {
			op.Key = []byte(key)
			r, err := was.Serve(c.t.Context(), op)
			if !errors.Is(err, node.ErrSuperseded) || errors.Is(err, node.ErrUnknown) {
				c.t.Errorf("%v by who was the owner: got %+v, %v, want an error that says that nothing was applied", op.Kind, r, err)
			}
		}
		if was.Status().Nodes[0].Settled {
			c.t.Error("who was the owner says that all is well with its arc")
		}
		c.wantValue(is, key, "1")
		c.setFault(was.addr, nil)
		c.converge(30 * time.Second)
		if c.owner(key) != was {
			c.t.Fatalf("%s owns the key, want %s again", c.owner(key).addr, was.addr)
		}
		c.put(was, key, "2")
		for _, p := range c.all() {
			c.wantValue(p, key, "2")
		}
	})
}

// An owner that was replaced, and the replica that has not heard of it either, agree on what was overwritten since; nobody gets to read that, whoever else is silent.
func TestReadAsksAfterTheHeir(t *testing.T) {
	for _, c := range []struct {
		silent []int // of those after the owner: its heir, the replica behind that one, and the one that has taken the place of the owner among them
		want   error
	}{
		{nil, node.ErrSuperseded},
		{[]int{0}, node.ErrSuperseded},
		{[]int{2}, node.ErrSuperseded},
		{[]int{0, 2}, node.ErrConsistency},
	} {
		inCluster(t, 5, node.DefaultConfig(), func(cl *cluster) {
			cl.bootstrap(5, 1)
			cl.converge(30 * time.Second)
			const key = "k"
			was := cl.owner(key)
			cl.put(was, key, "old")
			var after []*process
			for _, r := range was.Status().Nodes[0].View.Succs[:3] {
				after = append(after, cl.at(r.Addr))
			}
			cl.setFault(was.addr, errSilent)
			cl.setFault(after[1].addr, errSilent)
			cl.eventually(30*time.Second, func() error {
				_, err := after[0].Serve(cl.t.Context(), node.Op{Kind: node.OpPut, Key: []byte(key), Value: []byte("new")})
				return err
			})
			cl.setFault(after[1].addr, nil)
			for _, i := range c.silent {
				cl.setFault(after[i].addr, errSilent)
			}
			r, err := was.Serve(cl.t.Context(), node.Op{Kind: node.OpGet, Key: []byte(key)})
			if err == nil && string(r.Value) != "new" || err != nil && !errors.Is(err, c.want) {
				t.Errorf("%v silent: got %q, %v, want what was written last, or %v", c.silent, r.Value, err, c.want)
			}
		})
	}
}

// A write that comes late, after another owner has carried out its repetition, is not carried out again.
func TestLateMessage(t *testing.T) {
	for _, op := range []node.Op{
		{Kind: node.OpPut, Value: []byte("1")},
		{Kind: node.OpPut, Value: []byte("1"), If: node.IfPresent},
		{Kind: node.OpIncrement, Add: 1},
	} {
		unheard(t, 2, func(c *cluster, key string, was, is *process) {
			op.Key, op.Request = []byte(key), node.RequestID{7}
			repeated := op
			repeated.Retry = true
			first, err := is.Do(c.t.Context(), repeated)
			if err != nil {
				c.t.Fatal(err)
			}
			c.put(is, key, "2")
			c.setFault(was.addr, nil)
			var r node.Result
			c.eventually(30*time.Second, func() error {
				r, err = was.Serve(c.t.Context(), op)
				return err
			})
			if r.Version != first.Version {
				c.t.Errorf("%v %v: got version %v, want %v as at first", op.Kind, op.If, r.Version, first.Version)
			}
			c.converge(30 * time.Second)
			c.wantValue(is, key, "2")
		})
	}
}

// A replica does what the newest owner says, and keeps what is passed on.
func TestOlderClaimIsRefused(t *testing.T) {
	inCluster(t, 3, node.DefaultConfig(), func(c *cluster) {
		p := c.bootstrap(1, 1)[0]
		at := func(b byte) ring.ID { return ring.ID{b} }
		record := func(version uint64) []node.Record {
			return []node.Record{{Key: []byte("k"), Version: node.Version{Time: version, Origin: 1}}}
		}
		epoch := uint64(time.Now().UnixMilli()+1000) << 16 // above the process's own
		older := []node.Claim{{Arc: ring.Arc{After: at(1), Through: at(200)}, Epoch: epoch}}
		newer := []node.Claim{{Arc: ring.Arc{After: at(100), Through: at(220)}, Epoch: epoch + 1}}
		for _, step := range []struct {
			claims  []node.Claim
			refused bool
		}{{older, false}, {newer, false}, {older, true}, {nil, false}, {newer, false}} {
			_, err := p.Apply(c.t.Context(), record(1), step.claims)
			_, digestErr := p.Digest(c.t.Context(), []ring.Arc{ring.FullArc()}, step.claims)
			var superseded *node.SupersededError
			if got := errors.As(err, &superseded); got != step.refused || errors.Is(digestErr, node.ErrSuperseded) != step.refused {
				c.t.Errorf("%v: got %v and %v, want refused: %v", step.claims, err, digestErr, step.refused)
			} else if got && superseded.Epoch != epoch+1 {
				c.t.Errorf("got %v, want epoch %d", err, epoch+1)
			}
		}
	})
}
