package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// Expire implements node.Store. Like Drop, it works on a disk that is full for Apply: it makes room.
func (p *Pebble) Expire(before int64, limit int) ([][]byte, error) {
	keys, err := p.expire(before, limit)
	if err != nil {
		return keys, storeError("expire records", err)
	}
	return keys, nil
}

func (p *Pebble) expire(before int64, limit int) (keys [][]byte, err error) {
	if p.leased.Load() <= 0 || before <= 0 {
		return nil, p.usable()
	}
	if err := errors.Join(p.usable(), p.space.admitDrop()); err != nil {
		return nil, err
	}
	entries, err := p.leases(uint64(before), limit)
	var changes []*change
	for chunk := range slices.Chunk(entries, chunkRecords) {
		if err != nil {
			break
		}
		var c *change
		if c, err = p.expireChunk(chunk); c != nil {
			changes = append(changes, c)
			for _, entry := range chunk {
				keys = append(keys, userKey(entry[indexOverhead:]))
			}
		}
	}
	return keys, errors.Join(err, p.settleAll(changes))
}

// leases returns entries of the index with a time below before, the oldest first.
func (p *Pebble) leases(before uint64, limit int) (entries [][]byte, err error) {
	it, err := p.db.NewIter(&pebble.IterOptions{LowerBound: appendIndexKey(nil, expirySpace, 0, nil), UpperBound: appendIndexKey(nil, expirySpace, before, nil)})
	if err != nil {
		return nil, err
	}
	for ok := it.First(); ok && len(entries) < limit; ok = it.Next() {
		entries = append(entries, bytes.Clone(it.Key()))
	}
	return entries, errors.Join(it.Error(), it.Close())
}

// expireChunk makes tombstones of those of the records that still have the entry. An entry that stands for no record goes.
func (p *Pebble) expireChunk(entries [][]byte) (*change, error) {
	ids := make([]ring.ID, len(entries))
	for i, e := range entries {
		ids[i] = ring.ID(e[indexOverhead+1:][:len(ring.ID{})])
	}
	c := p.lockStripes(ids)
	c.batch = p.db.NewBatch()
	for _, entry := range entries {
		if err := p.expireEntry(c, entry); err != nil {
			unlock(c.stripes)
			return nil, errors.Join(err, c.batch.Close())
		}
	}
	if err := p.commit(c); err != nil {
		return nil, err
	}
	return c, nil
}

func (p *Pebble) expireEntry(c *change, entry []byte) error {
	diskKey := entry[indexOverhead:]
	raw, closer, err := p.db.Get(diskKey)
	var r node.Record
	if err == nil {
		r, err = decodeRecord(diskKey, raw)
		err = errors.Join(err, closer.Close())
	}
	switch {
	case isCorrupt(err):
		p.sawCorrupt(diskKey, err)
		p.exclude(damageAt(diskKey))
	case errors.Is(err, pebble.ErrNotFound):
	case err != nil:
		return fmt.Errorf("read %q: %w", userKey(diskKey), err)
	case bytes.Equal(headOf(&r).entryKey(diskKey), entry):
		gone := expired(r)
		return errors.Join(put(c.batch, diskKey, &gone), c.index(diskKey, headOf(&r), headOf(&gone)))
	}
	c.counted(entry, -1)
	return c.batch.Delete(entry, nil)
}
