package store

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// A hash tree keeps, for each block of a fixed tree over the circle with 16 children a node, the number of records whose
// identifiers lie there and the sum of their hashes. Sums do not depend on the order of writes, so a write changes those on its way
// down and nothing else, and a digest takes whole blocks from the tree and reads only what an arc has of a leaf.
//
// The tree is as deep as there are records: a leaf with more than splitAt of them is to be split, for which somebody has to read
// them. Its form is the store's own business; two replicas with different forms have the same sums for the same arc.
const (
	splitAt = 256
	// joinAt leaves a block that shrinks some way to grow again before it is split anew.
	joinAt = splitAt / 4
	// maxDepth is how many digits of an identifier choose a leaf at most. A delta carries one more, for the leaf's children.
	maxDepth = 15
)

// block is a node of the tree. Sums are added to by many at a time; kids are changed by one, while nobody adds.
type block struct {
	count atomic.Int64
	hash  atomic.Uint64
	kids  atomic.Pointer[[16]block] // nil: a leaf
}

// delta is what a write changes in the sums of the blocks that its key lies in.
type delta struct {
	prefix uint64 // the first 16 digits of the key's identifier
	count  int64
	hash   uint64
}

// deltaOf returns the delta of a write that replaces one version of a key by another; zero stands for no record.
func deltaOf(id ring.ID, key []byte, old, new node.Version) delta {
	d := delta{prefix: prefixOf(id)}
	if !old.IsZero() {
		d.count--
		d.hash -= EntryHash(key, old)
	}
	if !new.IsZero() {
		d.count++
		d.hash += EntryHash(key, new)
	}
	return d
}

func prefixOf(id ring.ID) uint64 { return binary.BigEndian.Uint64(id[:8]) }

// site is where a block lies: its identifiers begin with the first depth digits of prefix.
type site struct {
	prefix uint64
	depth  int
}

// kid returns the site of a block's i-th child.
func (s site) kid(i int) site {
	return site{s.prefix | uint64(i)<<(60-4*s.depth), s.depth + 1}
}

// digit returns which child of a block at this site a prefix leads to.
func (s site) digit(prefix uint64) int { return int(prefix >> (60 - 4*s.depth) & 15) }

// of returns the site at this depth that a prefix leads to.
func (s site) of(prefix uint64) site { return site{prefix &^ s.rest(), s.depth} }

// rest has the bits of a prefix that the site leaves open.
func (s site) rest() uint64 { return 1<<(64-4*s.depth) - 1 }

func (s site) holds(prefix uint64) bool { return prefix&^s.rest() == s.prefix }

// span returns the identifiers of the block.
func (s site) span() span {
	all := span{last: ring.ID{}.Prev()}
	binary.BigEndian.PutUint64(all.first[:8], s.prefix)
	binary.BigEndian.PutUint64(all.last[:8], s.prefix|s.rest())
	return all
}

// add applies a delta to a block at a site and to those below on its way. It returns the leaf where it ended.
func (b *block) add(at site, d delta) (*block, site) {
	for {
		b.count.Add(d.count)
		b.hash.Add(d.hash)
		kids := b.kids.Load()
		if kids == nil {
			return b, at.of(d.prefix)
		}
		b = &kids[at.digit(d.prefix)]
		at.depth++
	}
}

// leaf returns the leaf below a block at a site that a prefix leads to.
func (b *block) leaf(at site, prefix uint64) (*block, site) {
	for kids := b.kids.Load(); kids != nil; kids = b.kids.Load() {
		b = &kids[at.digit(prefix)]
		at.depth++
	}
	return b, at.of(prefix)
}

// crowded reports whether a leaf should be split.
func (b *block) crowded(at site) bool { return b.count.Load() > splitAt && at.depth < maxDepth }

// crowdedLeaves appends the prefixes of the crowded leaves below a block at a site.
func (b *block) crowdedLeaves(at site, found []uint64) []uint64 {
	kids := b.kids.Load()
	if kids == nil {
		if b.crowded(at) {
			found = append(found, at.prefix)
		}
		return found
	}
	for i := range kids {
		found = kids[i].crowdedLeaves(at.kid(i), found)
	}
	return found
}

