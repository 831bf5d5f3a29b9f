package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

// fakeRing is a ring of processes behind real sockets whose members do what a test tells them. The ring itself, and the data of all
// members, lie in the memory of the test, under one lock.
type fakeRing struct {
	t testing.TB

	mu       sync.Mutex
	members  []*fakeProcess // by identifier, the dead ones too until heal
	replicas int
	writes   map[node.RequestID]node.Version // the answers already given
	clock    uint64
	applied  map[string]int // writes that took effect, by key
	forwards int            // operations that a process handed to another
}

// fakeProcess is a process of one node.
type fakeProcess struct {
	chordv1.UnimplementedRingServiceServer
	chordv1.UnimplementedReplicaServiceServer

	ring    *fakeRing
	self    ring.Ref
	server  *grpc.Server
	stopped chan struct{}

	// Under the lock of the ring.
	state    *ring.State
	data     map[string]node.Record
	disturb  func(op fakeOp) misbehavior // nil: none
	received []fakeOp
	asked    int // Neighbors calls
	lists    int // List calls
	onList   func(calls int)
	watch    func(m *chordv1.WatchRequest, stream grpc.ServerStreamingServer[chordv1.GetResponse]) error // nil: nobody may
	streams  int                                                                                         // WatchPrefix calls under way
	deaf     error                                                                                       // of WatchPrefix
}

// fakeOp is an operation as it came over the wire.
type fakeOp struct {
	node.Op
	direct bool
}

// misbehavior is what a process does instead of serving an operation.
type misbehavior struct {
	silent bool               // never answer
	apply  bool               // execute it first
	reset  bool               // break the stream
	err    *chordv1.ItemError // answer this
	hint   *ring.Ref          // answer NotOwner with this hint
}

// newFakeRing starts a ring of n processes whose nodes divide the circle evenly, the last arc passing 0.
func newFakeRing(t testing.TB, n int) *fakeRing {
	t.Helper()
	r := &fakeRing{t: t, replicas: 3, writes: map[node.RequestID]node.Version{}, applied: map[string]int{}}
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
	t.Cleanup(func() {
		for _, p := range r.all() {
			p.stop()
		}
	})
	for i := range n {
		r.start(evenID(i, n))
	}
	r.heal()
	return r
}

// evenID is the place of node i of n: in the middle of its share.
func evenID(i, n int) (id ring.ID) {
	x := (2*i + 1) * (1 << 16) / (2 * n)
	id[0], id[1] = byte(x>>8), byte(x)
	return id
}

// start adds a process; the ring takes notice with the next heal.
func (r *fakeRing) start(id ring.ID) *fakeProcess {
	r.t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	p := &fakeProcess{
		ring: r, self: ring.Ref{ID: id, Addr: lis.Addr().String()}, server: grpc.NewServer(), stopped: make(chan struct{}),
		data: map[string]node.Record{},
	}
	chordv1.RegisterRingServiceServer(p.server, p)
	chordv1.RegisterReplicaServiceServer(p.server, p)
	chordv1.RegisterKVServiceServer(p.server, fakeKV{p: p})
	go func() {
		defer close(p.stopped)
		_ = p.server.Serve(lis)
	}()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = append(r.members, p)
	slices.SortFunc(r.members, func(a, b *fakeProcess) int { return a.self.ID.Compare(b.self.ID) })
	return p
}

func (r *fakeRing) all() []*fakeProcess {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.members)
}

func (p *fakeProcess) stop() {
	p.server.Stop()
	<-p.stopped
}

func (p *fakeProcess) dead() bool {
	select {
	case <-p.stopped:
		return true
	default:
		return false
	}
}

// heal drops the dead, makes the ring ideal and puts every record where it belongs.
func (r *fakeRing) heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	records := map[string]node.Record{}
	for _, p := range r.members {
		for key, record := range p.data {
			if old, ok := records[key]; !ok || record.Version.Newer(old.Version) {
				records[key] = record
			}
		}
		p.data = map[string]node.Record{}
	}
	r.members = slices.DeleteFunc(r.members, (*fakeProcess).dead)
	refs := make([]ring.Ref, len(r.members))
	for i, p := range r.members {
		refs[i] = p.self
	}
	for _, p := range r.members {
		p.state = ring.NewState(p.self, 3)
		p.state.Ideal(refs)
	}
	for key, record := range records {
		for _, p := range r.group(ring.Hash([]byte(key))) {
			p.data[key] = record
		}
	}
}

// group returns who holds an identifier, the owner first.
func (r *fakeRing) group(id ring.ID) []*fakeProcess {
	n := len(r.members)
	i, _ := slices.BinarySearchFunc(r.members, id, func(p *fakeProcess, id ring.ID) int { return p.self.ID.Compare(id) })
	group := make([]*fakeProcess, 0, r.replicas)
	for k := range min(r.replicas, n) {
		group = append(group, r.members[(i+k)%n])
	}
	return group
}

