package store

import (
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// DiskKey returns where a Pebble keeps a record.
func DiskKey(key []byte) []byte { return appendDiskKey(nil, ring.Hash(key), key) }

// Raw returns what is under a disk key.
func (p *Pebble) Raw(diskKey []byte) ([]byte, error) {
	raw, closer, err := p.db.Get(diskKey)
	if err != nil {
		return nil, err
	}
	return append([]byte(nil), raw...), closer.Close()
}

// SetRaw overwrites what is under a disk key.
func (p *Pebble) SetRaw(diskKey, raw []byte) error { return p.db.Set(diskKey, raw, pebble.Sync) }

// Checkpoint writes the hash tree down, as a long journal does.
func (p *Pebble) Checkpoint() error { return p.checkpoint() }

// Leaves returns the number of leaves of the hash tree.
func (p *Pebble) Leaves() int { return p.tree.root.leaves() }

func (b *block) leaves() (n int) {
	kids := b.kids.Load()
	if kids == nil {
		return 1
	}
	for i := range kids {
		n += kids[i].leaves()
	}
	return n
}

// SpoilTree overwrites a part of the checkpoint on disk; what names it, as in pebble_tree.go.
func (p *Pebble) SpoilTree(what byte) error {
	it, err := p.db.NewIter(&pebble.IterOptions{LowerBound: []byte{metaSpace, what}, UpperBound: []byte{metaSpace, what + 1}})
	if err != nil {
		return err
	}
	if !it.First() {
		return errors.Join(errors.New("nothing to spoil"), it.Close())
	}
	value := append([]byte(nil), it.Value()...)
	value[len(value)/2] ^= 1
	return errors.Join(p.db.Set(it.Key(), value, pebble.Sync), it.Close())
}

// MakeOld makes the store one of format 1, which knew no hash tree.
func (p *Pebble) MakeOld() error {
	return errors.Join(p.db.DeleteRange([]byte{metaSpace}, []byte{metaSpace + 1}, pebble.Sync),
		p.db.Set(oldCountKey, make([]byte, 8), pebble.Sync))
}

// SetFormat rewrites chord.json as one of another format.
func (d *Dir) SetFormat(format int) error { return d.update(func(id *identity) { id.Format = format }) }

// Abandon ends the store as a crash does, without the last checkpoint of a Close.
func (p *Pebble) Abandon() error {
	p.stop()
	p.helpers.Wait()
	p.closed = true
	return p.db.Close()
}

// Flush writes the memtables to tables.
func (p *Pebble) Flush() error { return p.db.Flush() }

// Compact rewrites all tables, without what was dropped.
func (p *Pebble) Compact() error {
	return p.db.Compact(context.Background(), []byte{metaSpace}, []byte{recordSpace + 1}, false)
}

// Shards returns the number of shards.
func (m *Memory) Shards() int { return len(*m.table.Load()) }

// EncodeRecord returns what a Pebble keeps under the DiskKey of a record.
func EncodeRecord(r node.Record) []byte {
	dst := make([]byte, encodedBytes(&r))
	encodeRecord(dst, DiskKey(r.Key), &r)
	return dst
}

// DecodeRecord reads what EncodeRecord returns.
func DecodeRecord(diskKey, raw []byte) (node.Record, error) { return decodeRecord(diskKey, raw) }
