package sim_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/sim"
)

// watch is a ring under a checker, with what happens to it told by hand.
type watch struct {
	t *testing.T
	w *sim.World
	c *sim.Checker
	n int
}

// newWatch returns a ring of 20 processes that has been stable for long enough that reads are exact.
func newWatch(t *testing.T) *watch {
	t.Helper()
	o := sim.DefaultOptions()
	s := sim.DefaultScenario()
	s.Node = o.Config
	s.Checks = sim.Checks{Every: time.Second, Ring: true, Lookups: true, Data: true}
	c := sim.NewChecker(&s)
	c.Prepare(&o)
	w, err := sim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() }) // what the checker found is what Close returns
	if err := w.Bootstrap(20); err != nil {
		t.Fatal(err)
	}
	c.Start(w)
	run(t, w, 10*time.Second)
	return &watch{t: t, w: w, c: c}
}

// do executes an operation and tells the checker of it, as a run of a scenario does. twist may change what the checker is told of the end.
func (k *watch) do(kind, key, value string, twist func(op *sim.Operation)) *sim.Operation {
	k.t.Helper()
	op := &sim.Operation{Number: k.n, Kind: kind, Key: []byte(key), ID: ring.Hash([]byte(key)), Value: []byte(value), From: k.n % 20, Begin: k.w.Now()}
	k.n++
	k.c.Begin(op)
	request := node.Op{Key: op.Key, Kind: map[string]node.Kind{sim.OpPut: node.OpPut, sim.OpGet: node.OpGet, sim.OpDelete: node.OpDelete}[kind], Value: op.Value}
	h := k.w.Host(op.From)
	on(k.t, h, k.w, func(p *node.Process) {
		if kind == sim.OpLookup {
			l, err := p.Lookup(context.Background(), op.ID)
			op.Owner, op.Err = l.Owner.Self, err
			return
		}
		op.Result, op.Err = p.Do(context.Background(), request)
		op.Owner = op.Result.Owner
	})
	if op.Err != nil {
		k.t.Fatalf("%s %s: %v", kind, key, op.Err)
	}
	op.Outcome, op.End = sim.Done, k.w.Now()
	if twist != nil {
		twist(op)
	}
	k.c.End(op)
	return op
}

