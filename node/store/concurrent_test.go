package store_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// Writers of the same keys, each with its own versions, while others read, list and digest. Whatever was answered must be
// there, and never go back.
func TestConcurrentWritersKeepTheNewest(t *testing.T) {
	const writers, rounds, keyCount = 8, 200, 10
	stores(t, func(t *testing.T, s node.Store) {
		var newest [keyCount]atomic.Uint64
		key := func(i int) []byte { return fmt.Append(nil, "key-", i) }
		done := make(chan struct{})
		var writing, reading sync.WaitGroup
		for w := range writers {
			writing.Go(func() {
				rng := rand.New(rand.NewPCG(1, uint64(w)))
				for range rounds {
					batch := make([]node.Record, 1+rng.IntN(4))
					for i := range batch {
						v := node.Version{Time: rng.Uint64N(1 << 40), Origin: uint64(w)}
						batch[i] = node.Record{Key: key(rng.IntN(keyCount)), Value: fmt.Append(nil, v), Version: v}
					}
					got, err := s.Apply(batch)
					if err != nil {
						t.Error(err)
						return
					}
					for i, r := range batch {
						if r.Version.Newer(got[i]) {
							t.Errorf("wrote %v, but the newest stored is %v", r.Version, got[i])
						}
						var n int
						_, _ = fmt.Sscanf(string(r.Key), "key-%d", &n)
						raise(&newest[n], got[i].Time)
					}
				}
			})
		}
		reading.Go(func() { // readers go forward only
			var seen [keyCount]node.Version
			for {
				select {
				case <-done:
					return
				default:
				}
				for i := range seen {
					floor := newest[i].Load()
					r, ok, err := s.Get(key(i))
					if err != nil || seen[i].Newer(r.Version) || r.Version.Time < floor || ok && string(r.Value) != r.Version.String() {
						t.Errorf("key %d: got %v %q, %v after %v (acknowledged %d)", i, r.Version, r.Value, err, seen[i], floor)
						return
					}
					seen[i] = r.Version
				}
				if _, err := s.Digest([]ring.Arc{ring.FullArc()}); err != nil {
					t.Error(err)
				}
			}
		})
		writing.Wait()
		close(done)
		reading.Wait()
		entries, err := s.List(ring.FullArc(), node.Cursor{}, keyCount+1)
		if err != nil || len(entries) != keyCount {
			t.Fatalf("listed %d, %v", len(entries), err)
		}
		for i := range newest {
			if v, err := s.Version(key(i)); err != nil || v.Time != newest[i].Load() {
				t.Errorf("key %d: got %v, %v, want the newest that was answered, %d", i, v, err, newest[i].Load())
			}
		}
		sums, err := s.Digest([]ring.Arc{ring.FullArc()})
		if err != nil || sums[0] != summary(entries) {
			t.Errorf("got digest %+v, %v, want %+v", sums, err, summary(entries))
		}
	})
}

func raise(a *atomic.Uint64, to uint64) {
	for {
		was := a.Load()
		if was >= to || a.CompareAndSwap(was, to) {
			return
		}
	}
}

// While a Memory turns from one shard to many, nothing is lost or counted twice.
func TestConcurrentGrowth(t *testing.T) {
	stores(t, func(t *testing.T, s node.Store) {
		const writers, each = 8, 250
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					if _, err := s.Apply([]node.Record{put(fmt.Sprint(w, "/", i), "v", i+1)}); err != nil {
						t.Error(err)
					}
					if i%3 == 0 {
						if n, err := s.Drop([]node.Entry{{Key: fmt.Append(nil, w, "/", i), Version: version(i + 1)}}); n != 1 || err != nil {
							t.Errorf("dropped %d, %v", n, err)
						}
					}
				}
			})
		}
		wg.Wait()
		const want = writers * (each - (each+2)/3)
		entries, err := s.List(ring.FullArc(), node.Cursor{}, writers*each)
		if err != nil || len(entries) != want {
			t.Errorf("listed %d, %v, want %d", len(entries), err, want)
		}
		waitFor(t, func() bool { return s.Stats().Records == want })
		sums, err := s.Digest([]ring.Arc{ring.FullArc()})
		if err != nil || sums[0] != summary(entries) {
			t.Errorf("got %+v, %v, want %+v", sums, err, summary(entries))
		}
	})
}
