package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
	"github.com/chordkv/chord/ring"
)

// Every bit of a stored record is covered by its checksum, and what fails it is never served, counts as absent elsewhere, and is
// replaced by the next Apply, older or not.
func TestCorruptRecord(t *testing.T) {
	for _, history := range []node.History{"", node.History("\x01" + strings.Repeat("h", 41))} {
		for _, expires := range []int64{0, 7} {
			r := put("key", "value", 5)
			r.History, r.Expires = history, expires
			testCorruptRecord(t, r)
		}
	}
}

func testCorruptRecord(t *testing.T, r node.Record) {
	s := openPebble(t, t.TempDir(), smallOptions())
	apply(t, s, put("other", "sound", 1), r)
	diskKey := store.DiskKey(r.Key)
	sound, err := s.Raw(diskKey)
	if err != nil {
		t.Fatal(err)
	}
	other := summary([]node.Entry{{Key: []byte("other"), Version: version(1)}})
	spoilt := [][]byte{{}, sound[:1], sound[:len(sound)-1], append(bytes.Clone(sound), 0)}
	for bit := range 8 * len(sound) {
		flipped := bytes.Clone(sound)
		flipped[bit/8] ^= 1 << (bit % 8)
		spoilt = append(spoilt, flipped)
	}
	moved, err := s.Raw(store.DiskKey([]byte("other"))) // sound, but another key's
	if err != nil {
		t.Fatal(err)
	}
	spoilt = append(spoilt, moved)
	for _, raw := range spoilt {
		if err := s.SetRaw(diskKey, raw); err != nil {
			t.Fatal(err)
		}
		before := s.CorruptRecords()
		if got, ok, err := s.Get(r.Key); ok || !errors.Is(err, node.ErrCorrupt) {
			t.Errorf("%x: got %+v, %v, want node.ErrCorrupt", raw, got, err)
		}
		if v, err := s.Version(r.Key); err != nil || !v.IsZero() {
			t.Errorf("%x: got version %v, %v", raw, v, err)
		}
		entries, err := s.List(ring.FullArc(), node.Cursor{}, 10)
		if err != nil || len(entries) != 1 || string(entries[0].Key) != "other" {
			t.Errorf("%x: listed %v, %v", raw, entries, err)
		}
		if sums, err := s.Digest([]ring.Arc{ring.FullArc()}); err != nil || sums[0] != other {
			t.Errorf("%x: got digest %+v, %v", raw, sums, err)
		}
		if n, err := s.Drop([]node.Entry{{Key: r.Key, Version: r.Version}, {Key: r.Key}}); n != 0 || err != nil {
			t.Errorf("%x: dropped %d, %v", raw, n, err)
		}
		if got := s.CorruptRecords() - before; got < 4 {
			t.Errorf("%x: counted %d corrupt reads", raw, got)
		}
	}
	older := put("key", "from another replica", 3)
	if got := apply(t, s, older); got[0] != older.Version {
		t.Errorf("got version %v, want %v", got[0], older.Version)
	}
	if got, ok := get(t, s, "key"); !ok || !equal(got, older) {
		t.Errorf("got %+v, %v", got, ok)
	}
	waitFor(t, func() bool { return s.Stats().Records == 2 })
}

