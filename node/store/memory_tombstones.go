package store

import (
	"bytes"
	"sync"
	"sync/atomic"

	"github.com/google/btree"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// byTime is records of a Memory in the order of a time: the tombstones in that of their versions, or those that expire in that of their expiry.
type byTime struct {
	mu   sync.Mutex
	tree *btree.BTreeG[timed]
}

type timed struct {
	at      uint64
	id      ring.ID
	key     []byte
	version node.Version
}

func timedLess(a, b timed) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	if c := a.id.Compare(b.id); c != 0 {
		return c < 0
	}
	return bytes.Compare(a.key, b.key) < 0
}

// index brings both orders up to date with a record that takes the place of another one, or is removed. The key's shard is locked.
func (m *Memory) index(id ring.ID, key []byte, was, now head) {
	if was.tombstone || now.tombstone {
		update(&m.deleted, was.tombstone, timed{was.version.Time, id, key, was.version}, now.tombstone, timed{now.version.Time, id, key, now.version})
	}
	if was.leased() || now.leased() {
		update(&m.leased, was.leased(), timed{uint64(was.expires), id, key, was.version}, now.leased(), timed{uint64(now.expires), id, key, now.version})
	}
}

// update takes one record out and puts another in.
func update(in *atomic.Pointer[byTime], remove bool, was timed, insert bool, now timed) {
	t := in.Load()
	if t == nil {
		in.CompareAndSwap(nil, &byTime{tree: btree.NewG(treeDegree, timedLess)})
		t = in.Load()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if remove {
		t.tree.Delete(was)
	}
	if insert {
		t.tree.ReplaceOrInsert(now)
	}
}

// list returns entries with a time below before, from a place on, at most limit. Nil has none.
func (t *byTime) list(from timed, before uint64, limit int) (found []timed) {
	if t == nil || limit <= 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tree.AscendGreaterOrEqual(from, func(s timed) bool {
		if s.at >= before {
			return false
		}
		found = append(found, s)
		return len(found) < limit
	})
	return found
}

func (t *byTime) len() int64 {
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return int64(t.tree.Len())
}

// Tombstones implements node.Store.
func (m *Memory) Tombstones(before uint64, behind node.Entry, limit int) (entries []node.Entry, err error) {
	var from timed
	if len(behind.Key) > 0 {
		from = timed{at: behind.Version.Time, id: ring.Hash(behind.Key), key: append(bytes.Clone(behind.Key), 0)}
	}
	for _, s := range m.deleted.Load().list(from, before, limit) {
		entries = append(entries, node.Entry{Key: s.key, Version: s.version})
	}
	return entries, nil
}

// Expire implements node.Store.
func (m *Memory) Expire(before int64, limit int) (keys [][]byte, err error) {
	for _, s := range m.leased.Load().list(timed{}, uint64(max(before, 0)), limit) {
		m.expire(s)
		keys = append(keys, s.key)
	}
	return keys, nil
}

func (m *Memory) expire(t timed) {
	s := m.lock(t.id)
	defer s.mu.Unlock()
	it := s.find(t.id, t.key)
	if it == nil || it.record.Version != t.version { // it was written meanwhile
		return
	}
	was, gone := headOf(it.record), expired(*it.record)
	it.record = &gone
	m.index(t.id, it.key, was, headOf(&gone))
}
