package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

// scanned is what a scan delivered.
type scanned struct {
	keys [][]byte
}

// collect runs a scan and checks value and version of each key.
func (s *scanned) collect(t *testing.T, c *rpc.Client, arc ring.Arc, after node.Cursor, opts rpc.ScanOptions) error {
	t.Helper()
	return c.Scan(t.Context(), arc, after, opts, func(r node.Record) error {
		if !bytes.Equal(r.Value, append([]byte("of "), r.Key...)) || r.Version.IsZero() {
			t.Errorf("got %+v", r)
		}
		s.keys = append(s.keys, r.Key)
		return nil
	})
}

// fill writes n keys and deletes every tenth of them; it returns those that remain.
func fill(t *testing.T, c *rpc.Client, n int) (keys [][]byte) {
	t.Helper()
	for i := range n {
		k := fakeKey(i)
		if _, err := c.Put(t.Context(), k, append([]byte("of "), k...), node.LevelQuorum); err != nil {
			t.Fatal(err)
		}
		if i%10 != 0 {
			keys = append(keys, k)
		} else if _, err := c.Delete(t.Context(), k, node.LevelQuorum); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// keysIn returns the keys that lie in an arc, in ring order.
func keysIn(arc ring.Arc, keys [][]byte) [][]byte {
	keys = slices.DeleteFunc(slices.Clone(keys), func(k []byte) bool { return !arc.Contains(ring.Hash(k)) })
	place := func(k []byte) ring.ID { return ring.Distance(arc.After.Next(), ring.Hash(k)) }
	slices.SortFunc(keys, func(a, b []byte) int { return place(a).Compare(place(b)) })
	return keys
}

func sameKeys(t *testing.T, got, want [][]byte) {
	t.Helper()
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("got %d keys, want %d: each exactly once, in ring order", len(got), len(want))
	}
}

func TestScan(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7} {
		r := newFakeRing(t, n)
		c := r.client(nil)
		keys := fill(t, c, 300)
		for _, arc := range []ring.Arc{
			ring.FullArc(),
			{After: ring.ID{0x33}, Through: ring.ID{0x33}}, // the whole circle from another place
			{After: ring.ID{0xe0}, Through: ring.ID{0x20}}, // past 0
			{After: ring.ID{0x40}, Through: ring.ID{0x41}}, // inside of one arc
			{After: ring.ID{0x41}, Through: ring.ID{0x40}}, // all but that
			{After: r.all()[0].self.ID, Through: r.all()[n-1].self.ID},
			{After: ring.Hash(fakeKey(1)).Prev(), Through: ring.Hash(fakeKey(1))}, // one key
		} {
			t.Run(fmt.Sprintf("%d processes %v", n, arc), func(t *testing.T) {
				want := keysIn(arc, keys)
				var got scanned
				var shares []float64
				opts := rpc.ScanOptions{Page: 7, Concurrency: 5, Progress: func(done float64) { shares = append(shares, done) }}
				if err := got.collect(t, c, arc, node.Cursor{}, opts); err != nil {
					t.Fatal(err)
				}
				sameKeys(t, got.keys, want)
				if !slices.IsSorted(shares) || shares[0] < 0 || shares[len(shares)-1] != 1 {
					t.Errorf("progress: got %v, want it to rise to 1", shares)
				}
			})
		}
	}
}

func TestScanResumes(t *testing.T) {
	r := newFakeRing(t, 5)
	c := r.client(nil)
	arc := ring.Arc{After: ring.ID{0x80}, Through: ring.ID{0x80}}
	want := keysIn(arc, fill(t, c, 300))
	enough := errors.New("enough")
	var got [][]byte
	for cursor, runs := (node.Cursor{}), 0; ; runs++ {
		n := 0
		err := c.Scan(t.Context(), arc, cursor, rpc.ScanOptions{Page: 10}, func(r node.Record) error {
			if n++; n > 17 {
				return enough
			}
			got = append(got, r.Key)
			cursor.Key = r.Key
			return nil
		})
		if err == nil {
			break
		}
		if err != enough || runs > len(want) { //nolint:errorlint // it must come back as it is
			t.Fatalf("run %d: %v", runs, err)
		}
	}
	sameKeys(t, got, want)
	if err := c.Scan(t.Context(), ring.Arc{After: ring.ID{1}, Through: ring.ID{2}}, node.Cursor{Key: fakeKey(1)}, rpc.ScanOptions{}, nil); !errors.Is(err, node.ErrInvalid) {
		t.Errorf("cursor outside of the arc: got %v, want ErrInvalid", err)
	}
}

