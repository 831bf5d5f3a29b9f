package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// The hash tree of a Pebble is in memory. On disk are a copy of it, the checkpoint, and a journal of the deltas since, one key
// for each commit and in the same batch: what a crash leaves of the records, it leaves of the journal. See
// docs/decisions/0007-hash-tree.md for the ways that were rejected.
//
//	0x00 'c'                          checkpoint: treeFormat | generation (8) | journal number (8) | CRC-32C of that and the tree (4)
//	0x00 't' generation (8) page (4)  the stored form of the tree, in pages
//	0x00 'j' number (8)               the deltas of a commit, each: first digits of the identifier (8) | sum (8) | count (4)
//
// integers big endian. A tree is its checkpoint and all deltas with numbers above that of the checkpoint.
var checkpointKey = []byte{metaSpace, 'c'}

const (
	treeFormat byte = 1
	pageSpace  byte = 't'
	entrySpace byte = 'j'
	pageBytes       = 64 << 10
	// minJournal is how many commits the journal has at least before the next checkpoint. A larger store has more: see journalLimit.
	minJournal = 1 << 16
	// lanes spread the commits, of which all hold one for reading.
	laneCount = 16
)

// treeState is the hash tree of a Pebble and what keeps it.
//
// A commit makes its records visible and adds its deltas while it holds a lane for reading. Whoever holds all lanes for writing therefore
// sees a tree that agrees with the records, and may change its form.
type treeState struct {
	root     *block
	lanes    [laneCount]lane
	number   atomic.Uint64 // of the latest journal entry
	saved    atomic.Uint64 // of the latest that the checkpoint has
	recounts sync.Mutex    // held by who counts a block anew: one at a time
	watch    *watch        // what happens to the block that is being counted; changed with all lanes held
	again    chan due      // leaves that are to be read: to be split, or because they are unsure
	missed   atomic.Bool   // there were more than again has room for
	due      chan struct{}
	spoilt   chan damage // blocks to be cut out

	generation uint64 // of the checkpoint; changed by one goroutine

	mu    sync.Mutex
	asked map[site]bool // leaves in again
	// unsure are leaves in which something is corrupt, with where it is. Where a block of a table cannot be read, nothing tells what is in it: such a leaf is
	// counted anew after writes there.
	unsure  map[site][]damage
	unsures atomic.Int32 // len(unsure)
}

// due is a leaf that is to be read.
type due struct {
	prefix uint64 // of something in it
	at     site
}

// damage is where records cannot be read: from a disk key on, and before another.
type damage struct {
	from, behind string
	block        bool // of a table, rather than one record
}

// lane is a lock with a cache line to itself.
type lane struct {
	sync.RWMutex
	_ [64 - unsafe.Sizeof(sync.RWMutex{})%64]byte
}

// watch collects the deltas of a block while it is read.
type watch struct {
	at     site
	mu     sync.Mutex
	deltas []delta
}

func (t *treeState) pause() {
	for i := range t.lanes {
		t.lanes[i].Lock()
	}
}

func (t *treeState) resume() {
	for i := range t.lanes {
		t.lanes[i].Unlock()
	}
}

// add brings the tree up to date with a commit, whose lane is held.
func (t *treeState) add(deltas []delta) {
	for _, d := range deltas {
		leaf, at := t.root.add(site{}, d)
		if w := t.watch; w != nil && w.at.holds(d.prefix) {
			w.mu.Lock()
			w.deltas = append(w.deltas, d)
			w.mu.Unlock()
		}
		if leaf.crowded(at) || t.isUnsure(at) {
			t.ask(due{d.prefix, at})
		}
	}
	if t.number.Load()-t.saved.Load() >= t.journalLimit() {
		select {
		case t.due <- struct{}{}:
		default:
		}
	}
}

