package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
	"github.com/chordkv/chord/ring"
)

// smallOptions are those of a store that a test fills.
func smallOptions() store.PebbleOptions {
	opts := store.DefaultPebbleOptions()
	opts.CacheBytes, opts.MemTableBytes = 1<<20, 256<<10
	opts.ReserveBytes, opts.BallastBytes = 0, 0
	return opts
}

func openPebble(t testing.TB, dir string, opts store.PebbleOptions) *store.Pebble {
	t.Helper()
	p, err := store.OpenPebble(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// stores runs a test against every kind of store.
func stores(t *testing.T, test func(t *testing.T, s node.Store)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) { test(t, store.NewMemory()) })
	t.Run("pebble", func(t *testing.T) { test(t, openPebble(t, t.TempDir(), smallOptions())) })
	t.Run("pebble without sync", func(t *testing.T) {
		opts := smallOptions()
		opts.Sync, opts.FS = store.SyncNever, vfs.NewMem()
		test(t, openPebble(t, "records", opts))
	})
}

func version(n int) node.Version { return node.Version{Time: uint64(n) << 16, Origin: 7} }

func put(key, value string, n int) node.Record {
	return node.Record{Key: []byte(key), Value: []byte(value), Version: version(n), Request: node.RequestID{byte(n), 1}}
}

func tombstone(key string, n int) node.Record {
	return node.Record{Key: []byte(key), Version: version(n), Tombstone: true, Request: node.RequestID{byte(n), 2}}
}

func apply(t testing.TB, s node.Store, records ...node.Record) []node.Version {
	t.Helper()
	versions, err := s.Apply(records)
	if err != nil {
		t.Fatal(err)
	}
	if len(versions) != len(records) {
		t.Fatalf("got %d versions for %d records", len(versions), len(records))
	}
	return versions
}

