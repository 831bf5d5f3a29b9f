package store_test

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
	"github.com/chordkv/chord/ring"
)

// model is a store that is too simple to be wrong.
type model map[string]node.Record

func (m model) apply(records []node.Record) []node.Version {
	for _, r := range records {
		if r.Version.Newer(m[string(r.Key)].Version) {
			r.Value = append([]byte{}, r.Value...)
			if r.Tombstone {
				r.Value = nil
			}
			m[string(r.Key)] = r
		}
	}
	versions := make([]node.Version, len(records))
	for i, r := range records {
		versions[i] = m[string(r.Key)].Version
	}
	return versions
}

func (m model) replace(records []node.Record, stored []node.Version) []bool {
	done := make([]bool, len(records))
	for i, r := range records {
		if done[i] = m[string(r.Key)].Version == stored[i]; done[i] {
			delete(m, string(r.Key))
			m.apply(records[i : i+1])
		}
	}
	return done
}

func (m model) drop(entries []node.Entry) (n int) {
	for _, e := range entries {
		if r, ok := m[string(e.Key)]; ok && r.Version == e.Version {
			delete(m, string(e.Key))
			n++
		}
	}
	return n
}

func (m model) expire(before int64, limit int) int {
	var due []node.Record
	for _, r := range m {
		if r.Expires != 0 && r.Expires < before && !r.Tombstone {
			due = append(due, r)
		}
	}
	slices.SortFunc(due, func(a, b node.Record) int {
		return cmp.Or(cmp.Compare(a.Expires, b.Expires), a.ID().Compare(b.ID()), bytes.Compare(a.Key, b.Key))
	})
	due = due[:min(limit, len(due))]
	for _, r := range due {
		r.Tombstone, r.Manifest, r.Value = true, false, nil
		m[string(r.Key)] = r
	}
	return len(due)
}

func (m model) list(arc ring.Arc, from node.Cursor, limit int) []node.Entry {
	behind := func(id ring.ID) ring.ID { return ring.Distance(arc.After.Next(), id) }
	var entries []node.Entry
	for _, r := range m {
		resumes := len(from.Key) > 0 && arc.Contains(ring.Hash(from.Key))
		if arc.Contains(r.ID()) && (!resumes || behind(ring.Hash(from.Key)).Less(behind(r.ID()))) {
			entries = append(entries, node.Entry{Key: r.Key, Version: r.Version})
		}
	}
	slices.SortFunc(entries, func(a, b node.Entry) int {
		return cmp.Or(behind(ring.Hash(a.Key)).Compare(behind(ring.Hash(b.Key))), bytes.Compare(a.Key, b.Key))
	})
	return entries[:min(limit, len(entries))]
}

// The generators draw from few keys, versions and identifiers, so that they meet.
var (
	keys     = rapid.OneOf(rapid.SampledFrom([]string{"a", "b", "\x00", "\xff\xfe", "a\x00"}), rapid.StringMatching(`k[0-9]{1,2}`))
	versions = rapid.Custom(func(t *rapid.T) node.Version {
		return node.Version{Time: rapid.Uint64Range(0, 6).Draw(t, "time"), Origin: rapid.Uint64Range(1, 3).Draw(t, "origin")}
	})
	records = rapid.Custom(func(t *rapid.T) node.Record {
		r := node.Record{Key: []byte(keys.Draw(t, "key")), Version: versions.Draw(t, "version")}
		// What a version says is always the same: the writer never gives it twice.
		r.Request = node.RequestID{byte(r.Version.Time), byte(r.Version.Origin)}
		if r.Version.Origin == 2 {
			r.History = node.History("\x01" + strings.Repeat(string(rune('a'+r.Version.Time)), 41*int(r.Version.Time)))
		}
		if r.Version.Origin > 1 {
			r.Expires = int64(r.Version.Time % 4)
		}
		if r.Tombstone = r.Version.Time%3 == 0; !r.Tombstone && r.Version.Time%3 == 1 {
			r.Value = fmt.Append(nil, r.Version)
		}
		r.Manifest = !r.Tombstone && r.Version.Origin == 3
		return r
	})
	entries = rapid.Custom(func(t *rapid.T) node.Entry {
		return node.Entry{Key: []byte(keys.Draw(t, "key")), Version: versions.Draw(t, "version")}
	})
	ids = rapid.Custom(func(t *rapid.T) ring.ID {
		id := ring.Hash([]byte(keys.Draw(t, "near")))
		switch rapid.IntRange(0, 3).Draw(t, "shift") {
		case 0:
			return id.Prev()
		case 1:
			return id.Next()
		case 2:
			return ring.ID{id[0]}.Prev()
		}
		return id
	})
	cursors = rapid.Custom(func(t *rapid.T) node.Cursor {
		if rapid.Bool().Draw(t, "start") {
			return node.Cursor{}
		}
		return node.Cursor{Key: []byte(keys.Draw(t, "cursor"))}
	})
)

