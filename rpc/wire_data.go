package rpc

import (
	"slices"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

// This file is Wire for the calls about records.

// parts sends a list in as many messages as its length needs.
func parts[T, U any](list []T, most int, send func(part []T) ([]U, int, error)) (got []U, size int, err error) {
	got = make([]U, 0, len(list))
	for part := range slices.Chunk(list, most) {
		arrived, bytes, err := send(part)
		if err != nil {
			return nil, size, err
		}
		if len(arrived) != len(part) {
			return nil, size, badField("list", "%d entries, want %d", len(arrived), len(part))
		}
		got, size = append(got, arrived...), size+bytes
	}
	return got, size, nil
}

// crossCall sends the request of a gathered call.
func crossCall(call *chordv1.ReplicaCall) (*chordv1.ReplicaCall, int, error) {
	call.Seq = 1
	m, size, err := cross(&chordv1.ReplicaBatch{Calls: []*chordv1.ReplicaCall{call}})
	if err != nil {
		return nil, 0, err
	}
	return m.GetCalls()[0], size, nil
}

// crossReply sends the answer to a gathered call.
func crossReply(reply *chordv1.ReplicaReply) (*chordv1.ReplicaReply, int, error) {
	reply.Seq = 1
	m, size, err := cross(&chordv1.ReplicaBatchReply{Replies: []*chordv1.ReplicaReply{reply}})
	if err != nil {
		return nil, 0, err
	}
	return m.GetReplies()[0], size, nil
}

// ApplyRequest carries the call of Apply.
func (Wire) ApplyRequest(records []node.Record, claims []node.Claim) (got []node.Record, gotClaims []node.Claim, size int, err error) {
	got, size, err = parts(records, maxItems, func(part []node.Record) ([]node.Record, int, error) {
		m, size, err := crossCall(&chordv1.ReplicaCall{Records: recordsToProto(part), Claims: claimsToProto(claims)})
		if err != nil {
			return nil, 0, err
		}
		if gotClaims, err = claimsFromProto(m.GetClaims()); err != nil {
			return nil, 0, err
		}
		got, err := appendRecords(nil, m.GetRecords())
		return got, size, err
	})
	return got, gotClaims, size, err
}

// ApplyResponse carries the answer to it.
func (Wire) ApplyResponse(versions []node.Version) ([]node.Version, int, error) {
	m, size, err := crossReply(&chordv1.ReplicaReply{Versions: versionsToProto(versions)})
	if err != nil {
		return nil, 0, err
	}
	return versionsFromProto(m.GetVersions()), size, nil
}

// FetchRequest carries the call of Fetch. Of wants beyond what a message may list, the rest is left out, as by Peers: the caller asks again.
func (Wire) FetchRequest(wants []node.Want) ([]node.Want, int, error) {
	wants = wants[:min(len(wants), maxItems)]
	m, size, err := crossCall(&chordv1.ReplicaCall{Wants: wantsToProto(wants)})
	if err != nil {
		return nil, 0, err
	}
	got, err := wantsFromProto(m.GetWants())
	return got, size, err
}

// FetchResponse carries the answer to it.
func (Wire) FetchResponse(found []node.Found) ([]node.Found, int, error) {
	m, size, err := crossReply(&chordv1.ReplicaReply{Found: foundToProto(found)})
	if err != nil {
		return nil, 0, err
	}
	got, err := foundFromProto(m.GetFound())
	return got, size, err
}

// DigestRequest carries the call of Digest.
func (Wire) DigestRequest(arcs []ring.Arc, claims []node.Claim) (got []ring.Arc, gotClaims []node.Claim, size int, err error) {
	got, size, err = parts(arcs, maxArcs, func(part []ring.Arc) ([]ring.Arc, int, error) {
		m, size, err := cross(&chordv1.DigestRequest{Arcs: arcsToProto(part), Claims: claimsToProto(claims)})
		if err != nil {
			return nil, 0, err
		}
		if gotClaims, err = claimsFromProto(m.GetClaims()); err != nil {
			return nil, 0, err
		}
		got, err := arcsFromProto("arcs", m.GetArcs())
		return got, size, err
	})
	return got, gotClaims, size, err
}

// DigestResponse carries the answer to it.
func (Wire) DigestResponse(sums []node.Summary) ([]node.Summary, int, error) {
	return parts(sums, maxArcs, func(part []node.Summary) ([]node.Summary, int, error) {
		m, size, err := cross(&chordv1.DigestResponse{Summaries: summariesToProto(part)})
		if err != nil {
			return nil, 0, err
		}
		return summariesFromProto(m.GetSummaries()), size, nil
	})
}

// OutlineRequest carries the call of Outline.
func (Wire) OutlineRequest(arcs []ring.Arc, detail node.Detail) (gotArcs []ring.Arc, gotDetail node.Detail, size int, err error) {
	m, size, err := cross(outlineRequestToProto(arcs, detail))
	if err != nil {
		return nil, node.Detail{}, 0, err
	}
	gotArcs, gotDetail, err = outlineRequestFromProto(m)
	return gotArcs, gotDetail, size, err
}

// OutlineResponse carries the answer to it.
func (Wire) OutlineResponse(outlines []node.Outline) ([]node.Outline, int, error) {
	m, size, err := cross(outlinesToProto(outlines))
	if err != nil {
		return nil, 0, err
	}
	got, err := outlinesFromProto(m)
	return got, size, err
}

// NameRequest carries the call of Name.
func (Wire) NameRequest(unnamed []node.Unnamed) ([]node.Unnamed, int, error) {
	m, size, err := cross(nameRequestToProto(unnamed))
	if err != nil {
		return nil, 0, err
	}
	got, err := nameRequestFromProto(m)
	return got, size, err
}

// NameResponse carries the answer to it.
func (Wire) NameResponse(entries []node.Entry) ([]node.Entry, int, error) {
	m, size, err := cross(&chordv1.NameResponse{Entries: entriesToProto(entries)})
	if err != nil {
		return nil, 0, err
	}
	got, err := entriesFromProto(m.GetEntries())
	return got, size, err
}

// ListRequest carries the call of List. Where Peers asks for several pages, the request for the first is counted.
func (Wire) ListRequest(arc ring.Arc, from node.Cursor, limit int) (gotArc ring.Arc, gotFrom node.Cursor, gotLimit, size int, err error) {
	m, size, err := cross(&chordv1.ListRequest{Arc: arcToProto(arc), FromKey: from.Key, Limit: uint32(limit)})
	if err != nil {
		return ring.Arc{}, node.Cursor{}, 0, 0, err
	}
	gotArc, err = arcFromProto("arc", m.GetArc())
	if len(m.GetFromKey()) > 0 {
		gotFrom.Key = m.GetFromKey()
	}
	return gotArc, gotFrom, int(m.GetLimit()), size, err
}

// ListResponse carries the answer to it.
func (Wire) ListResponse(entries []node.Entry) ([]node.Entry, int, error) {
	return parts(entries, maxPage, func(part []node.Entry) ([]node.Entry, int, error) {
		m, size, err := cross(&chordv1.ListResponse{Entries: entriesToProto(part)})
		if err != nil {
			return nil, 0, err
		}
		got, err := entriesFromProto(m.GetEntries())
		return got, size, err
	})
}

// CollectRequest carries the call of Collect.
func (Wire) CollectRequest(entries []node.Entry) ([]node.Entry, int, error) {
	m, size, err := cross(&chordv1.CollectRequest{Entries: entriesToProto(entries)})
	if err != nil {
		return nil, 0, err
	}
	got, err := entriesFromProto(m.GetEntries())
	return got, size, err
}

// CollectResponse carries the answer to it.
func (Wire) CollectResponse() (int, error) {
	_, size, err := cross(&chordv1.CollectResponse{})
	return size, err
}

// DoRequest carries the call of Do. Its deadline, which is a number of milliseconds in the message, is taken for a second.
func (Wire) DoRequest(op node.Op) (node.Op, int, error) {
	call := forwardToProto(op, 1000)
	call.Seq = 1
	m, size, err := cross(&chordv1.OpBatch{Calls: []*chordv1.OpCall{call}})
	if err != nil {
		return node.Op{}, 0, err
	}
	got, direct, err := opFromProto(m.GetCalls()[0])
	if err == nil && !direct {
		err = badField("direct", "false, want true")
	}
	return got, size, err
}

// DoResponse carries the answer to it. A result with something that only a
// get answers, or with no more than an expiry, is that of a get, one with a number or an expiry that of an increment, any other that of a put; the answers to other operations have
// the same fields.
func (Wire) DoResponse(r node.Result) (node.Result, int, error) {
	op := &node.Op{Kind: node.OpPut}
	switch {
	case r.Value != nil, r.Left != 0, r.Manifest, r.Expires != 0 && r.Number == 0 && r.Replaced == nil:
		op.Kind, op.Bare = node.OpGet, r.Value == nil
	case r.Number != 0, r.Expires != 0:
		op.Kind = node.OpIncrement
	}
	reply := resultToProto(op, r, false)
	reply.Seq = 1
	m, size, err := cross(&chordv1.OpBatchReply{Replies: []*chordv1.OpReply{reply}})
	if err != nil {
		return node.Result{}, 0, err
	}
	got, err := resultFromProto(wireAddr, op, m.GetReplies()[0])
	return got, size, err
}
