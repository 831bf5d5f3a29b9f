package node_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
)

// do executes an operation that has to succeed.
func (c *cluster) do(p *process, op node.Op) node.Result {
	c.t.Helper()
	r, err := p.Do(c.t.Context(), op)
	if err != nil {
		c.t.Fatalf("%v %q %v: %v", op.Kind, op.Key, op.If, err)
	}
	return r
}

// wantConflict executes an operation that must change nothing, and returns why.
func (c *cluster) wantConflict(p *process, op node.Op, want node.Conflict) *node.ConditionError {
	c.t.Helper()
	_, err := p.Do(c.t.Context(), op)
	var got *node.ConditionError
	if !errors.As(err, &got) || !errors.Is(err, node.ErrCondition) || got.Conflict != want {
		c.t.Fatalf("%v %q %v: got %v, want conflict %d", op.Kind, op.Key, op.If, err, want)
	}
	return got
}

func put(key, value string, condition node.Condition) node.Op {
	return node.Op{Kind: node.OpPut, Key: []byte(key), Value: []byte(value), If: condition}
}

func increment(key string, add int64) node.Op {
	return node.Op{Kind: node.OpIncrement, Key: []byte(key), Add: add}
}

// A client that uses the request id of a refused operation for another one gets that one carried out.
func TestRequestOfARefusedOperation(t *testing.T) {
	inCluster(t, 4, node.DefaultConfig(), func(c *cluster) {
		p := c.bootstrap(4, 2)[0]
		c.converge(30 * time.Second)
		refused := put("k", "one", node.IfPresent)
		refused.Request = node.RequestID{1}
		c.wantConflict(p, refused, node.Missing)
		plain := put("k", "two", node.Always)
		plain.Request = refused.Request
		if r := c.do(p, plain); r.Version.IsZero() {
			c.t.Errorf("got %+v", r)
		}
		c.wantValue(p, "k", "two")
	})
}

// Each conditional operation does what it says, from whichever process, and says what is there if it does nothing.
func TestConditions(t *testing.T) {
	cfg := node.DefaultConfig()
	cfg.MaxValueBytes = 20
	inCluster(t, 1, cfg, func(c *cluster) {
		procs := c.bootstrap(4, 2)
		c.converge(30 * time.Second)
		a, b := procs[0], procs[1]

		if e := c.wantConflict(a, put("k", "one", node.IfPresent), node.Missing); e.Found || !e.Version.IsZero() {
			c.t.Errorf("replace of a key that nobody wrote: %+v", e)
		}
		created := c.do(a, put("k", "one", node.IfAbsent))
		if e := c.wantConflict(b, put("k", "two", node.IfAbsent), node.Exists); !e.Found || e.Version != created.Version {
			c.t.Errorf("create of a key that exists: %+v, want version %v", e, created.Version)
		}
		c.wantValue(b, "k", "one")
		swap := put("k", "two", node.IfVersion)
		swap.Version = created.Version
		swapped := c.do(b, swap)
		if e := c.wantConflict(a, swap, node.Changed); e.Version != swapped.Version {
			c.t.Errorf("swap of an old version: %+v, want version %v", e, swapped.Version)
		}
		c.wantValue(a, "k", "two")
		remove := node.Op{Kind: node.OpDelete, Key: []byte("k"), If: node.IfVersion, Version: created.Version}
		c.wantConflict(a, remove, node.Changed)
		remove.Version = swapped.Version
		removed := c.do(b, remove)
		if e := c.wantConflict(a, remove, node.Missing); e.Found || e.Version != removed.Version {
			c.t.Errorf("delete of a deleted key: %+v, want version %v", e, removed.Version)
		}
		c.do(a, put("k", "three", node.IfAbsent))
		c.do(a, put("k", "four", node.IfPresent))
		c.wantConflict(b, increment("k", 1), node.NotNumber)
		c.wantValue(b, "k", "four")

		for i, want := range []int64{7, 8, 9} {
			if r := c.do(procs[i], node.Op{Kind: node.OpIncrement, Key: []byte("n"), Add: 1, Initial: 6}); r.Number != want || r.Found != (i > 0) {
				c.t.Errorf("increment %d: %+v, want %d", i, r, want)
			}
		}
		if r := c.do(a, increment("n", -19)); r.Number != -10 {
			c.t.Errorf("decrement: %+v, want -10", r)
		}
		c.wantValue(b, "n", "-10")
		c.put(a, "most", "9223372036854775807")
		c.wantConflict(b, increment("most", 1), node.Overflow)
		c.put(a, "least", "-9223372036854775808")
		c.wantConflict(b, increment("least", -1), node.Overflow)
		if r := c.do(b, increment("least", 0)); r.Number != -9223372036854775808 {
			c.t.Errorf("increment by nothing: %+v", r)
		}

		c.do(a, node.Op{Kind: node.OpAppend, Key: []byte("list"), Value: []byte("b")})
		c.do(b, node.Op{Kind: node.OpPrepend, Key: []byte("list"), Value: []byte("a")})
		if r := c.do(a, node.Op{Kind: node.OpAppend, Key: []byte("list"), Value: []byte("c")}); r.Number != 3 {
			c.t.Errorf("append: %+v, want 3 bytes", r)
		}
		c.wantValue(b, "list", "abc")
		_, err := a.Do(c.t.Context(), node.Op{Kind: node.OpAppend, Key: []byte("list"), Value: make([]byte, 18)})
		wantIs(c.t, "append beyond the limit", err, node.ErrInvalid)
		c.wantValue(b, "list", "abc")

		for _, op := range []node.Op{
			{Kind: node.OpGet, Key: []byte("k"), If: node.IfPresent},
			{Kind: node.OpDelete, Key: []byte("k"), If: node.IfAbsent},
			{Kind: node.OpPut, Key: []byte("k"), If: node.IfVersion},
			{Kind: node.OpPut, Key: []byte("k"), If: 77},
		} {
			_, err := a.Do(c.t.Context(), op)
			wantIs(c.t, fmt.Sprint(op.Kind, " ", op.If), err, node.ErrInvalid)
		}
	})
}

