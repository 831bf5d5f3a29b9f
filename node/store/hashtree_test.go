package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/rs/zerolog"

	"github.com/chordkv/chord/internal/raced"
	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
	"github.com/chordkv/chord/ring"
)

// wantTree fails unless the hash tree is exactly what a scan of the records gives.
func wantTree(t testing.TB, s *store.Pebble, records int) {
	t.Helper()
	if err := treeError(s); err != nil {
		t.Error(err)
	}
	if n := s.Stats().Records; n != int64(records) {
		t.Errorf("got %d records, want %d", n, records)
	}
}

func treeError(s *store.Pebble) error {
	sums, err := s.Digest([]ring.Arc{ring.FullArc()})
	if err != nil {
		return err
	}
	entries, err := s.List(ring.FullArc(), node.Cursor{}, 1<<30)
	if err != nil {
		return err
	}
	if want := summary(entries); sums[0] != want {
		return fmt.Errorf("the tree says %+v, the records %+v", sums[0], want)
	}
	r, err := s.Scrub(context.Background())
	if err == nil && (r.Corrected > 0 || r.Corrupt > 0 || r.Records != int64(len(entries))) {
		err = fmt.Errorf("scrubbed %d records: %+v", len(entries), r)
	}
	return err
}

// churn applies and drops records among n keys, for a while.
func churn(s node.Store, rng *rand.Rand, n, rounds int, stopped *atomic.Bool) error {
	for range rounds {
		if stopped.Load() {
			return nil
		}
		batch := make([]node.Record, 1+rng.IntN(40))
		for i := range batch {
			batch[i] = put(fmt.Sprint("key-", rng.IntN(n)), "value", 1+rng.IntN(1<<20))
			batch[i].Tombstone = rng.IntN(8) == 0
			batch[i].Expires = batch[i].Version.Millis() % 3
		}
		if _, err := s.Apply(batch); err != nil {
			return err
		}
		if _, err := s.Expire(1+rng.Int64N(3), 30); err != nil {
			return err
		}
		if rng.IntN(3) > 0 {
			continue
		}
		drop := make([]node.Entry, rng.IntN(40))
		for i := range drop {
			drop[i].Key = fmt.Append(nil, "key-", rng.IntN(n))
			var err error
			if drop[i].Version, err = s.Version(drop[i].Key); err != nil {
				return err
			}
		}
		if _, err := s.Drop(drop); err != nil {
			return err
		}
	}
	return nil
}

// Whatever a power cut leaves of the records, the tree and the index by time are those of what it left: while leaves are split, checkpoints are written, and
// records of the same blocks come and go.
func TestPowerCutLeavesTheTreeExact(t *testing.T) {
	seeds := uint64(40)
	if testing.Short() || raced.Enabled {
		seeds = 10
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 0))
		disk := vfs.NewCrashableMem()
		opts := smallOptions()
		opts.Sync, opts.FS, opts.MemTableBytes = []store.SyncMode{store.SyncAlways, store.SyncNever}[seed%2], disk, 64<<10
		s := openPebble(t, "records", opts)
		var stopped atomic.Bool
		var writers sync.WaitGroup
		for w := range 4 {
			rng := rand.New(rand.NewPCG(seed, uint64(w+1)))
			writers.Go(func() {
				if err := churn(s, rng, 1500, 1<<30, &stopped); err != nil {
					t.Error(err)
				}
			})
		}
		writers.Go(func() {
			for !stopped.Load() {
				if err := s.Checkpoint(); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Millisecond)
			}
		})
		for enough := rng.Int64N(1100); s.Stats().Records < enough; {
			runtime.Gosched()
		}
		kept := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 30, 100}[rng.IntN(3)], RNG: rng})
		stopped.Store(true)
		writers.Wait()
		if err := treeError(s); err != nil {
			t.Errorf("seed %d, before the cut: %v", seed, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		var log strings.Builder
		opts.FS, opts.Log = kept, zerolog.New(&log).Level(zerolog.InfoLevel)
		after := openPebble(t, "records", opts)
		if err := errors.Join(treeError(after), indexError(after)); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		if strings.Contains(log.String(), "made the hash tree") {
			t.Errorf("seed %d: the tree was made anew: %s", seed, &log)
		}
	}
}