// While the scan is under way, processes join and one dies: each time at the moment when the keys are being listed.
func TestScanWhileTheRingChanges(t *testing.T) {
	r := newFakeRing(t, 4)
	c := r.client(nil)
	want := keysIn(ring.FullArc(), fill(t, c, 500))
	members := r.all()
	r.set(func() {
		members[1].onList = func(calls int) {
			switch calls {
			case 3:
				r.start(ring.ID{0x58}) // in the arc that is being listed
				r.heal()               // the keys before it move to it at once
			case 6:
				r.start(ring.ID{0x70})
				r.heal()
			}
		}
		members[3].onList = func(calls int) {
			if calls == 30 {
				go func() {
					members[2].stop()
					time.Sleep(20 * time.Millisecond) // the ring does not close at once: the scan has to wait for it
					r.heal()
				}()
			}
		}
	})
	var got scanned
	if err := got.collect(t, c, ring.FullArc(), node.Cursor{}, rpc.ScanOptions{Page: 5}); err != nil {
		t.Fatal(err)
	}
	sameKeys(t, got.keys, want)
	if n := len(r.all()); n != 5 {
		t.Errorf("processes in the end: got %d, want 4 + 2 - 1", n)
	}
}

// Replicas may lack what others have, as long as each key is on W = 2 of N = 3 of them: any two of a group are enough.
func TestScanMergesReplicas(t *testing.T) {
	r := newFakeRing(t, 3)
	c := r.client(nil)
	want := keysIn(ring.FullArc(), fill(t, c, 300))
	members := r.all()
	r.set(func() {
		for i, k := range want {
			// In stretches longer than a page, so that the pages of the replicas do not end at the same places.
			if lacking := i / 15 % 4; lacking != 3 {
				delete(r.group(ring.Hash(k))[lacking].data, string(k))
			}
		}
	})
	var got scanned
	if err := got.collect(t, c, ring.FullArc(), node.Cursor{}, rpc.ScanOptions{Page: 10}); err != nil {
		t.Fatal(err)
	}
	sameKeys(t, got.keys, want)
	for _, p := range members {
		if look(r, func() int { return p.lists }) == 0 {
			t.Errorf("%v was not asked to list its keys", p.self)
		}
	}
}

func TestScanFailsRatherThanSkip(t *testing.T) {
	r := newFakeRing(t, 3)
	c := r.client(nil)
	want := fill(t, c, 100)
	members := r.all()
	members[1].stop()
	members[2].stop()
	var got scanned
	err := got.collect(t, c, ring.FullArc(), node.Cursor{}, rpc.ScanOptions{Page: 10, Patience: 100 * time.Millisecond})
	if e := opError(t, err); !errors.Is(err, node.ErrConsistency) || !e.Retryable {
		t.Errorf("one process of three left: got %v, want too few replicas", err)
	}
	if len(got.keys) != 0 {
		t.Errorf("delivered %d of %d keys that one process alone listed", len(got.keys), len(want))
	}
}

// The values fail to come for a while: the scan waits, and goes on where it was.
func TestScanOutlastsTrouble(t *testing.T) {
	r := newFakeRing(t, 3)
	c := r.client(func(cfg *rpc.ClientConfig) {
		cfg.Timeout, cfg.AttemptTimeout, cfg.BackoffMax = 50*time.Millisecond, 50*time.Millisecond, 20*time.Millisecond
		cfg.RetryFloor = 1e6
	})
	want := keysIn(ring.FullArc(), fill(t, r.client(nil), 200))
	gets := 0
	r.set(func() {
		for _, p := range r.members {
			p.disturb = func(op fakeOp) misbehavior {
				if gets++; op.Kind == node.OpGet && gets%40 > 20 {
					return misbehavior{err: itemError(codes.Unavailable, "NO_ROUTE").GetError()}
				}
				return misbehavior{}
			}
		}
	})
	var got scanned
	if err := got.collect(t, c, ring.FullArc(), node.Cursor{}, rpc.ScanOptions{Page: 50, Concurrency: 10}); err != nil {
		t.Fatal(err)
	}
	sameKeys(t, got.keys, want)
}

func TestScanEndsWithItsContext(t *testing.T) {
	r := newFakeRing(t, 3)
	c := r.client(nil)
	fill(t, c, 100)
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	err := c.Scan(ctx, ring.FullArc(), node.Cursor{}, rpc.ScanOptions{Page: 10}, func(node.Record) error {
		if n++; n == 15 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || n >= 90 {
		t.Errorf("got %v after %d keys, want it to end", err, n)
	}
}

// A scan can leave out keys, and the values of all.
func TestScanOfSomeKeys(t *testing.T) {
	r := newFakeRing(t, 3)
	c := r.client(nil)
	some := func(key []byte) bool { return key[len(key)-1] == '7' }
	want := keysIn(ring.FullArc(), slices.DeleteFunc(fill(t, c, 300), func(key []byte) bool { return !some(key) }))
	r.set(func() {
		for _, p := range r.members {
			p.received = nil
		}
	})
	var got [][]byte
	err := c.Scan(t.Context(), ring.FullArc(), node.Cursor{}, rpc.ScanOptions{Page: 10, Bare: true, Only: some}, func(r node.Record) error {
		if len(r.Value) > 0 || r.Version.IsZero() {
			t.Errorf("got %+v", r)
		}
		got = append(got, r.Key)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sameKeys(t, got, want)
	for _, p := range r.all() {
		for _, op := range look(r, func() []fakeOp { return p.received }) {
			if !op.Bare || !some(op.Key) {
				t.Errorf("%q was read, bare %v", op.Key, op.Bare)
			}
		}
	}
}
