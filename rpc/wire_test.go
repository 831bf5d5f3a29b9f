package rpc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

// checker compares what arrived with what was sent, and the size with that of the message that Peers and Server send.
type checker struct {
	t    *testing.T
	seed uint64
}

func (c checker) value(what string, got, want any) {
	c.t.Helper()
	if !reflect.DeepEqual(got, want) {
		c.t.Fatalf("seed %d: %s:\ngot  %+v\nwant %+v", c.seed, what, got, want)
	}
}

func (c checker) message(what string, size int, err error, message proto.Message) {
	c.t.Helper()
	if want := proto.Size(message); err != nil || size != want {
		c.t.Fatalf("seed %d: %s: got %d bytes (%v), want %d", c.seed, what, size, err, want)
	}
}

func TestWireOfRing(t *testing.T) {
	var w Wire
	for seed := range uint64(200) {
		g, c := generator{rand.New(rand.NewPCG(2, seed))}, checker{t, seed}
		to, from := g.ref(), g.ref()

		got, size, err := w.NeighborsRequest(to)
		c.message("neighbors request", size, err, &chordv1.NeighborsRequest{Node: to.ID[:], Known: 1})
		c.value("neighbors request", got, to)

		view := ring.View{Self: g.ref(), Pred: g.ref(), Succs: g.refs()}
		gotView, size, err := w.NeighborsResponse(view)
		answer := viewToProto(view)
		answer.Hash = 1
		c.message("neighbors response", size, err, answer)
		c.value("neighbors response", gotView, view)

		gotTo, gotFrom, size, err := w.NotifyRequest(to, from)
		c.message("notify request", size, err, &chordv1.NotifyRequest{Node: to.ID[:], From: refToProto(from)})
		c.value("notify request", []ring.Ref{gotTo, gotFrom}, []ring.Ref{to, from})
		size, err = w.NotifyResponse()
		c.message("notify response", size, err, &chordv1.NotifyResponse{})

		gotTo, gotFrom, size, err = w.ChangedRequest(to, from)
		c.message("changed request", size, err, &chordv1.NotifyRequest{Node: to.ID[:], From: refToProto(from), Changed: true})
		c.value("changed request", []ring.Ref{gotTo, gotFrom}, []ring.Ref{to, from})
		size, err = w.ChangedResponse()
		c.message("changed response", size, err, &chordv1.NotifyResponse{})

		if seed%2 == 0 {
			to.ID = ring.ID{} // any node of the process
		}
		id, avoid := g.id(), []ring.ID{g.id(), g.id()}
		gotTo, gotID, gotAvoid, size, err := w.RouteRequest(to, id, avoid)
		request := &chordv1.RouteRequest{Id: id[:], Avoid: idsToProto(avoid)}
		if !to.ID.IsZero() {
			request.Node = to.ID[:]
		}
		c.message("route request", size, err, request)
		c.value("route request", []any{gotTo, gotID, gotAvoid}, []any{to, id, avoid})

		step := ring.Step{Covered: seed%3 == 0, Nodes: g.refs()}
		gotStep, size, err := w.RouteResponse(step)
		c.message("route response", size, err, stepToProto(step))
		c.value("route response", gotStep, step)

		q := node.Query{Number: g.Uint64(), ID: g.id(), Asker: from.Addr, Last: seed%3 == 0, Hops: g.hops()}
		gotTo, gotQuery, size, err := w.ForwardRequest(to, q)
		c.message("forward request", size, err, queryToProto(to.ID, q))
		c.value("forward request", []any{gotTo, gotQuery}, []any{to, q})
		size, err = w.ForwardResponse()
		c.message("forward response", size, err, &chordv1.ForwardResponse{})

		arrival := node.Arrival{Number: g.Uint64(), Owner: view, Hops: g.hops()}
		if seed%4 == 0 {
			arrival.Owner = ring.View{} // no way was known
		}
		gotTo, gotArrival, size, err := w.ArrivedRequest(ring.Ref{Addr: from.Addr}, arrival)
		c.message("arrived request", size, err, arrivalToProto(arrival))
		c.value("arrived request", []any{gotTo, gotArrival}, []any{ring.Ref{Addr: from.Addr}, arrival})
		size, err = w.ArrivedResponse()
		c.message("arrived response", size, err, &chordv1.ArrivedResponse{})
	}
}

