package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/chordkv/chord/internal/raced"
	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
	"github.com/chordkv/chord/ring"
)

// dataBlocks returns where the blocks of records of a table lie in its file.
func dataBlocks(t *testing.T, path string) []block.HandleWithProperties {
	t.Helper()
	file, err := vfs.Default.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	readable, err := sstable.NewSimpleReadable(file)
	if err != nil {
		t.Fatal(err)
	}
	o := &pebble.Options{}
	o.EnsureDefaults()
	r, err := sstable.NewReader(context.Background(), readable, o.MakeReaderOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	layout, err := r.Layout()
	if err != nil {
		t.Fatal(err)
	}
	return layout.Data
}

// spoilBlocks flips a byte in each of some blocks of the largest table of a store that is closed.
func spoilBlocks(t *testing.T, dir string, which func(blocks int) []int) {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	size := func(path string) int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	largest := slices.MaxFunc(tables, func(a, b string) int { return int(size(a) - size(b)) })
	content, err := os.ReadFile(largest)
	if err != nil {
		t.Fatal(err)
	}
	blocks := dataBlocks(t, largest)
	for _, i := range which(len(blocks)) {
		content[blocks[i].Offset+blocks[i].Length/2] ^= 0xff
	}
	if err := os.WriteFile(largest, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// unreadable returns which records Pebble itself cannot read in a store that is closed.
func unreadable(t *testing.T, dir string, records []node.Record) map[string]bool {
	t.Helper()
	db, err := pebble.Open(dir, &pebble.Options{
		ReadOnly: true, FormatMajorVersion: pebble.FormatNewest, Logger: pebble.DefaultLogger,
		EventListener: &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}}, // or it ends the process
	})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	lost := map[string]bool{}
	for _, r := range records {
		_, closer, err := db.Get(store.DiskKey(r.Key))
		switch {
		case pebble.IsCorruptionError(err):
			lost[string(r.Key)] = true
		case err != nil:
			t.Fatal(err)
		default:
			closer.Close()
		}
	}
	return lost
}

// A block that cannot be read is cut out as soon as somebody meets it: everything that could be read before still can be, what was in the block is an error rather than
// absent, also after a crash, until it is refilled, and what is written there is listed.
func TestDamagedBlockIsCutOut(t *testing.T) {
	for _, test := range []struct {
		name   string
		value  int // bytes
		blocks func(n int) []int
	}{
		{"in the middle", 100, func(n int) []int { return []int{n / 2} }},
		{"the first", 100, func(int) []int { return []int{0} }},
		{"the second", 100, func(int) []int { return []int{1} }},
		{"the third", 100, func(int) []int { return []int{2} }},
		{"the first three", 100, func(int) []int { return []int{0, 1, 2} }},
		{"the last", 100, func(n int) []int { return []int{n - 1} }},
		{"two in a row", 100, func(n int) []int { return []int{n / 3, n/3 + 1} }},
		{"two around one", 100, func(n int) []int { return []int{n / 3, n/3 + 2} }},
		{"one record each", 20000, func(n int) []int { return []int{n / 3, n/3 + 2, n - 2} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			if raced.Enabled && test.name != "in the middle" {
				t.Skip("the others are no different to the race detector")
			}
			testCutOut(t, test.value, test.blocks)
		})
	}
}

func testCutOut(t *testing.T, bytes int, blocks func(n int) []int) {
	dir := t.TempDir()
	records := ringOrder(min(3000, 5_000_000/bytes))
	for i := range records { // such as compress well: Pebble takes its time to look for a flipped bit
		records[i].Value = slices.Repeat([]byte{byte(i)}, bytes)
	}
	s := openPebble(t, dir, smallOptions())
	apply(t, s, records...)
	if err := errors.Join(s.Compact(), s.Close()); err != nil {
		t.Fatal(err)
	}
	spoilBlocks(t, dir, blocks)
	lost := unreadable(t, dir, records)
	if len(lost) > len(records)/3 {
		t.Fatalf("%d of %d records cannot be read", len(lost), len(records))
	}

	// What is written among the keys of the block before anybody meets it: newer versions, a delete, new keys.
	want := map[string]node.Record{}
	for _, r := range records {
		if !lost[string(r.Key)] {
			want[string(r.Key)] = r
		}
	}
	s = openPebble(t, dir, smallOptions())
	tombstones := 0
	for i, r := range records {
		if i%10 == 0 {
			newer := put(string(r.Key), "newer", 10_000+i)
			if i%20 == 0 {
				newer = tombstone(string(r.Key), 10_000+i)
				tombstones++
			}
			apply(t, s, newer)
			want[string(r.Key)] = newer
			delete(lost, string(r.Key))
		}
	}
	for i := range 500 {
		r := put(fmt.Sprint("new-", i), "new", 20_000+i)
		apply(t, s, r)
		want[string(r.Key)] = r
	}

	list := func() (keys int) {
		entries, err := s.List(ring.FullArc(), node.Cursor{}, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		sums, err := s.Digest([]ring.Arc{ring.FullArc()})
		if err == nil && sums[0] == summary(entries) {
			return len(entries)
		}
		return -1
	}
	waitFor(t, func() bool {
		time.Sleep(100 * time.Millisecond) // a look at a damaged block keeps a processor busy
		return list() == len(want)
	})
	check := func() {
		t.Helper()
		for _, r := range want {
			if got, ok := get(t, s, string(r.Key)); !ok || !equal(got, r) {
				t.Fatalf("got %+v, %v, want %+v", got, ok, r)
			}
		}
		for key := range lost {
			if got, ok, err := s.Get([]byte(key)); ok || !errors.Is(err, node.ErrCorrupt) {
				t.Fatalf("got %+v, %v, %v of a record that was lost", got, ok, err)
			}
		}
	}
	check()
	if err := s.Abandon(); err != nil {
		t.Fatal(err)
	}
	s = openPebble(t, dir, smallOptions())
	check()
	if n := list(); n != len(want) {
		t.Errorf("listed %d of %d after a crash", n, len(want))
	}

	t.Logf("%d records cannot be read", len(lost))
	back := []node.Record{put("never there", "", 1)}
	for _, r := range records {
		if lost[string(r.Key)] {
			back = append(back, r)
		}
	}
	apply(t, s, back[1:]...)
	if n := list(); n != len(want)+len(back)-1 {
		t.Errorf("listed %d of %d with those that came back", n, len(want)+len(back)-1)
	}
	if err := s.Compact(); err != nil && len(lost) > 0 { // else the block may be one that nobody reads any more
		t.Errorf("what is left of the table cannot be compacted: %v", err)
	}
	if n := s.CorruptRecords(); n != 0 {
		t.Errorf("met %d corrupt records after all was cut out", n)
	}
	arcs := s.Lost()
	if (len(arcs) == 0) != (len(lost) == 0) {
		t.Fatalf("%d records were lost, and on record is %v", len(lost), arcs)
	}
	for _, arc := range arcs {
		if err := s.Refilled(arc); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openPebble(t, dir, smallOptions())
	if n := s.Stats(); n.Tombstones != int64(tombstones) {
		t.Errorf("%d tombstones, want %d", n.Tombstones, tombstones)
	}
	if _, ok := get(t, s, "never there"); ok || len(s.Lost()) > 0 {
		t.Errorf("refilled: still lost %v; got a record: %v", s.Lost(), ok)
	}
	if n := list(); n != len(want)+len(back)-1 {
		t.Errorf("listed %d of %d in the end", n, len(want)+len(back)-1)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "salvage*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %s, %v", strings.Join(left, " "), err)
	}
}
