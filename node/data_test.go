package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chordkv/chord/internal/raced"
	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
	"github.com/chordkv/chord/ring"
)

func (c *cluster) putMany(n int) [][]byte {
	c.t.Helper()
	procs := c.all()
	var keys [][]byte
	for i := range n {
		key := fmt.Sprint("key", i)
		c.put(procs[i%len(procs)], key, "value of "+key)
		keys = append(keys, []byte(key))
	}
	return keys
}

func (c *cluster) wantAll(keys [][]byte) {
	c.t.Helper()
	procs := c.all()
	for i, key := range keys {
		c.wantValue(procs[i%len(procs)], string(key), "value of "+string(key))
	}
}

// The first promise: whatever is acknowledged survives the death of one process, repair makes the lost copies again, and then another
// may die; what comes back, joins or leaves ends with exactly what it should hold.
func TestDataSurvivesChurn(t *testing.T) {
	cfg := node.DefaultConfig()
	cfg.Grace = 0
	for seed := range uint64(2) {
		inCluster(t, seed, cfg, func(c *cluster) {
			procs := c.bootstrap(5, 8)
			keys := c.putMany(500)

			c.kill(procs[1])
			c.wantAll(keys)
			c.converge(30 * time.Second)
			c.copies(30*time.Second, keys)

			c.kill(procs[3])
			c.wantAll(keys)
			c.converge(30 * time.Second)
			c.copies(30*time.Second, keys)

			for _, p := range []*process{procs[1], procs[3]} {
				back := c.restart(p.id, p.addr, p.store)
				if err := back.Join(c.t.Context(), []string{procs[0].addr}); err != nil {
					c.t.Fatal(err)
				}
				c.wantAll(keys)
			}
			c.converge(30 * time.Second)
			c.copies(30*time.Second, keys)

			c.join(procs[2], 8)
			c.wantAll(keys)
			c.converge(30 * time.Second)
			c.copies(30*time.Second, keys)

			leaver := procs[4]
			if err := leaver.Leave(c.t.Context()); err != nil {
				c.t.Fatal(err)
			}
			c.kill(leaver)
			c.wantAll(keys)
			c.converge(30 * time.Second)
			c.copies(30*time.Second, keys)
		})
	}
}

// Every write that was acknowledged while a process died in the middle is readable, at once and later.
func TestWritesDuringACrash(t *testing.T) {
	for seed := range uint64(5) {
		inCluster(t, 100+seed, node.DefaultConfig(), func(c *cluster) {
			procs := c.bootstrap(5, 4)
			var acked [][]byte
			for i := range 600 {
				if i == 200 {
					c.kill(procs[1])
				}
				if i == 400 {
					c.setFault(procs[2].addr, errSilent)
				}
				key := []byte(fmt.Sprint("key", i))
				ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
				_, err := procs[0].Do(ctx, node.Op{Kind: node.OpPut, Key: key, Value: append([]byte("value of "), key...)})
				cancel()
				if err == nil {
					acked = append(acked, key)
				} else if !errors.Is(err, node.ErrUnknown) && !errors.Is(err, node.ErrNoRoute) {
					c.t.Errorf("put %q: %v", key, err)
				}
			}
			if len(acked) < 590 {
				c.t.Errorf("%d of 600 writes acknowledged, want nearly all", len(acked))
			}
			for _, key := range acked {
				c.wantValue(procs[0], string(key), "value of "+string(key))
			}
		})
	}
}

