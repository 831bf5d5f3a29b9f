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
// or, with a node.History,
//
//	format 2 | flags | version time (8) | version origin (8) | request id (16) | length of the history (2) | history | value | CRC-32C (4)
//
// or, with a time to expire and maybe a history,
//
//	format 3 | flags | version time (8) | version origin (8) | request id (16) | expires (8) | length of the history (2) | history | value | CRC-32C (4)
//
// where the checksum covers the disk key and everything before it. Disk keys that start with 0x00 are the store's own.
const (
	metaSpace   byte = 0x00
	recordSpace byte = 0x01

	keyOverhead = 1 + len(ring.ID{})

	recordFormat   byte = 1
	historyFormat  byte = 2
	expiryFormat   byte = 3
	flagTombstone  byte = 1 << 0
	flagManifest   byte = 1 << 1
	headerBytes         = 2 + 8 + 8 + 16
	expiryBytes         = 8
	lengthBytes         = 2
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

// encodedBytes returns the length of the disk value of r.
func encodedBytes(r *node.Record) int {
	n := recordOverhead
	if r.Expires != 0 {
		n += expiryBytes
	}
	if r.Expires != 0 || r.History != "" {
		n += lengthBytes + len(r.History)
	}
	if !r.Tombstone {
		n += len(r.Value)
	}
	return n
}

// encodeRecord fills dst, encodedBytes long, with the disk value of r.
func encodeRecord(dst, diskKey []byte, r *node.Record) {
	dst[0], dst[1] = recordFormat, 0
	if r.Tombstone {
		dst[1] |= flagTombstone
	}
	if r.Manifest {
		dst[1] |= flagManifest
	}
	binary.BigEndian.PutUint64(dst[2:], r.Version.Time)
	binary.BigEndian.PutUint64(dst[10:], r.Version.Origin)
	copy(dst[18:], r.Request[:])
	body := dst[headerBytes : len(dst)-checksumBytes]
	if r.Expires != 0 {
		binary.BigEndian.PutUint64(body, uint64(r.Expires))
		body = body[expiryBytes:]
	}
	if r.Expires != 0 || r.History != "" {
		if dst[0] = historyFormat; r.Expires != 0 {
			dst[0] = expiryFormat
		}
		binary.BigEndian.PutUint16(body, uint16(len(r.History)))
		body = body[lengthBytes:]
		body = body[copy(body, r.History):]
	}
	if !r.Tombstone {
		copy(body, r.Value)
	}
	end := len(dst) - checksumBytes
	binary.BigEndian.PutUint32(dst[end:], checksum(diskKey, dst[:end]))
}

func checksum(diskKey, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(diskKey, castagnoli), castagnoli, body)
}

// head is what the store has to know of a record whose place another takes. The zero head is that of a key without a record.
type head struct {
	version   node.Version
	tombstone bool
	expires   int64
}

// leased reports whether the record is to expire.
func (h head) leased() bool { return h.expires != 0 && !h.tombstone }

func headOf(r *node.Record) head { return head{r.Version, r.Tombstone, r.Expires} }

// decodeVersion checks a disk value and returns its version. The error wraps node.ErrCorrupt.
func decodeVersion(diskKey, raw []byte) (node.Version, error) {
	h, err := decodeHead(diskKey, raw)
	return h.version, err
}

// decodeHead checks a disk value and returns its head. The error wraps node.ErrCorrupt.
func decodeHead(diskKey, raw []byte) (head, error) {
	h, _, _, err := decodeParts(diskKey, raw)
	return h, err
}

// decodeParts checks a disk value and returns its head, and where its history and value are.
func decodeParts(diskKey, raw []byte) (h head, history, value []byte, err error) {
	corrupt := func(format string, args ...any) (head, []byte, []byte, error) {
		return head{}, nil, nil, fmt.Errorf("%w: "+format, append([]any{node.ErrCorrupt}, args...)...)
	}
	if len(raw) < recordOverhead {
		return corrupt("%d bytes, want at least %d", len(raw), recordOverhead)
	}
	end := len(raw) - checksumBytes
	if got, want := checksum(diskKey, raw[:end]), binary.BigEndian.Uint32(raw[end:]); got != want {
		return corrupt("checksum %08x, stored %08x", got, want)
	}
	value = raw[headerBytes:end]
	format := raw[0]
	if format < recordFormat || format > expiryFormat {
		return corrupt("record format %d, want %d to %d", format, recordFormat, expiryFormat)
	}
	if format == expiryFormat {
		if len(value) < expiryBytes+lengthBytes {
			return corrupt("a record of %d bytes that expires", len(raw))
		}
		if h.expires = int64(binary.BigEndian.Uint64(value)); h.expires <= 0 {
			return corrupt("expires at %d", h.expires)
		}
		value = value[expiryBytes:]
	}
	if format != recordFormat {
		n := 0
		if len(value) >= lengthBytes {
			n = int(binary.BigEndian.Uint16(value))
		}
		if n == 0 && format == historyFormat || len(value) < lengthBytes+n {
			return corrupt("a history of %d bytes in a record of %d", n, len(raw))
		}
		history, value = value[lengthBytes:][:n], value[lengthBytes+n:]
		if err := node.History(history).Check(); err != nil {
			return corrupt("%w", err)
		}
	}
	if raw[1]&^(flagTombstone|flagManifest) != 0 || raw[1]&flagTombstone != 0 && (raw[1] != flagTombstone || len(value) > 0) {
		return corrupt("flags %02x with %d bytes of value", raw[1], len(value))
	}
	h.version = node.Version{Time: binary.BigEndian.Uint64(raw[2:]), Origin: binary.BigEndian.Uint64(raw[10:])}
	h.tombstone = raw[1]&flagTombstone != 0
	return h, history, value, nil
}

// decodeRecord checks a disk value and returns the record, whose slices are copies. The error wraps node.ErrCorrupt.
func decodeRecord(diskKey, raw []byte) (node.Record, error) {
	h, history, value, err := decodeParts(diskKey, raw)
	if err != nil {
		return node.Record{}, err
	}
	key := userKey(diskKey)
	both := append(append(make([]byte, 0, len(key)+len(value)), key...), value...)
	r := node.Record{
		Key:       both[:len(key):len(key)],
		Version:   h.version,
		Tombstone: h.tombstone,
		Expires:   h.expires,
		Request:   node.RequestID(raw[18:headerBytes]),
		History:   node.History(history),
		Manifest:  raw[1]&flagManifest != 0,
	}
	if !r.Tombstone {
		r.Value = both[len(key):]
	}
	return r, nil
}

// expired makes a tombstone of a record.
func expired(r node.Record) node.Record {
	r.Tombstone, r.Manifest, r.Value = true, false, nil
	return r
}
