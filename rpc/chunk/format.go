package chunk

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// BlockBytes is the size of a block, but for the last of a value, and where the ring takes no values of that size.
const BlockBytes = 256 << 10

// Keys that begin with these belong to this package:
//
//	blockPrefix | place of the user's key (20) | upload (16) | SHA-256 of the block (32)
//	uploadPrefix | place of the user's key (20)
const (
	prefix       = "\x00chord."
	blockPrefix  = prefix + "block\x00"
	uploadPrefix = prefix + "upload\x00"

	hashBytes = sha256.Size
	idBytes   = len(ring.ID{})
	keyBytes  = len(blockPrefix) + idBytes + len(UploadID{}) + hashBytes
)

// Internal reports whether a key is one of this package's own.
func Internal(key []byte) bool { return strings.HasPrefix(string(key), prefix) }

type hash [hashBytes]byte

// UploadID names an upload. No two have the same.
type UploadID [16]byte

// String returns 32 hexadecimal digits.
func (u UploadID) String() string { return hex.EncodeToString(u[:]) }

func blockKey(id ring.ID, u UploadID, h hash) []byte {
	key := append(make([]byte, 0, keyBytes), blockPrefix...)
	key = append(key, id[:]...)
	key = append(key, u[:]...)
	return append(key, h[:]...)
}

// parseBlockKey reads what blockKey made.
func parseBlockKey(key []byte) (id ring.ID, u UploadID, ok bool) {
	if len(key) != keyBytes || !strings.HasPrefix(string(key), blockPrefix) {
		return id, u, false
	}
	copy(id[:], key[len(blockPrefix):])
	copy(u[:], key[len(blockPrefix)+idBytes:])
	return id, u, true
}

func uploadKey(id ring.ID) []byte { return append([]byte(uploadPrefix), id[:]...) }

// parseUploadKey reads what uploadKey made.
func parseUploadKey(key []byte) (id ring.ID, ok bool) {
	if len(key) != len(uploadPrefix)+idBytes || !strings.HasPrefix(string(key), uploadPrefix) {
		return id, false
	}
	copy(id[:], key[len(uploadPrefix):])
	return id, true
}

// Manifest says where a large value is. The hashes of its blocks, in order, are in index blocks, which are stored as blocks are; so a manifest is small, and
// whoever reads the value needs one index block at a time. As bytes, integers big endian:
//
//	format 1 | upload (16) | size (8) | size of a block (4) | SHA-256 of each index block (32)
type Manifest struct {
	Upload     UploadID
	Size       int64
	BlockBytes int
	index      []hash
}

const (
	manifestFormat      = 1
	manifestHeaderBytes = 1 + len(UploadID{}) + 8 + 4
	maxBlockBytes       = 64 << 20
)

// Blocks returns how many blocks the value has.
func (m *Manifest) Blocks() int64 {
	return (m.Size + int64(m.BlockBytes) - 1) / int64(m.BlockBytes)
}

// perIndex is how many hashes an index block has, but for the last.
func (m *Manifest) perIndex() int64 { return int64(m.BlockBytes / hashBytes) }

// indexBlocks returns how many index blocks a value of this size has.
func (m *Manifest) indexBlocks() int64 { return (m.Blocks() + m.perIndex() - 1) / m.perIndex() }

// blockBytes returns the size of a block, by number.
func (m *Manifest) blockBytes(i int64) int {
	return int(min(int64(m.BlockBytes), m.Size-i*int64(m.BlockBytes)))
}

// encodedBytes returns the length of what encode returns, once all blocks are known.
func (m *Manifest) encodedBytes() int64 {
	return int64(manifestHeaderBytes) + m.indexBlocks()*hashBytes
}

func (m *Manifest) encode() []byte {
	b := append(make([]byte, 0, m.encodedBytes()), manifestFormat)
	b = append(b, m.Upload[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Size))
	b = binary.BigEndian.AppendUint32(b, uint32(m.BlockBytes))
	for _, h := range m.index {
		b = append(b, h[:]...)
	}
	return b
}

// ParseManifest reads the value of a key with a manifest. The error wraps node.ErrCorrupt.
func ParseManifest(b []byte) (*Manifest, error) {
	corrupt := func(format string, args ...any) (*Manifest, error) {
		return nil, fmt.Errorf("%w: manifest: %s", node.ErrCorrupt, fmt.Sprintf(format, args...))
	}
	if len(b) < manifestHeaderBytes {
		return corrupt("%d bytes", len(b))
	}
	if b[0] != manifestFormat {
		return corrupt("format %d, want %d", b[0], manifestFormat)
	}
	m := &Manifest{Upload: UploadID(b[1:]), Size: int64(binary.BigEndian.Uint64(b[17:])), BlockBytes: int(binary.BigEndian.Uint32(b[25:]))}
	if m.Size < 0 || m.Size > 1<<60 || m.BlockBytes < hashBytes || m.BlockBytes > maxBlockBytes || m.BlockBytes%hashBytes != 0 {
		return corrupt("%d bytes in blocks of %d", m.Size, m.BlockBytes)
	}
	rest := b[manifestHeaderBytes:]
	if int64(len(rest)) != m.indexBlocks()*hashBytes {
		return corrupt("%d bytes of hashes, want %d", len(rest), m.indexBlocks()*hashBytes)
	}
	m.index = make([]hash, m.indexBlocks())
	for i := range m.index {
		m.index[i] = hash(rest[i*hashBytes:])
	}
	return m, nil
}

// uploadRecord is what is known of the last upload to a key, under uploadKey. It is there before the first block, and until after the last one is freed.
type uploadRecord struct {
	Key        []byte `json:"key"`
	Upload     string `json:"upload"`
	Size       int64  `json:"size"` // -1 if that was not known at the beginning
	BlockBytes int    `json:"block_bytes"`
	Head       string `json:"head"`   // SHA-256 of the first block: another client goes on with the upload only if it has the same data
	Sealed     bool   `json:"sealed"` // its manifest may have been stored, and so replaced and freed: nobody may go on with it
}

func (r *uploadRecord) encode() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings and numbers can always be encoded
	}
	return b
}

func parseUpload(id ring.ID, b []byte) (*uploadRecord, error) {
	var r uploadRecord
	err := json.Unmarshal(b, &r)
	if err == nil && (ring.Hash(r.Key) != id || len(r.Upload) != 2*len(UploadID{})) {
		err = errors.New("it is about something else")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: upload record: %w", node.ErrCorrupt, err)
	}
	return &r, nil
}

// upload returns the id; of one that is none it is that of no upload.
func (r *uploadRecord) upload() (u UploadID) {
	if b, err := hex.DecodeString(r.Upload); err == nil {
		copy(u[:], b)
	}
	return u
}