func TestDeleteAndOverwrite(t *testing.T) {
	inCluster(t, 1, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(4, 4)
		for i, want := range []bool{false, true} {
			r, err := procs[i].Do(c.t.Context(), node.Op{Kind: node.OpPut, Key: []byte("k"), Value: []byte([]string{"one", "two"}[i])})
			if err != nil || r.Found != want {
				c.t.Fatalf("put %d: found %v, error %v; want found %v", i, r.Found, err, want)
			}
		}
		c.wantValue(procs[2], "k", "two")
		for want := true; ; want = false {
			r, err := procs[3].Do(c.t.Context(), node.Op{Kind: node.OpDelete, Key: []byte("k")})
			if err != nil || r.Found != want {
				c.t.Fatalf("delete: found %v, error %v; want found %v", r.Found, err, want)
			}
			if !want {
				break
			}
		}
		r, err := procs[0].Do(c.t.Context(), node.Op{Kind: node.OpGet, Key: []byte("k")})
		if err != nil || r.Found || r.Version.IsZero() {
			c.t.Errorf("get of a deleted key: got %+v, %v; want not found, with the version of the delete", r, err)
		}
		// A deleted key stays deleted when a replica that slept through the delete comes back.
		c.put(procs[0], "ghost", "boo")
		sleeper := procs[1]
		c.kill(sleeper)
		if _, err := procs[0].Do(c.t.Context(), node.Op{Kind: node.OpDelete, Key: []byte("ghost")}); err != nil {
			c.t.Fatal(err)
		}
		back := c.restart(sleeper.id, sleeper.addr, sleeper.store)
		if err := back.Join(c.t.Context(), []string{procs[0].addr}); err != nil {
			c.t.Fatal(err)
		}
		for range 3 {
			for _, p := range c.all() {
				r, err := p.Do(c.t.Context(), node.Op{Kind: node.OpGet, Key: []byte("ghost")})
				if err != nil || r.Found {
					c.t.Fatalf("get of a deleted key: got %+v, %v", r, err)
				}
			}
			time.Sleep(10 * time.Second)
		}
	})
}

func TestLevels(t *testing.T) {
	cfg := node.DefaultConfig()
	inCluster(t, 1, cfg, func(c *cluster) {
		procs := c.bootstrap(3, 4)
		c.converge(30 * time.Second)
		op := node.Op{Kind: node.OpPut, Key: []byte("k"), Value: []byte("v")}
		for level, want := range map[node.Level]int{node.LevelOne: 1, node.LevelQuorum: 2, node.LevelAll: 3} {
			op.Level = level
			r, err := procs[0].Do(c.t.Context(), op)
			if err != nil || r.Acks < want {
				c.t.Errorf("put at %v: %d acks, %v; want at least %d", level, r.Acks, err, want)
			}
		}
		c.kill(procs[2])
		c.eventually(10*time.Second, func() error {
			op.Level = node.LevelQuorum
			_, err := procs[0].Do(c.t.Context(), op)
			return err
		})
		op.Level = node.LevelAll
		_, err := procs[0].Do(c.t.Context(), op)
		wantIs(c.t, "put at all with 2 of 3 processes", err, node.ErrConsistency)
		c.kill(procs[1])
		c.eventually(20*time.Second, func() error {
			_, err := procs[0].Do(c.t.Context(), node.Op{Kind: node.OpGet, Key: []byte("k"), Level: node.LevelOne})
			return err
		})
		_, err = procs[0].Do(c.t.Context(), node.Op{Kind: node.OpGet, Key: []byte("k")})
		wantIs(c.t, "get at quorum with 1 of 3 processes", err, node.ErrConsistency)
		// Once the ring knows that there are too few processes, nothing is sent and the outcome is known.
		op.Level = node.LevelQuorum
		c.eventually(10*time.Second, func() error {
			if _, err := procs[0].Do(c.t.Context(), op); !errors.Is(err, node.ErrConsistency) || errors.Is(err, node.ErrUnknown) {
				return fmt.Errorf("put at quorum with 1 of 3 processes: got %w, want only %w", err, node.ErrConsistency)
			}
			return nil
		})
	})
}

