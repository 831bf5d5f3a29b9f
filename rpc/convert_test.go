package rpc

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

// wire sends a message through its encoding, as a connection would.
func wire[M proto.Message](t testing.TB, m M) M {
	t.Helper()
	out, _, err := cross(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// generator makes random values of our types.
type generator struct{ *rand.Rand }

func (g generator) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

func (g generator) id() ring.ID { return ring.ID(g.bytes(20)) }

func (g generator) ref() ring.Ref {
	return ring.Ref{ID: g.id(), Zone: ring.Zone(g.Uint32()), Addr: strings.Repeat("h", g.IntN(20)) + ":7400"}
}

func (g generator) refs() []ring.Ref {
	refs := make([]ring.Ref, g.IntN(17))
	for i := range refs {
		refs[i] = g.ref()
	}
	return refs
}

func (g generator) hops() []node.Hop {
	hops := make([]node.Hop, g.IntN(9))
	for i := range hops {
		hops[i] = node.Hop{Node: g.ref(), Covered: g.IntN(2) == 0}
		if g.IntN(3) == 0 {
			hops[i].RTT, hops[i].Err = time.Duration(g.IntN(1e9)), node.ErrPassedOver
		}
	}
	return hops
}

func (g generator) arc() ring.Arc { return ring.Arc{After: g.id(), Through: g.id()} }

func (g generator) version() node.Version {
	return node.Version{Time: g.Uint64()>>1 + 1, Origin: g.Uint64()}
}

func (g generator) request() (r node.RequestID) {
	if g.IntN(3) > 0 {
		copy(r[:], g.bytes(16))
	}
	return r
}

func (g generator) record() node.Record {
	r := node.Record{Key: g.bytes(1 + g.IntN(30)), Version: g.version(), Request: g.request(), Tombstone: g.IntN(4) == 0}
	if !r.Tombstone {
		r.Value = g.bytes(g.IntN(3) * 10)
	}
	if g.IntN(3) == 0 {
		r.History = "\x01" + node.History(g.bytes(41*g.IntN(17)))
		r.Manifest = !r.Tombstone && g.IntN(2) == 0
	}
	if g.IntN(3) == 0 {
		r.Expires = 1 + g.Int64N(1<<48-1)
	}
	return r
}

func (g generator) op() node.Op {
	op := node.Op{Kind: node.Kind(1 + g.IntN(7)), Key: g.bytes(1 + g.IntN(9)), Level: node.Level(g.IntN(3))}
	switch op.Kind {
	case node.OpGet:
		op.Bare = g.IntN(2) == 0
	case node.OpPut, node.OpManifest:
		op.Value = g.bytes(g.IntN(3))
	case node.OpAppend, node.OpPrepend:
		op.Value = g.bytes(1 + g.IntN(3))
	case node.OpIncrement:
		op.Add, op.Initial = int64(g.Uint64()), int64(g.Uint64())
	}
	switch {
	case op.Kind == node.OpGet:
		op.Bare = g.IntN(3) == 0
	case g.IntN(3) == 0:
		op.TTL = time.Duration(g.Int64N(int64(node.MaxTTL)+2) - 1)
	case g.IntN(3) == 0:
		op.Expires = g.Int64N(1 << 48)
	}
	if op.Kind != node.OpGet {
		op.Request, op.Retry, op.If = g.request(), g.IntN(2) == 0, node.Condition(g.IntN(4))
	}
	if op.If == node.IfVersion {
		op.Version = g.version()
	}
	return op
}

// result makes an answer to an operation.
func (g generator) result(op node.Op) node.Result {
	r := node.Result{Found: g.IntN(2) == 0, Version: g.version(), Acks: g.IntN(4)}
	if op.Kind == node.OpGet && g.IntN(3) == 0 {
		r.Expires = 1 + g.Int64N(1<<48)
	}
	if op.Kind == node.OpGet && r.Found {
		if r.Expires != 0 {
			r.Left = time.Duration(1+g.IntN(1000)) * time.Millisecond
		}
		if r.Manifest = g.IntN(2) == 0; !op.Bare {
			r.Value = g.bytes(g.IntN(2) * 5)
		}
	}
	if op.Kind != node.OpGet && g.IntN(2) == 0 {
		r.Replaced = g.bytes(5)
	}
	if op.Conditional() || op.Expiring() {
		r.Number, r.Expires = int64(g.Uint64()|1), g.Int64N(1<<48)
	}
	return r
}

func TestConvertRoundTrip(t *testing.T) {
	for seed := range uint64(200) {
		g := generator{rand.New(rand.NewPCG(1, seed))}
		check := func(what string, got, want any, err error) {
			t.Helper()
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d: %s:\ngot  %+v (%v)\nwant %+v", seed, what, got, err, want)
			}
		}
		ref := g.ref()
		gotRef, err := refFromProto("ref", wire(t, refToProto(ref)))
		check("ref", gotRef, ref, err)

		arcs := []ring.Arc{g.arc(), g.arc(), ring.FullArc()}
		gotArcs, err := arcsFromProto("arcs", wire(t, &chordv1.DigestRequest{Arcs: arcsToProto(arcs)}).Arcs)
		check("arcs", gotArcs, arcs, err)

		view := ring.View{Self: g.ref(), Pred: g.ref(), Succs: g.refs()}
		gotView, err := viewFromProto(view.Self.ID, wire(t, viewToProto(view)))
		check("view", gotView, view, err)

		step := ring.Step{Covered: seed%2 == 0, Nodes: g.refs()}
		gotStep, err := stepFromProto(wire(t, stepToProto(step)))
		check("step", gotStep, step, err)

		ids := []ring.ID{g.id(), g.id()}
		gotIDs, err := idsFromProto("avoid", wire(t, &chordv1.RouteRequest{Avoid: idsToProto(ids)}).Avoid)
		check("ids", gotIDs, ids, err)

		records := []node.Record{g.record(), g.record(), g.record()}
		gotRecords, err := appendRecords(nil, wire(t, &chordv1.ApplyRequest{Records: recordsToProto(records)}).Records)
		check("records", gotRecords, records, err)

		wants := []node.Want{{Key: g.bytes(3), Have: g.version()}, {Key: g.bytes(1)}, {Key: g.bytes(2), Bare: true, Group: g.version().Time}}
		gotWants, err := wantsFromProto(wire(t, &chordv1.FetchRequest{Wants: wantsToProto(wants)}).Wants)
		check("wants", gotWants, wants, err)

		found := []node.Found{{}, {Version: g.version(), Mine: true, Owned: g.arc(), Heard: true}, {Version: records[0].Version, Record: records[0]}}
		gotFound, err := foundFromProto(wire(t, &chordv1.FetchResponse{Found: foundToProto(found)}).Found)
		check("found", gotFound, found, err)

		entries := []node.Entry{{Key: g.bytes(4), Version: g.version()}}
		gotEntries, err := entriesFromProto(wire(t, &chordv1.ListResponse{Entries: entriesToProto(entries)}).Entries)
		check("entries", gotEntries, entries, err)

		stored := node.Stored{Entries: append(entries, node.Entry{Key: g.bytes(2)}), Listed: true, Around: []string{"a:1", "b:2"}}
		gotStored, err := storedFromProto(wire(t, storedToProto(stored)))
		check("stored", gotStored, stored, err)

		summaries := []node.Summary{{}, {Count: g.Uint64(), Hash: g.Uint64()}}
		gotSummaries := summariesFromProto(wire(t, &chordv1.DigestResponse{Summaries: summariesToProto(summaries)}).Summaries)
		check("summaries", gotSummaries, summaries, nil)

		versions := []node.Version{{}, g.version()}
		gotVersions := versionsFromProto(wire(t, &chordv1.ApplyResponse{Versions: versionsToProto(versions)}).Versions)
		check("versions", gotVersions, versions, nil)

		op, direct := g.op(), seed%3 == 0
		gotOp, gotDirect, err := opFromProto(wire(t, opToProto(op, direct, 7)))
		check("op", gotOp, op, err)
		check("direct", gotDirect, direct, nil)

		result := g.result(op)
		if !direct {
			result.Owner, result.Arc = g.ref(), g.arc()
		}
		gotResult, err := resultFromProto("peer", &op, wire(t, resultToProto(&op, result, direct)))
		check("result", gotResult, result, err)

		identity := node.Identity{Process: [16]byte(g.bytes(16)), VNodes: 1 + g.IntN(9), Incarnation: g.Uint64(), Zone: ring.Zone(g.Uint32())}
		gotIdentity, addr, err := identityFromProto("self", wire(t, identityToProto(identity, ref.Addr)))
		check("identity", gotIdentity, identity, err)
		check("identity's address", addr, ref.Addr, nil)
	}
}

// TestConvertRefuses has one bad message for every check, and the name of the field that the error must contain.
func TestConvertRefuses(t *testing.T) {
	id := make([]byte, 20)
	good := &chordv1.Version{Time: 1}
	many := func(n int) []*chordv1.Ref { return make([]*chordv1.Ref, n) }
	ref := func(m *chordv1.Ref) error { _, err := refFromProto("ref", m); return err }
	rec := func(m *chordv1.Record) error { _, err := recordFromProto(m); return err }
	op := func(m *chordv1.OpCall) error { _, _, err := opFromProto(m); return err }
	change := func(m *chordv1.ChangeRequest) error {
		return op(&chordv1.OpCall{Op: &chordv1.OpCall_Change{Change: m}})
	}
	proc := func(m *chordv1.Process) error { _, _, err := identityFromProto("self", m); return err }
	outline := func(m *chordv1.OutlineRequest) error { _, _, err := outlineRequestFromProto(m); return err }
	for field, err := range map[string]error{
		"ref: missing":             ref(nil),
		"ref.id: want 20 bytes":    ref(&chordv1.Ref{Id: id[:19]}),
		"ref.addr: 262 bytes":      ref(&chordv1.Ref{Id: id, Addr: strings.Repeat("x", 262)}),
		"nodes: 1025 entries":      second(stepFromProto(&chordv1.RouteResponse{Nodes: many(1025)})),
		"predecessor: missing":     second(viewFromProto(ring.ID{}, &chordv1.NeighborsResponse{})),
		"avoid: want 20 bytes":     second(idsFromProto("avoid", [][]byte{{1}})),
		"arc.after: want":          second(arcFromProto("arc", &chordv1.Arc{After: id[1:], Through: id})),
		"arc.through: want":        second(arcFromProto("arc", &chordv1.Arc{After: id})),
		"record: missing":          rec(nil),
		"record.key: 0 bytes":      rec(&chordv1.Record{Version: good}),
		"record.key: 65537":        rec(&chordv1.Record{Key: make([]byte, 65537), Version: good}),
		"record.version: miss":     rec(&chordv1.Record{Key: id}),
		"record.request: want":     rec(&chordv1.Record{Key: id, Version: good, Request: id}),
		"record.value: 20 bytes":   rec(&chordv1.Record{Key: id, Version: good, Tombstone: true, Value: id}),
		"found.record.key: 0":      second(foundFromProto([]*chordv1.Found{{Record: &chordv1.Record{Version: good}}})),
		"wants.key: 0 bytes":       second(wantsFromProto([]*chordv1.Want{nil})),
		"entries.key: 0 bytes":     second(entriesFromProto([]*chordv1.Entry{{}})),
		"around: 262 bytes":        second(storedFromProto(&chordv1.WatchPrefixResponse{Around: []string{strings.Repeat("x", 262)}})),
		"around: 16385 entries":    second(storedFromProto(&chordv1.WatchPrefixResponse{Around: make([]string, 16385)})),
		"around: \"\\xff\" is not": second(storedFromProto(&chordv1.WatchPrefixResponse{Around: []string{"\xff"}})),
		"entries.key: 65537 by":    second(storedFromProto(&chordv1.WatchPrefixResponse{Entries: []*chordv1.Entry{{Key: make([]byte, 65537)}}})),
		"blocks: 0 is none":        second(blocksFromProto([]uint64{1, 0}, nil)),
		"blocks: 9223372036854":    second(blocksFromProto([]uint64{1 << 63}, nil)),
		"arcs: 1 too many":         second(blocksFromProto([]uint64{1}, []*chordv1.Arc{{After: id, Through: id}})),
		"blocks: 1025 entries":     second(blocksFromProto(make([]uint64, 1025), nil)),
		"bits: 3, want 2 or 4":     outline(&chordv1.OutlineRequest{Blocks: []uint64{1}, Bits: 3, Records: 1}),
		"records: 0 for each":      outline(&chordv1.OutlineRequest{Blocks: []uint64{1}, Bits: 2}),
		"records: 8193 for each":   outline(&chordv1.OutlineRequest{Blocks: []uint64{1, 1}, Bits: 2, Records: 8193}),
		"counts: 2 hashes, have":   second(outlinesFromProto(&chordv1.OutlineResponse{Counts: []uint32{4}, Hashes: []uint64{1}})),
		"hashes: 1 too many":       second(outlinesFromProto(&chordv1.OutlineResponse{Hashes: []uint64{1}})),
		"counts: 0, want 1":        second(nameRequestFromProto(&chordv1.NameRequest{Blocks: []uint64{1}})),
		"counts: 3 hashes, have":   second(nameRequestFromProto(&chordv1.NameRequest{Blocks: []uint64{1}, Counts: []uint32{3}})),
		"hashes: 2049 entries":     second(nameRequestFromProto(&chordv1.NameRequest{Hashes: make([]uint64, 2049)})),
		"op: missing":              op(&chordv1.OpCall{}),
		"level: 3 is not":          op(&chordv1.OpCall{Op: &chordv1.OpCall_Get{Get: &chordv1.GetRequest{Level: 3}}}),
		"level: -1 is not":         op(&chordv1.OpCall{Op: &chordv1.OpCall_Put{Put: &chordv1.PutRequest{Level: -1}}}),
		"request: want 16 bytes":   op(&chordv1.OpCall{Op: &chordv1.OpCall_Delete{Delete: &chordv1.DeleteRequest{Request: id}}}),
		"kind: 0 is no kind":       change(&chordv1.ChangeRequest{}),
		"kind: 8 is no kind":       change(&chordv1.ChangeRequest{Kind: 8}),
		"condition: 4 is no":       change(&chordv1.ChangeRequest{Kind: 1, Condition: 4}),
		"condition: missing":       change(&chordv1.ChangeRequest{Kind: 1}),
		"record.expires: -1, w":    second(recordFromProto(&chordv1.Record{Key: id, Version: versionToProto(node.Version{Time: 1}), Expires: -1})),
		"record.expires: 28147":    second(recordFromProto(&chordv1.Record{Key: id, Version: versionToProto(node.Version{Time: 1}), Expires: 1 << 48})),
		"record.history: inval":    second(recordFromProto(&chordv1.Record{Key: id, Version: versionToProto(node.Version{Time: 1}), History: id})),
		"self: missing":            proc(nil),
		"self.id: want 16 bytes":   proc(&chordv1.Process{Id: id, Vnodes: 1, Addr: "a"}),
		"self.vnodes: 0":           proc(&chordv1.Process{Id: id[:16], Addr: "a"}),
		"self.addr: missing":       proc(&chordv1.Process{Id: id[:16], Vnodes: 1}),
		"cluster: want 16 bytes":   second(clusterFromProto("cluster", id)),
		"reply: not to a get":      second(resultFromProto("peer", &node.Op{Kind: node.OpGet}, &chordv1.OpReply{Reply: &chordv1.OpReply_Put{}})),
		"served.owner: missing":    second(servedError(&chordv1.Served{})),
	} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("got %v, want an error with %q", err, field)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func servedError(m *chordv1.Served) (ring.Ref, error) {
	ref, _, err := servedFromProto(m)
	return ref, err
}

// FuzzMessages feeds arbitrary bytes to everything that reads messages: nothing may panic, and what is accepted must survive a round trip.
func FuzzMessages(f *testing.F) {
	g := generator{rand.New(rand.NewPCG(1, 1))}
	for _, m := range []proto.Message{
		&chordv1.ReplicaBatch{Calls: []*chordv1.ReplicaCall{{Seq: 1, Records: recordsToProto([]node.Record{g.record(), g.record()})}}},
		&chordv1.OpBatch{Calls: []*chordv1.OpCall{opToProto(g.op(), true, 5), opToProto(g.op(), false, 0)}},
		viewToProto(ring.View{Self: g.ref(), Pred: g.ref(), Succs: g.refs()}),
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var batch chordv1.OpBatch
		if decode(t, b, &batch) {
			for _, call := range batch.GetCalls() {
				callBytes(call)
				op, direct, err := opFromProto(call)
				if err != nil {
					continue
				}
				again, directAgain, err := opFromProto(wire(t, opToProto(op, direct, 1)))
				if err != nil || !reflect.DeepEqual(normal(again), normal(op)) || direct != directAgain {
					t.Fatalf("op %+v became %+v (%v)", op, again, err)
				}
			}
		}
		var replica chordv1.ReplicaBatch
		if decode(t, b, &replica) {
			for _, call := range replica.GetCalls() {
				replicaCallBytes(call)
				_, _ = wantsFromProto(call.GetWants())
				records, err := appendRecords(nil, call.GetRecords())
				if err != nil {
					continue
				}
				again, err := appendRecords(nil, wire(t, &chordv1.ApplyRequest{Records: recordsToProto(records)}).Records)
				if err != nil || len(again) != len(records) {
					t.Fatalf("records %+v became %+v (%v)", records, again, err)
				}
			}
		}
		var (
			neighbors chordv1.NeighborsResponse
			hello     chordv1.HelloResponse
			reply     chordv1.OpReply
			fetched   chordv1.FetchResponse
		)
		if decode(t, b, &neighbors) {
			_, _ = viewFromProto(ring.ID{}, &neighbors)
		}
		if decode(t, b, &hello) {
			_, _ = helloFromProto("peer", &hello)
		}
		if decode(t, b, &reply) {
			_, _ = resultFromProto("peer", &node.Op{Kind: node.OpGet}, &reply)
		}
		if decode(t, b, &fetched) {
			_, _ = foundFromProto(fetched.GetFound())
		}
	})
}

// decode decodes b as a message. The codec may be stricter than package proto, which keeps a field of another type as unknown, but what both accept
// must be the same.
func decode(t *testing.T, b []byte, m proto.Message) bool {
	t.Helper()
	known := proto.UnmarshalOptions{DiscardUnknown: true}
	want, got := m.ProtoReflect().New().Interface(), m.ProtoReflect().New().Interface()
	if err := (wireCodec{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, m); err != nil {
		return false
	}
	if known.Unmarshal(b, want) != nil {
		return true // a string that is not UTF-8: whoever reads it looks
	}
	again, err := proto.Marshal(m)
	if err == nil {
		err = known.Unmarshal(again, got)
	}
	if err != nil || !proto.Equal(got, want) {
		t.Fatalf("got %v (%v), want %v", got, err, want)
	}
	return true
}

// normal makes no difference between an empty and a missing key.
func normal(op node.Op) node.Op {
	op.Key = bytes.Clone(op.Key)
	if len(op.Key) == 0 {
		op.Key = nil
	}
	return op
}
