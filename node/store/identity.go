package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/chordkv/chord/node"
)

// identityFormat is the version of chord.json, and of everything else in a data directory. A directory in an older format is brought to this one
// when it is opened.
//
//	1  records, and a note of their number
//	2  with a hash tree beside them, which whoever does not know it would let go wrong
//	3  where records may have a history, which whoever does not know it would take for corrupt, and tombstones have an index, which he would let go
//	   wrong
//	4  where records may expire or be manifests, which whoever does not know it would take for corrupt
const identityFormat = 4

// identity is the content of chord.json.
type identity struct {
	Format      int       `json:"format"`
	Process     hexID     `json:"process"`
	Cluster     hexID     `json:"cluster"` // zero until the process has joined one
	VNodes      int       `json:"vnodes"`
	Incarnation uint64    `json:"incarnation"`
	Created     time.Time `json:"created"`
	LastAlive   time.Time `json:"last_alive"`
	Contact     *contact  `json:"contact,omitempty"` // unset: the process was in contact as long as it was alive
	Peers       []string  `json:"peers"`
	Checksum    string    `json:"checksum"` // CRC-32C of the file with this field empty
}

// contact is a node.Contact.
type contact struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
}

func newIdentity(opts DirOptions) (identity, error) {
	if opts.VNodes < 0 {
		return identity{}, fmt.Errorf("vnodes: %d, want at least 1", opts.VNodes)
	}
	id := identity{Format: identityFormat, VNodes: max(opts.VNodes, 1), Created: opts.Now().UTC()}
	if _, err := io.ReadFull(opts.Random, id.Process[:]); err != nil {
		return identity{}, fmt.Errorf("draw a process id: %w", err)
	}
	return id, nil
}

// encode returns the content of the file.
func (id identity) encode() []byte {
	id.Checksum = ""
	id.Checksum = fmt.Sprintf("%08x", crc32.Checksum(id.marshal(), castagnoli))
	return id.marshal()
}

func (id identity) marshal() []byte {
	raw, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		panic(err) // nothing in it can fail but a time after the year 9999
	}
	return append(raw, '\n')
}

// decodeIdentity reads what encode wrote.
func decodeIdentity(raw []byte) (identity, error) {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return identity{}, damaged(err)
	}
	if head.Format > identityFormat {
		return identity{}, fmt.Errorf("has format %d, written by a newer version of chord; this one knows formats up to %d: use the newer one",
			head.Format, identityFormat)
	}
	var id identity
	if err := json.Unmarshal(raw, &id); err != nil {
		return identity{}, damaged(err)
	}
	if !bytes.Equal(id.encode(), raw) {
		return identity{}, damaged(errors.New("wrong checksum"))
	}
	if id.Format < 1 || id.Process == (hexID{}) || id.VNodes < 1 || id.Incarnation < 1 {
		return identity{}, damaged(errors.New("a field is missing"))
	}
	return id, nil
}

func damaged(err error) error {
	return fmt.Errorf("%s is damaged (%w): restore it from a copy, or start with an empty directory, which makes this a new process",
		identityName, err)
}

func (id identity) node() node.Identity {
	return node.Identity{Process: [16]byte(id.Process), VNodes: id.VNodes, Incarnation: id.Incarnation}
}

// check compares the identity with what the caller expects.
func (id identity) check(opts DirOptions) error {
	if want := hexID(opts.Cluster); want != (hexID{}) && id.Cluster != (hexID{}) && id.Cluster != want {
		return fmt.Errorf("belongs to cluster %x, not %x", id.Cluster, want)
	}
	if opts.VNodes != 0 && opts.VNodes != id.VNodes {
		return fmt.Errorf("was made with vnodes %d, not %d, and the places on the ring depend on it: start with vnodes %d; to change the number, "+
			"let the process leave the ring and start it with an empty directory", id.VNodes, opts.VNodes, id.VNodes)
	}
	return nil
}