// Conditional operations that come together are carried out one after the other.
func TestConditionsTogether(t *testing.T) {
	inCluster(t, 2, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(3, 1)
		c.converge(30 * time.Second)
		keys := c.ownKeys(procs[0], 2)
		var ops []node.Op
		for i := range 40 {
			op := increment(keys[i%2], 1)
			op.Request = node.RequestID{1, byte(i)}
			ops = append(ops, op)
		}
		ops = append(ops, ops[0], put(keys[0], "x", node.IfAbsent), ops[39])
		seen := make(map[string]bool)
		for i, o := range c.together(procs[0], ops) {
			switch {
			case i == 40: // 19 others came between
				wantIs(c.t, "the same request again", o.Err, node.ErrUnknown)
			case i == 41:
				wantIs(c.t, "create of a counter", o.Err, node.ErrCondition)
			case o.Err != nil:
				c.t.Fatalf("increment %d: %v", i, o.Err)
			case i < 40:
				seen[fmt.Sprint(keys[i%2], o.Result.Number)] = true
			case o.Result.Number != 20:
				c.t.Errorf("the same request at once: %+v", o.Result)
			}
		}
		if len(seen) != 40 {
			c.t.Errorf("%d different answers to 40 increments", len(seen))
		}
		c.wantValue(procs[1], keys[0], "20")
		c.wantValue(procs[2], keys[1], "20")
	})
}

// Of many who increment and write one key from everywhere at the same time, none is lost: what a plain write has written is there for all that come after it.
func TestConditionsBesidePlainWrites(t *testing.T) {
	for seed := range uint64(20) {
		inCluster(t, 100+seed, node.DefaultConfig(), func(c *cluster) {
			procs := c.bootstrap(3, 1)
			c.converge(30 * time.Second)
			key := fmt.Sprint("key", seed)
			var numbers sync.Map
			var tasks sync.WaitGroup
			for i := range 20 {
				tasks.Go(func() {
					time.Sleep(time.Duration(i%5) * delay / 4)
					r, err := procs[i%3].Do(c.t.Context(), increment(key, 1))
					if _, twice := numbers.LoadOrStore(r.Number, true); err != nil || twice {
						c.t.Errorf("increment %d: %+v, %v; the number was seen before: %v", i, r, err, twice)
					}
				})
			}
			tasks.Go(func() {
				time.Sleep(time.Duration(seed) * delay / 8)
				c.put(procs[seed%3], key, "1000")
			})
			tasks.Wait()
			want := 1000
			for numberIsThere := true; numberIsThere; {
				if _, numberIsThere = numbers.Load(int64(want + 1)); numberIsThere {
					want++
				}
			}
			c.wantValue(procs[0], key, fmt.Sprint(want))
		})
	}
}