// journalLimit is the length of the journal at which a checkpoint is due: in proportion to what a checkpoint writes, so that neither costs
// more than a few bytes for each write, and reading the journal after a crash takes a fraction of what reading the records would.
func (t *treeState) journalLimit() uint64 { return max(minJournal, uint64(t.root.count.Load())/8) }

// journal adds deltas to a batch, under a number of their own.
func (t *treeState) journal(b *pebble.Batch, deltas []delta) error {
	op := b.SetDeferred(len(checkpointKey)+8, len(deltas)*deltaBytes)
	appendMetaKey(op.Key[:0], entrySpace, t.number.Add(1))
	for i, d := range deltas {
		at := op.Value[i*deltaBytes:]
		binary.BigEndian.PutUint64(at, d.prefix)
		binary.BigEndian.PutUint64(at[8:], d.hash)
		binary.BigEndian.PutUint32(at[16:], uint32(int32(d.count)))
	}
	return op.Finish()
}

const deltaBytes = 8 + 8 + 4

func decodeDelta(raw []byte) delta {
	return delta{
		prefix: binary.BigEndian.Uint64(raw), hash: binary.BigEndian.Uint64(raw[8:]), count: int64(int32(binary.BigEndian.Uint32(raw[16:]))),
	}
}

func appendMetaKey(dst []byte, space byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, metaSpace, space), number)
}

// openTree reads the tree from the disk. A store without one, or with a damaged one, is read through, once.
func (p *Pebble) openTree() error {
	p.tree.again, p.tree.due, p.tree.spoilt = make(chan due, 1024), make(chan struct{}, 1), make(chan damage, 16)
	p.tree.asked, p.tree.unsure = make(map[site]bool), make(map[site][]damage)
	known, err := p.readTree()
	switch {
	case known:
		return nil
	case errors.Is(err, errTree), isCorrupt(err):
		p.tree.askSalvage(damage{from: string([]byte{recordSpace}), block: true}) // if it is one: somewhere before the records
		p.opts.Log.Error().Err(err).Str("dir", p.dir).Msg("the hash tree is damaged: it is made anew from the records")
	case err != nil:
		return err
	}
	return p.buildTree()
}

// readTree reads checkpoint and journal. known is false if there is no checkpoint, or a damaged one, about which the error says more.
func (p *Pebble) readTree() (known bool, err error) {
	p.tree.root = new(block)
	note, closer, err := p.db.Get(checkpointKey)
	switch {
	case err == nil:
		err = errors.Join(p.loadTree(note), closer.Close())
		known = err == nil
	case errors.Is(err, pebble.ErrNotFound):
		err = nil
	}
	if failed := p.replayJournal(known); failed != nil {
		return false, failed
	}
	return known, err
}

// loadTree reads the checkpoint.
func (p *Pebble) loadTree(note []byte) error {
	if len(note) != 1+8+8+4 || note[0] != treeFormat {
		return fmt.Errorf("%w: checkpoint %x", errTree, note)
	}
	p.tree.generation = binary.BigEndian.Uint64(note[1:])
	p.tree.saved.Store(binary.BigEndian.Uint64(note[9:]))
	p.tree.number.Store(p.tree.saved.Load())
	var stored []byte
	err := p.eachMeta(appendMetaKey(nil, pageSpace, p.tree.generation), appendMetaKey(nil, pageSpace, p.tree.generation+1),
		func(_, page []byte) error {
			stored = append(stored, page...)
			return nil
		})
	if err != nil {
		return err
	}
	if checksum(note[:17], stored) != binary.BigEndian.Uint32(note[17:]) {
		return fmt.Errorf("%w: wrong checksum", errTree)
	}
	rest, err := p.tree.root.load(stored, 0)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: %d bytes too many", errTree, len(rest))
	}
	return err
}

