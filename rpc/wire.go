package rpc

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

// Wire takes the values of node.Peers through their messages and back, by the same conversions and checks as Peers and Server, for a
// simulator that has no connections. Each method returns what arrives and the bytes of the protobuf messages that carry it, without
// the framing of gRPC and HTTP/2, which add a few bytes on an open connection. Calls that Peers gathers are counted as a batch
// of one. What a live process leaves out because the other side knows it, the unchanged answer to Neighbors, is sent here in full.
//
// The zero Wire is ready for use, concurrently too.
type Wire struct{}

// wireAddr is who answers in errors that have crossed.
const wireAddr = "peer"

// cross encodes a message and decodes it into a new one.
func cross[M proto.Message](m M) (arrived M, size int, err error) {
	data, err := wireCodec{}.Marshal(m)
	if err != nil {
		return arrived, 0, err
	}
	defer data.Free()
	arrived = m.ProtoReflect().New().Interface().(M)
	return arrived, data.Len(), wireCodec{}.Unmarshal(data, arrived)
}

// NeighborsRequest carries the call of Neighbors, with the hash of an earlier answer.
func (Wire) NeighborsRequest(to ring.Ref) (ring.Ref, int, error) {
	m, size, err := cross(&chordv1.NeighborsRequest{Node: idToProto(to.ID), Known: 1})
	if err != nil {
		return ring.Ref{}, 0, err
	}
	to.ID, err = idFromProto("node", m.GetNode())
	return to, size, err
}

// NeighborsResponse carries the answer to it.
func (Wire) NeighborsResponse(v ring.View) (ring.View, int, error) {
	answer := viewToProto(v)
	answer.Hash = hashView(v)
	m, size, err := cross(answer)
	if err != nil {
		return ring.View{}, 0, err
	}
	view, err := viewFromProto(v.Self.ID, m)
	return view, size, err
}

// NotifyRequest carries the call of Notify.
func (Wire) NotifyRequest(to, from ring.Ref) (gotTo, gotFrom ring.Ref, size int, err error) {
	return crossNotify(to, from, false)
}

// NotifyResponse carries the answer to it.
func (Wire) NotifyResponse() (int, error) { return crossNothing() }

// ChangedRequest carries the call of Changed.
func (Wire) ChangedRequest(to, from ring.Ref) (gotTo, gotFrom ring.Ref, size int, err error) {
	return crossNotify(to, from, true)
}

// ChangedResponse carries the answer to it.
func (Wire) ChangedResponse() (int, error) { return crossNothing() }

func crossNotify(to, from ring.Ref, changed bool) (gotTo, gotFrom ring.Ref, size int, err error) {
	m, size, err := cross(&chordv1.NotifyRequest{Node: idToProto(to.ID), From: refToProto(from), Changed: changed})
	if err != nil {
		return gotTo, gotFrom, 0, err
	}
	if m.GetChanged() != changed {
		return gotTo, gotFrom, size, badField("changed", "%v, want %v", m.GetChanged(), changed)
	}
	if to.ID, err = idFromProto("node", m.GetNode()); err != nil {
		return gotTo, gotFrom, size, err
	}
	gotFrom, err = refFromProto("from", m.GetFrom())
	return to, gotFrom, size, err
}

func crossNothing() (int, error) {
	_, size, err := cross(&chordv1.NotifyResponse{})
	return size, err
}

// RouteRequest carries the call of Route. Of nodes to avoid beyond what a message may list, the rest is left out, as by Peers.
func (Wire) RouteRequest(to ring.Ref, id ring.ID, avoid []ring.ID) (gotTo ring.Ref, gotID ring.ID, gotAvoid []ring.ID, size int, err error) {
	request := &chordv1.RouteRequest{Id: idToProto(id), Avoid: idsToProto(avoid[:min(len(avoid), maxRefs)])}
	if !to.ID.IsZero() {
		request.Node = idToProto(to.ID)
	}
	m, size, err := cross(request)
	if err != nil {
		return gotTo, gotID, nil, 0, err
	}
	if to.ID, err = optionalID("node", m.GetNode()); err != nil {
		return gotTo, gotID, nil, size, err
	}
	if gotID, err = idFromProto("id", m.GetId()); err != nil {
		return gotTo, gotID, nil, size, err
	}
	gotAvoid, err = idsFromProto("avoid", m.GetAvoid())
	return to, gotID, gotAvoid, size, err
}

// RouteResponse carries the answer to it.
func (Wire) RouteResponse(s ring.Step) (ring.Step, int, error) {
	m, size, err := cross(stepToProto(s))
	if err != nil {
		return ring.Step{}, 0, err
	}
	step, err := stepFromProto(m)
	return step, size, err
}

// ForwardRequest carries the call of Forward.
func (Wire) ForwardRequest(to ring.Ref, q node.Query) (gotTo ring.Ref, got node.Query, size int, err error) {
	m, size, err := cross(queryToProto(to.ID, q))
	if err != nil {
		return gotTo, got, 0, err
	}
	to.ID, got, err = queryFromProto(m)
	return to, got, size, err
}

// ForwardResponse carries the answer to it.
func (Wire) ForwardResponse() (int, error) { return crossNothing() }

// ArrivedRequest carries the call of Arrived, which is addressed to a process and no node of it.
func (Wire) ArrivedRequest(to ring.Ref, a node.Arrival) (gotTo ring.Ref, got node.Arrival, size int, err error) {
	m, size, err := cross(arrivalToProto(a))
	if err != nil {
		return gotTo, got, 0, err
	}
	got, err = arrivalFromProto(m)
	to.ID = ring.ID{}
	return to, got, size, err
}

// ArrivedResponse carries the answer to it.
func (Wire) ArrivedResponse() (int, error) { return crossNothing() }

// Failure carries the error that a call was answered with, in both forms that there are: the status of a call of its own, whose size it
// returns, and an item of a batch. They must stand for the same errors.
func (Wire) Failure(answer error) (got error, size int, err error) {
	st, size, err := cross(status.Convert(errorToStatus(answer)).Proto())
	if err != nil {
		return nil, 0, err
	}
	item, _, err := cross(errorToItem(answer))
	if err != nil {
		return nil, 0, err
	}
	// The context of a live call matters only for statuses that the network made, and these come from a handler.
	got = errorFromStatus(context.Background(), wireAddr, status.ErrorProto(st), true)
	inBatch := itemErrorFromProto(wireAddr, item)
	for _, e := range errorTable {
		if errors.Is(got, e.err) != errors.Is(inBatch, e.err) {
			return nil, 0, fmt.Errorf("%w became %w in a status and %w in a batch", answer, got, inBatch)
		}
	}
	if hintOf(got) != hintOf(inBatch) {
		return nil, 0, fmt.Errorf("hint %v in a status and %v in a batch", hintOf(got), hintOf(inBatch))
	}
	if a, b := conditionOf(got), conditionOf(inBatch); a != b && (a == nil || b == nil || *a != *b) {
		return nil, 0, fmt.Errorf("%v in a status and %v in a batch", a, b)
	}
	return got, size, nil
}