func TestLimits(t *testing.T) {
	cfg := node.DefaultConfig()
	cfg.MaxValueBytes = 100
	inCluster(t, 1, cfg, func(c *cluster) {
		p := c.bootstrap(3, 1)[0]
		for _, op := range []node.Op{
			{Kind: node.OpPut},
			{Kind: node.OpPut, Key: make([]byte, cfg.MaxKeyBytes+1)},
			{Kind: node.OpPut, Key: []byte("k"), Value: make([]byte, 101)},
			{Kind: 77, Key: []byte("k")},
			{Kind: node.OpGet, Key: []byte("k"), Level: 77},
		} {
			_, err := p.Do(c.t.Context(), op)
			wantIs(c.t, fmt.Sprintf("%v of a key of %d and a value of %d bytes", op.Kind, len(op.Key), len(op.Value)), err, node.ErrInvalid)
		}
		for _, key := range []string{"\x00", "a\x00b", "\xff\xfe", string(make([]byte, cfg.MaxKeyBytes))} {
			c.put(p, key, "fine")
			c.wantValue(p, key, "fine")
		}
		c.put(p, "empty", "")
		c.wantValue(p, "empty", "")
	})
}

// A request that is repeated takes effect once, even after another write, at the same owner and at the one that replaced it.
func TestRepeatedRequest(t *testing.T) {
	inCluster(t, 2, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(5, 1)
		c.converge(30 * time.Second)
		first := node.Op{Kind: node.OpPut, Key: []byte("k"), Value: []byte("first"), Request: node.RequestID{1}}
		r, err := procs[0].Do(c.t.Context(), first)
		if err != nil {
			c.t.Fatal(err)
		}
		repeat := func() {
			t.Helper()
			first.Retry = true
			again, err := procs[0].Do(c.t.Context(), first)
			if err != nil || again.Version != r.Version {
				c.t.Fatalf("repeated put: version %v, error %v; want %v", again.Version, err, r.Version)
			}
		}
		repeat()
		c.wantValue(procs[0], "k", "first")
		c.put(procs[1], "k", "second")
		repeat()
		c.wantValue(procs[2], "k", "second")
		for _, p := range procs[1:] {
			if p.addr == r.Owner.Addr {
				c.kill(p)
			}
		}
		repeat()
		c.wantValue(procs[0], "k", "second")
	})
}

// A replica whose clock runs ahead cannot push the others into the future, and a write whose version is refused is taken back.
func TestClockAhead(t *testing.T) {
	inCluster(t, 1, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(3, 1)
		future := uint64(time.Now().Add(time.Hour).UnixMilli()) << 16
		_, err := procs[0].Apply(c.t.Context(), []node.Record{{Key: []byte("k"), Version: node.Version{Time: future, Origin: 1}}}, nil)
		wantIs(c.t, "apply from an hour ahead", err, node.ErrClockSkew)
		if v, _ := procs[0].store.Version([]byte("k")); !v.IsZero() {
			c.t.Errorf("version %v was stored", v)
		}
		soon := uint64(time.Now().Add(c.cfg.MaxClockAhead/2).UnixMilli()) << 16
		for _, p := range procs {
			if _, err := p.Apply(c.t.Context(), []node.Record{{Key: []byte("k"), Version: node.Version{Time: soon, Origin: 1}}}, nil); err != nil {
				c.t.Errorf("apply from a little ahead: %v", err)
			}
		}
		c.put(procs[0], "k", "later")
		c.wantValue(procs[0], "k", "later")
	})
}

// The owner's clock is behind: its write must still come after what is stored elsewhere, or an acknowledged write would be hidden.
func TestOwnerTakesAVersionAboveWhatReplicasHave(t *testing.T) {
	inCluster(t, 3, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(3, 1)
		c.converge(30 * time.Second)
		owner := ownerOf(c, []byte("k"))
		ahead := node.Version{Time: uint64(time.Now().Add(c.cfg.MaxClockAhead/2).UnixMilli()) << 16, Origin: 77}
		for _, p := range procs {
			if p != owner {
				if _, err := p.store.Apply([]node.Record{{Key: []byte("k"), Value: []byte("old"), Version: ahead}}); err != nil {
					c.t.Fatal(err)
				}
			}
		}
		c.put(procs[0], "k", "new")
		c.wantValue(procs[1], "k", "new")
		if v, _ := owner.store.Version([]byte("k")); !v.Newer(ahead) {
			c.t.Errorf("version %v is not newer than %v", v, ahead)
		}
	})
}

