package store

import (
	"context"

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
	dst := make([]byte, recordOverhead+len(r.Value))
	encodeRecord(dst, DiskKey(r.Key), &r)
	return dst
}

// DecodeRecord reads what EncodeRecord returns.
func DecodeRecord(diskKey, raw []byte) (node.Record, error) { return decodeRecord(diskKey, raw) }
