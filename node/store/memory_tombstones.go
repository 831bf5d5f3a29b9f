package store

import (
	"bytes"
	"sync"

	"github.com/google/btree"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// tombstones are those of a Memory, in the order of Store.Tombstones.
type tombstones struct {
	mu   sync.Mutex
	tree *btree.BTreeG[tombstone]
}

type tombstone struct {
	version node.Version
	id      ring.ID
	key     []byte
}

func tombstoneLess(a, b tombstone) bool {
	if a.version.Time != b.version.Time {
		return a.version.Time < b.version.Time
	}
	if c := a.id.Compare(b.id); c != 0 {
		return c < 0
	}
	return bytes.Compare(a.key, b.key) < 0
}

// index brings the tombstones up to date with a record that takes the place of another one, or is removed. The key's shard is locked.
func (m *Memory) index(id ring.ID, key []byte, was, now head) {
	if !was.tombstone && !now.tombstone {
		return
	}
	t := m.deleted.Load()
	if t == nil {
		m.deleted.CompareAndSwap(nil, &tombstones{tree: btree.NewG(treeDegree, tombstoneLess)})
		t = m.deleted.Load()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if was.tombstone {
		t.tree.Delete(tombstone{was.version, id, key})
	}
	if now.tombstone {
		t.tree.ReplaceOrInsert(tombstone{now.version, id, key})
	}
}

// Tombstones implements node.Store.
func (m *Memory) Tombstones(before uint64, behind node.Entry, limit int) (entries []node.Entry, err error) {
	t := m.deleted.Load()
	if t == nil || limit <= 0 {
		return nil, nil
	}
	var from tombstone
	if len(behind.Key) > 0 {
		from = tombstone{behind.Version, ring.Hash(behind.Key), behind.Key}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tree.AscendGreaterOrEqual(from, func(s tombstone) bool {
		if s.version.Time >= before {
			return false
		}
		if len(behind.Key) == 0 || tombstoneLess(from, s) {
			entries = append(entries, node.Entry{Key: s.key, Version: s.version})
		}
		return len(entries) < limit
	})
	return entries, nil
}

func (m *Memory) tombstones() int64 {
	t := m.deleted.Load()
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return int64(t.tree.Len())
}