func ownerOf(c *cluster, key []byte) *process {
	ref := successorIn(liveRefs(c), ring.Hash(key))
	for _, p := range c.all() {
		if p.addr == ref.Addr {
			return p
		}
	}
	c.t.Fatal("no owner")
	return nil
}

// A read that finds replicas disagreeing repairs them before it answers.
func TestReadRepair(t *testing.T) {
	inCluster(t, 4, node.DefaultConfig(), func(c *cluster) {
		c.bootstrap(3, 1)
		c.converge(30 * time.Second)
		key := []byte("k")
		owner := ownerOf(c, key)
		v := node.Version{Time: uint64(time.Now().UnixMilli()) << 16, Origin: 77}
		if _, err := owner.store.Apply([]node.Record{{Key: key, Value: []byte("lonely"), Version: v}}); err != nil {
			c.t.Fatal(err)
		}
		c.wantValue(c.all()[0], "k", "lonely")
		holders := 0
		for _, p := range c.all() {
			if r, ok, _ := p.store.Get(key); ok && r.Version == v && bytes.Equal(r.Value, []byte("lonely")) {
				holders++
			}
		}
		if holders < 2 {
			c.t.Errorf("%d replicas have what was read, want at least 2", holders)
		}
	})
}

// stopping is a network in which some processes answer reads, but take no records any more, as one that is about to leave.
type stopping struct {
	*wire
	refuse map[string]bool // by address
}

func (s stopping) Apply(ctx context.Context, to ring.Ref, records []node.Record, claims []node.Claim) ([]node.Version, error) {
	if s.refuse[to.Addr] {
		return nil, node.ErrNotReady
	}
	return s.wire.Apply(ctx, to, records, claims)
}

// What only one replica has is not returned before another has taken it: any of them, and if none does it is an error.
func TestReadRepairIsRefused(t *testing.T) {
	for refusing := range 3 {
		inCluster(t, 4, node.DefaultConfig(), func(c *cluster) {
			refuse := map[string]bool{}
			c.peers = func(w *wire) node.Peers { return stopping{w, refuse} }
			c.bootstrap(3, 1)
			c.converge(30 * time.Second)
			key := []byte("k")
			owner := ownerOf(c, key)
			c.wantAbsent(owner, "k", node.LevelQuorum)
			v := node.Version{Time: uint64(time.Now().UnixMilli()) << 16, Origin: 77}
			if _, err := owner.store.Apply([]node.Record{{Key: key, Value: []byte("lonely"), Version: v}}); err != nil {
				c.t.Fatal(err)
			}
			for _, r := range owner.Status().Nodes[0].View.Succs[:refusing] {
				refuse[r.Addr] = true
			}
			r, err := owner.Do(c.t.Context(), node.Op{Kind: node.OpGet, Key: key})
			if have := len(c.with(key)); refusing < 2 && (err != nil || string(r.Value) != "lonely" || have < 2) {
				c.t.Errorf("with %d replicas that refuse: got %q, %v, which %d have", refusing, r.Value, err, have)
			} else if refusing == 2 && !errors.Is(err, node.ErrConsistency) {
				c.t.Errorf("with two replicas that refuse: got %q, %v, want an error", r.Value, err)
			}
		})
	}
}

// A process that is about to stop, and that its peers miss already, keeps what it has: it may be back at once.
func TestStopSoonKeepsRecords(t *testing.T) {
	inCluster(t, 6, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(5, 2)
		keys := c.putMany(300)
		c.converge(30 * time.Second)
		c.copies(30*time.Second, keys)
		p := procs[2]
		want := p.store.Stats().Records
		p.StopSoon()
		c.setFault(p.addr, errSilent)
		time.Sleep(4 * c.cfg.SweepInterval)
		if got := p.store.Stats().Records; got < want || want == 0 {
			t.Errorf("%d of %d records are left", got, want)
		}
	})
}