// execute performs an operation at its owner.
func (r *fakeRing) execute(op fakeOp) *chordv1.OpReply {
	group := r.group(ring.Hash(op.Key))
	owner := group[0]
	if owner.dead() {
		return itemError(codes.Unavailable, "NO_ROUTE")
	}
	view := owner.state.View()
	var served *chordv1.Served
	if !op.direct {
		served = &chordv1.Served{Owner: refMessage(owner.self), Arc: arcMessage(view.Arc())}
	}
	var old node.Record // the newest of the group
	for _, p := range group {
		if record := p.data[string(op.Key)]; record.Version.Newer(old.Version) {
			old = record
		}
	}
	existed := !old.Version.IsZero() && !old.Tombstone
	if op.Kind == node.OpGet {
		if op.Bare {
			old.Value = nil
		}
		return &chordv1.OpReply{Reply: &chordv1.OpReply_Get{Get: &chordv1.GetResponse{
			Found: existed, Value: old.Value, Version: versionMessage(old.Version), Acks: 2, Served: served,
		}}}
	}
	version, known := r.writes[op.Request]
	if !known || op.Request == (node.RequestID{}) {
		r.clock++
		version = node.Version{Time: r.clock, Origin: 1}
		r.writes[op.Request] = version
		r.applied[string(op.Key)]++
		for _, p := range group {
			p.data[string(op.Key)] = node.Record{Key: op.Key, Value: op.Value, Version: version, Tombstone: op.Kind == node.OpDelete}
		}
	}
	if op.Kind == node.OpPut {
		return &chordv1.OpReply{Reply: &chordv1.OpReply_Put{Put: &chordv1.PutResponse{
			Existed: existed, Version: versionMessage(version), Acks: 2, Served: served,
		}}}
	}
	return &chordv1.OpReply{Reply: &chordv1.OpReply_Delete{Delete: &chordv1.DeleteResponse{
		Existed: existed, Version: versionMessage(version), Acks: 2, Served: served,
	}}}
}

// fakeKV is the KVService of a process: both it and ReplicaService have a Batch.
type fakeKV struct {
	chordv1.UnimplementedKVServiceServer
	p *fakeProcess
}

// Batch implements KVService.
func (kv fakeKV) Batch(stream grpc.BidiStreamingServer[chordv1.OpBatch, chordv1.OpBatchReply]) error {
	for {
		batch, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var replies []*chordv1.OpReply
		for _, call := range batch.Calls {
			reply, err := kv.p.serve(call)
			if err != nil {
				return err
			}
			if reply != nil {
				reply.Seq = call.Seq
				replies = append(replies, reply)
			}
		}
		if err := stream.Send(&chordv1.OpBatchReply{Replies: replies}); err != nil {
			return err
		}
	}
}

// Watch implements KVService.
func (kv fakeKV) Watch(m *chordv1.WatchRequest, stream grpc.ServerStreamingServer[chordv1.GetResponse]) error {
	kv.p.ring.mu.Lock()
	watch := kv.p.watch
	kv.p.ring.mu.Unlock()
	if watch == nil {
		return status.Error(codes.Unavailable, "the test says so")
	}
	return watch(m, stream)
}

func (p *fakeProcess) serve(call *chordv1.OpCall) (*chordv1.OpReply, error) {
	op := opOf(call)
	p.ring.mu.Lock()
	defer p.ring.mu.Unlock()
	p.received = append(p.received, op)
	var m misbehavior
	if p.disturb != nil {
		m = p.disturb(op)
	}
	if m.apply {
		p.ring.execute(op)
	}
	switch owner := p.ring.group(ring.Hash(op.Key))[0]; {
	case m.silent:
		return nil, nil
	case m.reset:
		return nil, status.Error(codes.Unavailable, "the test says so")
	case m.err != nil:
		return &chordv1.OpReply{Reply: &chordv1.OpReply_Error{Error: m.err}}, nil
	case m.hint != nil:
		return notOwner(*m.hint), nil
	case owner == p:
	case op.direct:
		return notOwner(owner.self), nil
	default:
		p.ring.forwards++
	}
	return p.ring.execute(op), nil
}

func opOf(call *chordv1.OpCall) fakeOp {
	switch m := call.Op.(type) {
	case *chordv1.OpCall_Put:
		op := fakeOp{node.Op{Kind: node.OpPut, Key: m.Put.Key, Value: m.Put.Value, Retry: m.Put.Retry}, m.Put.Direct}
		copy(op.Request[:], m.Put.Request)
		return op
	case *chordv1.OpCall_Delete:
		op := fakeOp{node.Op{Kind: node.OpDelete, Key: m.Delete.Key, Retry: m.Delete.Retry}, m.Delete.Direct}
		copy(op.Request[:], m.Delete.Request)
		return op
	}
	return fakeOp{node.Op{Kind: node.OpGet, Key: call.GetGet().GetKey(), Bare: call.GetGet().GetBare()}, call.GetGet().GetDirect()}
}

func itemError(code codes.Code, reason string) *chordv1.OpReply {
	return &chordv1.OpReply{Reply: &chordv1.OpReply_Error{Error: &chordv1.ItemError{Code: int32(code), Reason: reason, Message: reason}}}
}

