package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/chordkv/chord/internal/raced"
	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
	"github.com/chordkv/chord/ring"
)

const cutKeys = 12

// lossAfterPowerCut runs writers that compete for a few keys, cuts the power at a random moment, and opens what the disk
// kept: everything that was synced, and none, a part or all of the rest. It returns an error if a key has an older version than an answer
// before the cut promised, a record that nobody wrote, or a store that does not open.
func lossAfterPowerCut(seed uint64, mode store.SyncMode) error {
	rng := rand.New(rand.NewPCG(seed, 0))
	disk := vfs.NewCrashableMem()
	opts := smallOptions()
	opts.Sync, opts.FS, opts.MemTableBytes = mode, disk, 64<<10
	s, err := store.OpenPebble("records", opts)
	if err != nil {
		return err
	}
	var promised [cutKeys]atomic.Uint64 // by key: the newest version that an answer spoke of
	var answers atomic.Int64
	var stopped atomic.Bool
	var writers sync.WaitGroup
	for w := range uint64(2 + rng.IntN(6)) {
		rng := rand.New(rand.NewPCG(seed, w+1))
		writers.Go(func() {
			for !stopped.Load() {
				if err := writeSome(s, rng, w, promised[:]); err != nil && !stopped.Load() {
					panic(err)
				}
				answers.Add(1)
			}
		})
	}
	// Whoever lists what is there may rely on it as well.
	writers.Go(func() {
		for !stopped.Load() {
			if err := listAll(s, promised[:]); err != nil && !stopped.Load() {
				panic(err)
			}
		}
	})
	for enough := rng.Int64N(300); answers.Load() < enough; {
		runtime.Gosched()
	}
	var floor [cutKeys]uint64
	for i := range promised {
		floor[i] = promised[i].Load() // before the cut
	}
	kept := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 0, 30, 100}[rng.IntN(4)], RNG: rng})
	stopped.Store(true)
	writers.Wait()
	if err := s.Close(); err != nil {
		return err
	}
	opts.FS = kept
	after, err := store.OpenPebble("records", opts)
	if err != nil {
		return fmt.Errorf("open after the cut: %w", err)
	}
	return errors.Join(checkFloor(after, floor[:]), after.Close())
}

// writeSome applies a batch, and raises what is promised by what the answer says.
func writeSome(s node.Store, rng *rand.Rand, writer uint64, promised []atomic.Uint64) error {
	batch := make([]node.Record, 1+rng.IntN(3))
	for i := range batch {
		// Close to the present, older as often as newer, so that many writes are superseded by one that is under way.
		n := rng.IntN(cutKeys)
		v := node.Version{Time: promised[n].Load() + rng.Uint64N(4), Origin: writer}
		batch[i] = node.Record{Key: fmt.Append(nil, "key-", n), Value: valueOf(v, rng.IntN(2000)), Version: v}
	}
	got, err := s.Apply(batch)
	if err != nil {
		return err
	}
	for i, r := range batch {
		var n int
		if _, err := fmt.Sscanf(string(r.Key), "key-%d", &n); err != nil {
			return err
		}
		raise(&promised[n], got[i].Time)
	}
	return nil
}

// listAll lists the store, and raises what is promised by that.
func listAll(s node.Store, promised []atomic.Uint64) error {
	entries, err := s.List(ring.FullArc(), node.Cursor{}, cutKeys)
	if err != nil {
		return err
	}
	for _, e := range entries {
		var n int
		if _, err := fmt.Sscanf(string(e.Key), "key-%d", &n); err != nil {
			return err
		}
		raise(&promised[n], e.Version.Time)
	}
	return nil
}

func valueOf(v node.Version, padding int) []byte {
	return append(fmt.Appendf(nil, "%v ", v), make([]byte, padding)...)
}

func checkFloor(s node.Store, floor []uint64) error {
	for i, want := range floor {
		key := fmt.Append(nil, "key-", i)
		r, _, err := s.Get(key)
		if err != nil {
			return err
		}
		if r.Version.Time < want {
			return fmt.Errorf("%s: got version %d, but %d was answered", key, r.Version.Time, want)
		}
		if !r.Version.IsZero() && !strings.HasPrefix(string(r.Value), r.Version.String()+" ") {
			return fmt.Errorf("%s: version %v has the value of another", key, r.Version)
		}
	}
	_, err := s.Digest([]ring.Arc{ring.FullArc()})
	return err
}

func TestPowerCutLosesNothingAcknowledged(t *testing.T) {
	seeds := uint64(500)
	if testing.Short() || raced.Enabled {
		seeds = 50
	}
	for seed := range seeds {
		if err := lossAfterPowerCut(seed, store.SyncAlways); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// The tester is tested: without syncs it must find losses.
func TestPowerCutTesterNoticesMissingSyncs(t *testing.T) {
	for seed := range uint64(50) {
		if err := lossAfterPowerCut(seed, store.SyncNever); err != nil && strings.Contains(err.Error(), "was answered") {
			return
		}
	}
	t.Error("50 power cuts without a sync lost nothing: the tester is blind")
}

func TestSyncIntervalSyncsInTheBackground(t *testing.T) {
	disk := vfs.NewCrashableMem()
	opts := smallOptions()
	opts.Sync, opts.FS = store.SyncInterval, disk
	s := openPebble(t, "records", opts)
	apply(t, s, put("k", "v", 1))
	waitFor(t, func() bool {
		opts := opts
		opts.FS = disk.CrashClone(vfs.CrashCloneCfg{})
		after, err := store.OpenPebble("records", opts)
		if err != nil {
			t.Fatal(err)
		}
		_, ok := get(t, after, "k")
		if err := after.Close(); err != nil {
			t.Fatal(err)
		}
		return ok
	})
}
