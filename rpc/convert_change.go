package rpc

import (
	"time"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
)

// Conditional operations on the wire, and those with an expiry. They have messages of their own: a process that does not know these refuses the operation, where it
// would ignore a condition in a field that it does not know.

// changes reports whether an operation is sent as a ChangeRequest.
func changes(op *node.Op) bool { return op.Conditional() || op.Expiring() }

// changeKinds is which kind of operation a ChangeKind stands for.
var changeKinds = [...]node.Kind{
	chordv1.ChangeKind_CHANGE_KIND_PUT:       node.OpPut,
	chordv1.ChangeKind_CHANGE_KIND_DELETE:    node.OpDelete,
	chordv1.ChangeKind_CHANGE_KIND_INCREMENT: node.OpIncrement,
	chordv1.ChangeKind_CHANGE_KIND_APPEND:    node.OpAppend,
	chordv1.ChangeKind_CHANGE_KIND_PREPEND:   node.OpPrepend,
	chordv1.ChangeKind_CHANGE_KIND_MANIFEST:  node.OpManifest,
	chordv1.ChangeKind_CHANGE_KIND_TOUCH:     node.OpTouch,
}

func changeRequest(op node.Op, direct bool) *chordv1.ChangeRequest {
	m := &chordv1.ChangeRequest{
		Key: op.Key, Value: op.Value, Level: levelToProto(op.Level), Direct: direct, Request: requestToProto(&op.Request), Retry: op.Retry,
		Condition: chordv1.Condition(op.If), Version: versionToProto(op.Version), Add: op.Add, Initial: op.Initial,
		TtlNs: int64(op.TTL), Expires: op.Expires,
	}
	for i, kind := range changeKinds {
		if kind == op.Kind {
			m.Kind = chordv1.ChangeKind(i)
		}
	}
	return m
}

func changeFromProto(m *chordv1.ChangeRequest) (node.Op, error) {
	if k := m.GetKind(); k < chordv1.ChangeKind_CHANGE_KIND_PUT || int(k) >= len(changeKinds) {
		return node.Op{}, badField("kind", "%d is no kind of change", int32(k))
	}
	if c := m.GetCondition(); c < chordv1.Condition_CONDITION_ALWAYS || c > chordv1.Condition_CONDITION_IF_VERSION {
		return node.Op{}, badField("condition", "%d is no condition", int32(c))
	}
	level, err := levelFromProto(m.GetLevel())
	if err != nil {
		return node.Op{}, err
	}
	request, err := requestFromProto("request", m.GetRequest())
	op := node.Op{
		Kind: changeKinds[m.GetKind()], Key: m.GetKey(), Value: m.GetValue(), Level: level, Request: request, Retry: m.GetRetry(),
		If: node.Condition(m.GetCondition()), Version: versionFromProto(m.GetVersion()), Add: m.GetAdd(), Initial: m.GetInitial(),
		TTL: time.Duration(m.GetTtlNs()), Expires: m.GetExpires(),
	}
	if op.Kind == node.OpPut || op.Kind == node.OpManifest {
		op.Value = valueFromProto(op.Value, true)
	}
	if err == nil && !changes(&op) {
		err = badField("condition", "missing")
	}
	return op, err
}

func changeToProto(r node.Result, known bool) *chordv1.ChangeResponse {
	return &chordv1.ChangeResponse{
		Existed: r.Found, Version: versionToProto(r.Version), Acks: uint32(r.Acks), Served: servedToProto(r, known), Number: r.Number,
		Expires:  r.Expires,
		Replaced: r.Replaced,
	}
}

// conflictToProto returns nil for an error that is no conflict.
func conflictToProto(e *node.ConditionError) *chordv1.Conflict {
	if e == nil {
		return nil
	}
	return &chordv1.Conflict{Kind: uint32(e.Conflict), Found: e.Found, Version: versionToProto(e.Version)}
}

func conflictFromProto(m *chordv1.Conflict) *node.ConditionError {
	return &node.ConditionError{Conflict: node.Conflict(m.GetKind()), Found: m.GetFound(), Version: versionFromProto(m.GetVersion())}
}