func get(t testing.TB, s node.Store, key string) (node.Record, bool) {
	t.Helper()
	r, ok, err := s.Get([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return r, ok
}

// equal compares records, nil and empty values told apart.
func equal(a, b node.Record) bool {
	return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) && (a.Value == nil) == (b.Value == nil) &&
		a.Version == b.Version && a.Tombstone == b.Tombstone && a.Request == b.Request && a.History == b.History && a.Manifest == b.Manifest && a.Expires == b.Expires
}

func TestApplyKeepsTheNewest(t *testing.T) {
	for _, test := range []struct {
		name    string
		batches [][]node.Record
		want    [][]int // the versions that each Apply returns
		left    node.Record
	}{
		{"fresh", [][]node.Record{{put("k", "a", 1)}}, [][]int{{1}}, put("k", "a", 1)},
		{"newer", [][]node.Record{{put("k", "a", 1)}, {put("k", "b", 2)}}, [][]int{{1}, {2}}, put("k", "b", 2)},
		{"older", [][]node.Record{{put("k", "b", 2)}, {put("k", "a", 1)}}, [][]int{{2}, {2}}, put("k", "b", 2)},
		{"equal", [][]node.Record{{put("k", "a", 1)}, {put("k", "b", 1)}}, [][]int{{1}, {1}}, put("k", "a", 1)},
		{"tombstone over value", [][]node.Record{{put("k", "a", 1)}, {tombstone("k", 2)}}, [][]int{{1}, {2}}, tombstone("k", 2)},
		{"value over tombstone", [][]node.Record{{tombstone("k", 2)}, {put("k", "a", 3)}}, [][]int{{2}, {3}}, put("k", "a", 3)},
		{"old value under tombstone", [][]node.Record{{tombstone("k", 2)}, {put("k", "a", 1)}}, [][]int{{2}, {2}}, tombstone("k", 2)},
		{
			"one key in one batch",
			[][]node.Record{{put("k", "a", 1), put("k", "c", 3), put("k", "b", 2)}},
			[][]int{{3, 3, 3}},
			put("k", "c", 3),
		},
		{
			"one key in one batch, older than stored",
			[][]node.Record{{put("k", "d", 4)}, {put("k", "a", 1), put("x", "x", 9), put("k", "c", 3)}},
			[][]int{{4}, {4, 9, 4}},
			put("k", "d", 4),
		},
		{"empty batch", [][]node.Record{{}, {put("k", "a", 1)}}, [][]int{{}, {1}}, put("k", "a", 1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			stores(t, func(t *testing.T, s node.Store) {
				for i, batch := range test.batches {
					got := apply(t, s, batch...)
					for j, n := range test.want[i] {
						if want := version(n); got[j] != want {
							t.Errorf("batch %d, record %d: got version %v, want %v", i, j, got[j], want)
						}
					}
				}
				if got, ok := get(t, s, "k"); !ok || !equal(got, test.left) {
					t.Errorf("got %+v, %v, want %+v", got, ok, test.left)
				}
				if got, err := s.Version([]byte("k")); err != nil || got != test.left.Version {
					t.Errorf("got version %v, %v, want %v", got, err, test.left.Version)
				}
			})
		})
	}
}

func TestAnyBytesComeBack(t *testing.T) {
	big := bytes.Repeat([]byte("chord"), 1<<20/5)
	for _, test := range []struct {
		name       string
		key, value []byte
		want       []byte
	}{
		{"empty value", []byte("k"), []byte{}, []byte{}},
		{"nil value", []byte("k"), nil, []byte{}},
		{"NUL", []byte("a\x00b\x00"), []byte("\x00"), []byte("\x00")},
		{"one NUL", []byte{0}, []byte("v"), []byte("v")},
		{"not UTF-8", []byte("\xff\xfe\x80"), []byte("\xc3\x28"), []byte("\xc3\x28")},
		{"long key", bytes.Repeat([]byte("k"), 1024), []byte("v"), []byte("v")},
		{"1 MiB", []byte("k"), big, big},
	} {
		t.Run(test.name, func(t *testing.T) {
			stores(t, func(t *testing.T, s node.Store) {
				r := node.Record{Key: test.key, Value: test.value, Version: version(1), Request: node.RequestID{1}}
				apply(t, s, r)
				r.Value = test.want
				if got, ok := get(t, s, string(test.key)); !ok || !equal(got, r) {
					t.Errorf("got %d bytes of key, %d of value (nil: %v), %v", len(got.Key), len(got.Value), got.Value == nil, ok)
				}
				if got, ok := get(t, s, string(test.key)+"\x00"); ok {
					t.Errorf("a longer key was found: %q", got.Key)
				}
				entries, err := s.List(ring.FullArc(), node.Cursor{}, 10)
				if err != nil || len(entries) != 1 || !bytes.Equal(entries[0].Key, test.key) {
					t.Errorf("listed %d entries, %v", len(entries), err)
				}
			})
		})
	}
}

func TestMissing(t *testing.T) {
	stores(t, func(t *testing.T, s node.Store) {
		if r, ok := get(t, s, "k"); ok {
			t.Errorf("got %+v", r)
		}
		if v, err := s.Version([]byte("k")); err != nil || !v.IsZero() {
			t.Errorf("got version %v, %v", v, err)
		}
		if n, err := s.Drop([]node.Entry{{Key: []byte("k"), Version: version(1)}, {Key: []byte("k")}}); err != nil || n != 0 {
			t.Errorf("dropped %d, %v", n, err)
		}
		if err := s.Writable(); err != nil {
			t.Error(err)
		}
	})
}

func TestDropOnlyTheGivenVersion(t *testing.T) {
	stores(t, func(t *testing.T, s node.Store) {
		apply(t, s, put("a", "1", 1), put("b", "2", 2), tombstone("c", 3), put("d", "4", 4))
		n, err := s.Drop([]node.Entry{
			{Key: []byte("a"), Version: version(1)},
			{Key: []byte("a"), Version: version(1)}, // again
			{Key: []byte("b"), Version: version(1)}, // older than stored
			{Key: []byte("c"), Version: version(3)},
			{Key: []byte("d"), Version: version(5)}, // newer than stored
			{Key: []byte("e"), Version: version(1)}, // not there
		})
		if err != nil || n != 2 {
			t.Errorf("dropped %d, %v, want 2", n, err)
		}
		for key, want := range map[string]bool{"a": false, "b": true, "c": false, "d": true, "e": false} {
			if _, ok := get(t, s, key); ok != want {
				t.Errorf("%s: found %v, want %v", key, ok, want)
			}
		}
		waitFor(t, func() bool { return s.Stats().Records == 2 }) // a Pebble counts in the background
		// A dropped record leaves nothing behind that an older one could lose against.
		if got := apply(t, s, put("c", "old", 1)); got[0] != version(1) {
			t.Errorf("got version %v, want %v", got[0], version(1))
		}
	})
}

// ringOrder returns n records in the order of the store.
func ringOrder(n int) []node.Record {
	records := make([]node.Record, n)
	for i := range records {
		records[i] = put(fmt.Sprint("key-", i), fmt.Sprint("value-", i), i+1)
	}
	slices.SortFunc(records, func(a, b node.Record) int { return a.ID().Compare(b.ID()) })
	return records
}

// inArc returns the entries of the records in the arc, in ring order.
func inArc(records []node.Record, arc ring.Arc) []node.Entry {
	var entries []node.Entry
	for _, r := range records {
		if arc.Contains(r.ID()) {
			entries = append(entries, node.Entry{Key: r.Key, Version: r.Version})
		}
	}
	slices.SortFunc(entries, func(a, b node.Entry) int {
		return ring.Distance(arc.After.Next(), ring.Hash(a.Key)).Compare(ring.Distance(arc.After.Next(), ring.Hash(b.Key)))
	})
	return entries
}

func summary(entries []node.Entry) (s node.Summary) {
	for _, e := range entries {
		s.Count++
		s.Hash += store.EntryHash(e.Key, e.Version)
	}
	return s
}

func equalEntries(a, b []node.Entry) bool {
	return slices.EqualFunc(a, b, func(x, y node.Entry) bool {
		return bytes.Equal(x.Key, y.Key) && x.Version == y.Version && x.Hash == store.EntryHash(y.Key, y.Version)
	})
}

// arcs returns arcs of all shapes around the records, which are in ring order.
func arcs(records []node.Record) map[string]ring.Arc {
	first, mid, last := records[0].ID(), records[len(records)/2].ID(), records[len(records)-1].ID()
	top := ring.ID{}.Prev()
	return map[string]ring.Arc{
		"full":                       ring.FullArc(),
		"full from a record":         {After: mid, Through: mid},
		"full from 0":                {},
		"first half":                 {After: top, Through: mid},
		"second half":                {After: mid, Through: top},
		"across 0":                   {After: mid, Through: first},
		"across 0, nothing in it":    {After: last, Through: first.Prev()},
		"one record":                 {After: mid.Prev(), Through: mid},
		"all but one record":         {After: mid, Through: mid.Prev()},
		"a shard":                    {After: ring.ID{0x40}.Prev(), Through: ring.ID{0x41}.Prev()},
		"shards and a bit":           {After: ring.ID{0x40, 0x80}, Through: ring.ID{0x7f, 0x10}},
		"shards and a bit, across 0": {After: ring.ID{0xc0, 0x80}, Through: ring.ID{0x10, 0x10}},
		"through 0":                  {After: last, Through: ring.ID{}},
	}
}

func TestListAndDigestOfAnArc(t *testing.T) {
	for _, n := range []int{50, 3000} { // Memory has one shard for the one, many for the other
		records := ringOrder(n)
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			stores(t, func(t *testing.T, s node.Store) {
				apply(t, s, records...)
				if m, ok := s.(*store.Memory); ok && (m.Shards() > 1) != (n > 1000) {
					t.Errorf("%d records in %d shards", n, m.Shards())
				}
				for name, arc := range arcs(records) {
					want := inArc(records, arc)
					got, err := s.List(arc, node.Cursor{}, n+1)
					if err != nil || !equalEntries(got, want) {
						t.Errorf("%s: listed %d entries, %v, want %d in ring order", name, len(got), err, len(want))
					}
					sums, err := s.Digest([]ring.Arc{arc, arc})
					if err != nil || sums[0] != summary(want) || sums[1] != sums[0] {
						t.Errorf("%s: got digest %+v, %v, want %+v", name, sums, err, summary(want))
					}
					var pages []node.Entry
					cursor := node.Cursor{}
					for {
						page, err := s.List(arc, cursor, 7)
						if err != nil {
							t.Fatal(err)
						}
						pages = append(pages, page...)
						if len(page) < 7 {
							break
						}
						cursor.Key = page[6].Key
					}
					if !equalEntries(pages, want) {
						t.Errorf("%s: %d entries in pages, want %d", name, len(pages), len(want))
					}
				}
			})
		})
	}
}

