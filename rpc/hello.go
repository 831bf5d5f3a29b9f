package rpc

import (
	"fmt"
	"math"
	"time"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

// Hello is how a process introduces itself.
type Hello struct {
	Addr          string // where others reach it, as it says itself
	Protocol      uint32
	Cluster       ClusterID // zero while the process belongs to no cluster
	Process       node.Identity
	Member        bool        // it has joined a ring and serves
	Nodes         []ring.Ref  // that it hosts
	Gathered      []Candidate // while it waits for others to bootstrap a ring: all waiting processes that it knows, itself too
	Expect        int         // how many it waits for; 0 if it does not
	Version       string      // of the program
	AdminAddr     string      // where its AdminService listens
	GossipAddr    string      // where it gossips; empty if it does not
	Replicas      int         // N: distinct processes that hold a key
	WriteQuorum   int         // W
	ReadQuorum    int         // R
	MaxKeyBytes   int
	MaxValueBytes int
	Contact       node.Contact // by the own clock; zero if it never was a member
	Clock         time.Time    // what its clock showed
}

// Candidate is a process that is about to bootstrap a ring.
type Candidate struct {
	Process node.Identity
	Addr    string
	Agrees  uint64 // hash of the complete list that it has; 0 if that is not known
}

// helloRequest is what the process says when it calls another.
func (l *Local) helloRequest() *chordv1.HelloRequest {
	gathered, expect := l.gathered()
	id, _ := l.Cluster()
	return &chordv1.HelloRequest{
		Protocol: protocolVersion, Cluster: clusterToProto(id), Self: identityToProto(l.Identity, l.Addr),
		Gathered: candidatesToProto(gathered), Expect: uint32(expect),
	}
}

// helloResponse is what the process says when it is called.
func (l *Local) helloResponse(member bool) *chordv1.HelloResponse {
	var gathered []Candidate
	var expect int
	if !member {
		gathered, expect = l.gathered()
	}
	id, _ := l.Cluster()
	return &chordv1.HelloResponse{
		Protocol: protocolVersion, Cluster: clusterToProto(id), Self: identityToProto(l.Identity, l.Addr), Member: member,
		Gathered: candidatesToProto(gathered), Expect: uint32(expect),
		Version: l.Version, AdminAddr: l.AdminAddr, GossipAddr: l.GossipAddr,
		Replicas: uint32(l.Config.Replicas), WriteQuorum: uint32(l.Config.WriteQuorum), ReadQuorum: uint32(l.Config.ReadQuorum),
		MaxKeyBytes: uint32(l.Config.MaxKeyBytes), MaxValueBytes: uint32(l.Config.MaxValueBytes),
		Nodes: refsToProto(l.nodes()), ClockMs: uint64(l.now().UnixMilli()),
	}
}

func (l *Local) now() time.Time {
	if l.Now != nil {
		return l.Now()
	}
	return time.Now()
}

// helloFromProto reads the introduction of the process that was called at addr.
func helloFromProto(addr string, m *chordv1.HelloResponse) (Hello, error) {
	if m.GetProtocol() != protocolVersion {
		return Hello{}, fmt.Errorf("%s: %w", addr, otherProtocol(m.GetProtocol()))
	}
	h, err := helloFields(m)
	if err != nil {
		return Hello{}, malformed(addr, err)
	}
	return h, nil
}

func helloFields(m *chordv1.HelloResponse) (h Hello, err error) {
	h = Hello{
		Protocol: m.GetProtocol(), Member: m.GetMember(), Expect: int(m.GetExpect()), Version: clip(m.GetVersion()),
		AdminAddr: m.GetAdminAddr(), GossipAddr: m.GetGossipAddr(),
		Replicas: int(m.GetReplicas()), WriteQuorum: int(m.GetWriteQuorum()), ReadQuorum: int(m.GetReadQuorum()),
		MaxKeyBytes: int(m.GetMaxKeyBytes()), MaxValueBytes: int(m.GetMaxValueBytes()),
	}
	if h.Cluster, err = clusterFromProto("cluster", m.GetCluster()); err != nil {
		return Hello{}, err
	}
	if h.Process, h.Addr, err = identityFromProto("self", m.GetSelf()); err != nil {
		return Hello{}, err
	}
	if h.Gathered, err = candidatesFromProto("gathered", m.GetGathered()); err != nil {
		return Hello{}, err
	}
	if err := checkAddr("admin_addr", h.AdminAddr); err != nil {
		return Hello{}, err
	}
	if err := checkAddr("gossip_addr", h.GossipAddr); err != nil {
		return Hello{}, err
	}
	switch n := h.Replicas; {
	case n < 1 || h.WriteQuorum < 1 || h.WriteQuorum > n || h.ReadQuorum < 1 || h.ReadQuorum > n:
		return Hello{}, badField("replicas", "%d with write quorum %d and read quorum %d", n, h.WriteQuorum, h.ReadQuorum)
	case h.MaxKeyBytes < 1:
		return Hello{}, badField("max_key_bytes", "0, want at least 1")
	}
	if h.Contact, err = contactFromProto(m.GetContact(), time.Now()); err != nil {
		return Hello{}, err
	}
	if m.GetClockMs() > maxAgoMs {
		return Hello{}, badField("clock_ms", "%d, want at most %d", m.GetClockMs(), maxAgoMs)
	}
	h.Clock = time.UnixMilli(int64(m.GetClockMs()))
	h.Nodes, err = refsFromProto("nodes", m.GetNodes())
	return h, err
}

func contactToProto(c node.Contact, now time.Time) *chordv1.Contact {
	if c.Until.IsZero() {
		return nil
	}
	ago := func(t time.Time) uint64 { return uint64(max(now.Sub(t).Milliseconds(), 0)) }
	return &chordv1.Contact{SinceAgoMs: ago(c.Since), UntilAgoMs: ago(c.Until), Lasts: c.Lasts}
}

// contactFromProto reads a contact by the own clock.
func contactFromProto(m *chordv1.Contact, now time.Time) (node.Contact, error) {
	if m == nil {
		return node.Contact{}, nil
	}
	if ago := max(m.GetSinceAgoMs(), m.GetUntilAgoMs()); ago > maxAgoMs {
		return node.Contact{}, badField("contact", "%d ms ago, want at most %d", ago, maxAgoMs)
	}
	ago := func(ms uint64) time.Time { return now.Add(-time.Duration(ms) * time.Millisecond) }
	return node.Contact{Since: ago(m.GetSinceAgoMs()), Until: ago(m.GetUntilAgoMs()), Lasts: m.GetLasts()}, nil
}

// maxAgoMs is what a time.Duration can say, some three centuries.
const maxAgoMs = uint64(math.MaxInt64 / time.Millisecond)

func otherProtocol(theirs uint32) error {
	return fmt.Errorf("%w: it speaks version %d of the protocol, this process version %d", node.ErrInvalid, theirs, protocolVersion)
}

func clusterToProto(c ClusterID) []byte {
	if c.IsZero() {
		return nil
	}
	return c[:]
}

func clusterFromProto(field string, b []byte) (ClusterID, error) {
	switch len(b) {
	case 0:
		return ClusterID{}, nil
	case len(ClusterID{}):
		return ClusterID(b), nil
	}
	return ClusterID{}, badField(field, "want %d bytes or none, got %d", len(ClusterID{}), len(b))
}

func candidatesToProto(list []Candidate) []*chordv1.Process {
	processes := make([]*chordv1.Process, len(list))
	for i, c := range list {
		processes[i] = identityToProto(c.Process, c.Addr)
		processes[i].Agrees = c.Agrees
	}
	return processes
}

func candidatesFromProto(field string, processes []*chordv1.Process) ([]Candidate, error) {
	if err := checkCount(field, len(processes), maxRefs); err != nil {
		return nil, err
	}
	list := make([]Candidate, len(processes))
	for i, m := range processes {
		id, addr, err := identityFromProto(field, m)
		if err != nil {
			return nil, err
		}
		list[i] = Candidate{Process: id, Addr: addr, Agrees: m.GetAgrees()}
	}
	return list, nil
}