func drawArc(t *rapid.T) ring.Arc {
	return ring.Arc{After: ids.Draw(t, "after"), Through: ids.Draw(t, "through")}
}

// compare draws operations and does each on the store and on the model. reopen, if not nil, closes and opens the store.
func compare(t *rapid.T, s node.Store, reopen func() node.Store) {
	m := model{}
	actions := map[string]func(*rapid.T){
		"apply": func(t *rapid.T) {
			batch := rapid.SliceOfN(records, 0, 8).Draw(t, "records")
			got, err := s.Apply(batch)
			if want := m.apply(batch); err != nil || !slices.Equal(got, want) {
				t.Fatalf("got versions %v, %v, want %v", got, err, want)
			}
		},
		"replace": func(t *rapid.T) {
			batch := rapid.SliceOfN(records, 0, 8).Draw(t, "records")
			stored := make([]node.Version, len(batch))
			for i, r := range batch {
				if stored[i] = m[string(r.Key)].Version; rapid.Bool().Draw(t, "other") {
					stored[i] = versions.Draw(t, "stored")
				}
				if r.Version.IsZero() {
					t.Skip("no record has the version zero")
				}
			}
			got, err := s.Replace(batch, stored)
			if want := m.replace(batch, stored); err != nil || !slices.Equal(got, want) {
				t.Fatalf("got %v, %v, want %v", got, err, want)
			}
		},
		"drop": func(t *rapid.T) {
			batch := rapid.SliceOfN(entries, 0, 8).Draw(t, "entries")
			got, err := s.Drop(batch)
			if want := m.drop(batch); err != nil || got != want {
				t.Fatalf("dropped %d, %v, want %d", got, err, want)
			}
		},
		"expire": func(t *rapid.T) {
			before, limit := rapid.Int64Range(-1, 5).Draw(t, "before"), rapid.IntRange(0, 4).Draw(t, "limit")
			got, err := s.Expire(before, limit)
			if want := m.expire(before, limit); err != nil || len(got) != want {
				t.Fatalf("made %d tombstones, %v, want %d", len(got), err, want)
			}
		},
		"tombstones": func(t *rapid.T) {
			if err := indexError(s); err != nil {
				t.Fatal(err)
			}
		},
		"get": func(t *rapid.T) {
			key := keys.Draw(t, "key")
			want, wantOK := m[key]
			got, ok, err := s.Get([]byte(key))
			if err != nil || ok != wantOK || !equal(got, want) {
				t.Fatalf("got %+v, %v, %v, want %+v, %v", got, ok, err, want, wantOK)
			}
			if v, err := s.Version([]byte(key)); err != nil || v != want.Version {
				t.Fatalf("got version %v, %v, want %v", v, err, want.Version)
			}
		},
		"list": func(t *rapid.T) {
			arc, from, limit := drawArc(t), cursors.Draw(t, "from"), rapid.IntRange(0, 20).Draw(t, "limit")
			got, err := s.List(arc, from, limit)
			if want := m.list(arc, from, limit); err != nil || !equalEntries(got, want) {
				t.Fatalf("got %v, %v, want %v", got, err, want)
			}
		},
		"digest": func(t *rapid.T) {
			arcs := []ring.Arc{drawArc(t), ring.FullArc(), drawArc(t)}
			got, err := s.Digest(arcs)
			if err != nil {
				t.Fatal(err)
			}
			for i, arc := range arcs {
				if want := summary(m.list(arc, node.Cursor{}, len(m))); got[i] != want {
					t.Fatalf("%v: got %+v, want %+v", arc, got[i], want)
				}
			}
		},
	}
	if reopen != nil {
		actions["reopen"] = func(*rapid.T) { s = reopen() }
	}
	t.Repeat(actions)
}

func TestMemoryIsLikeTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := store.NewMemory()
		if rapid.Bool().Draw(t, "many shards") {
			fill := ringOrder(600)
			entries := make([]node.Entry, len(fill))
			for i, r := range fill {
				entries[i] = node.Entry{Key: r.Key, Version: r.Version}
			}
			if _, err := s.Apply(fill); err != nil {
				t.Fatal(err)
			}
			if n, err := s.Drop(entries); n != len(fill) || err != nil || s.Shards() == 1 {
				t.Fatal(n, err, s.Shards())
			}
		}
		compare(t, s, nil)
	})
}

func TestPebbleIsLikeTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opts := smallOptions()
		opts.FS = vfs.NewMem()
		opts.Sync = rapid.SampledFrom([]store.SyncMode{store.SyncAlways, store.SyncNever}).Draw(t, "sync")
		var s *store.Pebble
		open := func() node.Store {
			if s != nil {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			var err error
			if s, err = store.OpenPebble("records", opts); err != nil {
				t.Fatal(err)
			}
			return s
		}
		compare(t, open(), open)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