func TestListLimitsAndCursors(t *testing.T) {
	records := ringOrder(20)
	stores(t, func(t *testing.T, s node.Store) {
		apply(t, s, records...)
		arc := ring.Arc{After: records[4].ID(), Through: records[9].ID()}
		want := inArc(records, arc)
		for _, test := range []struct {
			name  string
			from  []byte
			limit int
			want  []node.Entry
		}{
			{"limit 0", nil, 0, nil},
			{"limit 3", nil, 3, want[:3]},
			{"the exact number", nil, 5, want},
			{"behind the second", want[1].Key, 10, want[2:]},
			{"behind the last", want[4].Key, 10, nil},
			{"behind a record that is not there", absentBetween(records[5].ID(), records[6].ID()), 10, want[1:]},
			{"from outside the arc", records[12].Key, 10, want},
		} {
			got, err := s.List(arc, node.Cursor{Key: test.from}, test.limit)
			if err != nil || !equalEntries(got, test.want) {
				t.Errorf("%s: got %v, %v, want %v", test.name, got, err, test.want)
			}
		}
	})
}

// absentBetween returns a key whose place lies between a and b.
func absentBetween(a, b ring.ID) []byte {
	for i := 0; ; i++ {
		if key := fmt.Append(nil, "absent-", i); ring.Between(a, ring.Hash(key), b) {
			return key
		}
	}
}

