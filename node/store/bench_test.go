package store_test

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
	"github.com/chordkv/chord/ring"
)

// benchStores runs a benchmark against a store in memory and one on the disk with the settings of production.
func benchStores(b *testing.B, bench func(b *testing.B, s node.Store)) {
	b.Run("memory", func(b *testing.B) { bench(b, store.NewMemory()) })
	b.Run("pebble", func(b *testing.B) { bench(b, openPebble(b, b.TempDir(), store.DefaultPebbleOptions())) })
}

var value100 = make([]byte, 100)

func benchRecord(i uint64) node.Record {
	return node.Record{Key: fmt.Append(nil, "bench-key-", i), Value: value100, Version: node.Version{Time: 1 + i, Origin: 1}}
}

// prefill stores n records.
func prefill(b *testing.B, s node.Store, n int) {
	b.Helper()
	batch := make([]node.Record, 1000)
	for i := 0; i < n; i += len(batch) {
		for j := range batch {
			batch[j] = benchRecord(uint64(i + j))
		}
		if _, err := s.Apply(batch); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkApply(b *testing.B) {
	benchStores(b, func(b *testing.B, s node.Store) {
		var next atomic.Uint64
		one := func() {
			if _, err := s.Apply([]node.Record{benchRecord(next.Add(1))}); err != nil {
				b.Error(err)
			}
		}
		b.Run("1 writer", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				one()
			}
		})
		b.Run("64 writers", func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(32) // times GOMAXPROCS
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					one()
				}
			})
		})
		b.Run("batches of 256", func(b *testing.B) {
			b.ReportAllocs()
			batch := make([]node.Record, 256)
			for b.Loop() {
				for i := range batch {
					batch[i] = benchRecord(next.Add(1))
				}
				if _, err := s.Apply(batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

func BenchmarkGet(b *testing.B) {
	const n = 100_000
	benchStores(b, func(b *testing.B, s node.Store) {
		prefill(b, s, n)
		for _, test := range []struct {
			name string
			key  func(i uint64) []byte
			want bool
		}{
			{"present", func(i uint64) []byte { return benchRecord(i).Key }, true},
			{"absent", func(i uint64) []byte { return fmt.Append(nil, "none-", i) }, false},
		} {
			b.Run(test.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetParallelism(32)
				b.RunParallel(func(pb *testing.PB) {
					rng := rand.New(rand.NewPCG(rand.Uint64(), 0))
					for pb.Next() {
						if _, ok, err := s.Get(test.key(rng.Uint64N(n))); ok != test.want || err != nil {
							b.Error(ok, err)
						}
					}
				})
			})
		}
	})
}

// BenchmarkDigest is of 100 000 records: all, and a part that is not a whole number of shards.
func BenchmarkDigest(b *testing.B) {
	benchStores(b, func(b *testing.B, s node.Store) {
		prefill(b, s, 100_000)
		for name, arc := range map[string]ring.Arc{"full": ring.FullArc(), "third": {After: ring.ID{0x20, 1}, Through: ring.ID{0x75, 1}}} {
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := s.Digest([]ring.Arc{arc}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	})
}