// A request that is repeated gets its first answer: after other writes of the key, at the owner's successor, and while the outcome is remembered.
func TestRepeatedCondition(t *testing.T) {
	inCluster(t, 3, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(5, 1)
		c.converge(30 * time.Second)
		first := increment("k", 5)
		first.Request = node.RequestID{1}
		r := c.do(procs[0], first)
		repeat := func(what string) {
			t.Helper()
			first.Retry = true
			again := c.do(c.all()[0], first)
			if again.Version != r.Version || again.Number != r.Number || again.Found != r.Found {
				c.t.Fatalf("%s: got %+v, want %+v", what, again, r)
			}
		}
		repeat("at once")
		c.do(procs[1], increment("k", 1))
		c.wantValue(procs[0], "k", "6")
		repeat("after another")
		c.put(procs[1], "k", "100")
		repeat("after a put")
		c.do(procs[2], node.Op{Kind: node.OpDelete, Key: []byte("k")})
		repeat("after a delete")
		c.do(procs[2], put("k", "7", node.IfAbsent))
		repeat("after a create")
		c.wantValue(procs[0], "k", "7")
		for _, p := range procs {
			if p.addr == r.Owner.Addr {
				c.kill(p)
			}
		}
		repeat("at the successor")
		c.wantValue(c.all()[0], "k", "7")
		fresh := increment("k", 1)
		fresh.Request, fresh.Retry = node.RequestID{2}, true
		if r := c.do(c.all()[0], fresh); r.Number != 8 {
			c.t.Errorf("a retry that was never carried out: %+v, want 8", r)
		}
		for range 20 {
			c.do(c.all()[1], increment("k", 1))
		}
		for _, op := range []node.Op{first, {Kind: node.OpIncrement, Key: []byte("k"), Add: 1, Request: node.RequestID{3}, Retry: true}} {
			_, err := c.all()[0].Do(c.t.Context(), op)
			wantIs(c.t, "repeated when nobody remembers", err, node.ErrUnknown)
		}
		c.wantValue(c.all()[1], "k", "28")
	})
}

// What was refused stays refused when the same message arrives again, as a network may have it: its sender has been told.
func TestRefusedConditionArrivesAgain(t *testing.T) {
	inCluster(t, 8, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(3, 1)
		c.converge(30 * time.Second)
		owner := ownerOf(c, []byte("k"))
		c.do(owner, put("k", "v", node.Always))
		create := put("k", "x", node.IfAbsent)
		create.Request = node.RequestID{1}
		c.wantConflict(owner, create, node.Exists)
		removed := c.do(owner, node.Op{Kind: node.OpDelete, Key: []byte("k")})
		for _, create.Retry = range []bool{false, true} {
			if e := c.wantConflict(owner, create, node.Earlier); e.Found || e.Version != removed.Version {
				c.t.Errorf("got %+v, want version %v", e, removed.Version)
			}
		}
		create.Request = node.RequestID{2}
		c.do(procs[0], create)
	})
}

// Whether a key exists is decided on what all who may have been replicas have, in an arc that is not settled.
func TestConditionInAnUnsettledArc(t *testing.T) {
	inCluster(t, 6, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(5, 1)
		key := c.ownKeys(procs[0], 1)[0]
		v := node.Version{Time: uint64(time.Now().UnixMilli()) << 16, Origin: 77}
		for _, p := range procs[1:] {
			if _, err := p.store.Apply([]node.Record{{Key: []byte(key), Value: []byte("41"), Version: v}}); err != nil {
				c.t.Fatal(err)
			}
		}
		if e := c.wantConflict(procs[0], put(key, "x", node.IfAbsent), node.Exists); e.Version != v {
			c.t.Errorf("create: %+v, want version %v", e, v)
		}
		if r := c.do(procs[0], increment(key, 1)); r.Number != 42 {
			c.t.Errorf("increment: %+v, want 42", r)
		}
	})
}

