package node_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
)

func expiring(key, value string, ttl time.Duration) node.Op {
	op := put(key, value, node.Always)
	op.TTL = ttl
	return op
}

func get(key string, l node.Level) node.Op {
	return node.Op{Kind: node.OpGet, Key: []byte(key), Level: l}
}

// wantAbsent reads a key at these levels, or all.
func (c *cluster) wantAbsent(p *process, key string, levels ...node.Level) {
	c.t.Helper()
	if len(levels) == 0 {
		levels = []node.Level{node.LevelOne, node.LevelQuorum, node.LevelAll}
	}
	for _, l := range levels {
		if r := c.do(p, get(key, l)); r.Found || r.Value != nil || r.Left != 0 {
			c.t.Errorf("get %q, level %v, by %s: got %+v, want nothing", key, l, p.addr, r)
		}
	}
}

// TestExpiry: a key is there until its time has come, and absent from then on, at every level, whoever is asked, and to every condition.
func TestExpiry(t *testing.T) {
	inCluster(t, 1, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(5, 1)
		c.converge(10 * time.Second)
		hearing(c, procs)
		for i, first := range procs {
			key := fmt.Sprint("key", i)
			written := c.do(first, expiring(key, "v", 10*time.Second))
			if want := written.Version.Millis() + 10_000; written.Expires != want {
				t.Errorf("expires at %d, want %d", written.Expires, want)
			}
			time.Sleep(9900 * time.Millisecond)
			for _, p := range procs {
				for _, l := range []node.Level{node.LevelOne, node.LevelQuorum, node.LevelAll} {
					if r := c.do(p, get(key, l)); !r.Found || r.Expires != written.Expires || r.Left <= 0 || r.Left > 100*time.Millisecond {
						t.Fatalf("get %q, level %v, by %s: got %+v", key, l, p.addr, r)
					}
				}
			}
			time.Sleep(100 * time.Millisecond)
			for _, p := range procs {
				c.wantAbsent(p, key)
			}
			if e := c.wantConflict(first, put(key, "w", node.IfPresent), node.Missing); e.Found || e.Version != written.Version {
				t.Errorf("replace of what has expired: %+v", e)
			}
			swap := put(key, "w", node.IfVersion)
			swap.Version = written.Version
			c.wantConflict(first, swap, node.Missing)
			c.wantConflict(first, node.Op{Kind: node.OpTouch, Key: []byte(key), TTL: time.Second}, node.Missing)
			if r := c.do(first, node.Op{Kind: node.OpAppend, Key: []byte(key), Value: []byte("new")}); r.Found || r.Number != 3 || r.Version.Millis() < written.Expires {
				t.Errorf("append to what has expired: %+v", r)
			}
			c.wantValue(procs[(i+1)%len(procs)], key, "new")
			again := c.do(first, expiring(key, "v", time.Second))
			time.Sleep(time.Second)
			if r := c.do(first, put(key, "x", node.IfAbsent)); r.Found || r.Version.Millis() < again.Expires {
				t.Errorf("create: %+v", r)
			}
			time.Sleep(time.Hour)
			c.wantValue(first, key, "x")
		}
	})
}

// TestWhatKeepsTheExpiry: a put states all there is about a key, what builds on its value keeps its expiry unless it says otherwise, and touch changes that alone.
func TestWhatKeepsTheExpiry(t *testing.T) {
	inCluster(t, 2, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(4, 1)
		c.converge(10 * time.Second)
		p := procs[0]
		key := []byte("7")
		for _, test := range []struct {
			op   node.Op
			want time.Duration // TTL afterwards
		}{
			{node.Op{Kind: node.OpPut}, 0},
			{node.Op{Kind: node.OpPut, If: node.IfPresent}, 0},
			{node.Op{Kind: node.OpPut, If: node.IfVersion}, time.Hour},
			{node.Op{Kind: node.OpPut, If: node.IfVersion, TTL: node.Forever}, 0},
			{node.Op{Kind: node.OpIncrement}, time.Hour},
			{node.Op{Kind: node.OpIncrement, TTL: time.Minute}, time.Minute},
			{node.Op{Kind: node.OpIncrement, TTL: node.Forever}, 0},
			{node.Op{Kind: node.OpAppend}, time.Hour},
			{node.Op{Kind: node.OpPrepend}, time.Hour},
			{node.Op{Kind: node.OpPrepend, TTL: 90 * time.Minute}, 90 * time.Minute},
			{node.Op{Kind: node.OpTouch, TTL: time.Minute}, time.Minute},
			{node.Op{Kind: node.OpTouch, TTL: node.Forever}, 0},
		} {
			was := c.do(p, expiring(string(key), "7", time.Hour))
			op := test.op
			op.Key, op.Version = key, was.Version
			if op.Kind == node.OpPut {
				op.Value = []byte("7")
			}
			wrote := c.do(procs[1], op)
			r := c.do(procs[2], get(string(key), node.LevelAll))
			want := int64(0)
			switch test.want {
			case 0:
			case time.Hour:
				want = was.Expires
			default:
				want = wrote.Version.Millis() + test.want.Milliseconds()
			}
			if r.Expires != want || string(r.Value) != "7" || r.Version != wrote.Version || op.TTL > 0 && wrote.Expires != want {
				t.Errorf("%v %v with TTL %v: read %+v, wrote %+v, want expiry %d", op.Kind, op.If, op.TTL, r, wrote, want)
			}
		}
	})
}