// replayJournal adds what was committed since the checkpoint, if there is a checkpoint to add it to.
func (p *Pebble) replayJournal(known bool) error {
	began, entries := time.Now(), 0
	err := p.eachMeta(appendMetaKey(nil, entrySpace, 0), []byte{metaSpace, entrySpace + 1}, func(key, value []byte) error {
		number := binary.BigEndian.Uint64(key[2:])
		p.tree.number.Store(max(number, p.tree.number.Load()))
		if !known || number <= p.tree.saved.Load() {
			return nil
		}
		entries++
		for ; len(value) >= deltaBytes; value = value[deltaBytes:] {
			p.tree.root.add(site{}, decodeDelta(value))
		}
		return nil
	})
	if entries > 0 {
		p.opts.Log.Info().Int("commits", entries).Dur("took", time.Since(began)).Msg("hash tree brought up to date after a crash")
	}
	return err
}

// eachMeta visits the store's own keys in a range.
func (p *Pebble) eachMeta(lower, upper []byte, visit func(key, value []byte) error) error {
	it, err := p.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var value []byte
		if value, err = it.ValueAndErr(); err == nil {
			err = visit(it.Key(), value)
		}
	}
	return errors.Join(err, it.Error(), it.Close())
}

// buildTree makes the tree from the records, which nobody else reads or writes yet.
func (p *Pebble) buildTree() error {
	began := time.Now()
	var build treeBuilder
	err := p.scan(place{}, ring.ID{}.Prev(), func(key []byte, v node.Version) bool {
		build.add(deltaOf(ring.Hash(key), key, node.Version{}, v))
		return true
	}, func(damage) {}) // whoever reads it next will have its leaf counted anew
	if err != nil {
		return err
	}
	p.tree.root = &build.root
	// What is left of a journal that could not be read is of another tree, and its numbers are not known.
	if err := p.db.DeleteRange(appendMetaKey(nil, entrySpace, 0), []byte{metaSpace, entrySpace + 1}, pebble.NoSync); err != nil {
		return err
	}
	if n := build.root.count.Load(); n > 0 {
		p.opts.Log.Info().Int64("records", n).Dur("took", time.Since(began)).Str("dir", p.dir).Msg("made the hash tree of a store without one")
	}
	return p.checkpoint()
}

// checkpoint writes the tree, and empties the journal.
func (p *Pebble) checkpoint() error {
	t := &p.tree
	t.pause()
	t.root.joinAll()
	stored, number := t.root.append(nil), t.number.Load()
	t.resume()
	generation := t.generation + 1
	note := binary.BigEndian.AppendUint64([]byte{treeFormat}, generation)
	note = binary.BigEndian.AppendUint64(note, number)
	note = binary.BigEndian.AppendUint32(note, checksum(note, stored))
	// Pages of a checkpoint that a crash cut short.
	if err := p.db.DeleteRange(appendMetaKey(nil, pageSpace, generation), []byte{metaSpace, pageSpace + 1}, pebble.NoSync); err != nil {
		return err
	}
	for i := uint32(0); len(stored) > 0; i++ {
		page := stored[:min(pageBytes, len(stored))]
		key := binary.BigEndian.AppendUint32(appendMetaKey(nil, pageSpace, generation), i)
		if err := p.db.Set(key, page, pebble.NoSync); err != nil {
			return err
		}
		stored = stored[len(page):]
	}
	b := p.db.NewBatch()
	err := errors.Join(
		b.Set(checkpointKey, note, nil),
		b.DeleteRange([]byte{metaSpace, pageSpace}, appendMetaKey(nil, pageSpace, generation), nil),
		b.DeleteRange([]byte{metaSpace, entrySpace}, appendMetaKey(nil, entrySpace, number+1), nil),
		b.Delete(oldCountKey, nil),
	)
	if err == nil {
		// The log is one sequence: where this is, the pages are.
		err = b.Commit(pebble.NoSync)
	}
	if err = errors.Join(err, b.Close()); err != nil {
		return err
	}
	t.generation = generation
	t.saved.Store(number)
	return nil
}

// oldCountKey is where stores without a hash tree kept their number of records.
var oldCountKey = []byte{metaSpace, 'n'}