// The tree is as deep as there are records, also where they all lie close to one another.
func TestTreeFollowsTheRecords(t *testing.T) {
	opts := smallOptions()
	opts.Sync, opts.FS = store.SyncNever, vfs.NewMem()
	s := openPebble(t, "records", opts)
	if s.Leaves() != 1 {
		t.Errorf("an empty store has %d leaves", s.Leaves())
	}
	records := ringOrder(20_000)
	apply(t, s, records...)
	waitFor(t, func() bool { return s.Leaves() >= 256 })
	wantTree(t, s, len(records))
	var drop []node.Entry
	for _, r := range records[100:] {
		drop = append(drop, node.Entry{Key: r.Key, Version: r.Version})
	}
	if n, err := s.Drop(drop); n != len(drop) || err != nil {
		t.Fatal(n, err)
	}
	if err := s.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if n := s.Leaves(); n > 31 {
		t.Errorf("100 records have %d leaves", n)
	}
	wantTree(t, s, 100)
}

// A store that was closed, or abandoned, opens with the tree that it had: from the checkpoint and the journal. One without a tree, or
// with a damaged one, is read through, and says so.
func TestTreeSurvivesRestart(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(s *store.Pebble) error
		log  string // what the next opening says
	}{
		{"closed", (*store.Pebble).Close, ""},
		{"abandoned", (*store.Pebble).Abandon, "brought up to date"},
		{"checkpoint and more", func(s *store.Pebble) error {
			_, err := s.Apply([]node.Record{put("one", "more", 1)})
			return errors.Join(s.Checkpoint(), err, s.Abandon())
		}, ""},
		{"of format 1", func(s *store.Pebble) error { return errors.Join(s.MakeOld(), s.Abandon()) }, "made the hash tree"},
		{"damaged page", func(s *store.Pebble) error {
			return errors.Join(s.Checkpoint(), s.SpoilTree('t'), s.Abandon())
		}, "wrong checksum"},
		{"damaged checkpoint", func(s *store.Pebble) error { return errors.Join(s.SpoilTree('c'), s.Abandon()) }, "is damaged"},
	} {
		t.Run(test.name, func(t *testing.T) {
			opts := smallOptions()
			opts.FS = vfs.NewMem()
			first := openPebble(t, "records", opts)
			apply(t, first, ringOrder(3000)...)
			if err := churn(first, rand.New(rand.NewPCG(1, 1)), 3000, 100, new(atomic.Bool)); err != nil {
				t.Fatal(err)
			}
			if err := test.end(first); err != nil {
				t.Fatal(err)
			}
			var log strings.Builder
			opts.Log = zerolog.New(&log).Level(zerolog.InfoLevel)
			second := openPebble(t, "records", opts)
			if err := indexError(second); err != nil {
				t.Error(err)
			}
			if got := log.String(); test.log == "" && got != "" || !strings.Contains(got, test.log) {
				t.Errorf("got the log %q, want %q in it", got, test.log)
			}
			if err := treeError(second); err != nil {
				t.Error(err)
			}
			if second.Leaves() < 16 {
				t.Errorf("%d leaves", second.Leaves())
			}
			apply(t, second, put("another", "", 1))
			if err := errors.Join(treeError(second), second.Abandon()); err != nil {
				t.Error(err)
			}
			third := openPebble(t, "records", opts)
			if err := treeError(third); err != nil {
				t.Error(err)
			}
		})
	}
}

// What the disk spoils leaves the tree when somebody reads it, or a scrub does, and comes back to it with the next write.
func TestScrubFindsCorruption(t *testing.T) {
	opts := smallOptions()
	opts.FS = vfs.NewMem()
	s := openPebble(t, "records", opts)
	records := ringOrder(1000)
	apply(t, s, records...)
	if err := s.SetRaw(store.DiskKey(records[3].Key), []byte("spoilt")); err != nil {
		t.Fatal(err)
	}
	r, err := s.Scrub(t.Context())
	if want := (store.ScrubReport{Records: 999, Corrupt: 1, Corrected: 1}); err != nil || r != want {
		t.Errorf("got %+v, %v, want %+v", r, err, want)
	}
	if got := s.Metrics().TreeErrors; got != 1 {
		t.Errorf("got %d tree errors, want 1", got)
	}
	sums, err := s.Digest([]ring.Arc{ring.FullArc()})
	if want := summary(inArc(append(records[:3:3], records[4:]...), ring.FullArc())); err != nil || sums[0] != want {
		t.Errorf("got %+v, %v, want %+v", sums, err, want)
	}
	apply(t, s, records[3])
	wantTree(t, s, len(records))
}
