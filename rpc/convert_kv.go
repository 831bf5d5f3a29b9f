package rpc

import (
	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

// versionToProto returns nil for the zero Version.
func versionToProto(v node.Version) *chordv1.Version {
	if v.IsZero() {
		return nil
	}
	return &chordv1.Version{Time: v.Time, Origin: v.Origin}
}

// versionFromProto reads what versionToProto writes: nil is the zero Version.
func versionFromProto(m *chordv1.Version) node.Version {
	return node.Version{Time: m.GetTime(), Origin: m.GetOrigin()}
}

func versionsToProto(versions []node.Version) []*chordv1.Version {
	list := make([]*chordv1.Version, len(versions))
	for i, v := range versions {
		list[i] = &chordv1.Version{Time: v.Time, Origin: v.Origin}
	}
	return list
}

func versionsFromProto(list []*chordv1.Version) []node.Version {
	versions := make([]node.Version, len(list))
	for i, m := range list {
		versions[i] = versionFromProto(m)
	}
	return versions
}

// requestToProto returns nil for the zero RequestID.
func requestToProto(r node.RequestID) []byte {
	if r == (node.RequestID{}) {
		return nil
	}
	return r[:]
}

func requestFromProto(field string, b []byte) (node.RequestID, error) {
	switch len(b) {
	case 0:
		return node.RequestID{}, nil
	case len(node.RequestID{}):
		return node.RequestID(b), nil
	}
	return node.RequestID{}, badField(field, "want %d bytes or none, got %d", len(node.RequestID{}), len(b))
}

func checkWireKey(field string, key []byte) error {
	if len(key) < 1 || len(key) > maxWireKey {
		return badField(field, "%d bytes, want 1 to %d", len(key), maxWireKey)
	}
	return nil
}

func recordToProto(r node.Record) *chordv1.Record {
	return &chordv1.Record{
		Key: r.Key, Value: r.Value, Version: versionToProto(r.Version), Tombstone: r.Tombstone, Request: requestToProto(r.Request),
	}
}

func recordFromProto(m *chordv1.Record) (node.Record, error) {
	if m == nil {
		return node.Record{}, badField("record", "missing")
	}
	if err := checkWireKey("record.key", m.Key); err != nil {
		return node.Record{}, err
	}
	if m.Tombstone && len(m.Value) > 0 {
		return node.Record{}, badField("record.value", "%d bytes in a tombstone", len(m.Value))
	}
	request, err := requestFromProto("record.request", m.Request)
	if err != nil {
		return node.Record{}, err
	}
	r := node.Record{Key: m.Key, Value: m.Value, Version: versionFromProto(m.Version), Tombstone: m.Tombstone, Request: request}
	if r.Version.IsZero() {
		return node.Record{}, badField("record.version", "missing")
	}
	r.Value = valueFromProto(m.Value, !m.Tombstone)
	return r, nil
}

// valueFromProto tells an empty value from none: both are the same on the wire.
func valueFromProto(b []byte, present bool) []byte {
	switch {
	case !present:
		return nil
	case b == nil:
		return []byte{}
	}
	return b
}

func recordsToProto(records []node.Record) []*chordv1.Record {
	list := make([]*chordv1.Record, len(records))
	for i := range records {
		list[i] = recordToProto(records[i])
	}
	return list
}

// appendRecords reads the records of a message into a list that may already hold those of others.
func appendRecords(records []node.Record, list []*chordv1.Record) ([]node.Record, error) {
	if err := checkCount("records", len(list), maxItems); err != nil {
		return records, err
	}
	for _, m := range list {
		r, err := recordFromProto(m)
		if err != nil {
			return records, err
		}
		records = append(records, r)
	}
	return records, nil
}

func wantsToProto(wants []node.Want) []*chordv1.Want {
	list := make([]*chordv1.Want, len(wants))
	for i, w := range wants {
		list[i] = &chordv1.Want{Key: w.Key, Have: versionToProto(w.Have)}
	}
	return list
}

func wantsFromProto(list []*chordv1.Want) ([]node.Want, error) {
	if err := checkCount("wants", len(list), maxItems); err != nil {
		return nil, err
	}
	wants := make([]node.Want, len(list))
	for i, m := range list {
		if err := checkWireKey("wants.key", m.GetKey()); err != nil {
			return nil, err
		}
		wants[i] = node.Want{Key: m.GetKey(), Have: versionFromProto(m.GetHave())}
	}
	return wants, nil
}

// foundToProto leaves the record out where there is none: it is then as old as what the asker has.
func foundToProto(found []node.Found) []*chordv1.Found {
	list := make([]*chordv1.Found, len(found))
	for i := range found {
		list[i] = &chordv1.Found{Version: versionToProto(found[i].Version)}
		if len(found[i].Record.Key) > 0 {
			list[i].Record = recordToProto(found[i].Record)
		}
	}
	return list
}

func foundFromProto(list []*chordv1.Found) ([]node.Found, error) {
	if err := checkCount("found", len(list), maxItems); err != nil {
		return nil, err
	}
	found := make([]node.Found, len(list))
	for i, m := range list {
		found[i].Version = versionFromProto(m.GetVersion())
		if m.GetRecord() == nil {
			continue
		}
		r, err := recordFromProto(m.Record)
		if err != nil {
			return nil, inField(err, "found")
		}
		found[i].Record = r
	}
	return found, nil
}

func summariesToProto(summaries []node.Summary) []*chordv1.Summary {
	list := make([]*chordv1.Summary, len(summaries))
	for i, s := range summaries {
		list[i] = &chordv1.Summary{Count: s.Count, Hash: s.Hash}
	}
	return list
}

func summariesFromProto(list []*chordv1.Summary) []node.Summary {
	summaries := make([]node.Summary, len(list))
	for i, m := range list {
		summaries[i] = node.Summary{Count: m.GetCount(), Hash: m.GetHash()}
	}
	return summaries
}

func entriesToProto(entries []node.Entry) []*chordv1.Entry {
	list := make([]*chordv1.Entry, len(entries))
	for i, e := range entries {
		list[i] = &chordv1.Entry{Key: e.Key, Version: versionToProto(e.Version)}
	}
	return list
}

func entriesFromProto(list []*chordv1.Entry) ([]node.Entry, error) {
	if err := checkCount("entries", len(list), maxItems); err != nil {
		return nil, err
	}
	entries := make([]node.Entry, len(list))
	for i, m := range list {
		if err := checkWireKey("entries.key", m.GetKey()); err != nil {
			return nil, err
		}
		entries[i] = node.Entry{Key: m.GetKey(), Version: versionFromProto(m.GetVersion())}
	}
	return entries, nil
}

func levelToProto(l node.Level) chordv1.Level { return chordv1.Level(l) }

func levelFromProto(l chordv1.Level) (node.Level, error) {
	if l < chordv1.Level_LEVEL_QUORUM || l > chordv1.Level_LEVEL_ALL {
		return 0, badField("level", "%d is not a consistency level", int32(l))
	}
	return node.Level(l), nil
}

// servedToProto says who served an operation. Direct callers know.
func servedToProto(r node.Result, direct bool) *chordv1.Served {
	if direct || r.Owner.IsZero() {
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

// opToProto fills the message of a batch with an operation.
func opToProto(op node.Op, direct bool, timeoutMillis uint32) *chordv1.OpCall {
	call := &chordv1.OpCall{TimeoutMs: timeoutMillis}
	switch op.Kind {
	case node.OpGet:
		call.Op = &chordv1.OpCall_Get{Get: &chordv1.GetRequest{Key: op.Key, Level: levelToProto(op.Level), Direct: direct}}
	case node.OpPut:
		call.Op = &chordv1.OpCall_Put{Put: &chordv1.PutRequest{
			Key: op.Key, Value: op.Value, Level: levelToProto(op.Level), Direct: direct, Request: requestToProto(op.Request), Retry: op.Retry,
		}}
	case node.OpDelete:
		call.Op = &chordv1.OpCall_Delete{Delete: &chordv1.DeleteRequest{
			Key: op.Key, Level: levelToProto(op.Level), Direct: direct, Request: requestToProto(op.Request), Retry: op.Retry,
		}}
	}
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
	}
	return node.Op{}, false, badField("op", "missing")
}

func getFromProto(m *chordv1.GetRequest) (node.Op, error) {
	level, err := levelFromProto(m.GetLevel())
	return node.Op{Kind: node.OpGet, Key: m.GetKey(), Level: level}, err
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

func getToProto(r node.Result, direct bool) *chordv1.GetResponse {
	return &chordv1.GetResponse{
		Found: r.Found, Value: r.Value, Version: versionToProto(r.Version), Acks: uint32(r.Acks), Served: servedToProto(r, direct),
	}
}

func putToProto(r node.Result, direct bool) *chordv1.PutResponse {
	return &chordv1.PutResponse{
		Existed: r.Found, Version: versionToProto(r.Version), Acks: uint32(r.Acks), Served: servedToProto(r, direct),
	}
}

func deleteToProto(r node.Result, direct bool) *chordv1.DeleteResponse {
	return &chordv1.DeleteResponse{
		Existed: r.Found, Version: versionToProto(r.Version), Acks: uint32(r.Acks), Served: servedToProto(r, direct),
	}
}

// resultToProto makes the reply to an operation of a batch.
func resultToProto(kind node.Kind, r node.Result, direct bool) *chordv1.OpReply {
	switch kind {
	case node.OpGet:
		return &chordv1.OpReply{Reply: &chordv1.OpReply_Get{Get: getToProto(r, direct)}}
	case node.OpPut:
		return &chordv1.OpReply{Reply: &chordv1.OpReply_Put{Put: putToProto(r, direct)}}
	default:
		return &chordv1.OpReply{Reply: &chordv1.OpReply_Delete{Delete: deleteToProto(r, direct)}}
	}
}

// resultFromProto reads the reply to an operation of a batch. An error in the reply is returned as it would be by a call of its own.
func resultFromProto(addr string, kind node.Kind, reply *chordv1.OpReply) (node.Result, error) {
	switch m := reply.GetReply().(type) {
	case *chordv1.OpReply_Error:
		return node.Result{}, itemErrorFromProto(addr, m.Error)
	case *chordv1.OpReply_Get:
		if kind == node.OpGet {
			return getResult(addr, m.Get)
		}
	case *chordv1.OpReply_Put:
		if kind == node.OpPut {
			return writeResult(addr, m.Put.GetExisted(), m.Put.GetVersion(), m.Put.GetAcks(), m.Put.GetServed())
		}
	case *chordv1.OpReply_Delete:
		if kind == node.OpDelete {
			return writeResult(addr, m.Delete.GetExisted(), m.Delete.GetVersion(), m.Delete.GetAcks(), m.Delete.GetServed())
		}
	}
	return node.Result{}, malformed(addr, badField("reply", "not to a %v", kind))
}

func getResult(addr string, m *chordv1.GetResponse) (node.Result, error) {
	owner, arc, err := servedFromProto(m.GetServed())
	if err != nil {
		return node.Result{}, malformed(addr, err)
	}
	return node.Result{
		Found: m.GetFound(), Value: valueFromProto(m.GetValue(), m.GetFound()), Version: versionFromProto(m.GetVersion()),
		Acks: int(m.GetAcks()), Owner: owner, Arc: arc,
	}, nil
}

func writeResult(addr string, existed bool, v *chordv1.Version, acks uint32, served *chordv1.Served) (node.Result, error) {
	owner, arc, err := servedFromProto(served)
	if err != nil {
		return node.Result{}, malformed(addr, err)
	}
	return node.Result{Found: existed, Version: versionFromProto(v), Acks: int(acks), Owner: owner, Arc: arc}, nil
}
