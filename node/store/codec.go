package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// On disk, a record's key is
//
//	0x01 | identifier (20 bytes) | key
//
// and its value, integers big endian,
//
//	format 1 | flags | version time (8) | version origin (8) | request id (16) | value | CRC-32C (4)
//
// where the checksum covers the disk key and everything before it. Disk keys that start with 0x00 are the store's own.
const (
	metaSpace   byte = 0x00
	recordSpace byte = 0x01

	keyOverhead = 1 + len(ring.ID{})

	recordFormat   byte = 1
	flagTombstone  byte = 1 << 0
	headerBytes         = 2 + 8 + 8 + 16
	checksumBytes       = 4
	recordOverhead      = headerBytes + checksumBytes
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendDiskKey appends the disk key of a key whose place is id.
func appendDiskKey(dst []byte, id ring.ID, key []byte) []byte {
	dst = append(dst, recordSpace)
	dst = append(dst, id[:]...)
	return append(dst, key...)
}

// userKey returns the part of a disk key that the user gave.
func userKey(diskKey []byte) []byte { return diskKey[keyOverhead:] }

// encodeRecord fills dst, recordOverhead + len(r.Value) bytes long, with the disk value of r.
func encodeRecord(dst, diskKey []byte, r *node.Record) {
	dst[0], dst[1] = recordFormat, 0
	if r.Tombstone {
		dst[1] = flagTombstone
	}
	binary.BigEndian.PutUint64(dst[2:], r.Version.Time)
	binary.BigEndian.PutUint64(dst[10:], r.Version.Origin)
	copy(dst[18:], r.Request[:])
	copy(dst[headerBytes:], r.Value)
	end := len(dst) - checksumBytes
	binary.BigEndian.PutUint32(dst[end:], checksum(diskKey, dst[:end]))
}

func checksum(diskKey, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(diskKey, castagnoli), castagnoli, body)
}

// decodeVersion checks a disk value and returns its version. The error wraps node.ErrCorrupt.
func decodeVersion(diskKey, raw []byte) (node.Version, error) {
	if len(raw) < recordOverhead {
		return node.Version{}, fmt.Errorf("%w: %d bytes, want at least %d", node.ErrCorrupt, len(raw), recordOverhead)
	}
	end := len(raw) - checksumBytes
	if got, want := checksum(diskKey, raw[:end]), binary.BigEndian.Uint32(raw[end:]); got != want {
		return node.Version{}, fmt.Errorf("%w: checksum %08x, stored %08x", node.ErrCorrupt, got, want)
	}
	if raw[0] != recordFormat {
		return node.Version{}, fmt.Errorf("%w: record format %d, want %d", node.ErrCorrupt, raw[0], recordFormat)
	}
	if raw[1]&^flagTombstone != 0 || raw[1] == flagTombstone && len(raw) != recordOverhead {
		return node.Version{}, fmt.Errorf("%w: flags %02x with %d bytes of value", node.ErrCorrupt, raw[1], len(raw)-recordOverhead)
	}
	return node.Version{Time: binary.BigEndian.Uint64(raw[2:]), Origin: binary.BigEndian.Uint64(raw[10:])}, nil
}

// decodeRecord checks a disk value and returns the record, whose slices are copies. The error wraps node.ErrCorrupt.
func decodeRecord(diskKey, raw []byte) (node.Record, error) {
	version, err := decodeVersion(diskKey, raw)
	if err != nil {
		return node.Record{}, err
	}
	key, value := userKey(diskKey), raw[headerBytes:len(raw)-checksumBytes]
	both := append(append(make([]byte, 0, len(key)+len(value)), key...), value...)
	r := node.Record{
		Key:       both[:len(key):len(key)],
		Version:   version,
		Tombstone: raw[1]&flagTombstone != 0,
		Request:   node.RequestID(raw[18:headerBytes]),
	}
	if !r.Tombstone {
		r.Value = both[len(key):]
	}
	return r, nil
}