func batchOf(call *chordv1.ReplicaCall) *chordv1.ReplicaBatch {
	call.Seq = 1
	return &chordv1.ReplicaBatch{Calls: []*chordv1.ReplicaCall{call}}
}

func repliesOf(reply *chordv1.ReplicaReply) *chordv1.ReplicaBatchReply {
	reply.Seq = 1
	return &chordv1.ReplicaBatchReply{Replies: []*chordv1.ReplicaReply{reply}}
}

func TestWireOfReplicas(t *testing.T) {
	var w Wire
	for seed := range uint64(200) {
		g, c := generator{rand.New(rand.NewPCG(3, seed))}, checker{t, seed}

		records := []node.Record{g.record(), g.record(), g.record()}
		claims := []node.Claim{{Arc: g.arc(), Epoch: 1}, {Arc: ring.FullArc(), Epoch: maxEpoch}}
		gotRecords, gotClaims, size, err := w.ApplyRequest(records, claims)
		c.message("apply request", size, err, batchOf(&chordv1.ReplicaCall{
			Records: recordsToProto(records),
			Claims:  claimsToProto(claims),
		}))
		c.value("apply request", gotRecords, records)
		c.value("apply request", gotClaims, claims)

		versions := []node.Version{{}, g.version()}
		gotVersions, size, err := w.ApplyResponse(versions)
		c.message("apply response", size, err, repliesOf(&chordv1.ReplicaReply{
			Versions: versionsToProto(versions),
		}))
		c.value("apply response", gotVersions, versions)

		wants := []node.Want{{Key: g.bytes(3), Have: g.version()}, {Key: g.bytes(1)}, {Key: g.bytes(2), Bare: true, Group: g.version().Time, Request: node.RequestID{1}}}
		gotWants, size, err := w.FetchRequest(wants)
		c.message("fetch request", size, err, batchOf(&chordv1.ReplicaCall{
			Wants: wantsToProto(wants),
		}))
		c.value("fetch request", gotWants, wants)

		found := []node.Found{{}, {Version: g.version(), Mine: true, Owned: g.arc(), Heard: true, Epoch: maxEpoch, Given: g.version()}, {Version: records[0].Version, Record: records[0]}}
		gotFound, size, err := w.FetchResponse(found)
		c.message("fetch response", size, err, repliesOf(&chordv1.ReplicaReply{
			Found: foundToProto(found),
		}))
		c.value("fetch response", gotFound, found)

		arcs := []ring.Arc{g.arc(), ring.FullArc()}
		gotArcs, gotClaims, size, err := w.DigestRequest(arcs, claims)
		c.message("digest request", size, err, &chordv1.DigestRequest{Arcs: arcsToProto(arcs), Claims: claimsToProto(claims)})
		c.value("digest request", gotArcs, arcs)
		c.value("digest request", gotClaims, claims)

		sums := []node.Summary{{}, {Count: g.Uint64(), Hash: g.Uint64()}}
		gotSums, size, err := w.DigestResponse(sums)
		c.message("digest response", size, err, &chordv1.DigestResponse{Summaries: summariesToProto(sums)})
		c.value("digest response", gotSums, sums)

		arc, from, limit := g.arc(), node.Cursor{}, 1+g.IntN(1000)
		if seed%2 == 0 {
			from.Key = g.bytes(5)
		}
		block, _ := ring.BlockArc(1<<10 + seed)
		asked := []ring.Arc{block, arc, ring.FullArc(), arc}
		detail := node.Detail{Bits: 2, Records: 1 + int(seed)}
		gotAsked, gotDetail, size, err := w.OutlineRequest(asked, detail)
		c.message("outline request", size, err, outlineRequestToProto(asked, detail))
		c.value("outline request", []any{gotAsked, gotDetail}, []any{asked, detail})

		outlines := []node.Outline{{Split: true, Hashes: []uint64{seed, 2}}, {Hashes: []uint64{}}, {Hashes: []uint64{3}}}
		gotOutlines, size, err := w.OutlineResponse(outlines)
		c.message("outline response", size, err, outlinesToProto(outlines))
		c.value("outline response", gotOutlines, outlines)

		unnamed := []node.Unnamed{{Arc: block, Hashes: []uint64{seed}}, {Arc: arc, Hashes: []uint64{1, 2}}}
		gotUnnamed, size, err := w.NameRequest(unnamed)
		c.message("name request", size, err, nameRequestToProto(unnamed))
		c.value("name request", gotUnnamed, unnamed)

		gotArc, gotFrom, gotLimit, size, err := w.ListRequest(arc, from, limit)
		c.message("list request", size, err, &chordv1.ListRequest{Arc: arcToProto(arc), FromKey: from.Key, Limit: uint32(limit)})
		c.value("list request", []any{gotArc, gotFrom, gotLimit}, []any{arc, from, limit})

		entries := []node.Entry{{Key: g.bytes(4), Version: g.version()}}
		gotEntries, size, err := w.ListResponse(entries)
		c.message("list response", size, err, &chordv1.ListResponse{Entries: entriesToProto(entries)})
		c.value("list response", gotEntries, entries)
		gotEntries, size, err = w.NameResponse(entries)
		c.message("name response", size, err, &chordv1.NameResponse{Entries: entriesToProto(entries)})
		c.value("name response", gotEntries, entries)
		gotEntries, size, err = w.CollectRequest(entries)
		c.message("collect request", size, err, &chordv1.CollectRequest{Entries: entriesToProto(entries)})
		c.value("collect request", gotEntries, entries)
		size, err = w.CollectResponse()
		c.message("collect response", size, err, &chordv1.CollectResponse{})
	}
}