// Equal replicas compare themselves with a constant number of messages; a difference costs in proportion to itself.
func TestRepairCost(t *testing.T) {
	inCluster(t, 5, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(3, 1)
		keys := c.putMany(3000)
		c.converge(time.Minute)
		c.copies(time.Minute, keys)
		count := func() int {
			c.mu.Lock()
			defer c.mu.Unlock()
			before := c.calls
			c.mu.Unlock()
			time.Sleep(2 * c.cfg.RepairInterval)
			c.mu.Lock()
			return c.calls - before
		}
		equal := count()
		for _, key := range keys[:3] {
			v, _ := procs[0].store.Version(key)
			if n, err := procs[0].store.Drop([]node.Entry{{Key: key, Version: v}}); n != 1 || err != nil {
				c.t.Fatalf("drop %q: %d, %v", key, n, err)
			}
		}
		different := count()
		c.copies(time.Second, keys)
		if different > equal+100 {
			c.t.Errorf("3 lost copies of %d cost %d calls over %d", len(keys), different-equal, equal)
		}
	})
}

// Nothing is dropped before N others have it: here those who should take it cannot.
func TestSweepKeepsWhatNobodyElseHas(t *testing.T) {
	inCluster(t, 6, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(5, 1)
		c.converge(30 * time.Second)
		key := []byte("k")
		group := groupOf(c, key)
		var stranger *process
		for _, p := range procs {
			if !slices.Contains(group, p.addr) {
				stranger = p
			}
		}
		// The wall between the stranger and one member of the group.
		c.setFault(stranger.addr+">"+group[2], fmt.Errorf("%w: no route", node.ErrUnreachable))
		v := node.Version{Time: uint64(time.Now().UnixMilli()) << 16, Origin: 77}
		if _, err := stranger.store.Apply([]node.Record{{Key: key, Value: []byte("v"), Version: v}}); err != nil {
			c.t.Fatal(err)
		}
		time.Sleep(3 * c.cfg.RepairInterval)
		if got, _ := stranger.store.Version(key); got != v {
			c.t.Fatal("the record was dropped though one replica could not confirm it")
		}
		c.setFault(stranger.addr+">"+group[2], nil)
		c.copies(3*c.cfg.RepairInterval, [][]byte{key})
		if got, _ := stranger.store.Version(key); !got.IsZero() {
			c.t.Error("the record is still with the stranger")
		}
	})
}

func groupOf(c *cluster, key []byte) []string {
	owner := successorIn(liveRefs(c), ring.Hash(key))
	var addrs []string
	for _, v := range c.views() {
		if v.Self == owner {
			for _, r := range v.Group(c.cfg.Replicas) {
				addrs = append(addrs, r.Addr)
			}
		}
	}
	return addrs
}

// All processes die at once and come back one by one. Until enough are back a read may fail, but it never denies what was acknowledged.
func TestWholeRingRestart(t *testing.T) {
	for seed := range uint64(3) {
		inCluster(t, seed, node.DefaultConfig(), func(c *cluster) {
			procs := c.bootstrap(5, 8)
			keys := c.putMany(300)
			c.copies(30*time.Second, keys)
			for _, p := range procs {
				c.kill(p)
			}
			time.Sleep(time.Minute)
			denied := func(when string) {
				for _, p := range c.all() {
					for _, key := range keys {
						r, err := p.Do(c.t.Context(), node.Op{Kind: node.OpGet, Key: key})
						if err == nil && !r.Found {
							c.t.Fatalf("%s: %q is denied by %s", when, key, p.addr)
						}
					}
				}
			}
			var addrs []string
			for _, p := range procs {
				addrs = append(addrs, p.addr)
			}
			for i, p := range procs {
				back := c.restart(p.id, p.addr, p.store)
				back.Recall(addrs)
				if i == 0 {
					if err := back.Create(); err != nil {
						c.t.Fatal(err)
					}
				} else if err := back.Join(c.t.Context(), []string{procs[0].addr}); err != nil {
					c.t.Fatal(err)
				}
				denied(fmt.Sprint(i+1, " of 5 are back"))
			}
			c.converge(30 * time.Second)
			c.wantAll(keys)
			c.copies(30*time.Second, keys)
		})
	}
}