// EntryHash is part of the wire protocol: these values are for ever.
func TestEntryHashIsFixed(t *testing.T) {
	for _, test := range []struct {
		key     string
		version node.Version
		want    uint64
	}{
		{"", node.Version{}, 0xaf09f71516247c32},
		{"key", node.Version{Time: 1, Origin: 2}, 0x1a61fdaf31a22122},
		{"\x00\xff", node.Version{Time: 1 << 63, Origin: 1<<64 - 1}, 0x2d97a609e456622e},
	} {
		if got := store.EntryHash([]byte(test.key), test.version); got != test.want {
			t.Errorf("%q %v: got %#x, want %#x", test.key, test.version, got, test.want)
		}
	}
}

func TestReopen(t *testing.T) {
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprintf("clean %v", clean), func(t *testing.T) {
			fs := vfs.NewCrashableMem()
			opts := smallOptions()
			opts.FS = fs
			records := ringOrder(1000)
			first := openPebble(t, "records", opts)
			apply(t, first, records...)
			apply(t, first, put("key-3", "newer", 5000), tombstone("key-4", 5000))
			if _, err := first.Drop([]node.Entry{{Key: []byte("key-5"), Version: version(6)}}); err != nil {
				t.Fatal(err)
			}
			digest, err := first.Digest([]ring.Arc{ring.FullArc()})
			if err != nil {
				t.Fatal(err)
			}
			if clean {
				if err := first.Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				opts.FS = fs.CrashClone(vfs.CrashCloneCfg{})
			}
			second := openPebble(t, "records", opts)
			if clean && second.Stats().Records != 999 {
				t.Errorf("got %d records right after a clean close, want 999", second.Stats().Records)
			}
			if got, err := second.Digest([]ring.Arc{ring.FullArc()}); err != nil || got[0] != digest[0] || got[0].Count != 999 {
				t.Errorf("got digest %+v, %v, want %+v of 999", got, err, digest)
			}
			if r, ok := get(t, second, "key-3"); !ok || string(r.Value) != "newer" {
				t.Errorf("got %+v, %v", r, ok)
			}
			apply(t, second, put("new", "", 1))
			waitFor(t, func() bool { return second.Stats().Records == 1000 })
		})
	}
}

