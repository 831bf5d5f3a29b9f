package node_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// watched collects what is told of a key.
type watched struct {
	mu     sync.Mutex
	told   []node.Result
	ended  error
	cancel context.CancelFunc
}

// watch begins to watch a key at whichever process owns it, and as long as it is there.
func (c *cluster) watch(key string, after node.Version) *watched {
	ctx, cancel := context.WithCancel(c.t.Context())
	w := &watched{cancel: cancel}
	owner := c.owner(key)
	go func() {
		err := owner.Watch(ctx, []byte(key), after, func(r node.Result) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told = append(w.told, r)
			return nil
		})
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ended = err
	}()
	return w
}

// owner returns the process that owns a key.
func (c *cluster) owner(key string) *process {
	id := ring.Hash([]byte(key))
	for _, p := range c.all() {
		for _, n := range p.Status().Nodes {
			if n.View.Arc().Contains(id) {
				return p
			}
		}
	}
	c.t.Fatalf("nobody owns %s", key)
	return nil
}

func (w *watched) values() (values []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.told {
		if r.Found {
			values = append(values, string(r.Value))
		} else {
			values = append(values, "-")
		}
	}
	return values
}

func (w *watched) end() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended
}

// A watch tells what is there, and each change that is not overtaken by another, deletes too; it begins where it is told to, and writes of other keys do not wake it.
func TestWatch(t *testing.T) {
	inCluster(t, 91, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(6, 2)
		c.converge(10 * time.Second)
		c.put(procs[1], "k", "0")
		first, err := procs[2].Do(c.t.Context(), node.Op{Kind: node.OpGet, Key: []byte("k")})
		if err != nil {
			t.Fatal(err)
		}
		all, later, none := c.watch("k", node.Version{}), c.watch("k", first.Version), c.watch("other", node.Version{})
		time.Sleep(time.Second)
		open := func() (n int) {
			for _, p := range procs {
				n += p.Status().Watches.Keys
			}
			return n
		}
		if n := open(); n != 3 {
			t.Errorf("%d watches are open, want 3", n)
		}
		for i, p := range procs[:4] {
			time.Sleep(time.Second)
			c.put(p, "k", strconv.Itoa(i+1))
		}
		time.Sleep(time.Second)
		if _, err := procs[5].Do(c.t.Context(), node.Op{Kind: node.OpDelete, Key: []byte("k")}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		for _, w := range []struct {
			*watched
			want string
		}{{all, "[0 1 2 3 4 -]"}, {later, "[1 2 3 4 -]"}, {none, "[]"}} {
			if got := fmt.Sprint(w.values()); got != w.want {
				t.Errorf("told %s, want %s", got, w.want)
			}
			w.cancel()
		}
		time.Sleep(time.Second)
		if err := all.end(); !errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v, want that it was cancelled", err)
		}
		if n := open(); n != 0 {
			t.Errorf("%d watches are open, want none", n)
		}
	})
}

// That a value expires is told with its version, once, when the time has come, also to who begins to watch behind it.
func TestWatchExpiry(t *testing.T) {
	inCluster(t, 94, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(4, 1)
		c.converge(10 * time.Second)
		r := c.do(procs[0], node.Op{Kind: node.OpPut, Key: []byte("k"), Value: []byte("0"), TTL: 20 * time.Second})
		w := c.watch("k", node.Version{})
		time.Sleep(19 * time.Second)
		if got := fmt.Sprint(w.values()); got != "[0]" {
			t.Errorf("told %s before its time, want [0]", got)
		}
		time.Sleep(2 * time.Second)
		after := c.watch("k", r.Version)
		time.Sleep(3 * c.cfg.RepairInterval)
		if got := fmt.Sprint(w.values(), after.values()); got != "[0 -] [-]" || w.told[1].Version != r.Version {
			t.Errorf("told %s with %v, want [0 -] [-] with %v", got, w.told[1].Version, r.Version)
		}
		w.cancel()
		after.cancel()
	})
}

// A watch ends as soon as the key is another process's, or the process leaves or stops, so that who watches can go there; and there he is told what he has missed.
func TestWatchEndsWithTheOwner(t *testing.T) {
	for name, lose := range map[string]func(c *cluster, owner *process){
		"newcomer": func(c *cluster, owner *process) {
			for c.owner("k") == owner {
				c.join(owner, 4)
				c.converge(time.Minute)
			}
		},
		"leaves": func(c *cluster, owner *process) {
			if err := owner.Leave(c.t.Context()); err != nil {
				c.t.Error(err)
			}
			c.kill(owner)
		},
		"stops": func(c *cluster, owner *process) { c.kill(owner) },
	} {
		t.Run(name, func(t *testing.T) {
			inCluster(t, 92, node.DefaultConfig(), func(c *cluster) {
				procs := c.bootstrap(6, 2)
				c.converge(10 * time.Second)
				c.put(procs[0], "k", "0")
				w, owner := c.watch("k", node.Version{}), c.owner("k")
				time.Sleep(time.Second)
				lose(c, owner)
				c.converge(time.Minute)
				if err := w.end(); !errors.Is(err, node.ErrNotOwner) && !errors.Is(err, node.ErrNotReady) {
					t.Errorf("it ends with %v, want that the process is not the owner, or not ready", err)
				}
				last := w.told[len(w.told)-1].Version
				c.put(c.all()[0], "k", "1")
				next := c.watch("k", last)
				time.Sleep(time.Second)
				if got := fmt.Sprint(w.values(), next.values()); got != "[0] [1]" {
					t.Errorf("told %s, want [0] [1]", got)
				}
				next.cancel()
			})
		})
	}
}

// Whoever watches at an owner that is cut off from its replicas is turned away, within RepairInterval, and not left waiting for what it will never hear of.
func TestWatchOfOneCutOff(t *testing.T) {
	inCluster(t, 93, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(5, 1)
		c.converge(10 * time.Second)
		c.put(procs[0], "k", "0")
		w, owner := c.watch("k", node.Version{}), c.owner("k")
		time.Sleep(time.Second)
		for _, p := range procs {
			if p != owner {
				c.setFault(p.addr, errSilent)
			}
		}
		time.Sleep(c.cfg.RepairInterval + 10*time.Second)
		if err := w.end(); err == nil {
			t.Error("it still waits")
		}
		w.cancel()
	})
}