// holders returns the hosts that have a key.
func (k *watch) holders(key string) (hosts []*sim.Host) {
	for _, h := range k.w.Hosts() {
		if v, err := h.Store().Version([]byte(key)); err == nil && !v.IsZero() {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// Every check of data and lookups notices when it is lied to, and says nothing otherwise.
func TestCheckerNotices(t *testing.T) {
	for _, tt := range []struct {
		want string
		lie  func(k *watch)
	}{
		{"", func(k *watch) {
			k.do(sim.OpPut, "a", "1", nil)
			k.do(sim.OpGet, "a", "", nil)
			k.do(sim.OpDelete, "a", "", nil)
			k.do(sim.OpGet, "a", "", nil)
			k.do(sim.OpPut, "a", "2", nil)
			k.do(sim.OpLookup, "a", "", nil)
			k.heal(30 * time.Second)
		}},
		{sim.CheckAck, func(k *watch) {
			k.do(sim.OpPut, "a", "1", func(op *sim.Operation) { op.Result.Version.Time++ })
		}},
		{sim.CheckCopies, func(k *watch) {
			op := k.do(sim.OpPut, "a", "1", nil)
			k.pass(3 * time.Second)
			for _, h := range k.holders("a")[:2] {
				if _, err := h.Store().Drop([]node.Entry{{Key: op.Key, Version: op.Result.Version}}); err != nil {
					k.t.Fatal(err)
				}
			}
		}},
		{sim.CheckValue, func(k *watch) {
			k.do(sim.OpPut, "a", "1", nil)
			k.do(sim.OpGet, "a", "", func(op *sim.Operation) { op.Result.Value = []byte("2") })
		}},
		{sim.CheckValue, func(k *watch) {
			first := k.do(sim.OpPut, "a", "1", nil)
			k.do(sim.OpPut, "a", "2", nil)
			k.do(sim.OpGet, "a", "", func(op *sim.Operation) { op.Result.Version = first.Result.Version })
		}},
		{sim.CheckOnce, func(k *watch) {
			k.do(sim.OpPut, "a", "1", nil)
			k.do(sim.OpGet, "a", "", func(op *sim.Operation) { op.Result.Version.Time++ })
		}},
		{sim.CheckOrder, func(k *watch) {
			first := k.do(sim.OpPut, "a", "1", nil)
			k.do(sim.OpPut, "a", "2", func(op *sim.Operation) {
				op.Result.Version = first.Result.Version
				op.Result.Version.Time--
			})
		}},
		{sim.CheckSpread, func(k *watch) {
			k.do(sim.OpPut, "a", "1", nil)
			k.do(sim.OpGet, "a", "", func(op *sim.Operation) {
				for _, h := range k.holders("a")[1:] {
					if _, err := h.Store().Drop([]node.Entry{{Key: op.Key, Version: op.Result.Version}}); err != nil {
						k.t.Fatal(err)
					}
				}
			})
		}},
		{sim.CheckRefused, func(k *watch) {
			k.do(sim.OpPut, "a", "1", func(op *sim.Operation) { op.Outcome = sim.Failed })
			k.do(sim.OpGet, "a", "", nil)
		}},
		{sim.CheckStale, func(k *watch) {
			first := k.do(sim.OpPut, "a", "1", nil)
			k.do(sim.OpPut, "a", "2", nil)
			k.do(sim.OpGet, "a", "", func(op *sim.Operation) { op.Result.Version, op.Result.Value = first.Result.Version, []byte("1") })
		}},
		{sim.CheckStale, func(k *watch) { // a read behind one before it, of a write that nobody has acknowledged
			first := k.do(sim.OpPut, "a", "1", nil)
			k.do(sim.OpPut, "a", "2", func(op *sim.Operation) { op.Outcome = sim.Unknown })
			k.do(sim.OpGet, "a", "", nil)
			k.do(sim.OpGet, "a", "", func(op *sim.Operation) { op.Result.Version, op.Result.Value = first.Result.Version, []byte("1") })
		}},
		{sim.CheckDeleted, func(k *watch) {
			first := k.do(sim.OpPut, "a", "1", nil)
			k.do(sim.OpDelete, "a", "", nil)
			k.do(sim.OpGet, "a", "", func(op *sim.Operation) {
				op.Result = node.Result{Found: true, Version: first.Result.Version, Value: []byte("1")}
			})
		}},
		{sim.CheckLookup, func(k *watch) {
			k.do(sim.OpLookup, "a", "", func(op *sim.Operation) { op.Outcome = sim.Wrong })
		}},
		{sim.CheckLookup, func(k *watch) {
			k.do(sim.OpLookup, "a", "", func(op *sim.Operation) { op.Outcome, op.Err = sim.Failed, node.ErrNoRoute })
		}},
		{sim.CheckHeal, func(k *watch) {
			op := k.do(sim.OpPut, "a", "1", nil)
			k.do(sim.OpPut, "a", "2", nil)
			for _, h := range k.w.Hosts() { // a copy out of its place
				if v, err := h.Store().Version(op.Key); err == nil && v.IsZero() {
					if _, err := h.Store().Apply([]node.Record{{Key: op.Key, Value: op.Value, Version: op.Result.Version}}); err != nil {
						k.t.Fatal(err)
					}
					break
				}
			}
			k.heal(time.Second)
		}},
		{sim.CheckReadBack, func(k *watch) {
			k.do(sim.OpPut, "a", "1", func(op *sim.Operation) { op.Outcome = sim.Failed })
			k.heal(30 * time.Second)
		}},
	} {
		name := tt.want
		if name == "" {
			name = "nothing"
		}
		t.Run(name, func(t *testing.T) {
			k := newWatch(t)
			tt.lie(k)
			k.pass(5 * time.Second)
			switch v := k.c.Violation(); {
			case v == nil && tt.want != "":
				t.Errorf("got nothing, want %s", tt.want)
			case v != nil && v.Check != tt.want:
				t.Errorf("got %v, want %s", v, tt.want)
			}
		})
	}
}

// pass lets time pass, until the checker has found something.
func (k *watch) pass(d time.Duration) {
	k.t.Helper()
	k.accept(k.w.RunFor(d))
}

func (k *watch) heal(within time.Duration) {
	k.t.Helper()
	k.accept(k.w.Exec(func() { k.c.Heal(within) }))
}

func (k *watch) accept(err error) {
	k.t.Helper()
	if v := new(sim.Violation); err != nil && !errors.As(err, &v) {
		k.t.Fatal(err)
	}
}

// What a check finds ends the run, and is its error.
func TestViolationFailsTheWorld(t *testing.T) {
	k := newWatch(t)
	k.do(sim.OpLookup, "a", "", func(op *sim.Operation) { op.Outcome = sim.Wrong })
	var v *sim.Violation
	if err := k.w.RunFor(time.Second); !errors.As(err, &v) || v.Check != sim.CheckLookup || v.At != k.w.Now() || len(v.Nodes) == 0 {
		t.Errorf("got %v, want a violation of %s at %v with the states of the nodes", err, sim.CheckLookup, k.w.Now())
	}
}