// TestRepeatedExpiry: a request that is repeated gets its first answer, its first expiry too, and does not prolong it, also when it comes to another owner.
func TestRepeatedExpiry(t *testing.T) {
	inCluster(t, 3, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(5, 1)
		c.converge(10 * time.Second)
		for i := range 8 {
			key := fmt.Sprint("key", i)
			write := expiring(key, "v", time.Minute)
			write.Request = node.RequestID{1, byte(i)}
			touch := node.Op{Kind: node.OpTouch, Key: []byte(key), TTL: 2 * time.Minute, Request: node.RequestID{2, byte(i)}}
			wrote := c.do(procs[0], write)
			time.Sleep(10 * time.Second)
			write.Retry, touch.Retry = true, true
			if r := c.do(procs[1], write); r.Version != wrote.Version || r.Expires != wrote.Expires {
				t.Errorf("repeated: %+v, at first %+v", r, wrote)
			}
			touched := c.do(procs[0], touch)
			time.Sleep(10 * time.Second)
			again := touch
			if r := c.do(procs[1], again); r.Version != touched.Version || r.Expires != touched.Expires || !r.Found {
				t.Errorf("repeated: %+v, at first %+v", r, touched)
			}
			if r := c.do(procs[2], get(key, node.LevelAll)); r.Version != touched.Version || r.Expires != touched.Expires {
				t.Errorf("read %+v, touched %+v", r, touched)
			}
			if i > 0 {
				continue
			}
			owner := c.processAt(touched.Owner.Addr)
			c.kill(owner)
			c.converge(time.Minute)
			var other *process
			for _, p := range procs {
				if p != owner {
					other = p
				}
			}
			if r := c.do(other, again); r.Version != touched.Version || r.Expires != touched.Expires || r.Owner == touched.Owner {
				t.Errorf("repeated at another owner: %+v, at first %+v", r, touched)
			}
			time.Sleep(2 * time.Minute)
			c.wantAbsent(other, key)
			if r := c.do(other, again); r.Version != touched.Version || r.Expires != touched.Expires {
				t.Errorf("repeated after the expiry: %+v, at first %+v", r, touched)
			}
			c.wantAbsent(other, key)
			procs = c.all()
		}
	})
}

func (c *cluster) processAt(addr string) *process {
	for _, p := range c.all() {
		if p.addr == addr {
			return p
		}
	}
	c.t.Fatalf("nobody is at %s", addr)
	return nil
}

// TestExpiredAreCleanedAlone: every replica takes expired values out of its store, without a message, and none finds a difference to another by that.
func TestExpiredAreCleanedAlone(t *testing.T) {
	inCluster(t, 4, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(5, 2)
		c.converge(10 * time.Second)
		for i := range 100 {
			c.do(procs[0], expiring(fmt.Sprint("key", i), "value", time.Duration(1+i)*100*time.Millisecond))
			c.put(procs[0], fmt.Sprint("stays", i), "value")
		}
		time.Sleep(200 * time.Millisecond)
		sent := func() (n int) {
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, records := range c.moved {
				n += records
			}
			return n
		}
		before := sent()
		time.Sleep(5 * time.Minute)
		if n := sent() - before; n > 0 {
			t.Errorf("%d records were sent", n)
		}
		if n := tombstones(procs); n != 300 {
			t.Errorf("%d tombstones, want one in each replica of 100", n)
		}
		for i := range 100 {
			c.wantAbsent(procs[i%5], fmt.Sprint("key", i))
			c.wantValue(procs[i%5], fmt.Sprint("stays", i), "value")
		}
	})
}

