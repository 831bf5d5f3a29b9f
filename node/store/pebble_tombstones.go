package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// The tombstones of a Pebble have an index, ordered by time, so that nobody searches all records for the old ones. It changes in the same batch as the
// records: what a crash leaves of these, it leaves of the index.
//
//	0x00 'd'                        there is an index
//	0x00 'd' time (8) | disk key    a tombstone with that version time
//
// A record that has become unreadable leaves its entry behind, which whoever meets it removes.
var indexKey = []byte{metaSpace, 'd'}

const (
	indexOverhead   = 2 + 8
	indexBatchBytes = 1 << 20 // in a commit, when the index is made
)

// head is what the store has to know of a record whose place another takes. The zero head is that of a key without a record.
type head struct {
	version   node.Version
	tombstone bool
}

func appendIndexKey(dst []byte, time uint64, diskKey []byte) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, indexKey...), time)
	return append(dst, diskKey...)
}

// index brings the index up to date with a record that takes the place of another one, or is removed.
func (c *change) index(diskKey []byte, was, now head) error {
	if was.tombstone {
		c.tombstones--
		if err := c.batch.Delete(appendIndexKey(nil, was.version.Time, diskKey), nil); err != nil {
			return err
		}
	}
	if now.tombstone {
		c.tombstones++
		return c.batch.Set(appendIndexKey(nil, now.version.Time, diskKey), nil, nil)
	}
	return nil
}

// Tombstones implements node.Store.
func (p *Pebble) Tombstones(before uint64, behind node.Entry, limit int) (entries []node.Entry, err error) {
	if err := p.usable(); err != nil {
		return nil, err
	}
	lower := appendIndexKey(nil, 0, nil)
	if len(behind.Key) > 0 {
		lower = append(appendIndexKey(nil, behind.Version.Time, appendDiskKey(nil, ring.Hash(behind.Key), behind.Key)), 0)
	}
	it, err := p.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: appendIndexKey(nil, before, nil)})
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
		time, diskKey := binary.BigEndian.Uint64(it.Key()[len(indexKey):]), it.Key()[indexOverhead:]
		stored, err := p.headIn(p.db, diskKey)
		if err != nil {
			return nil, err
		}
		if !stored.tombstone || stored.version.Time != time {
			if err := p.forgetEntry(it.Key()); err != nil {
				return nil, err
			}
			continue
		}
		entries = append(entries, node.Entry{Key: append([]byte(nil), userKey(diskKey)...), Version: stored.version})
	}
	return entries, it.Error()
}

// forgetEntry removes an entry of the index that stands for no tombstone, unless it has come to stand for one.
func (p *Pebble) forgetEntry(entry []byte) error {
	diskKey := entry[indexOverhead:]
	c := p.lockStripes([]ring.ID{ring.ID(diskKey[1:keyOverhead])})
	defer unlock(c.stripes)
	stored, err := p.headIn(p.db, diskKey)
	if err != nil || stored.tombstone && stored.version.Time == binary.BigEndian.Uint64(entry[len(indexKey):]) {
		return err
	}
	p.deleted.Add(-1)
	return p.db.Delete(entry, pebble.NoSync)
}

// openIndex counts the tombstones. A store without an index is read through, once; one with a damaged index, at each start.
func (p *Pebble) openIndex() error {
	switch err := p.countIndex(); {
	case errors.Is(err, pebble.ErrNotFound):
	case isCorrupt(err):
		p.tree.askSalvage(damage{from: string([]byte{recordSpace}), block: true})
		p.opts.Log.Error().Err(err).Str("dir", p.dir).Msg("the index of tombstones is damaged: it is made anew from the records")
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
	n := int64(0)
	err = p.eachMeta(appendIndexKey(nil, 0, nil), []byte{metaSpace, indexKey[1] + 1}, func(_, _ []byte) error {
		n++
		return nil
	})
	p.deleted.Store(n)
	return errors.Join(err, closer.Close())
}

// buildIndex makes the index from the records, which nobody else reads or writes yet.
func (p *Pebble) buildIndex() error {
	began, found := time.Now(), int64(0)
	if err := p.db.DeleteRange(indexKey, []byte{metaSpace, indexKey[1] + 1}, pebble.NoSync); err != nil {
		return err
	}
	b := p.db.NewBatch()
	lower, upper := diskBounds(place{}, ring.ID{}.Prev())
	it, err := p.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	var failed error
	err = p.walk(it, lower, ring.ID{}.Prev(), func(_ []byte, v node.Version) bool {
		if isTombstone(it.Value()) {
			found++
			failed = b.Set(appendIndexKey(nil, v.Time, it.Key()), nil, nil)
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
		return fmt.Errorf("make the index of tombstones: %w", err)
	}
	p.deleted.Store(found)
	if found > 0 {
		p.opts.Log.Info().Int64("tombstones", found).Dur("took", time.Since(began)).Str("dir", p.dir).Msg("made the index of tombstones of a store without one")
	}
	return nil
}
