package rpc_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/rpc"
)

func TestManyKeys(t *testing.T) {
	r := newFakeRing(t, 3)
	c := r.client(nil)
	keys := [][]byte{[]byte("a\x00b"), {0xff, 0xfe}, []byte("missing"), bytes.Repeat([]byte{0}, 1024)}
	for i := range 2000 {
		keys = append(keys, fakeKey(i))
	}
	var pairs []rpc.Pair
	for i, key := range keys {
		if i != 2 {
			pairs = append(pairs, rpc.Pair{Key: key, Value: fmt.Append(nil, "value of ", i, "\x00\xff")})
		}
	}
	for i, a := range c.PutMany(t.Context(), pairs, node.LevelQuorum) {
		if a.Err != nil || a.Index != i || a.Result.Acks != 2 {
			t.Fatalf("put %d: %+v", i, a)
		}
	}
	answers := c.GetMany(t.Context(), keys, node.LevelQuorum)
	if len(answers) != len(keys) {
		t.Fatalf("got %d answers, want %d", len(answers), len(keys))
	}
	for i, a := range answers {
		want := fmt.Append(nil, "value of ", i, "\x00\xff")
		if i == 2 {
			want = nil
		}
		if a.Err != nil || a.Index != i || a.Result.Found != (i != 2) || !bytes.Equal(a.Result.Value, want) {
			t.Fatalf("key %q: got %+v, want %q", keys[i], a, want)
		}
	}
	for i, a := range c.DeleteMany(t.Context(), keys[:3], node.LevelQuorum) {
		if a.Err != nil || a.Result.Found != (i != 2) {
			t.Errorf("delete %q: %+v", keys[i], a)
		}
	}
	if got := len(c.GetMany(t.Context(), nil, node.LevelQuorum)); got != 0 {
		t.Errorf("no keys: got %d answers", got)
	}
}

// A batch that has operations on one key carries them out in order, and each has its own answer.
func TestManyOnOneKey(t *testing.T) {
	c := newFakeRing(t, 3).client(nil)
	key := []byte("twice")
	var ops []node.Op
	for i := range 100 {
		ops = append(ops,
			node.Op{Kind: node.OpPut, Key: key, Value: fakeValue(i)},
			node.Op{Kind: node.OpPut, Key: fakeKey(i)},
			node.Op{Kind: node.OpGet, Key: key},
		)
	}
	ops = append(ops, node.Op{Kind: node.OpDelete, Key: key}, node.Op{Kind: node.OpGet, Key: key})
	answers := c.DoAll(t.Context(), ops)
	for i := range 100 {
		if a := answers[3*i+2]; a.Err != nil || !bytes.Equal(a.Result.Value, fakeValue(i)) {
			t.Fatalf("get %d: got %q, %v; want what was put just before", i, a.Result.Value, a.Err)
		}
	}
	if a := answers[len(answers)-1]; a.Err != nil || a.Result.Found {
		t.Errorf("get after the delete: %+v", a)
	}
}

// The owner of some of the keys is dead, and nobody has noticed yet: these keys fail, each for itself, and are not taken for missing. All others succeed.
func TestManyKeysOfADeadOwner(t *testing.T) {
	r := newFakeRing(t, 4)
	c := r.client(func(cfg *rpc.ClientConfig) {
		cfg.Timeout, cfg.AttemptTimeout = 300*time.Millisecond, 300*time.Millisecond
	})
	greet(t, c)
	victim := r.all()[2]
	lost, kept := victim.keyOf(0), [][]byte{}
	for i, p := range r.all() {
		if p != victim {
			kept = append(kept, p.keyOf(i+1))
		}
	}
	keys := slices.Insert(slices.Clone(kept), 1, lost)
	for _, key := range keys {
		if _, err := c.Put(t.Context(), key, key, node.LevelQuorum); err != nil {
			t.Fatal(err)
		}
	}
	victim.stop()
	for i, a := range c.GetMany(t.Context(), keys, node.LevelQuorum) {
		if dead := i == 1; (a.Err != nil) != dead || a.Result.Found == dead || !dead && !bytes.Equal(a.Result.Value, keys[i]) {
			t.Errorf("get %q: %+v; want an error: %v", keys[i], a, dead)
		} else if dead {
			opError(t, a.Err)
		}
	}
	var pairs []rpc.Pair
	for _, key := range keys {
		pairs = append(pairs, rpc.Pair{Key: key})
	}
	for i, a := range c.PutMany(t.Context(), pairs, node.LevelQuorum) {
		if dead := i == 1; (a.Err != nil) != dead {
			t.Errorf("put %q: %+v; want an error: %v", keys[i], a, dead)
		}
	}
}

// Writes get a request id each, so that they are repeated safely: the stream breaks after each write has been applied once.
func TestManyWritesAreRepeatedSafely(t *testing.T) {
	r := newFakeRing(t, 1)
	c := r.client(nil)
	greet(t, c)
	seen := map[node.RequestID]bool{}
	p := r.all()[0]
	const resets = 2 // one more in a row, and an operation that has not been sent by then gives up
	r.set(func() {
		p.disturb = func(op fakeOp) misbehavior {
			if seen[op.Request] {
				return misbehavior{}
			}
			seen[op.Request] = true
			return misbehavior{apply: true, reset: len(seen) <= resets}
		}
	})
	var pairs []rpc.Pair
	for i := range 20 {
		pairs = append(pairs, rpc.Pair{Key: fakeKey(i)})
	}
	for i, a := range c.PutMany(t.Context(), pairs, node.LevelQuorum) {
		if a.Err != nil {
			t.Errorf("put %d: %v", i, a.Err)
		}
	}
	for i := range pairs {
		if got := look(r, func() int { return r.applied[string(pairs[i].Key)] }); got != 1 {
			t.Errorf("key %d: applied %d times", i, got)
		}
	}
	if len(seen) != len(pairs) || seen[node.RequestID{}] {
		t.Errorf("got %d request ids for %d keys", len(seen), len(pairs))
	}
}

// However many operations there are, a bounded number is under way.
func TestManyIsBounded(t *testing.T) {
	const want = 512
	var now, most atomic.Int64
	together := make(chan struct{}) // closed when so many are under way as may be
	full := sync.OnceFunc(func() { close(together) })
	do := func(context.Context, node.Op) (node.Result, error) {
		defer now.Add(-1)
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if n == want {
			full()
		}
		<-together
		return node.Result{}, nil
	}
	ops := make([]node.Op, 2*want-1)
	for i := range ops {
		ops[i] = node.Op{Kind: node.OpGet, Key: fakeKey(i)}
	}
	rpc.DoAll(t.Context(), do, ops)
	if got := most.Load(); got != want {
		t.Errorf("got %d operations at a time, want %d", got, want)
	}
}