// A process dies in a ring that has only just come to be: successor lists still lack the newest nodes, nothing is settled.
func TestCrashInAYoungRing(t *testing.T) {
	seeds := uint64(20)
	if raced.Enabled {
		seeds = 4
	}
	for seed := range seeds {
		inCluster(t, seed, node.DefaultConfig(), func(c *cluster) {
			first := c.start(4)
			if err := first.Create(); err != nil {
				c.t.Fatal(err)
			}
			for range 3 {
				c.join(first, 4)
			}
			var keys [][]byte
			for i := range 300 {
				key := fmt.Sprint("key", i)
				op := node.Op{Kind: node.OpPut, Key: []byte(key), Value: []byte("value of " + key)}
				if _, err := c.all()[i%4].Do(c.t.Context(), op); err == nil {
					keys = append(keys, op.Key)
				}
			}
			time.Sleep(time.Duration(seed) * 200 * time.Millisecond)
			c.kill(first)
			for range 20 {
				for _, p := range c.all() {
					for _, key := range keys {
						r, err := p.Do(c.t.Context(), node.Op{Kind: node.OpGet, Key: key})
						if err == nil && !r.Found {
							c.t.Fatalf("%q is denied by %s, served by %v for %v", key, p.addr, r.Owner, r.Arc)
						}
					}
				}
				time.Sleep(200 * time.Millisecond)
			}
		})
	}
}

// roomless is a store that has room only at times, and cannot tell beforehand.
type roomless struct {
	node.Store
	full atomic.Bool
}

func (r *roomless) Apply(records []node.Record) ([]node.Version, error) {
	if r.full.Load() {
		return nil, fmt.Errorf("apply: %w", node.ErrStoreFull)
	}
	return r.Store.Apply(records)
}

// TestNoRoom: a write that no replica had room for was not applied, and says so. One that a replica took may have been.
func TestNoRoom(t *testing.T) {
	inCluster(t, 141, node.DefaultConfig(), func(c *cluster) {
		var procs []*process
		stores := make([]*roomless, 3)
		for i := range stores {
			stores[i] = &roomless{Store: store.NewMemory()}
			procs = append(procs, c.restart(node.Identity{Process: [16]byte{byte(i + 1)}, VNodes: 1}, fmt.Sprintf("10.0.0.%d:7400", i+1), stores[i]))
		}
		c.assemble(procs)
		c.converge(time.Minute)
		op := node.Op{Kind: node.OpPut, Key: []byte("key"), Value: []byte("before"), Level: node.LevelQuorum}
		before, err := procs[0].Do(c.t.Context(), op)
		if err != nil {
			c.t.Fatal(err)
		}
		time.Sleep(time.Second) // the third replica has it too
		for _, s := range stores {
			s.full.Store(true)
		}
		op.Value = []byte("after")
		if _, err := procs[0].Do(c.t.Context(), op); !errors.Is(err, node.ErrStoreFull) || errors.Is(err, node.ErrUnknown) {
			c.t.Errorf("without room anywhere: got %v, want node.ErrStoreFull and that nothing was applied", err)
		}
		c.wantValue(procs[0], "key", "before")
		stores[slices.IndexFunc(procs, func(p *process) bool { return p.addr == before.Owner.Addr })].full.Store(false)
		if _, err := procs[0].Do(c.t.Context(), op); !errors.Is(err, node.ErrStoreFull) || !errors.Is(err, node.ErrUnknown) {
			c.t.Errorf("with room at the owner alone: got %v, want node.ErrStoreFull and node.ErrUnknown", err)
		}
		for _, s := range stores {
			s.full.Store(false)
		}
		c.put(procs[0], "key", "at last")
		c.wantValue(procs[0], "key", "at last")
	})
}