func TestWireOfOperations(t *testing.T) {
	var w Wire
	for seed := range uint64(200) {
		g, c := generator{rand.New(rand.NewPCG(4, seed))}, checker{t, seed}
		op := g.op()
		got, size, err := w.DoRequest(op)
		call := forwardToProto(op, 1000)
		call.Seq = 1
		c.message("do request", size, err, &chordv1.OpBatch{Calls: []*chordv1.OpCall{call}})
		c.value("do request", got, op)

		result := g.result(op)
		result.Owner, result.Arc = g.ref(), g.arc()
		gotResult, size, err := w.DoResponse(result)
		reply := resultToProto(&op, result, false)
		reply.Seq = 1
		c.message("do response", size, err, &chordv1.OpBatchReply{Replies: []*chordv1.OpReply{reply}})
		c.value("do response", gotResult, result)

		result.Owner, result.Arc = ring.Ref{}, ring.Arc{}
		gotResult, _, err = w.DoResponse(result)
		c.value("do response without an owner", gotResult, result)
		c.value("error", err, nil)
	}
}

// TestWireOfLongLists: what does not fit into one message arrives all the same, or is left to the next call.
func TestWireOfLongLists(t *testing.T) {
	var w Wire
	g, c := generator{rand.New(rand.NewPCG(5, 5))}, checker{t, 5}
	records := make([]node.Record, maxItems+1)
	wants := make([]node.Want, maxItems+1)
	for i := range records {
		records[i] = g.record()
		wants[i] = node.Want{Key: records[i].Key}
	}
	gotRecords, _, _, err := w.ApplyRequest(records, nil)
	c.value("error", err, nil)
	c.value("records", gotRecords, records)
	gotWants, _, err := w.FetchRequest(wants)
	c.value("error", err, nil)
	c.value("wants", gotWants, wants[:maxItems])

	arcs := make([]ring.Arc, maxArcs+1)
	avoid := make([]ring.ID, maxRefs+1)
	gotArcs, _, _, err := w.DigestRequest(arcs, nil)
	c.value("error", err, nil)
	c.value("arcs", gotArcs, arcs)
	_, _, gotAvoid, _, err := w.RouteRequest(g.ref(), g.id(), avoid)
	c.value("error", err, nil)
	c.value("avoid", gotAvoid, avoid[:maxRefs])
}

// TestWireCopies: what arrives shares no memory with what was sent.
func TestWireCopies(t *testing.T) {
	var w Wire
	g, c := generator{rand.New(rand.NewPCG(6, 6))}, checker{t, 6}
	record := node.Record{Key: []byte("key"), Value: []byte("value"), Version: g.version()}
	records, _, _, err := w.ApplyRequest([]node.Record{record}, nil)
	c.value("error", err, nil)
	records[0].Key[0], records[0].Value[0] = 'X', 'X'
	c.value("record", []string{string(record.Key), string(record.Value)}, []string{"key", "value"})

	step := ring.Step{Nodes: []ring.Ref{g.ref(), g.ref()}}
	got, _, err := w.RouteResponse(step)
	c.value("error", err, nil)
	got.Nodes[0] = ring.Ref{}
	if step.Nodes[0].IsZero() {
		t.Error("the nodes of a step are shared")
	}
}