// A table with a damaged block: what is in it counts as absent until it is written anew; all else is served.
// TestCorruptOwnData damages the first block of a table, in which the store has what it keeps for itself: the hash tree, its journal, and the index of tombstones. They
// are made anew.
func TestCorruptOwnData(t *testing.T) {
	dir := t.TempDir()
	s := openPebble(t, dir, smallOptions())
	records := ringOrder(1000)
	apply(t, s, records...)
	deleted := node.Record{Key: records[999].Key, Version: version(5000), Tombstone: true}
	apply(t, s, deleted)
	if err := errors.Join(s.Compact(), s.Close()); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	content, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	content[100] ^= 0xff
	if err := os.WriteFile(tables[0], content, 0o600); err != nil {
		t.Fatal(err)
	}

	for range 2 { // and at the next start
		s = openPebble(t, dir, smallOptions())
		sound := 0
		for _, r := range records[:999] {
			got, ok, err := s.Get(r.Key)
			switch {
			case err == nil && ok && equal(got, r):
				sound++
			case !errors.Is(err, node.ErrCorrupt):
				t.Fatalf("got %+v, %v, %v, want %+v or a corrupt record", got, ok, err, r)
			}
		}
		if sound < 100 {
			t.Errorf("%d of 999 records can be read", sound)
		}
		if got, ok := get(t, s, string(deleted.Key)); !ok || !got.Tombstone {
			t.Errorf("the deleted key: got %+v, %v", got, ok)
		}
		sums, err := s.Digest([]ring.Arc{ring.FullArc()})
		if n := s.Stats(); err != nil || n.Records != int64(sums[0].Count) || n.Records < int64(sound)+1-100 || n.Tombstones != 1 {
			t.Errorf("got %+v, digest %+v, %v; %d records and a tombstone can be read", n, sums, err, sound)
		}
		apply(t, s, put("new", "value", 6000))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCorruptTable(t *testing.T) {
	dir := t.TempDir()
	records := ringOrder(1000)
	rng := rand.NewChaCha8([32]byte{})
	for i := range records { // few to a block: Pebble takes its time to look for the flipped bit, at every read
		records[i].Value = make([]byte, 5000)
		_, _ = rng.Read(records[i].Value) // never fails
	}
	s := openPebble(t, dir, smallOptions())
	apply(t, s, records...)
	if err := errors.Join(s.Compact(), s.Close()); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	content, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/3] ^= 0xff
	if err := os.WriteFile(tables[0], content, 0o600); err != nil {
		t.Fatal(err)
	}

	s = openPebble(t, dir, smallOptions())
	var lost []node.Record
	for _, r := range records {
		got, ok, err := s.Get(r.Key)
		switch {
		case errors.Is(err, node.ErrCorrupt):
			lost = append(lost, r)
		case err != nil || !ok || !equal(got, r):
			t.Fatalf("got %+v, %v, %v, want %+v", got, ok, err, r)
		}
	}
	if len(lost) == 0 || len(lost) > len(records)/20 {
		t.Fatalf("a damaged block took %d records", len(lost))
	}
	entries, err := s.List(ring.FullArc(), node.Cursor{}, len(records))
	if err != nil || len(entries) > len(records)-len(lost) || len(entries) < len(records)-4*len(lost) {
		t.Errorf("listed %d of %d, %v; %d are lost", len(entries), len(records), err, len(lost))
	}
	sums, err := s.Digest([]ring.Arc{ring.FullArc()})
	if n := int(sums[0].Count); err != nil || n > len(records)-len(lost) || n < len(records)-4*len(lost) {
		t.Errorf("got digest %+v, %v of %d records; %d are lost", sums, err, len(records), len(lost))
	}
	for _, r := range lost { // an arc that ends in the damaged block
		arc := ring.Arc{After: r.ID().Prev(), Through: r.ID()}
		entries, err := s.List(arc, node.Cursor{}, 10)
		sums, digestErr := s.Digest([]ring.Arc{arc})
		if err != nil || digestErr != nil || len(entries) > 0 || sums[0] != (node.Summary{}) {
			t.Fatalf("of a record that is lost: listed %v (%v), digest %v (%v)", entries, err, sums, digestErr)
		}
	}
	if got := apply(t, s, lost...); got[0] != lost[0].Version {
		t.Errorf("got version %v, want %v", got[0], lost[0].Version)
	}
	for _, r := range lost {
		if got, ok := get(t, s, string(r.Key)); !ok || !equal(got, r) {
			t.Fatalf("got %+v, %v, want %+v", got, ok, r)
		}
	}
	if s.Metrics().CorruptRecords == 0 {
		t.Error("nothing was counted")
	}
}

// TestDamagedLog: a store that a crash has left does not open when its log is damaged before the end, also the first log of a new store: what came later was
// acknowledged, too.
func TestDamagedLog(t *testing.T) {
	dir := t.TempDir()
	s := openPebble(t, dir, smallOptions())
	for i := range 200 {
		apply(t, s, node.Record{Key: fmt.Appendf(nil, "key %d", i), Value: make([]byte, 500), Version: node.Version{Time: 1 << 16, Origin: 1}})
	}
	for seed := range uint64(20) {
		crashed := t.TempDir()
		if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		logs, err := filepath.Glob(filepath.Join(crashed, "*.log"))
		if err != nil || len(logs) != 1 {
			t.Fatalf("logs %v (%v), want one", logs, err)
		}
		log, err := os.ReadFile(logs[0])
		if err != nil {
			t.Fatal(err)
		}
		at := rand.New(rand.NewPCG(seed, 0)).IntN(len(log) / 2)
		log[at] ^= 1 << (seed % 8)
		if err := os.WriteFile(logs[0], log, 0o644); err != nil {
			t.Fatal(err)
		}
		damaged, err := store.OpenPebble(crashed, smallOptions())
		if err == nil {
			err = fmt.Errorf("%d records are left (closed: %v)", damaged.Stats().Records, damaged.Close())
		}
		if !errors.Is(err, node.ErrCorrupt) {
			t.Errorf("byte %d of %d is damaged: got %v, want that it is corrupt", at, len(log), err)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	s := openPebble(f, f.TempDir(), smallOptions())
	for i, r := range []node.Record{put("k", "v", 1), put("k", "", 2), tombstone("k", 3), put("k", "v", 4), tombstone("k", 5), put("k", "v", 6)} {
		r.Key = fmt.Append(nil, "k", i)
		if i >= 3 {
			r.History = node.History("\x00" + strings.Repeat("h", 41))
		}
		r.Manifest = i == 1 || i == 3
		if i%2 == 1 {
			r.Expires = 1 << 40
		}
		apply(f, s, r)
		raw, err := s.Raw(store.DiskKey(r.Key))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(r.Key, raw)
	}
	f.Fuzz(func(t *testing.T, key, raw []byte) {
		r, err := store.DecodeRecord(store.DiskKey(key), raw)
		if err != nil {
			if !errors.Is(err, node.ErrCorrupt) {
				t.Errorf("%v is no node.ErrCorrupt", err)
			}
			return
		}
		if again := store.EncodeRecord(r); !bytes.Equal(again, raw) {
			t.Errorf("%x decodes to %+v, which encodes to %x", raw, r, again)
		}
	})
}

func FuzzEncodeRecord(f *testing.F) {
	f.Add([]byte("key"), []byte("value"), uint64(1), uint64(2), false, uint8(0), int64(3))
	f.Add([]byte("\x00"), []byte(nil), uint64(1<<63), uint64(0), true, uint8(16), int64(0))
	f.Fuzz(func(t *testing.T, key, value []byte, time, origin uint64, deleted bool, outcomes uint8, expires int64) {
		history := node.History("")
		if outcomes > 0 {
			history = node.History("\x00" + strings.Repeat("h", 41*int(outcomes%17)))
		}
		r := node.Record{
			Key: key, Value: append([]byte{}, value...), Tombstone: deleted, History: history, Manifest: !deleted && outcomes%2 == 1,
			Version: node.Version{Time: time, Origin: origin}, Request: node.RequestID{byte(origin), 15: byte(time)}, Expires: max(expires, 0),
		}
		if deleted {
			r.Value = nil
		}
		got, err := store.DecodeRecord(store.DiskKey(key), store.EncodeRecord(r))
		if err != nil || !equal(got, r) {
			t.Errorf("got %+v, %v, want %+v", got, err, r)
		}
	})
}
