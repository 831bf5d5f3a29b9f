package store_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
	"github.com/chordkv/chord/ring"
)

// byAge is the order of Store.Tombstones.
func byAge(a, b node.Entry) int {
	return cmp.Or(cmp.Compare(a.Version.Time, b.Version.Time), ring.Hash(a.Key).Compare(ring.Hash(b.Key)), bytes.Compare(a.Key, b.Key))
}

// sameEntries compares entries without hashes.
func sameEntries(a, b []node.Entry) bool {
	return slices.EqualFunc(a, b, func(a, b node.Entry) bool { return bytes.Equal(a.Key, b.Key) && a.Version == b.Version })
}

// indexError says where the tombstones that a store lists, page by page, are not those that it has.
func indexError(s node.Store) error {
	all, err := s.List(ring.FullArc(), node.Cursor{}, math.MaxInt)
	if err != nil {
		return err
	}
	var want, got []node.Entry
	expiring := int64(0)
	for _, e := range all {
		if r, _, err := s.Get(e.Key); err != nil {
			return err
		} else if r.Tombstone {
			want = append(want, node.Entry{Key: e.Key, Version: e.Version})
		} else if r.Expires != 0 {
			expiring++
		}
	}
	slices.SortFunc(want, byAge)
	for page := []node.Entry{{}}; len(page) > 0; got = append(got, page...) {
		if page, err = s.Tombstones(math.MaxUint64, page[len(page)-1], 7); err != nil {
			return err
		}
	}
	if !sameEntries(got, want) {
		return fmt.Errorf("the index has tombstones\n%v, the store\n%v", got, want)
	}
	if n := s.Stats().Tombstones; n != int64(len(want)) {
		return fmt.Errorf("%d tombstones by the statistics, %d in the store", n, len(want))
	}
	if n := s.Stats().Expiring; n != expiring {
		return fmt.Errorf("%d records expire by the statistics, %d in the store", n, expiring)
	}
	return nil
}

func TestTombstones(t *testing.T) {
	stores(t, func(t *testing.T, s node.Store) {
		apply(t, s, tombstone("c", 3), put("v", "v", 1), tombstone("a", 1), tombstone("b", 2), tombstone("d", 4))
		want := []node.Entry{{Key: []byte("a"), Version: version(1)}, {Key: []byte("b"), Version: version(2)}, {Key: []byte("c"), Version: version(3)}}
		got, err := s.Tombstones(version(4).Time, node.Entry{}, 10)
		if err != nil || !sameEntries(got, want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
		if got, err = s.Tombstones(version(4).Time, want[0], 1); err != nil || !sameEntries(got, want[1:2]) {
			t.Errorf("got %v, %v, want %v", got, err, want[1:2])
		}
		apply(t, s, put("a", "again", 5), tombstone("b", 6))
		if _, err := s.Drop([]node.Entry{{Key: []byte("c"), Version: version(3)}}); err != nil {
			t.Fatal(err)
		}
		want = []node.Entry{{Key: []byte("d"), Version: version(4)}, {Key: []byte("b"), Version: version(6)}}
		if got, err = s.Tombstones(math.MaxUint64, node.Entry{}, 10); err != nil || !sameEntries(got, want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
		if err := indexError(s); err != nil {
			t.Error(err)
		}
	})
}

// A tombstone that becomes unreadable is none any more, and its place in the index goes when somebody comes by.
func TestCorruptTombstone(t *testing.T) {
	opts := smallOptions()
	opts.FS = vfs.NewMem()
	s := openPebble(t, "records", opts)
	apply(t, s, tombstone("a", 1), tombstone("b", 1))
	raw, err := s.Raw(store.DiskKey([]byte("a")))
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-1] ^= 1
	if err := s.SetRaw(store.DiskKey([]byte("a")), raw); err != nil {
		t.Fatal(err)
	}
	want := []node.Entry{{Key: []byte("b"), Version: version(1)}}
	for range 2 {
		if got, err := s.Tombstones(math.MaxUint64, node.Entry{}, 10); err != nil || !sameEntries(got, want) || s.Stats().Tombstones != 1 {
			t.Errorf("got %v, %v, %d, want %v", got, err, s.Stats().Tombstones, want)
		}
	}
	apply(t, s, tombstone("a", 1))
	if err := indexError(s); err != nil {
		t.Error(err)
	}
}
