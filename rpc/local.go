package rpc

import (
	"encoding/hex"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// protocolVersion is the version of the wire protocol. Processes that speak different ones refuse each other in Hello.
const protocolVersion = 1

// ClusterID names a ring for ever: it is drawn when the ring is started, and every process that joins it keeps it.
type ClusterID [16]byte

// String returns 32 hexadecimal digits.
func (c ClusterID) String() string { return hex.EncodeToString(c[:]) }

// IsZero reports whether c stands for "no cluster yet".
func (c ClusterID) IsZero() bool { return c == ClusterID{} }

// ParseClusterID reads what String writes.
func ParseClusterID(s string) (ClusterID, error) {
	var c ClusterID
	if len(s) != hex.EncodedLen(len(c)) {
		return ClusterID{}, fmt.Errorf("cluster id %q: want %d hexadecimal digits, got %d characters", s, hex.EncodedLen(len(c)), len(s))
	}
	if _, err := hex.Decode(c[:], []byte(s)); err != nil {
		return ClusterID{}, fmt.Errorf("cluster id %q: %w", s, err)
	}
	return c, nil
}

// Local is what a process says about itself to others. It is shared by its Peers and its Server; the exported fields must not
// change once either of them exists.
type Local struct {
	Identity   node.Identity
	Addr       string // where the process listens, as others reach it
	AdminAddr  string // where its AdminService listens; empty if nowhere
	GossipAddr string // where it gossips, as others reach it; empty if it does not
	Version    string // of the program
	Config     node.Config
	Now        func() time.Time // the clock that versions are given by; nil: that of the machine

	cluster atomic.Pointer[tag]
	mu      sync.Mutex
	roster  *roster // while the process waits for others to bootstrap a ring
}

// tag is a cluster id and the metadata that carries it.
type tag struct {
	id ClusterID
	md metadata.MD
}

// Cluster returns the cluster that the process belongs to; false if it does not belong to one yet.
func (l *Local) Cluster() (ClusterID, bool) {
	if t := l.cluster.Load(); t != nil {
		return t.id, true
	}
	return ClusterID{}, false
}

// SetCluster makes the process a member of a cluster. From then on every call that it makes is marked with the cluster's id, and the
// marked calls of other clusters are refused. Call it before the process joins a ring or starts one.
func (l *Local) SetCluster(id ClusterID) {
	l.cluster.Store(&tag{id: id, md: metadata.Pairs(clusterKey, id.String())})
}

// nodes returns the ring nodes that the process hosts.
func (l *Local) nodes() []ring.Ref { return l.Identity.Refs(l.Addr) }