// A condition that does not hold is an answer that no later read may contradict: it is at a read quorum before it goes out. What only a replica has counts.
func TestFailedConditionIsARead(t *testing.T) {
	inCluster(t, 4, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(3, 1)
		c.converge(30 * time.Second)
		key := []byte("k")
		owner := ownerOf(c, key)
		v := node.Version{Time: uint64(time.Now().UnixMilli()) << 16, Origin: 77}
		holders := func() (n int) {
			for _, p := range procs {
				if have, err := p.store.Version(key); err == nil && have == v {
					n++
				}
			}
			return n
		}
		apply := func(p *process, value string) {
			if _, err := p.store.Apply([]node.Record{{Key: key, Value: []byte(value), Version: v}}); err != nil {
				c.t.Fatal(err)
			}
		}
		apply(owner, "lonely")
		if e := c.wantConflict(procs[0], put("k", "x", node.IfAbsent), node.Exists); e.Version != v || holders() < 2 {
			c.t.Errorf("create: %+v, want version %v on 2 processes, which %d have", e, v, holders())
		}
		old := v
		v.Time += 1 << 16
		for _, p := range procs {
			if p != owner {
				apply(p, "newer")
			}
		}
		swap := put("k", "x", node.IfVersion)
		swap.Version = node.Version{Time: 1}
		if e := c.wantConflict(procs[0], swap, node.Changed); e.Version != v || holders() < 2 {
			c.t.Errorf("swap: %+v, want version %v instead of %v on 2 processes, which %d have", e, v, old, holders())
		}
	})
}

// A replica has a newer version of another owner: what was decided without knowing it is void, and what comes next is decided on it.
func TestConditionOvertakenFromElsewhere(t *testing.T) {
	inCluster(t, 5, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(3, 1)
		c.converge(30 * time.Second)
		owner := ownerOf(c, []byte("k"))
		c.do(procs[0], increment("k", 1))
		ahead := node.Version{Time: uint64(time.Now().Add(c.cfg.MaxClockAhead/2).UnixMilli()) << 16, Origin: 77}
		for _, p := range procs {
			if p != owner {
				if _, err := p.store.Apply([]node.Record{{Key: []byte("k"), Value: []byte("100"), Version: ahead}}); err != nil {
					c.t.Fatal(err)
				}
			}
		}
		_, err := procs[0].Do(c.t.Context(), increment("k", 1))
		wantIs(c.t, "increment beside another owner", err, node.ErrUnknown)
		if r := c.do(procs[0], increment("k", 1)); r.Number != 101 {
			c.t.Errorf("the next increment: %+v, want 101", r)
		}
	})
}

// A plain write whose version is refused as too far ahead leaves the owner with what it had: the next condition is decided on that.
func TestVersionAheadIsTakenBack(t *testing.T) {
	inCluster(t, 7, node.DefaultConfig(), func(c *cluster) {
		owner := c.bootstrap(1, 1)[0]
		c.cfg.MaxClockAhead /= 5
		c.join(owner, 1)
		c.join(owner, 1)
		c.converge(30 * time.Second)
		key := c.ownKeys(owner, 1)[0]
		created := c.do(owner, put(key, "x", node.Always))
		ahead := node.Version{Time: uint64(time.Now().Add(2*c.cfg.MaxClockAhead).UnixMilli()) << 16, Origin: 77}
		if _, err := owner.Apply(c.t.Context(), []node.Record{{Key: []byte("other"), Version: ahead}}, nil); err != nil {
			c.t.Fatal(err) // which moves its clock
		}
		_, err := owner.Do(c.t.Context(), put(key, "y", node.Always))
		wantIs(c.t, "put with a clock ahead", err, node.ErrClockSkew)
		time.Sleep(3 * c.cfg.MaxClockAhead)
		if e := c.wantConflict(owner, put(key, "z", node.IfAbsent), node.Exists); e.Version != created.Version {
			c.t.Errorf("create: %+v, want version %v", e, created.Version)
		}
	})
}