// TestAwayAcrossTheExpiry: a process that has an old value of a key, and was away when another was written and expired, does not bring the old one back; nor does it when
// the others have forgotten what expired, or were about to when it came.
func TestAwayAcrossTheExpiry(t *testing.T) {
	for _, test := range []struct {
		grace, away time.Duration
	}{{0, 24 * time.Hour}, {2 * time.Hour, 50 * time.Minute}, {2 * time.Hour, 10 * time.Hour}} {
		cfg := node.DefaultConfig()
		cfg.TombstoneGrace = test.grace
		inCluster(t, 5, cfg, func(c *cluster) {
			procs := c.bootstrap(4, 1)
			c.converge(10 * time.Second)
			hearing(c, procs)
			if test.grace > 0 {
				time.Sleep(test.grace + time.Minute)
			}
			const keys = 20
			for i := range keys {
				c.put(procs[0], fmt.Sprint("key", i), "old")
				c.do(procs[0], expiring(fmt.Sprint("long", i), "v", test.away/2))
			}
			away := procs[3]
			contact, known := away.Contact(), away.Known()
			c.kill(away)
			c.converge(time.Minute)
			for i := range keys {
				c.do(procs[0], expiring(fmt.Sprint("key", i), "new", time.Minute))
				c.wantValue(procs[1], fmt.Sprint("key", i), "new")
			}
			time.Sleep(test.away)
			for i := range keys {
				c.wantAbsent(procs[i%3], fmt.Sprint("key", i))
			}
			back := c.restart(away.id, away.addr, away.store)
			back.Recall(known)
			back.RecallContact(contact)
			if stale := node.Stale(back.Contact(), []node.Contact{procs[0].Contact()}, cfg.TombstoneGrace); stale != (test.grace > 0 && test.away > test.grace/2) {
				t.Fatalf("away for %v with grace %v: stale %v", test.away, test.grace, stale)
			} else if stale {
				return // it begins without records
			}
			if err := back.Join(c.t.Context(), []string{procs[0].addr}); err != nil {
				t.Fatal(err)
			}
			check := func(levels ...node.Level) {
				for i := range keys {
					for _, p := range c.all() {
						c.wantAbsent(p, fmt.Sprint("key", i), levels...)
						c.wantAbsent(p, fmt.Sprint("long", i), levels...)
					}
				}
			}
			check(node.LevelQuorum, node.LevelAll) // a single replica may have missed the last write
			c.converge(time.Minute)
			check()
			if test.grace == 0 {
				return
			}
			hearing(c, c.all())
			time.Sleep(3 * test.grace)
			check()
			if n := tombstones(c.all()); n > 0 {
				t.Errorf("%d tombstones are left", n)
			}
			for _, p := range c.all() {
				if s := p.store.Stats(); s.Records > 0 {
					t.Errorf("%s has %+v", p.addr, s)
				}
			}
		})
	}
}

// TestExpiryIsOneMoment: by quorum the owner's clock decides, so whoever has been told that a key has expired is not told otherwise later, while clocks differ. That moment
// is as far from the right one as the owner's clock.
func TestExpiryIsOneMoment(t *testing.T) {
	inCluster(t, 6, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(5, 1)
		c.converge(10 * time.Second)
		hearing(c, procs)
		for i, p := range procs {
			p.ahead.Store(int64(time.Duration(i-2) * 100 * time.Millisecond))
		}
		for i := range 10 {
			key := fmt.Sprint("key", i)
			wrote := c.do(procs[i%5], expiring(key, "v", time.Second))
			began := time.Now()
			gone := false
			for time.Since(began) < 2*time.Second {
				for _, p := range procs {
					r := c.do(p, get(key, node.LevelQuorum))
					if r.Found && gone {
						t.Fatalf("%q is there again at %s, owner %s: %+v, late %v", key, p.addr, wrote.Owner.Addr, r, time.Since(time.UnixMilli(wrote.Expires)))
					}
					if late := time.Since(time.UnixMilli(wrote.Expires)); !r.Found && !gone && late < -c.cfg.MaxClockAhead || r.Found && late > c.cfg.MaxClockAhead {
						t.Errorf("%q was found: %v at %s, %v after its expiry", key, r.Found, p.addr, late)
					}
					gone = !r.Found
				}
				time.Sleep(20 * time.Millisecond)
			}
			c.wantAbsent(procs[0], key)
		}
	})
}

