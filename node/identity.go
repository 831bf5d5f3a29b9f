package node

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/chordkv/chord/ring"
)

// Identity is who a process is. All but the zone is drawn once, or counted, and kept in its data directory.
type Identity struct {
	Process     [16]byte  // random
	VNodes      int       // how many ring nodes it hosts, at least 1
	Incarnation uint64    // how often it was started
	Zone        ring.Zone // where it runs this time
}

// Origin returns what stands for the process in a Version.
func (id Identity) Origin() uint64 { return binary.BigEndian.Uint64(id.Process[:8]) }

// Nodes returns the identifiers of the process's ring nodes: the hashes of the process id and the node's number, so that whoever knows the
// process id can derive them.
func (id Identity) Nodes() []ring.ID {
	ids := make([]ring.ID, id.VNodes)
	for i := range ids {
		ids[i] = ring.Hash(binary.BigEndian.AppendUint32(id.Process[:len(id.Process):len(id.Process)], uint32(i)))
	}
	return ids
}

// Refs returns the process's ring nodes where it listens at addr.
func (id Identity) Refs(addr string) []ring.Ref {
	ids := id.Nodes()
	refs := make([]ring.Ref, len(ids))
	for i := range ids {
		refs[i] = ring.Ref{ID: ids[i], Zone: id.Zone, Addr: addr}
	}
	return refs
}

// String returns the process id in hexadecimal digits.
func (id Identity) String() string { return hex.EncodeToString(id.Process[:]) }
