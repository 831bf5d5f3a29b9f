package rpc

import (
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

// Everything that comes from the wire passes through this file, convert_kv.go and convert_op.go, and nothing else builds a node or ring type
// from a message. What comes in may be hostile: every length is checked, and an error names the field.

// Limits on what one message may list. They are far above what a sane peer sends, and low enough to make a hostile message cheap.
const (
	maxRefs      = 1024     // nodes in a successor list, a route, an avoid set, a list of processes
	maxArcs      = 1024     // arcs in a Digest
	maxItems     = 16 << 10 // records, wants or entries in a message
	maxAddrBytes = 261      // a DNS name, a colon and a port
	maxWireKey   = 64 << 10 // bytes of a stored key, whatever the limit for new keys is
	maxVNodes    = 1 << 16  // nodes of one process
)

// fieldError says which field of a message is wrong and why.
type fieldError struct{ field, problem string }

func (e *fieldError) Error() string { return e.field + ": " + e.problem }

func badField(field, format string, args ...any) error {
	return &fieldError{field, fmt.Sprintf(format, args...)}
}

// inField puts the name of the surrounding field before that of the inner one.
func inField(err error, format string, args ...any) error {
	outer := fmt.Sprintf(format, args...)
	if e, ok := err.(*fieldError); ok { // only ever built here, never wrapped
		return &fieldError{outer + "." + e.field, e.problem}
	}
	return &fieldError{outer, err.Error()}
}

func idFromProto(field string, b []byte) (ring.ID, error) {
	if len(b) != len(ring.ID{}) {
		return ring.ID{}, badField(field, "want %d bytes, got %d", len(ring.ID{}), len(b))
	}
	return ring.ID(b), nil
}

func idToProto(id ring.ID) []byte { return id[:] }

// optionalID reads an identifier that may be left out, which stands for the zero ID.
func optionalID(field string, b []byte) (ring.ID, error) {
	if len(b) == 0 {
		return ring.ID{}, nil
	}
	return idFromProto(field, b)
}

func idsFromProto(field string, list [][]byte) ([]ring.ID, error) {
	if err := checkCount(field, len(list), maxRefs); err != nil {
		return nil, err
	}
	ids := make([]ring.ID, len(list))
	for i, b := range list {
		id, err := idFromProto(field, b)
		if err != nil {
			return nil, err
		}
		ids[i] = id
	}
	return ids, nil
}

func idsToProto(ids []ring.ID) [][]byte {
	list := make([][]byte, len(ids))
	for i := range ids {
		list[i] = idToProto(ids[i])
	}
	return list
}

func checkCount(field string, n, limit int) error {
	if n > limit {
		return badField(field, "%d entries, want at most %d", n, limit)
	}
	return nil
}

func checkAddr(field, addr string) error {
	if len(addr) > maxAddrBytes {
		return badField(field, "%d bytes, want at most %d", len(addr), maxAddrBytes)
	}
	if !utf8.ValidString(addr) { // generated code does not look
		return badField(field, "%q is not UTF-8", addr)
	}
	return nil
}

// refToProto returns nil for the zero Ref.
func refToProto(r ring.Ref) *chordv1.Ref {
	if r.IsZero() {
		return nil
	}
	return &chordv1.Ref{Id: idToProto(r.ID), Zone: uint32(r.Zone), Addr: r.Addr}
}

func refFromProto(field string, m *chordv1.Ref) (ring.Ref, error) {
	if m == nil {
		return ring.Ref{}, badField(field, "missing")
	}
	id, err := idFromProto(field+".id", m.Id)
	if err != nil {
		return ring.Ref{}, err
	}
	if err := checkAddr(field+".addr", m.Addr); err != nil {
		return ring.Ref{}, err
	}
	return ring.Ref{ID: id, Zone: ring.Zone(m.Zone), Addr: m.Addr}, nil
}

// optionalRef reads a node that may be left out, which stands for the zero Ref.
func optionalRef(field string, m *chordv1.Ref) (ring.Ref, error) {
	if m == nil {
		return ring.Ref{}, nil
	}
	return refFromProto(field, m)
}

func refsToProto(refs []ring.Ref) []*chordv1.Ref {
	list := make([]*chordv1.Ref, len(refs))
	for i := range refs {
		list[i] = &chordv1.Ref{Id: idToProto(refs[i].ID), Zone: uint32(refs[i].Zone), Addr: refs[i].Addr}
	}
	return list
}

func refsFromProto(field string, list []*chordv1.Ref) ([]ring.Ref, error) {
	if err := checkCount(field, len(list), maxRefs); err != nil {
		return nil, err
	}
	refs := make([]ring.Ref, len(list))
	for i, m := range list {
		ref, err := refFromProto(field, m)
		if err != nil {
			return nil, err
		}
		refs[i] = ref
	}
	return refs, nil
}

func arcToProto(a ring.Arc) *chordv1.Arc {
	return &chordv1.Arc{After: idToProto(a.After), Through: idToProto(a.Through)}
}

func arcFromProto(field string, m *chordv1.Arc) (ring.Arc, error) {
	if m == nil {
		return ring.Arc{}, badField(field, "missing")
	}
	after, err := idFromProto(field+".after", m.After)
	if err != nil {
		return ring.Arc{}, err
	}
	through, err := idFromProto(field+".through", m.Through)
	if err != nil {
		return ring.Arc{}, err
	}
	return ring.Arc{After: after, Through: through}, nil
}

func arcsToProto(arcs []ring.Arc) []*chordv1.Arc {
	list := make([]*chordv1.Arc, len(arcs))
	for i, a := range arcs {
		list[i] = arcToProto(a)
	}
	return list
}

func arcsFromProto(field string, list []*chordv1.Arc) ([]ring.Arc, error) {
	if err := checkCount(field, len(list), maxArcs); err != nil {
		return nil, err
	}
	arcs := make([]ring.Arc, len(list))
	for i, m := range list {
		arc, err := arcFromProto(field, m)
		if err != nil {
			return nil, err
		}
		arcs[i] = arc
	}
	return arcs, nil
}

func viewToProto(v ring.View) *chordv1.NeighborsResponse {
	return &chordv1.NeighborsResponse{Addr: v.Self.Addr, Zone: uint32(v.Self.Zone), Predecessor: refToProto(v.Pred), Successors: refsToProto(v.Succs)}
}

func viewFromProto(id ring.ID, m *chordv1.NeighborsResponse) (ring.View, error) {
	if err := checkAddr("addr", m.Addr); err != nil {
		return ring.View{}, err
	}
	pred, err := refFromProto("predecessor", m.Predecessor)
	if err != nil {
		return ring.View{}, err
	}
	succs, err := refsFromProto("successors", m.Successors)
	if err != nil {
		return ring.View{}, err
	}
	return ring.View{Self: ring.Ref{ID: id, Zone: ring.Zone(m.Zone), Addr: m.Addr}, Pred: pred, Succs: succs}, nil
}

func stepToProto(s ring.Step) *chordv1.RouteResponse {
	return &chordv1.RouteResponse{Covered: s.Covered, Nodes: refsToProto(s.Nodes)}
}

func stepFromProto(m *chordv1.RouteResponse) (ring.Step, error) {
	nodes, err := refsFromProto("nodes", m.Nodes)
	return ring.Step{Covered: m.Covered, Nodes: nodes}, err
}

func hopsToProto(hops []node.Hop) []*chordv1.PassedHop {
	list := make([]*chordv1.PassedHop, len(hops))
	for i := range hops {
		h := &hops[i]
		list[i] = &chordv1.PassedHop{Node: refToProto(h.Node), Covered: h.Covered, Failed: h.Err != nil, WaitedNs: h.RTT.Nanoseconds()}
	}
	return list
}

func hopsFromProto(field string, list []*chordv1.PassedHop) ([]node.Hop, error) {
	if err := checkCount(field, len(list), maxRefs); err != nil {
		return nil, err
	}
	hops := make([]node.Hop, len(list))
	for i, m := range list {
		at, err := refFromProto(field+".node", m.GetNode())
		if err != nil {
			return nil, err
		}
		hops[i] = node.Hop{Node: at, Covered: m.GetCovered(), RTT: time.Duration(m.GetWaitedNs())}
		if m.GetFailed() {
			hops[i].Err = node.ErrPassedOver
		}
	}
	return hops, nil
}

func queryToProto(to ring.ID, q node.Query) *chordv1.ForwardRequest {
	return &chordv1.ForwardRequest{
		Node: idToProto(to), Number: q.Number, Id: idToProto(q.ID), Asker: q.Asker, Last: q.Last, Hops: hopsToProto(q.Hops),
	}
}

func queryFromProto(m *chordv1.ForwardRequest) (to ring.ID, q node.Query, err error) {
	q = node.Query{Number: m.GetNumber(), Asker: m.GetAsker(), Last: m.GetLast()}
	if to, err = idFromProto("node", m.GetNode()); err != nil {
		return to, q, err
	}
	if q.ID, err = idFromProto("id", m.GetId()); err != nil {
		return to, q, err
	}
	if q.Asker == "" {
		return to, q, badField("asker", "missing")
	}
	if err = checkAddr("asker", q.Asker); err != nil {
		return to, q, err
	}
	q.Hops, err = hopsFromProto("hops", m.GetHops())
	return to, q, err
}

func arrivalToProto(a node.Arrival) *chordv1.ArrivedRequest {
	m := &chordv1.ArrivedRequest{Number: a.Number, Hops: hopsToProto(a.Hops)}
	if !a.Owner.Self.IsZero() {
		m.Owner, m.Predecessor, m.Successors = refToProto(a.Owner.Self), refToProto(a.Owner.Pred), refsToProto(a.Owner.Succs)
	}
	return m
}

func arrivalFromProto(m *chordv1.ArrivedRequest) (a node.Arrival, err error) {
	a.Number = m.GetNumber()
	if a.Hops, err = hopsFromProto("hops", m.GetHops()); err != nil || m.GetOwner() == nil {
		return a, err
	}
	if a.Owner.Self, err = refFromProto("owner", m.GetOwner()); err != nil {
		return a, err
	}
	if a.Owner.Pred, err = refFromProto("predecessor", m.GetPredecessor()); err != nil {
		return a, err
	}
	a.Owner.Succs, err = refsFromProto("successors", m.GetSuccessors())
	return a, err
}

func styleFromProto(m chordv1.LookupStyle) (node.Style, error) {
	switch m {
	case chordv1.LookupStyle_LOOKUP_STYLE_ITERATIVE:
		return node.Iterative, nil
	case chordv1.LookupStyle_LOOKUP_STYLE_RECURSIVE:
		return node.Recursive, nil
	}
	return 0, badField("style", "%d is none that this process knows", m)
}

// identityToProto describes a process and where it listens.
func identityToProto(id node.Identity, addr string) *chordv1.Process {
	return &chordv1.Process{Id: id.Process[:], Vnodes: uint32(id.VNodes), Addr: addr, Incarnation: id.Incarnation, Zone: uint32(id.Zone)}
}

func identityFromProto(field string, m *chordv1.Process) (node.Identity, string, error) {
	if m == nil {
		return node.Identity{}, "", badField(field, "missing")
	}
	id := node.Identity{VNodes: int(m.Vnodes), Incarnation: m.Incarnation, Zone: ring.Zone(m.Zone)}
	if len(m.Id) != len(id.Process) {
		return node.Identity{}, "", badField(field+".id", "want %d bytes, got %d", len(id.Process), len(m.Id))
	}
	copy(id.Process[:], m.Id)
	if m.Vnodes < 1 || m.Vnodes > maxVNodes {
		return node.Identity{}, "", badField(field+".vnodes", "%d, want 1 to %d", m.Vnodes, maxVNodes)
	}
	if m.Addr == "" {
		return node.Identity{}, "", badField(field+".addr", "missing")
	}
	return id, m.Addr, checkAddr(field+".addr", m.Addr)
}