// TestClockThatRanAhead: a process whose clock is an hour ahead takes values out of its store. When the clock is right again they are read all the same, and it gets
// them back.
func TestClockThatRanAhead(t *testing.T) {
	inCluster(t, 7, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(5, 1)
		c.converge(10 * time.Second)
		hearing(c, procs)
		const keys = 30
		var wrote [keys]node.Result
		for i := range wrote {
			wrote[i] = c.do(procs[0], expiring(fmt.Sprint("key", i), "7", 10*time.Minute))
		}
		time.Sleep(time.Second) // to the last replica
		procs[2].ahead.Store(int64(time.Hour))
		time.Sleep(10 * time.Second)
		procs[2].ahead.Store(0)
		lost := int(procs[2].store.Stats().Tombstones)
		if lost < keys/3 {
			t.Fatalf("%d values are gone", lost)
		}
		owned := 0
		for i, w := range wrote {
			key := fmt.Sprint("key", i)
			if i%2 == 0 {
				if r := c.do(procs[i%5], node.Op{Kind: node.OpIncrement, Key: []byte(key), Add: 0}); r.Number != 7 || !r.Found {
					t.Errorf("increment: %+v", r)
				}
			}
			for _, p := range procs {
				for _, l := range []node.Level{node.LevelOne, node.LevelQuorum, node.LevelAll} {
					r, err := p.Do(c.t.Context(), get(key, l))
					if l == node.LevelAll && errors.Is(err, node.ErrConsistency) {
						continue // that takes all three
					}
					if err != nil || string(r.Value) != "7" || r.Expires != w.Expires {
						t.Errorf("get %q, level %v, by %s: got %+v, %v", key, l, p.addr, r, err)
					}
				}
			}
			if w.Owner.Addr == procs[2].addr {
				owned++
				if r, _, err := procs[2].store.Get([]byte(key)); err != nil || r.Tombstone {
					t.Errorf("the owner has %+v, %v", r, err)
				}
			}
		}
		if owned == 0 {
			t.Error("it owns no key")
		}
		time.Sleep(11 * time.Minute)
		for i := range wrote {
			c.wantAbsent(procs[i%5], fmt.Sprint("key", i))
		}
	})
}

// TestTTLLimits: what makes no sense is refused before anything is sent, with words that say why.
func TestTTLLimits(t *testing.T) {
	inCluster(t, 8, node.DefaultConfig(), func(c *cluster) {
		p := c.bootstrap(4, 1)[0]
		c.converge(10 * time.Second)
		key := []byte("k")
		for _, op := range []node.Op{
			{Kind: node.OpPut, TTL: -time.Second},
			{Kind: node.OpPut, TTL: 999 * time.Microsecond},
			{Kind: node.OpPut, TTL: node.MaxTTL + 1},
			{Kind: node.OpPut, TTL: time.Second, Expires: 1},
			{Kind: node.OpPut, Expires: -1},
			{Kind: node.OpPut, Expires: time.Now().Add(node.MaxTTL + time.Second).UnixMilli()},
			{Kind: node.OpPut, Expires: 1<<63 - 1},
			{Kind: node.OpTouch},
			{Kind: node.OpGet, TTL: time.Second},
			{Kind: node.OpDelete, TTL: time.Second},
			{Kind: node.OpDelete, If: node.IfPresent, Expires: 1},
		} {
			op.Key = key
			if r, err := p.Do(c.t.Context(), op); !errors.Is(err, node.ErrInvalid) {
				t.Errorf("%v with TTL %v, expiry %d: got %+v, %v", op.Kind, op.TTL, op.Expires, r, err)
			}
		}
		c.wantAbsent(p, "k")
		longest := c.do(p, node.Op{Kind: node.OpPut, Key: key, Value: []byte("v"), TTL: node.MaxTTL})
		time.Sleep(24 * time.Hour)
		if r := c.do(p, get("k", node.LevelQuorum)); r.Expires != longest.Expires || r.Left > node.MaxTTL-24*time.Hour || r.Left < node.MaxTTL-25*time.Hour {
			t.Errorf("got %+v", r)
		}
		// What is to expire at a time that is over has expired.
		c.do(p, node.Op{Kind: node.OpPut, Key: key, Value: []byte("v"), Expires: 1})
		c.wantAbsent(p, "k")
	})
}