// split gives a leaf children, whose sums somebody has found by reading.
func (b *block) split(sums *[16]node.Summary) {
	kids := new([16]block)
	for i := range kids {
		kids[i].count.Store(int64(sums[i].Count))
		kids[i].hash.Store(sums[i].Hash)
	}
	b.kids.Store(kids)
}

// treeBuilder makes a tree from the records in the order of the store.
type treeBuilder struct {
	root   block
	recent []delta // of the leaf that the last one went to
}

func (t *treeBuilder) add(d delta) {
	leaf, at := t.root.add(site{}, d)
	t.recent = append(t.recent, d)
	for {
		if !at.holds(t.recent[0].prefix) { // in order, so that the first tells whether there are others of another leaf
			t.recent = slices.DeleteFunc(t.recent, func(d delta) bool { return !at.holds(d.prefix) })
		}
		if !leaf.crowded(at) {
			return
		}
		var kids [16]node.Summary
		for _, d := range t.recent {
			kid := &kids[at.digit(d.prefix)]
			kid.Count++
			kid.Hash += d.hash
		}
		leaf.split(&kids)
		leaf, at = leaf.leaf(at, d.prefix)
	}
}

// join makes a leaf of the first block on the way to a prefix that holds little.
func (b *block) join(at site, prefix uint64) {
	for kids := b.kids.Load(); kids != nil; kids = b.kids.Load() {
		if b.count.Load() <= joinAt {
			b.kids.Store(nil)
			return
		}
		b = &kids[at.digit(prefix)]
		at.depth++
	}
}

// joinAll is join for all prefixes.
func (b *block) joinAll() {
	kids := b.kids.Load()
	if kids == nil {
		return
	}
	if b.count.Load() <= joinAt {
		b.kids.Store(nil)
		return
	}
	for i := range kids {
		kids[i].joinAll()
	}
}

// digest adds up what of a block at a site lies in a span. What of it the tree does not know, read adds to the sum.
func (b *block) digest(at site, in span, sum *node.Summary, read func(span) error) error {
	whole := at.span()
	if whole.last.Less(in.first) || in.last.Less(whole.first) || b.count.Load() == 0 {
		return nil
	}
	first, last := !whole.first.Less(in.first), !in.last.Less(whole.last)
	if first && last {
		sum.Count += uint64(b.count.Load())
		sum.Hash += b.hash.Load()
		return nil
	}
	kids := b.kids.Load()
	if kids == nil {
		if !first {
			whole.first = in.first
		}
		if !last {
			whole.last = in.last
		}
		return read(whole)
	}
	for i := range kids {
		if err := kids[i].digest(at.kid(i), in, sum, read); err != nil {
			return err
		}
	}
	return nil
}

// In its stored form, a tree is its blocks in the order of the circle, parents first:
//
//	0 | number of records (varint) | sum (8), none if there are no records
//	1 | the 16 children
const (
	storedLeaf   = 0
	storedParent = 1
)

// append appends the stored form of a block.
func (b *block) append(dst []byte) []byte {
	if kids := b.kids.Load(); kids != nil {
		dst = append(dst, storedParent)
		for i := range kids {
			dst = kids[i].append(dst)
		}
		return dst
	}
	count := b.count.Load()
	dst = binary.AppendVarint(append(dst, storedLeaf), count)
	if count != 0 {
		dst = binary.BigEndian.AppendUint64(dst, b.hash.Load())
	}
	return dst
}

var errTree = errors.New("malformed hash tree")

// load reads the stored form of a block, which is empty, and returns what follows it.
func (b *block) load(raw []byte, depth int) (rest []byte, err error) {
	if len(raw) == 0 || depth > maxDepth {
		return nil, errTree
	}
	kind, raw := raw[0], raw[1:]
	if kind == storedParent {
		kids := new([16]block)
		for i := range kids {
			if raw, err = kids[i].load(raw, depth+1); err != nil {
				return nil, err
			}
			b.count.Add(kids[i].count.Load())
			b.hash.Add(kids[i].hash.Load())
		}
		b.kids.Store(kids)
		return raw, nil
	}
	count, n := binary.Varint(raw)
	if kind != storedLeaf || n <= 0 {
		return nil, errTree
	}
	raw = raw[n:]
	b.count.Store(count)
	if count != 0 {
		if len(raw) < 8 {
			return nil, errTree
		}
		b.hash.Store(binary.BigEndian.Uint64(raw))
		raw = raw[8:]
	}
	return raw, nil
}