func notOwner(hint ring.Ref) *chordv1.OpReply {
	reply := itemError(codes.FailedPrecondition, "NOT_OWNER")
	if !hint.IsZero() {
		reply.GetError().Hint = refMessage(hint)
	}
	return reply
}

func refMessage(r ring.Ref) *chordv1.Ref { return &chordv1.Ref{Id: r.ID[:], Addr: r.Addr} }

func arcMessage(a ring.Arc) *chordv1.Arc {
	return &chordv1.Arc{After: a.After[:], Through: a.Through[:]}
}

func versionMessage(v node.Version) *chordv1.Version {
	return &chordv1.Version{Time: v.Time, Origin: v.Origin}
}

func refMessages(refs []ring.Ref) (list []*chordv1.Ref) {
	for _, r := range refs {
		list = append(list, refMessage(r))
	}
	return list
}

// Hello implements RingService.
func (p *fakeProcess) Hello(context.Context, *chordv1.HelloRequest) (*chordv1.HelloResponse, error) {
	return &chordv1.HelloResponse{
		Protocol: 1, Self: &chordv1.Process{Id: bytes.Repeat([]byte{p.self.ID[0]}, 16), Vnodes: 1, Addr: p.self.Addr}, Member: true,
		Replicas: uint32(p.ring.replicas), WriteQuorum: 2, ReadQuorum: 2, MaxKeyBytes: 1 << 10, MaxValueBytes: 1 << 20,
		Nodes: refMessages([]ring.Ref{p.self}),
	}, nil
}

// Neighbors implements RingService.
func (p *fakeProcess) Neighbors(_ context.Context, m *chordv1.NeighborsRequest) (*chordv1.NeighborsResponse, error) {
	p.ring.mu.Lock()
	defer p.ring.mu.Unlock()
	p.asked++
	if !bytes.Equal(m.Node, p.self.ID[:]) || p.state == nil {
		return nil, status.Error(codes.NotFound, "no such node")
	}
	v := p.state.View()
	return &chordv1.NeighborsResponse{Addr: v.Self.Addr, Predecessor: refMessage(v.Pred), Successors: refMessages(v.Succs)}, nil
}

// Route implements RingService.
func (p *fakeProcess) Route(_ context.Context, m *chordv1.RouteRequest) (*chordv1.RouteResponse, error) {
	p.ring.mu.Lock()
	defer p.ring.mu.Unlock()
	step := p.state.Route(ring.ID(m.Id), func(id ring.ID) bool {
		return slices.ContainsFunc(m.Avoid, func(b []byte) bool { return bytes.Equal(b, id[:]) })
	})
	return &chordv1.RouteResponse{Covered: step.Covered, Nodes: refMessages(step.Nodes)}, nil
}

// List implements ReplicaService.
func (p *fakeProcess) List(_ context.Context, m *chordv1.ListRequest) (*chordv1.ListResponse, error) {
	p.ring.mu.Lock()
	p.lists++
	onList, calls := p.onList, p.lists
	p.ring.mu.Unlock()
	if onList != nil {
		onList(calls)
	}
	p.ring.mu.Lock()
	defer p.ring.mu.Unlock()
	arc := ring.Arc{After: ring.ID(m.Arc.After), Through: ring.ID(m.Arc.Through)}
	place := func(key []byte) ring.ID { return ring.Distance(arc.After.Next(), ring.Hash(key)) }
	var entries []*chordv1.Entry
	for key, record := range p.data {
		if k := []byte(key); arc.Contains(ring.Hash(k)) && (m.FromKey == nil || place(m.FromKey).Less(place(k))) {
			entries = append(entries, &chordv1.Entry{Key: k, Version: versionMessage(record.Version)})
		}
	}
	slices.SortFunc(entries, func(a, b *chordv1.Entry) int { return place(a.Key).Compare(place(b.Key)) })
	return &chordv1.ListResponse{Entries: entries[:min(len(entries), int(m.Limit))]}, nil
}

// client returns a client of the given processes, or of the first one, with short waits.
func (r *fakeRing) client(tune func(*rpc.ClientConfig), servers ...*fakeProcess) *rpc.Client {
	r.t.Helper()
	if len(servers) == 0 {
		servers = r.all()[:1]
	}
	cfg := rpc.DefaultClientConfig()
	for _, p := range servers {
		cfg.Servers = append(cfg.Servers, p.self.Addr)
	}
	if tune != nil {
		tune(&cfg)
	}
	c, err := rpc.NewClient(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			r.t.Errorf("close the client: %v", err)
		}
	})
	return c
}

// look reads state of the ring under its lock.
func look[T any](r *fakeRing, f func() T) T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return f()
}

// set changes state of the ring under its lock.
func (r *fakeRing) set(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// keyOf returns a key that the process owns.
func (p *fakeProcess) keyOf(n int) []byte {
	return look(p.ring, func() []byte {
		for i := n * 1000; ; i++ {
			if key := fakeKey(i); p.ring.group(ring.Hash(key))[0] == p {
				return key
			}
		}
	})
}

// await waits until a condition holds.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}