func TestOpenErrors(t *testing.T) {
	bad := store.PebbleOptions{Sync: 9, CacheBytes: -1, ReserveBytes: -1, BallastBytes: -1}
	_, err := store.OpenPebble(t.TempDir(), bad)
	if !errors.Is(err, node.ErrStore) {
		t.Errorf("got %v, want a node.ErrStore", err)
	}
	for _, word := range []string{"sync mode", "cache", "memtable", "reserve", "ballast"} {
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(word)) {
			t.Errorf("no word of %s in: %v", word, err)
		}
	}
	dir := filepath.Join(t.TempDir(), "records")
	openPebble(t, dir, smallOptions())
	if _, err := store.OpenPebble(dir, smallOptions()); !errors.Is(err, node.ErrStore) {
		t.Errorf("opened twice: %v", err)
	}
}

func TestSyncModeText(t *testing.T) {
	for _, m := range []store.SyncMode{store.SyncAlways, store.SyncInterval, store.SyncNever} {
		if got, err := store.ParseSyncMode(m.String()); err != nil || got != m {
			t.Errorf("%v: got %v, %v", m, got, err)
		}
	}
	if m, err := store.ParseSyncMode("sometimes"); err == nil {
		t.Errorf("got %v", m)
	}
}

// Of many records with one key in a batch, the newest is stored whatever their order.
func TestApplyKeepsTheNewestOfMany(t *testing.T) {
	stores(t, func(t *testing.T, s node.Store) {
		batch := make([]node.Record, 40)
		for i := range batch {
			batch[i] = put("k", fmt.Sprint(i), i+1)
		}
		for i, v := range apply(t, s, batch...) {
			if v != version(40) {
				t.Fatalf("record %d: got version %v, want the newest", i, v)
			}
		}
	})
}

// Replace is a compare-and-set: it stores what was decided on the version that is there, and nothing else.
func TestReplace(t *testing.T) {
	stores(t, func(t *testing.T, s node.Store) {
		replace := func(r node.Record, stored int, want bool) {
			t.Helper()
			v := node.Version{}
			if stored > 0 {
				v = version(stored)
			}
			if got, err := s.Replace([]node.Record{r}, []node.Version{v}); err != nil || got[0] != want {
				t.Errorf("%q over version %d: got %v, %v, want %v", r.Value, stored, got, err, want)
			}
		}
		replace(put("k", "a", 2), 1, false)
		replace(put("k", "a", 2), 0, true)
		replace(put("k", "b", 3), 0, false)
		replace(put("k", "b", 3), 2, true)
		replace(put("k", "c", 1), 3, true) // back to an older one
		got, err := s.Replace(
			[]node.Record{put("k", "d", 4), put("x", "x", 9), put("k", "e", 5), put("k", "f", 6), put("k", "g", 7)},
			[]node.Version{version(1), {}, version(4), version(4), version(5)})
		if want := []bool{true, true, true, false, true}; err != nil || !slices.Equal(got, want) {
			t.Errorf("several of a key: got %v, %v, want %v", got, err, want)
		}
		if r, _ := get(t, s, "k"); string(r.Value) != "g" {
			t.Errorf("got %q, want the last", r.Value)
		}
		entries, _ := s.List(ring.FullArc(), node.Cursor{}, 9)
		if sums, err := s.Digest([]ring.Arc{ring.FullArc()}); err != nil || sums[0] != summary(entries) || len(entries) != 2 {
			t.Errorf("%d entries, digest %v, %v", len(entries), sums, err)
		}
	})
}

// A counter that many raise at once.
func TestReplaceConcurrently(t *testing.T) {
	const writers, each = 8, 50
	stores(t, func(t *testing.T, s node.Store) {
		var tasks sync.WaitGroup
		for w := range writers {
			tasks.Go(func() {
				for n := 0; n < each; {
					was, _, err := s.Get([]byte("k"))
					next := node.Record{Key: []byte("k"), Value: fmt.Append(nil, was.Version.Time>>16+1), Version: node.Version{Time: was.Version.Time + 1<<16, Origin: uint64(w)}}
					done, replaceErr := s.Replace([]node.Record{next}, []node.Version{was.Version})
					if err != nil || replaceErr != nil {
						t.Error(err, replaceErr)
						return
					}
					if done[0] {
						n++
					}
				}
			})
		}
		tasks.Wait()
		if r, _ := get(t, s, "k"); string(r.Value) != fmt.Sprint(writers*each) {
			t.Errorf("got %s, want %d", r.Value, writers*each)
		}
	})
}
