package store_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
	"github.com/chordkv/chord/ring"
)

func lease(key, value string, n int, expires int64) node.Record {
	r := put(key, value, n)
	r.Expires = expires
	return r
}

// An expired record becomes a tombstone that says all but the value, and two replicas of which only one has made it one have the same digest.
func TestExpire(t *testing.T) {
	stores(t, func(t *testing.T, s node.Store) {
		counted := lease("counted", "7", 3, 30)
		counted.History = node.History("\x00" + strings.Repeat("h", 41))
		counted.Request = node.RequestID{9}
		apply(t, s, put("stays", "v", 1), lease("later", "v", 2, 40), counted, lease("first", "v", 4, 10), lease("written again", "v", 1, 10), put("written again", "v", 2))
		before, err := s.Digest([]ring.Arc{ring.FullArc()})
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			before int64
			limit  int
			want   string
		}{{10, 10, "[]"}, {math.MaxInt64, 1, "[first]"}, {40, 10, "[counted]"}, {40, 10, "[]"}} {
			if keys, err := s.Expire(step.before, step.limit); fmt.Sprintf("%s", keys) != step.want || err != nil {
				t.Errorf("before %d, at most %d: %s, %v, want %s", step.before, step.limit, keys, err, step.want)
			}
		}
		after, err := s.Digest([]ring.Arc{ring.FullArc()})
		if err != nil || after[0] != before[0] {
			t.Errorf("the digest is %+v, %v, it was %+v", after, err, before)
		}
		counted.Tombstone, counted.Value = true, nil
		for _, want := range []node.Record{counted, lease("later", "v", 2, 40), put("stays", "v", 1), put("written again", "v", 2)} {
			if got, ok := get(t, s, string(want.Key)); !ok || !equal(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
		// Neither form of a record takes the place of the other, and an older one neither.
		apply(t, s, lease("first", "v", 4, 10), put("first", "older", 3))
		if got, _ := get(t, s, "first"); !got.Tombstone || got.Version != version(4) {
			t.Errorf("got %+v", got)
		}
		// But the owner may put the whole record back where it was made one too early.
		if done, err := s.Replace([]node.Record{lease("first", "v", 4, 10)}, []node.Version{version(4)}); err != nil || !done[0] {
			t.Error(done, err)
		}
		if got, _ := get(t, s, "first"); !equal(got, lease("first", "v", 4, 10)) {
			t.Errorf("got %+v", got)
		}
		if err := indexError(s); err != nil {
			t.Error(err)
		}
	})
}

// Many at a time, with a limit that is no multiple of what goes into a commit, and over a restart.
func TestExpireMany(t *testing.T) {
	opts := smallOptions()
	opts.FS = vfs.NewMem()
	s := openPebble(t, "records", opts)
	var records []node.Record
	for i := range 1000 {
		records = append(records, lease(fmt.Sprint("key-", i), "value", 1, int64(1+i)))
	}
	apply(t, s, records...)
	if keys, err := s.Expire(501, 333); len(keys) != 333 || err != nil {
		t.Fatal(len(keys), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openPebble(t, "records", opts)
	if keys, err := s.Expire(501, 333); len(keys) != 500-333 || err != nil {
		t.Error(len(keys), err)
	}
	if got := s.Stats(); got.Expiring != 500 || got.Tombstones != 500 || got.Records != 1000 {
		t.Errorf("got %+v", got)
	}
	if err := indexError(s); err != nil {
		t.Error(err)
	}
}

// A record that is to expire and becomes unreadable is none any more, and its place in the index goes.
func TestExpireCorrupt(t *testing.T) {
	opts := smallOptions()
	opts.FS = vfs.NewMem()
	s := openPebble(t, "records", opts)
	apply(t, s, lease("a", "v", 1, 10), lease("b", "v", 1, 10))
	raw, err := s.Raw(store.DiskKey([]byte("a")))
	if err != nil {
		t.Fatal(err)
	}
	spoilt := bytes.Clone(raw)
	spoilt[len(raw)-1] ^= 1
	if err := s.SetRaw(store.DiskKey([]byte("a")), spoilt); err != nil {
		t.Fatal(err)
	}
	if keys, err := s.Expire(11, 10); len(keys) != 2 || err != nil {
		t.Error(len(keys), err)
	}
	if keys, err := s.Expire(11, 10); len(keys) != 0 || err != nil {
		t.Error(len(keys), err)
	}
	apply(t, s, lease("a", "v", 1, 10))
	if err := indexError(s); err != nil {
		t.Error(err)
	}
}
