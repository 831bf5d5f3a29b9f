package rpc

import (
	"time"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

func levelToProto(l node.Level) chordv1.Level { return chordv1.Level(l) }

func levelFromProto(l chordv1.Level) (node.Level, error) {
	if l < chordv1.Level_LEVEL_QUORUM || l > chordv1.Level_LEVEL_ALL {
		return 0, badField("level", "%d is not a consistency level", int32(l))
	}
	return node.Level(l), nil
}

// servedToProto says who served an operation, unless that is known to the caller.
func servedToProto(r node.Result, known bool) *chordv1.Served {
	if known || r.Owner.IsZero() {
		return nil
	}
	return &chordv1.Served{Owner: refToProto(r.Owner), Arc: arcToProto(r.Arc)}
}

func servedFromProto(m *chordv1.Served) (owner ring.Ref, arc ring.Arc, err error) {
	if m == nil {
		return ring.Ref{}, ring.Arc{}, nil
	}
	if owner, err = refFromProto("served.owner", m.Owner); err != nil {
		return ring.Ref{}, ring.Arc{}, err
	}
	arc, err = arcFromProto("served.arc", m.Arc)
	return owner, arc, err
}

// opToProto makes the message of a batch for an operation, in a single allocation.
func opToProto(op node.Op, direct bool, timeoutMillis uint32) *chordv1.OpCall {
	if changes(&op) {
		return &chordv1.OpCall{TimeoutMs: timeoutMillis, Op: &chordv1.OpCall_Change{Change: changeRequest(op, direct)}}
	}
	switch op.Kind {
	case node.OpGet:
		m := &struct {
			call chordv1.OpCall
			op   chordv1.OpCall_Get
			get  chordv1.GetRequest
		}{}
		m.get.Key, m.get.Level, m.get.Direct, m.get.Bare = op.Key, levelToProto(op.Level), direct, op.Bare
		m.op.Get = &m.get
		m.call.TimeoutMs, m.call.Op = timeoutMillis, &m.op
		return &m.call
	case node.OpPut:
		m := &struct {
			call    chordv1.OpCall
			op      chordv1.OpCall_Put
			put     chordv1.PutRequest
			request node.RequestID
		}{request: op.Request}
		m.put.Key, m.put.Value, m.put.Level, m.put.Direct = op.Key, op.Value, levelToProto(op.Level), direct
		m.put.Request, m.put.Retry = requestToProto(&m.request), op.Retry
		m.op.Put = &m.put
		m.call.TimeoutMs, m.call.Op = timeoutMillis, &m.op
		return &m.call
	case node.OpDelete:
		return &chordv1.OpCall{TimeoutMs: timeoutMillis, Op: &chordv1.OpCall_Delete{Delete: &chordv1.DeleteRequest{
			Key: op.Key, Level: levelToProto(op.Level), Direct: direct, Request: requestToProto(&op.Request), Retry: op.Retry,
		}}}
	}
	return &chordv1.OpCall{TimeoutMs: timeoutMillis}
}

// forwardToProto makes the message of a batch for an operation that is handed to the owner for somebody else.
func forwardToProto(op node.Op, timeoutMillis uint32) *chordv1.OpCall {
	call := opToProto(op, true, timeoutMillis)
	call.WantServed = true
	return call
}

// opFromProto reads one operation of a batch.
func opFromProto(call *chordv1.OpCall) (op node.Op, direct bool, err error) {
	switch m := call.GetOp().(type) {
	case *chordv1.OpCall_Get:
		op, err = getFromProto(m.Get)
		return op, m.Get.GetDirect(), err
	case *chordv1.OpCall_Put:
		op, err = putFromProto(m.Put)
		return op, m.Put.GetDirect(), err
	case *chordv1.OpCall_Delete:
		op, err = deleteFromProto(m.Delete)
		return op, m.Delete.GetDirect(), err
	case *chordv1.OpCall_Change:
		op, err = changeFromProto(m.Change)
		return op, m.Change.GetDirect(), err
	}
	return node.Op{}, false, badField("op", "missing")
}

func getFromProto(m *chordv1.GetRequest) (node.Op, error) {
	level, err := levelFromProto(m.GetLevel())
	return node.Op{Kind: node.OpGet, Key: m.GetKey(), Level: level, Bare: m.GetBare()}, err
}

func putFromProto(m *chordv1.PutRequest) (node.Op, error) {
	level, err := levelFromProto(m.GetLevel())
	if err != nil {
		return node.Op{}, err
	}
	request, err := requestFromProto("request", m.GetRequest())
	return node.Op{
		Kind: node.OpPut, Key: m.GetKey(), Value: valueFromProto(m.GetValue(), true), Level: level, Request: request, Retry: m.GetRetry(),
	}, err
}

func deleteFromProto(m *chordv1.DeleteRequest) (node.Op, error) {
	level, err := levelFromProto(m.GetLevel())
	if err != nil {
		return node.Op{}, err
	}
	request, err := requestFromProto("request", m.GetRequest())
	return node.Op{Kind: node.OpDelete, Key: m.GetKey(), Level: level, Request: request, Retry: m.GetRetry()}, err
}

func getToProto(r node.Result, known bool) *chordv1.GetResponse {
	return setGet(new(chordv1.GetResponse), new(chordv1.Version), r, known)
}

func setGet(m *chordv1.GetResponse, v *chordv1.Version, r node.Result, known bool) *chordv1.GetResponse {
	m.Found, m.Value, m.Version, m.Manifest = r.Found, r.Value, setVersion(v, r.Version), r.Manifest
	m.Expires, m.LeftMs = r.Expires, r.Left.Milliseconds()
	m.Acks, m.Served = uint32(r.Acks), servedToProto(r, known)
	return m
}

func putToProto(r node.Result, known bool) *chordv1.PutResponse {
	return setPut(new(chordv1.PutResponse), new(chordv1.Version), r, known)
}

func setPut(m *chordv1.PutResponse, v *chordv1.Version, r node.Result, known bool) *chordv1.PutResponse {
	m.Existed, m.Version = r.Found, setVersion(v, r.Version)
	m.Acks, m.Served, m.Replaced = uint32(r.Acks), servedToProto(r, known), r.Replaced
	return m
}

func deleteToProto(r node.Result, known bool) *chordv1.DeleteResponse {
	return &chordv1.DeleteResponse{
		Existed: r.Found, Version: versionToProto(r.Version), Acks: uint32(r.Acks), Served: servedToProto(r, known), Replaced: r.Replaced,
	}
}

// resultToProto makes the reply to an operation of a batch, in a single allocation.
func resultToProto(op *node.Op, r node.Result, known bool) *chordv1.OpReply {
	if changes(op) {
		return &chordv1.OpReply{Reply: &chordv1.OpReply_Change{Change: changeToProto(r, known)}}
	}
	switch op.Kind {
	case node.OpGet:
		m := &struct {
			reply   chordv1.OpReply
			of      chordv1.OpReply_Get
			get     chordv1.GetResponse
			version chordv1.Version
		}{}
		m.of.Get = setGet(&m.get, &m.version, r, known)
		m.reply.Reply = &m.of
		return &m.reply
	case node.OpPut:
		m := &struct {
			reply   chordv1.OpReply
			of      chordv1.OpReply_Put
			put     chordv1.PutResponse
			version chordv1.Version
		}{}
		m.of.Put = setPut(&m.put, &m.version, r, known)
		m.reply.Reply = &m.of
		return &m.reply
	default:
		return &chordv1.OpReply{Reply: &chordv1.OpReply_Delete{Delete: deleteToProto(r, known)}}
	}
}

// resultFromProto reads the reply to an operation of a batch. An error in the reply is returned as it would be by a call of its own.
func resultFromProto(addr string, op *node.Op, reply *chordv1.OpReply) (node.Result, error) {
	switch m := reply.GetReply().(type) {
	case *chordv1.OpReply_Error:
		return node.Result{}, itemErrorFromProto(addr, m.Error)
	case *chordv1.OpReply_Get:
		if op.Kind == node.OpGet {
			return getResult(addr, op.Bare, m.Get)
		}
	case *chordv1.OpReply_Put:
		if op.Kind == node.OpPut && !changes(op) {
			return writeResult(addr, m.Put)
		}
	case *chordv1.OpReply_Delete:
		if op.Kind == node.OpDelete && !changes(op) {
			return writeResult(addr, m.Delete)
		}
	case *chordv1.OpReply_Change:
		if changes(op) {
			r, err := writeResult(addr, m.Change)
			r.Number, r.Expires = m.Change.GetNumber(), m.Change.GetExpires()
			return r, err
		}
	}
	return node.Result{}, malformed(addr, badField("reply", "not to a %v", op.Kind))
}

func getResult(addr string, bare bool, m *chordv1.GetResponse) (node.Result, error) {
	owner, arc, err := servedFromProto(m.GetServed())
	if err != nil {
		return node.Result{}, malformed(addr, err)
	}
	return node.Result{
		Found: m.GetFound(), Value: valueFromProto(m.GetValue(), m.GetFound() && !bare), Version: versionFromProto(m.GetVersion()),
		Expires: m.GetExpires(), Left: time.Duration(m.GetLeftMs()) * time.Millisecond, Acks: int(m.GetAcks()), Manifest: m.GetManifest(), Owner: owner, Arc: arc,
	}, nil
}

// written is what the replies to all writes have in common.
type written interface {
	GetExisted() bool
	GetVersion() *chordv1.Version
	GetAcks() uint32
	GetServed() *chordv1.Served
	GetReplaced() []byte
}

func writeResult(addr string, m written) (node.Result, error) {
	owner, arc, err := servedFromProto(m.GetServed())
	if err != nil {
		return node.Result{}, malformed(addr, err)
	}
	return node.Result{
		Found: m.GetExisted(), Version: versionFromProto(m.GetVersion()), Acks: int(m.GetAcks()), Replaced: m.GetReplaced(), Owner: owner, Arc: arc,
	}, nil
}
