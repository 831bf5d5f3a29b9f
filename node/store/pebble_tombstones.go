package store

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// The tombstones of a Pebble, and the records that expire, have an index, ordered by time, so that nobody searches all records for the old ones. It changes in
// the same batch as the records: what a crash leaves of these, it leaves of the index.
//
//	0x00 'd'                        there is an index
//	0x00 'd' time (8) | disk key    a tombstone with that version time
//	0x00 'e' time (8) | disk key    a record that expires then
//
// A record that has become unreadable leaves its entry behind, which whoever meets it removes.
var indexKey = []byte{metaSpace, tombstoneSpace}

const (
	tombstoneSpace byte = 'd'
	expirySpace    byte = 'e'

	indexOverhead   = 2 + 8
	indexBatchBytes = 1 << 20 // in a commit, when the index is made
)

func appendIndexKey(dst []byte, space byte, time uint64, diskKey []byte) []byte {
	return append(appendMetaKey(dst, space, time), diskKey...)
}

// entryKey returns the entry of a record in the index, nil if it has none.
func (h head) entryKey(diskKey []byte) []byte {
	switch {
	case h.tombstone:
		return appendIndexKey(nil, tombstoneSpace, h.version.Time, diskKey)
	case h.leased():
		return appendIndexKey(nil, expirySpace, uint64(h.expires), diskKey)
	}
	return nil
}

// index brings the index up to date with a record that takes the place of another one, or is removed.
func (c *change) index(diskKey []byte, was, now head) error {
	if entry := was.entryKey(diskKey); entry != nil {
		c.counted(entry, -1)
		if err := c.batch.Delete(entry, nil); err != nil {
			return err
		}
	}
	if entry := now.entryKey(diskKey); entry != nil {
		c.counted(entry, +1)
		return c.batch.Set(entry, nil, nil)
	}
	return nil
}

func (c *change) counted(entry []byte, n int64) {
	if entry[1] == expirySpace {
		c.leases += n
	} else {
		c.tombstones += n
	}
}

// Tombstones implements node.Store.
func (p *Pebble) Tombstones(before uint64, behind node.Entry, limit int) (entries []node.Entry, err error) {
	if err := p.usable(); err != nil {
		return nil, err
	}
	lower := appendIndexKey(nil, tombstoneSpace, 0, nil)
	if len(behind.Key) > 0 {
		lower = append(appendIndexKey(nil, tombstoneSpace, behind.Version.Time, appendDiskKey(nil, ring.Hash(behind.Key), behind.Key)), 0)
	}
	it, err := p.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: appendIndexKey(nil, tombstoneSpace, before, nil)})
	if err == nil {
		entries, err = p.tombstones(it, limit)
		err = errors.Join(err, it.Close())
	}
	if err == nil {
		err = p.syncSeen()
	}
	if err != nil {
		return nil, storeError("list tombstones", err)
	}
	return entries, nil
}

// tombstones reads at most limit tombstones by their entries of the index.
func (p *Pebble) tombstones(it *pebble.Iterator, limit int) (entries []node.Entry, err error) {
	for ok := it.First(); ok && len(entries) < limit; ok = it.Next() {
		diskKey := it.Key()[indexOverhead:]
		stored, err := p.headIn(p.db, diskKey)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(stored.entryKey(diskKey), it.Key()) {
			if err := p.forgetEntry(it.Key()); err != nil {
				return nil, err
			}
			continue
		}
		entries = append(entries, node.Entry{Key: append([]byte(nil), userKey(diskKey)...), Version: stored.version})
	}
	return entries, it.Error()
}

// forgetEntry removes an entry of the index that stands for no record, unless it has come to stand for one.
func (p *Pebble) forgetEntry(entry []byte) error {
	diskKey := entry[indexOverhead:]
	c := p.lockStripes([]ring.ID{ring.ID(diskKey[1:keyOverhead])})
	defer unlock(c.stripes)
	stored, err := p.headIn(p.db, diskKey)
	if err != nil || bytes.Equal(stored.entryKey(diskKey), entry) {
		return err
	}
	c.counted(entry, -1)
	p.deleted.Add(c.tombstones)
	p.leased.Add(c.leases)
	return p.db.Delete(entry, pebble.NoSync)
}

// openIndex counts the entries. A store without an index is read through, once; one with a damaged index, at each start.
func (p *Pebble) openIndex() error {
	switch err := p.countIndex(); {
	case errors.Is(err, pebble.ErrNotFound):
	case isCorrupt(err):
		p.tree.askSalvage(damage{from: string([]byte{recordSpace}), block: true})
		p.opts.Log.Error().Err(err).Str("dir", p.dir).Msg("the index by time is damaged: it is made anew from the records")
	default:
		return err
	}
	return p.buildIndex()
}

// countIndex counts the entries of the index. The error is pebble.ErrNotFound if there is none.
func (p *Pebble) countIndex() error {
	_, closer, err := p.db.Get(indexKey)
	if err != nil {
		return err
	}
	var c change
	err = p.eachMeta(appendIndexKey(nil, tombstoneSpace, 0, nil), []byte{metaSpace, expirySpace + 1}, func(entry, _ []byte) error {
		c.counted(entry, 1)
		return nil
	})
	p.deleted.Store(c.tombstones)
	p.leased.Store(c.leases)
	return errors.Join(err, closer.Close())
}

// buildIndex makes the index from the records, which nobody else reads or writes yet.
func (p *Pebble) buildIndex() error {
	began, found := time.Now(), change{}
	if err := p.db.DeleteRange(indexKey, []byte{metaSpace, expirySpace + 1}, pebble.NoSync); err != nil {
		return err
	}
	b := p.db.NewBatch()
	lower, upper := diskBounds(place{}, ring.ID{}.Prev())
	it, err := p.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	var failed error
	err = p.walk(it, lower, ring.ID{}.Prev(), func([]byte, node.Version) bool {
		var h head
		if h, failed = decodeHead(it.Key(), it.Value()); failed != nil {
			return false // walk has found it sound
		}
		if entry := h.entryKey(it.Key()); entry != nil {
			found.counted(entry, 1)
			failed = b.Set(entry, nil, nil)
		}
		if failed == nil && b.Len() >= indexBatchBytes {
			failed = b.Commit(pebble.NoSync)
			b.Reset()
		}
		return failed == nil
	}, func(damage) {})
	err = errors.Join(err, failed, closeWalked(it), b.Set(indexKey, nil, nil))
	if err == nil {
		err = b.Commit(pebble.NoSync)
	}
	if err = errors.Join(err, b.Close()); err != nil {
		return fmt.Errorf("make the index by time: %w", err)
	}
	p.deleted.Store(found.tombstones)
	p.leased.Store(found.leases)
	if found.tombstones+found.leases > 0 {
		p.opts.Log.Info().Int64("tombstones", found.tombstones).Int64("expiring", found.leases).Dur("took", time.Since(began)).Str("dir", p.dir).
			Msg("made the index by time of a store without one")
	}
	return nil
}