// TestWireRefuses: what has no form on the network is an error that names the field.
func TestWireRefuses(t *testing.T) {
	var w Wire
	g := generator{rand.New(rand.NewPCG(7, 7))}
	long := ring.Ref{ID: g.id(), Addr: strings.Repeat("x", maxAddrBytes+1)}
	noKey := []node.Record{{Version: g.version()}}
	for field, err := range map[string]error{
		"predecessor: missing": third(w.NeighborsResponse(ring.View{Self: g.ref()})),
		"from.addr":            fourth(w.NotifyRequest(g.ref(), long)),
		"from: missing":        fourth(w.ChangedRequest(g.ref(), ring.Ref{})),
		"nodes.addr":           third(w.RouteResponse(ring.Step{Nodes: []ring.Ref{long}})),
		"record.key: 0 bytes":  fourth(w.ApplyRequest(noKey, nil)),
		"claims.epoch: 0":      fourth(w.ApplyRequest([]node.Record{g.record()}, []node.Claim{{}})),
		"found.epoch":          third(w.FetchResponse([]node.Found{{Epoch: maxEpoch + 1}})),
		"wants.key: 0 bytes":   third(w.FetchRequest([]node.Want{{}})),
		"entries.key: 0 bytes": third(w.ListResponse([]node.Entry{{}})),
		"record.version":       third(w.FetchResponse([]node.Found{{Record: node.Record{Key: []byte("k")}}})),
		"kind: 0 is no kind":   third(w.DoRequest(node.Op{Kind: 9})),
		"level: 7":             third(w.DoRequest(node.Op{Kind: node.OpGet, Level: 7})),
		"not UTF-8":            third(w.RouteResponse(ring.Step{Nodes: []ring.Ref{{ID: g.id(), Addr: "\xff"}}})),
	} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("got %v, want an error with %q", err, field)
		}
	}
}

func third[A, B any](_ A, _ B, err error) error          { return err }
func fourth[A, B, C any](_ A, _ B, _ C, err error) error { return err }

// TestWireOfErrors: errors.Is says the same on both sides, for each error of the table alone and in pairs, and the hint survives.
func TestWireOfErrors(t *testing.T) {
	var w Wire
	var answers []error
	for _, e := range errorTable {
		answers = append(answers, e.err, fmt.Errorf("put %q: %w", "k", e.err))
		for _, f := range errorTable {
			if !e.dead && !f.dead {
				answers = append(answers, fmt.Errorf("%w: %w", e.err, f.err))
			}
		}
	}
	answers = append(answers, errors.New("a bug"), fmt.Errorf("%w: key \xff", node.ErrInvalid))
	for _, answer := range answers {
		got, size, err := w.Failure(answer)
		if err != nil || size == 0 {
			t.Fatalf("%v: %d bytes, %v", answer, size, err)
		}
		for _, e := range errorTable {
			if is, want := errors.Is(got, e.err), errors.Is(answer, e.err); is != want {
				t.Errorf("%q became %q: wraps %q: %v, want %v", answer, got, e.err, is, want)
			}
		}
	}
	condition := &node.ConditionError{Conflict: node.Changed, Found: true, Version: node.Version{Time: 5, Origin: 6}}
	got, _, err := w.Failure(fmt.Errorf("put: %w", condition))
	if e := conditionOf(got); err != nil || e == nil || *e != *condition {
		t.Errorf("got %v (%v), want %v", got, err, condition)
	}
	hint := ring.Ref{ID: ring.Hash([]byte("h")), Addr: "n7"}
	got, _, err = w.Failure(fmt.Errorf("serve: %w", &node.NotOwnerError{Hint: hint}))
	var notOwner *node.NotOwnerError
	if err != nil || !errors.As(got, &notOwner) || notOwner.Hint != hint {
		t.Errorf("got %v (%v), want the hint %v", got, err, hint)
	}
}
