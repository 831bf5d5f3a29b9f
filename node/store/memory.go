package store

import (
	"bytes"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/google/btree"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// Memory is a node.Store without a disk: what it holds is gone with the process. Its methods never fail, start no
// goroutine and ask no clock, so that the simulator can use it. It keeps the slices of the records that it is given, and returns them.
//
// The circle is cut into shards by the first byte of the identifier, each with a lock, an ordered tree and its part of the hash
// tree. A small store is a single shard, because the simulator has a million of them.
type Memory struct {
	table   atomic.Pointer[[]shard]
	growing sync.Mutex
	records atomic.Int64
	deleted atomic.Pointer[byTime] // the tombstones; nil until there is one: most of a million stores never see a delete
	leased  atomic.Pointer[byTime] // the records that expire; nil until there is one
}

var _ node.Store = (*Memory)(nil)

const (
	manyShards = 256
	growAt     = 512 // records in a single shard that make it many
	pageSize   = 256 // records that are looked at under one hold of a shard's lock
	treeDegree = 16
)

type shard struct {
	site  site // the identifiers that belong here
	mu    sync.RWMutex
	moved bool                // to the shards of a larger table
	sums  block               // of what is stored
	tree  *btree.BTreeG[leaf] // nil if nothing was ever stored
	byKey map[string]*item    // the items of the tree; nil in a single shard, which is small enough to search
}

// item is what is stored of a key: its record is replaced, the item stays.
type item struct {
	id     ring.ID
	key    []byte
	record *node.Record // nil in a search
}

// leaf is an item's place in the tree. The first bytes of the identifier are there too: nearly every comparison ends with them, without a look
// at the item, which is not in the processor's cache.
type leaf struct {
	prefix uint64
	*item
}

func leafOf(it *item) leaf { return leaf{binary.BigEndian.Uint64(it.id[:8]), it} }

func leafLess(a, b leaf) bool {
	if a.prefix != b.prefix {
		return a.prefix < b.prefix
	}
	if c := a.id.Compare(b.id); c != 0 {
		return c < 0
	}
	return bytes.Compare(a.key, b.key) < 0
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	m := &Memory{}
	m.table.Store(&[]shard{{}})
	return m
}

func shardOf(table []shard, id ring.ID) *shard {
	if len(table) == 1 {
		return &table[0]
	}
	return &table[id[0]]
}

// lock returns the shard of an identifier, locked for writing.
func (m *Memory) lock(id ring.ID) *shard {
	for {
		s := shardOf(*m.table.Load(), id)
		s.mu.Lock()
		if !s.moved {
			return s
		}
		s.mu.Unlock()
	}
}

// rlock returns the shard of an identifier, locked for reading.
func (m *Memory) rlock(id ring.ID) *shard {
	for {
		s := shardOf(*m.table.Load(), id)
		s.mu.RLock()
		if !s.moved {
			return s
		}
		s.mu.RUnlock()
	}
}

// grow replaces a table of one shard by one of many.
func (m *Memory) grow() {
	m.growing.Lock()
	defer m.growing.Unlock()
	old := *m.table.Load()
	if len(old) != 1 {
		return
	}
	table := make([]shard, manyShards)
	for i := range table {
		table[i].site = site{prefix: uint64(i) << 56, depth: 2}
		table[i].byKey = make(map[string]*item)
	}
	old[0].mu.Lock()
	defer old[0].mu.Unlock()
	old[0].tree.Ascend(func(l leaf) bool {
		s := shardOf(table, l.id)
		s.insert(l.item)
		s.count(deltaOf(l.id, l.key, node.Version{}, l.record.Version))
		return true
	})
	old[0].moved, old[0].tree = true, nil
	m.table.Store(&table)
}

// find returns the item of a key, nil if there is none.
func (s *shard) find(id ring.ID, key []byte) *item {
	if s.byKey != nil {
		return s.byKey[string(key)]
	}
	if s.tree == nil {
		return nil
	}
	l, _ := s.tree.Get(leafOf(&item{id: id, key: key}))
	return l.item
}

// insert adds the item of a key that has none.
func (s *shard) insert(it *item) {
	if s.tree == nil {
		s.tree = btree.NewG(treeDegree, leafLess)
	}
	s.tree.ReplaceOrInsert(leafOf(it))
	if s.byKey != nil {
		s.byKey[string(it.key)] = it
	}
}

// count brings the hash tree up to date with a write.
func (s *shard) count(d delta) {
	leaf, at := s.sums.add(s.site, d)
	for leaf.crowded(at) {
		var sums [16]node.Summary
		s.read(at.span(), func(it *item) {
			sum := &sums[at.digit(prefixOf(it.id))]
			sum.Count++
			sum.Hash += EntryHash(it.key, it.record.Version)
		})
		leaf.split(&sums)
		leaf, at = leaf.leaf(at, d.prefix) // records that are close to one another all go to one child
	}
	if d.count < 0 {
		s.sums.join(s.site, d.prefix)
	}
}

// read visits the shard's items in a span.
func (s *shard) read(in span, visit func(*item)) {
	if s.tree == nil {
		return
	}
	s.tree.AscendGreaterOrEqual(leafOf(&item{id: in.first}), func(l leaf) bool {
		if in.last.Less(l.id) {
			return false
		}
		visit(l.item)
		return true
	})
}

// Get implements node.Store.
func (m *Memory) Get(key []byte) (r node.Record, ok bool, err error) {
	id := ring.Hash(key)
	s := m.rlock(id)
	var found *node.Record
	if it := s.find(id, key); it != nil {
		found = it.record
	}
	s.mu.RUnlock()
	if found == nil {
		return node.Record{}, false, nil
	}
	return *found, true, nil
}

// Version implements node.Store.
func (m *Memory) Version(key []byte) (node.Version, error) {
	r, _, err := m.Get(key)
	return r.Version, err
}

// Apply implements node.Store.
func (m *Memory) Apply(records []node.Record) ([]node.Version, error) {
	versions := make([]node.Version, len(records))
	for slots := inOrder(records); len(slots) > 0; {
		same := slots[:sameKey(records, slots)]
		slots = slots[len(same):]
		m.put(same[0].id, records[same[0].record].Key, func(was node.Version) *node.Record { return applied(records, same, was, versions) })
	}
	return versions, nil
}

// Replace implements node.Store.
func (m *Memory) Replace(records []node.Record, stored []node.Version) ([]bool, error) {
	done := make([]bool, len(records))
	for slots := inOrder(records); len(slots) > 0; {
		same := slots[:sameKey(records, slots)]
		slots = slots[len(same):]
		m.put(same[0].id, records[same[0].record].Key, func(was node.Version) *node.Record { return replaced(records, same, was, stored, done) })
	}
	return done, nil
}

// put stores what choose makes of the version that is there; nil leaves it as it is.
func (m *Memory) put(id ring.ID, key []byte, choose func(was node.Version) *node.Record) {
	s := m.lock(id)
	var was head
	it := s.find(id, key)
	if it != nil {
		was = headOf(it.record)
	}
	r := choose(was.version)
	if r == nil {
		s.mu.Unlock()
		return
	}
	stored := *r
	if stored.Tombstone {
		stored.Value = nil
	} else if stored.Value == nil {
		stored.Value = []byte{}
	}
	if it == nil {
		it = &item{id: id, key: stored.Key, record: &stored}
		s.insert(it)
	} else {
		it.record = &stored
	}
	s.count(deltaOf(id, it.key, was.version, stored.Version))
	m.index(id, it.key, was, headOf(&stored))
	single := s.tree.Len()
	s.mu.Unlock()
	if was.version.IsZero() {
		m.records.Add(1)
	}
	if single >= growAt && len(*m.table.Load()) == 1 {
		m.grow()
	}
}

// Drop implements node.Store.
func (m *Memory) Drop(entries []node.Entry) (int, error) {
	dropped := 0
	for _, e := range entries {
		if m.drop(ring.Hash(e.Key), e) {
			dropped++
		}
	}
	m.records.Add(int64(-dropped))
	return dropped, nil
}

func (m *Memory) drop(id ring.ID, e node.Entry) bool {
	s := m.lock(id)
	defer s.mu.Unlock()
	found := s.find(id, e.Key)
	if found == nil || found.record.Version != e.Version {
		return false
	}
	s.tree.Delete(leafOf(found))
	delete(s.byKey, string(e.Key))
	s.count(deltaOf(id, e.Key, e.Version, node.Version{}))
	m.index(id, e.Key, headOf(found.record), head{})
	return true
}

// List implements node.Store.
func (m *Memory) List(arc ring.Arc, from node.Cursor, limit int) ([]node.Entry, error) {
	var entries []node.Entry
	parts, at := stretches(arc, from)
	for i, part := range parts {
		if i > 0 {
			at = place{id: part.first}
		}
		for more := true; more && len(entries) < limit; {
			s := m.rlock(at.id)
			at, more = s.page(at, part.last, min(pageSize, limit-len(entries)), func(r *node.Record) {
				entries = append(entries, node.Entry{Key: r.Key, Version: r.Version, Hash: EntryHash(r.Key, r.Version)})
			})
			s.mu.RUnlock()
		}
	}
	return entries, nil
}

// Digest implements node.Store.
func (m *Memory) Digest(arcs []ring.Arc) ([]node.Summary, error) {
	sums := make([]node.Summary, len(arcs))
	for i, arc := range arcs {
		for _, part := range spans(arc) {
			m.digest(part, &sums[i])
		}
	}
	return sums, nil
}

// digest adds what lies in a span.
func (m *Memory) digest(part span, sum *node.Summary) {
	for at := part.first; ; {
		s := m.rlock(at)
		_ = s.sums.digest(s.site, part, sum, func(in span) error { // nothing that could fail
			s.read(in, func(it *item) {
				sum.Count++
				sum.Hash += EntryHash(it.key, it.record.Version)
			})
			return nil
		})
		s.mu.RUnlock()
		last := s.site.span().last
		if !last.Less(part.last) {
			return
		}
		at = last.Next()
	}
}

// page visits at most n > 0 of the shard's records, from a place in the shard on, up to the identifier last. It returns the
// place to go on from, which can lie in the next shard, and whether there may be more.
func (s *shard) page(at place, last ring.ID, n int, visit func(*node.Record)) (next place, more bool) {
	end := s.site.span().last
	if last.Less(end) {
		end = last
	}
	next, more = place{id: end.Next()}, end != last
	if s.tree == nil {
		return next, more
	}
	s.tree.AscendGreaterOrEqual(leafOf(&item{id: at.id, key: at.key}), func(it leaf) bool {
		if end.Less(it.id) {
			return false
		}
		if at.key != nil && it.id == at.id && bytes.Equal(it.key, at.key) {
			return true // the place is behind this record
		}
		visit(it.record)
		if n--; n == 0 {
			next, more = place{id: it.id, key: it.key}, true
		}
		return n > 0
	})
	return next, more
}

// Writable implements node.Store.
func (m *Memory) Writable() error { return nil }

// Stats implements node.Store.
func (m *Memory) Stats() node.StoreStats {
	return node.StoreStats{Records: m.records.Load(), Tombstones: m.deleted.Load().len(), Expiring: m.leased.Load().len()}
}

// Lost implements node.Store: memory loses nothing.
func (m *Memory) Lost() []ring.Arc { return nil }

// Refilled implements node.Store.
func (m *Memory) Refilled(ring.Arc) error { return nil }

// Close implements node.Store.
func (m *Memory) Close() error { return nil }
