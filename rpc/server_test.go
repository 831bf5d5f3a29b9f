package rpc_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

// dial connects as a client does that knows nothing but the protocol.
func dial(t testing.TB, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestNotReady: before the process has joined, every call but Hello is answered, at once, with ErrNotReady: to processes that is "dead", to
// clients "ask another".
func TestNotReady(t *testing.T) {
	s := serve(t, nil, rpc.ServerOptions{})
	peers := newPeers(t)
	to := ring.Ref{ID: ring.ID{1}, Addr: s.addr}
	kv := chordv1.NewKVServiceClient(dial(t, s.addr))
	op := node.Op{Kind: node.OpPut, Key: key(1)}
	calls := map[string]func() error{
		"neighbors": func() error { _, err := peers.Neighbors(t.Context(), to); return err },
		"notify":    func() error { return peers.Notify(t.Context(), to, to) },
		"route":     func() error { _, err := peers.Route(t.Context(), to, ring.ID{}, nil); return err },
		"forward":   func() error { return peers.Forward(t.Context(), to, node.Query{Asker: "asker:1"}) },
		"arrived":   func() error { return peers.Arrived(t.Context(), to, node.Arrival{}) },
		"apply":     func() error { _, err := peers.Apply(t.Context(), to, []node.Record{record(1)}, nil); return err },
		"fetch":     func() error { _, err := peers.Fetch(t.Context(), to, []node.Want{{Key: key(1)}}); return err },
		"digest":    func() error { _, err := peers.Digest(t.Context(), to, []ring.Arc{ring.FullArc()}, nil); return err },
		"list":      func() error { _, err := peers.List(t.Context(), to, ring.FullArc(), node.Cursor{}, 1); return err },
		"do":        func() error { _, err := peers.Do(t.Context(), to, op); return err },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, node.ErrNotReady) || rpc.MaybeApplied(err) {
			t.Errorf("%s: got %v, want %v", name, err, node.ErrNotReady)
		}
	}
	if _, err := kv.Get(t.Context(), &chordv1.GetRequest{Key: key(1)}); status.Code(err) != codes.Unavailable {
		t.Errorf("client: got %v, want Unavailable", err)
	}
	if h, err := peers.Hello(t.Context(), s.addr); err != nil || h.Member || h.Addr != s.addr {
		t.Errorf("hello: got %+v (%v)", h, err)
	}
	var nobody *node.Process
	s.SetProcess(nobody)
	if err := calls["notify"](); !errors.Is(err, node.ErrNotReady) {
		t.Errorf("a nil process: got %v", err)
	}

	joining := &stub{}
	joining.notReady.Store(true)
	s.SetProcess(joining)
	if err := errors.Join(calls["notify"](), calls["do"]()); err != nil {
		t.Errorf("a process that is joining answers to its peers: got %v", err)
	}
	if _, err := kv.Put(t.Context(), &chordv1.PutRequest{Key: key(1)}); status.Code(err) != codes.Unavailable {
		t.Errorf("a process that is joining and a client: got %v, want Unavailable", err)
	}
	joining.notReady.Store(false)
	if _, err := kv.Put(t.Context(), &chordv1.PutRequest{Key: key(1)}); err != nil {
		t.Errorf("a process that has joined: %v", err)
	}
}

// TestContact: what a process says of its contact arrives as times of the clock of who asks; one that never was a member says nothing.
func TestContact(t *testing.T) {
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	for _, want := range []node.Contact{{}, {Since: ago(50 * time.Hour), Until: ago(time.Minute)}, {Since: ago(time.Hour), Until: ago(0), Lasts: true}} {
		s := serve(t, &stub{contact: want}, rpc.ServerOptions{})
		got, err := newPeers(t).Contact(t.Context(), ring.Ref{Addr: s.addr})
		near := func(a, b time.Time) bool { return a.Sub(b).Abs() < 10*time.Second }
		if err != nil || got.Lasts != want.Lasts || !near(got.Since, want.Since) || !near(got.Until, want.Until) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
}

// TestCollect: the entries arrive, and so does the error.
func TestCollect(t *testing.T) {
	want := []node.Entry{{Key: []byte("a"), Version: node.Version{Time: 1, Origin: 2}}, {Key: []byte("b"), Version: node.Version{Time: 3, Origin: 4}}}
	s := serve(t, &stub{collect: func(got []node.Entry) error {
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		return node.ErrStore
	}}, rpc.ServerOptions{})
	if err := newPeers(t).Collect(t.Context(), ring.Ref{Addr: s.addr}, want); !errors.Is(err, node.ErrStore) {
		t.Errorf("got %v", err)
	}
}

func TestHello(t *testing.T) {
	s := serve(t, &stub{}, rpc.ServerOptions{})
	s.local.SetCluster(rpc.ClusterID{7})
	h, err := newPeers(t).Hello(t.Context(), s.addr)
	if err != nil {
		t.Fatal(err)
	}
	if h.Cluster != (rpc.ClusterID{7}) || !h.Member || h.Process != s.local.Identity || len(h.Nodes) != 2 || h.Version != "test" ||
		h.Replicas != 3 || h.WriteQuorum != 2 || h.ReadQuorum != 2 || h.MaxKeyBytes != 1024 || h.MaxValueBytes != 1<<20 {
		t.Errorf("got %+v", h)
	}
	for i, id := range s.local.Identity.Nodes() {
		if want := (ring.Ref{ID: id, Addr: s.addr}); h.Nodes[i] != want {
			t.Errorf("node %d: got %v, want %v", i, h.Nodes[i], want)
		}
	}
	_, err = chordv1.NewRingServiceClient(dial(t, s.addr)).Hello(t.Context(), &chordv1.HelloRequest{Protocol: 2})
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("another protocol: got %v", err)
	}
}

// TestWrongCluster: no call of a process of one cluster gets through to another, whichever it is.
func TestWrongCluster(t *testing.T) {
	ours, theirs := rpc.ClusterID{1}, rpc.ClusterID{2}
	s := serve(t, &stub{}, rpc.ServerOptions{})
	stranger := newLocal(2, "127.0.0.1:1")
	peers := rpc.NewPeers(stranger)
	defer peers.Close()
	to := ring.Ref{ID: ring.ID{1}, Addr: s.addr}
	calls := map[string]func() error{
		"hello":  func() error { _, err := peers.Hello(t.Context(), s.addr); return err },
		"notify": func() error { return peers.Notify(t.Context(), to, to) },
		"apply":  func() error { _, err := peers.Apply(t.Context(), to, []node.Record{record(1)}, nil); return err },
		"do": func() error {
			_, err := peers.Do(t.Context(), to, node.Op{Kind: node.OpPut, Key: key(1)})
			return err
		},
	}
	s.local.SetCluster(ours)
	stranger.SetCluster(theirs)
	for name, call := range calls {
		err := call()
		if !errors.Is(err, rpc.ErrWrongCluster) || errors.Is(err, node.ErrUnreachable) || rpc.MaybeApplied(err) {
			t.Errorf("%s: got %v, want %v", name, err, rpc.ErrWrongCluster)
		}
		if err == nil || !strings.Contains(err.Error(), ours.String()) || !strings.Contains(err.Error(), theirs.String()) {
			t.Errorf("%s: %v does not name both clusters", name, err)
		}
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "chord-cluster", "nonsense")
	if _, err := chordv1.NewKVServiceClient(dial(t, s.addr)).Get(ctx, &chordv1.GetRequest{Key: key(1)}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("nonsense: got %v, want FailedPrecondition", err)
	}
	stranger.SetCluster(ours)
	for name, call := range calls {
		if err := call(); err != nil {
			t.Errorf("%s from the same cluster: %v", name, err)
		}
	}
	if id, err := rpc.ParseClusterID(ours.String()); err != nil || id != ours {
		t.Errorf("got %v (%v), want %v", id, err, ours)
	}
}

// TestGarbageOnThePort: whatever arrives, the server goes on serving.
func TestGarbageOnThePort(t *testing.T) {
	var log bytes.Buffer
	ignore := goleak.IgnoreCurrent()
	s := serve(t, &stub{}, rpc.ServerOptions{Logger: zerolog.New(&log)})
	preface := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	random := make([]byte, 1<<16)
	chance := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(chance.Uint32())
	}
	frame := func(kind byte, payload []byte) []byte {
		n := len(payload)
		return append([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, 0, 0, 0, 0, 1}, payload...)
	}
	settings := []byte{0, 0, 0, 4, 0, 0, 0, 0, 0}
	for name, b := range map[string][]byte{
		"nothing":            {},
		"one byte":           {0},
		"HTTP/1":             []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"half a preface":     []byte(preface[:10]),
		"preface only":       []byte(preface),
		"random":             random,
		"random frames":      append([]byte(preface), random...),
		"a forged length":    append([]byte(preface), 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1),
		"headers of garbage": append(append([]byte(preface), settings...), frame(1, random[:100])...),
		"data on no stream":  append(append([]byte(preface), settings...), frame(0, random[:100])...),
	} {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
		_, _ = conn.Write(b) // the server may have hung up already
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = conn.Read(make([]byte, 64))
		_ = conn.Close()
	}
	secure := tls.Client(mustDial(t, s.addr), &tls.Config{InsecureSkipVerify: true}) // it must fail anyway
	_ = secure.SetDeadline(time.Now().Add(2 * time.Second))
	if err := secure.Handshake(); err == nil {
		t.Error("a TLS handshake worked on a plaintext port")
	}
	_ = secure.Close()
	peers := rpc.NewPeers(newLocal(2, "127.0.0.1:1"))
	if _, err := peers.Neighbors(within(t, 5*time.Second), ring.Ref{ID: ring.ID{1}, Addr: s.addr}); err != nil {
		t.Errorf("after all that: %v", err)
	}
	peers.Close()
	s.Stop()
	goleak.VerifyNone(t, ignore)
	if log.Len() > 0 {
		t.Errorf("the server logged %s", &log)
	}
}

func mustDial(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestForgedMessages: messages that no honest process sends are refused, with the name of the field, and do not reach the process.
func TestForgedMessages(t *testing.T) {
	reached := func() { t.Error("a forged message reached the process") }
	s := serve(t, &stub{
		neighbors: func(ring.ID) (ring.View, error) { reached(); return ring.View{}, nil },
		notify:    func(ring.ID, ring.Ref) error { reached(); return nil },
		route:     func(_, _ ring.ID, _ []ring.ID) (ring.Step, error) { reached(); return ring.Step{}, nil },
		forward:   func(ring.ID, node.Query) error { reached(); return nil },
		arrived:   func(node.Arrival) error { reached(); return nil },
		apply:     func(context.Context, []node.Record) ([]node.Version, error) { reached(); return nil, nil },
		fetch:     func(context.Context, []node.Want) ([]node.Found, error) { reached(); return nil, nil },
		digest:    func([]ring.Arc) ([]node.Summary, error) { reached(); return nil, nil },
		list:      func(ring.Arc, node.Cursor, int) ([]node.Entry, error) { reached(); return nil, nil },
		do:        func(context.Context, node.Op) (node.Result, error) { reached(); return node.Result{}, nil },
	}, rpc.ServerOptions{})
	conn := dial(t, s.addr)
	nodes, replicas, kv := chordv1.NewRingServiceClient(conn), chordv1.NewReplicaServiceClient(conn), chordv1.NewKVServiceClient(conn)
	ctx := t.Context()
	id := make([]byte, 20)
	arc := &chordv1.Arc{After: id, Through: id}
	for field, call := range map[string]func() error{
		"node: want 20": func() error { _, err := nodes.Neighbors(ctx, &chordv1.NeighborsRequest{}); return err },
		"from: missing": func() error { _, err := nodes.Notify(ctx, &chordv1.NotifyRequest{Node: id}); return err },
		"from.addr: missing": func() error {
			_, err := nodes.Notify(ctx, &chordv1.NotifyRequest{Node: id, From: &chordv1.Ref{Id: id}})
			return err
		},
		"id: want 20": func() error { _, err := nodes.Route(ctx, &chordv1.RouteRequest{Id: id[1:]}); return err },
		"avoid: 1025 entries": func() error {
			_, err := nodes.Route(ctx, &chordv1.RouteRequest{Id: id, Avoid: make([][]byte, 1025)})
			return err
		},
		"asker: missing": func() error { _, err := nodes.Forward(ctx, &chordv1.ForwardRequest{Node: id, Id: id}); return err },
		"asker: 262 bytes": func() error {
			_, err := nodes.Forward(ctx, &chordv1.ForwardRequest{Node: id, Id: id, Asker: strings.Repeat("a", 262)})
			return err
		},
		"hops: 1025 entries": func() error {
			_, err := nodes.Forward(ctx, &chordv1.ForwardRequest{Node: id, Id: id, Asker: "asker:1", Hops: make([]*chordv1.PassedHop, 1025)})
			return err
		},
		"hops.node: missing": func() error {
			_, err := nodes.Arrived(ctx, &chordv1.ArrivedRequest{Hops: []*chordv1.PassedHop{{}}})
			return err
		},
		"predecessor: missing": func() error {
			_, err := nodes.Arrived(ctx, &chordv1.ArrivedRequest{Owner: &chordv1.Ref{Id: id}})
			return err
		},
		"gathered.id: want 16": func() error {
			_, err := nodes.Hello(ctx, &chordv1.HelloRequest{Protocol: 1, Gathered: []*chordv1.Process{{}}})
			return err
		},
		"cluster: want 16": func() error { _, err := nodes.Hello(ctx, &chordv1.HelloRequest{Protocol: 1, Cluster: id}); return err },
		"record.key: 0 bytes": func() error {
			_, err := replicas.Apply(ctx, &chordv1.ApplyRequest{Records: []*chordv1.Record{{}}})
			return err
		},
		"records: 16385 entries": func() error {
			_, err := replicas.Apply(ctx, &chordv1.ApplyRequest{Records: make([]*chordv1.Record, 16385)})
			return err
		},
		"wants.key: 0 bytes": func() error {
			_, err := replicas.Fetch(ctx, &chordv1.FetchRequest{Wants: []*chordv1.Want{{}}})
			return err
		},
		"arcs: 1025 entries": func() error {
			_, err := replicas.Digest(ctx, &chordv1.DigestRequest{Arcs: make([]*chordv1.Arc, 1025)})
			return err
		},
		"arc: missing":      func() error { _, err := replicas.List(ctx, &chordv1.ListRequest{Limit: 1}); return err },
		"limit: 0, want":    func() error { _, err := replicas.List(ctx, &chordv1.ListRequest{Arc: arc}); return err },
		"limit: 1025, want": func() error { _, err := replicas.List(ctx, &chordv1.ListRequest{Arc: arc, Limit: 1025}); return err },
		"from_key: 65537 bytes": func() error {
			_, err := replicas.List(ctx, &chordv1.ListRequest{Arc: arc, Limit: 1, FromKey: make([]byte, 65537)})
			return err
		},
		"key: 0 bytes":    func() error { _, err := kv.Get(ctx, &chordv1.GetRequest{}); return err },
		"key: 1025 bytes": func() error { _, err := kv.Delete(ctx, &chordv1.DeleteRequest{Key: make([]byte, 1025)}); return err },
		"value: 1048577 bytes": func() error {
			_, err := kv.Put(ctx, &chordv1.PutRequest{Key: id, Value: make([]byte, 1<<20+1)})
			return err
		},
		"level: 9 is not":  func() error { _, err := kv.Get(ctx, &chordv1.GetRequest{Key: id, Level: 9}); return err },
		"request: want 16": func() error { _, err := kv.Put(ctx, &chordv1.PutRequest{Key: id, Request: id}); return err },
	} {
		if err := call(); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), field) {
			t.Errorf("got %v, want InvalidArgument with %q", err, field)
		}
	}
	_, err := kv.Put(ctx, &chordv1.PutRequest{Key: id, Value: make([]byte, 8<<20)})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a message of 8 MiB: got %v, want ResourceExhausted", err)
	}
}

// TestForgedBatches: a bad call in a batch fails alone; the others in its message are executed.
func TestForgedBatches(t *testing.T) {
	s := serve(t, &stub{claims: func(claims []node.Claim) error {
		if slices.ContainsFunc(claims, func(c node.Claim) bool { return c.Epoch == 1 }) {
			return &node.SupersededError{Epoch: 2}
		}
		return nil
	}}, rpc.ServerOptions{})
	conn := dial(t, s.addr)
	ops, err := chordv1.NewKVServiceClient(conn).Batch(within(t, 5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	get := func(key []byte) *chordv1.OpCall_Get { return &chordv1.OpCall_Get{Get: &chordv1.GetRequest{Key: key}} }
	calls := []*chordv1.OpCall{{Seq: 1}, {Seq: 2, Op: get(nil)}, {Seq: 3, Op: get(key(1))}, {Seq: 4, Op: &chordv1.OpCall_Put{}}}
	if err := ops.Send(&chordv1.OpBatch{Calls: calls}); err != nil {
		t.Fatal(err)
	}
	reasons := map[uint64]string{}
	for len(reasons) < len(calls) {
		m, err := ops.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range m.GetReplies() {
			reasons[r.GetSeq()] = r.GetError().GetReason()
		}
	}
	if reasons[1] != "INVALID" || reasons[2] != "INVALID" || reasons[3] != "" || reasons[4] != "INVALID" {
		t.Errorf("operations: got %v", reasons)
	}

	records, err := chordv1.NewReplicaServiceClient(conn).Batch(within(t, 5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	good := []*chordv1.Record{{Key: key(1), Version: &chordv1.Version{Time: 1}}}
	claim := func(epoch uint64) []byte { return binary.BigEndian.AppendUint64(bytes.Repeat([]byte{1}, 40), epoch) }
	batch := []*chordv1.ReplicaCall{
		{Seq: 1},
		{Seq: 2, Records: good},
		{Seq: 3, Records: []*chordv1.Record{{}}},
		{Seq: 4, Wants: []*chordv1.Want{{}}},
		{Seq: 5, Records: good, Wants: []*chordv1.Want{{Key: key(1)}}},
		{Seq: 6, Records: good, Claims: claim(1)},
		{Seq: 7, Records: good, Claims: claim(2)},
		{Seq: 8, Records: good, Claims: claim(1 << 63)},
		{Seq: 9, Records: good, Claims: claim(2)[1:]},
	}
	if err := records.Send(&chordv1.ReplicaBatch{Calls: batch}); err != nil {
		t.Fatal(err)
	}
	reasons = map[uint64]string{}
	for len(reasons) < len(batch) {
		m, err := records.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range m.GetReplies() {
			reasons[r.GetSeq()] = r.GetError().GetReason()
		}
	}
	if reasons[1] != "INVALID" || reasons[2] != "" || reasons[3] != "INVALID" || reasons[4] != "INVALID" || reasons[5] != "INVALID" ||
		reasons[6] != "SUPERSEDED" || reasons[7] != "" || reasons[8] != "INVALID" || reasons[9] != "INVALID" {
		t.Errorf("records: got %v", reasons)
	}
}

// TestPanicsStayInTheCall: a bug fails one call, is logged and counted, and the server goes on.
func TestPanicsStayInTheCall(t *testing.T) {
	var log lockedBuffer
	metrics := rpc.NewMetrics()
	boom := func() { panic("boom") }
	s := serve(t, &stub{
		notify: func(ring.ID, ring.Ref) error { boom(); return nil },
		apply:  func(context.Context, []node.Record) ([]node.Version, error) { boom(); return nil, nil },
		fetch:  func(context.Context, []node.Want) ([]node.Found, error) { boom(); return nil, nil },
		serve:  func(context.Context, node.Op) (node.Result, error) { boom(); return node.Result{}, nil },
	}, rpc.ServerOptions{Logger: zerolog.New(&log), Metrics: metrics})
	peers := newPeers(t)
	to := ring.Ref{ID: ring.ID{1}, Addr: s.addr}
	_, apply := peers.Apply(t.Context(), to, []node.Record{record(1)}, nil)
	_, fetch := peers.Fetch(t.Context(), to, []node.Want{{Key: key(1)}})
	_, do := peers.Do(t.Context(), to, node.Op{Kind: node.OpPut, Key: key(1)})
	for _, err := range []error{peers.Notify(t.Context(), to, to), apply, fetch, do} {
		if err == nil || errors.Is(err, node.ErrUnreachable) || !strings.Contains(err.Error(), "internal error") || !rpc.MaybeApplied(err) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := peers.Neighbors(t.Context(), to); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if got := sum(t, metrics, "chord_rpc_panics_total"); got != 4 || strings.Count(log.String(), "boom") != 4 {
		t.Errorf("counted %v panics, logged %s", got, log.String())
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestDeadlinesAreEnforced: a call that asks for no deadline, or too long a one, gets the server's; a shorter one is kept.
func TestDeadlinesAreEnforced(t *testing.T) {
	var left atomic.Int64
	note := func(ctx context.Context) {
		deadline, ok := ctx.Deadline()
		if !ok {
			deadline = time.Now().Add(time.Hour)
		}
		left.Store(int64(time.Until(deadline)))
	}
	s := serve(t, &stub{
		do:    func(ctx context.Context, _ node.Op) (node.Result, error) { note(ctx); return node.Result{}, nil },
		apply: func(ctx context.Context, _ []node.Record) ([]node.Version, error) { note(ctx); return nil, nil },
	}, rpc.ServerOptions{DefaultTimeout: 7 * time.Second, MaxTimeout: 20 * time.Second})
	conn := dial(t, s.addr)
	kv := chordv1.NewKVServiceClient(conn)
	stream, err := kv.Batch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	unary := func(ctx context.Context) error { _, err := kv.Get(ctx, &chordv1.GetRequest{Key: key(1)}); return err }
	batched := func(millis uint32) error {
		err := stream.Send(&chordv1.OpBatch{Calls: []*chordv1.OpCall{{
			TimeoutMs: millis, Op: &chordv1.OpCall_Get{Get: &chordv1.GetRequest{Key: key(1)}},
		}}})
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	}
	for name, c := range map[string]struct {
		call     func() error
		min, max time.Duration
	}{
		"unary, none":        {func() error { return unary(t.Context()) }, 5 * time.Second, 7 * time.Second},
		"unary, short":       {func() error { return unary(within(t, 3*time.Second)) }, time.Second, 3 * time.Second},
		"unary, too long":    {func() error { return unary(within(t, time.Hour)) }, 15 * time.Second, 20 * time.Second},
		"batched, none":      {func() error { return batched(0) }, 5 * time.Second, 7 * time.Second},
		"batched, short":     {func() error { return batched(3000) }, 2 * time.Second, 3 * time.Second},
		"batched, too long":  {func() error { return batched(1 << 30) }, 15 * time.Second, 20 * time.Second},
		"batched, the least": {func() error { return batched(1) }, -time.Second, time.Millisecond},
	} {
		if err := c.call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := time.Duration(left.Load()); got < c.min || got > c.max {
			t.Errorf("%s: the process had %v, want %v to %v", name, got, c.min, c.max)
		}
	}
}

// TestDraining: clients are sent away, other processes are served, and health says so.
func TestDraining(t *testing.T) {
	proc := &stub{}
	s := serve(t, proc, rpc.ServerOptions{})
	conn := dial(t, s.addr)
	health, kv := healthv1.NewHealthClient(conn), chordv1.NewKVServiceClient(conn)
	state := func(service string) string {
		t.Helper()
		m, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
		if err != nil {
			return status.Code(err).String()
		}
		return m.GetStatus().String()
	}
	want := func(what, want string) {
		t.Helper()
		for _, service := range []string{"", "chord.v1.KVService"} {
			if got := state(service); got != want {
				t.Errorf("%s: health of %q: got %s, want %s", what, service, got, want)
			}
		}
	}
	want("ready", "SERVING")
	if got := state("other"); got != "NotFound" {
		t.Errorf("health of another service: got %s", got)
	}
	watch, err := health.Watch(within(t, 10*time.Second), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := watch.Recv(); err != nil || m.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("watch: got %v (%v)", m, err)
	}
	s.SetDraining(true)
	want("draining", "NOT_SERVING")
	if m, err := watch.Recv(); err != nil || m.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("watch: got %v (%v)", m, err)
	}
	if _, err := kv.Get(t.Context(), &chordv1.GetRequest{Key: key(1)}); status.Code(err) != codes.Unavailable {
		t.Errorf("a client of a draining server: got %v", err)
	}
	if _, err := newPeers(t).Do(t.Context(), ring.Ref{Addr: s.addr}, node.Op{Kind: node.OpGet, Key: key(1)}); err != nil {
		t.Errorf("a peer of a draining server: got %v", err)
	}
	s.SetDraining(false)
	proc.notReady.Store(true)
	want("not ready", "NOT_SERVING")
}

// TestForwarding: an operation that is not direct may be forwarded, and its answer says who served it; a direct one is for this process.
func TestForwarding(t *testing.T) {
	owner, arc := ring.Ref{ID: ring.ID{1}, Addr: "owner:1"}, ring.Arc{After: ring.ID{2}, Through: ring.ID{1}}
	result := node.Result{Found: true, Owner: owner, Arc: arc, Version: node.Version{Time: 1, Origin: 2}, Acks: 3}
	s := serve(t, &stub{
		do: func(context.Context, node.Op) (node.Result, error) { return result, nil },
		serve: func(context.Context, node.Op) (node.Result, error) {
			return node.Result{}, &node.NotOwnerError{Hint: owner}
		},
	}, rpc.ServerOptions{})
	kv := chordv1.NewKVServiceClient(dial(t, s.addr))
	put, err := kv.Put(t.Context(), &chordv1.PutRequest{Key: key(1)})
	if err != nil || !put.GetExisted() || put.GetAcks() != 3 || put.GetServed().GetOwner().GetAddr() != owner.Addr || put.GetVersion().GetOrigin() != 2 {
		t.Errorf("put: got %v (%v)", put, err)
	}
	del, err := kv.Delete(t.Context(), &chordv1.DeleteRequest{Key: key(1)})
	if err != nil || !bytes.Equal(del.GetServed().GetArc().GetThrough(), owner.ID[:]) {
		t.Errorf("delete: got %v (%v)", del, err)
	}
	if _, err := kv.Get(t.Context(), &chordv1.GetRequest{Key: key(1), Direct: true}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("direct: got %v", err)
	}
}

// TestGracefulStop: what has begun is answered, on streams too; what has not is certainly not applied; and when time is up it ends anyway.
func TestGracefulStop(t *testing.T) {
	begun, release := make(chan struct{}, 100), make(chan struct{})
	s := serve(t, &stub{serve: func(ctx context.Context, op node.Op) (node.Result, error) {
		begun <- struct{}{}
		select {
		case <-release:
			return node.Result{Found: true}, nil
		case <-ctx.Done():
			return node.Result{}, ctx.Err()
		}
	}}, rpc.ServerOptions{})
	peers := newPeers(t)
	to := ring.Ref{Addr: s.addr}
	op := node.Op{Kind: node.OpPut, Key: key(1)}
	results := make(chan error, 10)
	for range 10 {
		go func() {
			_, err := peers.Do(context.Background(), to, op)
			results <- err
		}()
	}
	for range 10 {
		<-begun
	}
	stopped := make(chan struct{})
	go func() { s.GracefulStop(context.Background()); close(stopped) }()
	eventually(t, "new calls are refused", func() bool {
		_, err := peers.Do(within(t, 100*time.Millisecond), to, op)
		return err != nil && !rpc.MaybeApplied(err)
	})
	close(release)
	for range 10 {
		if err := <-results; err != nil {
			t.Errorf("a call under way: %v", err)
		}
	}
	<-stopped
}

func TestGracefulStopHasADeadline(t *testing.T) {
	begun := make(chan struct{})
	s := serve(t, &stub{serve: func(ctx context.Context, _ node.Op) (node.Result, error) {
		close(begun)
		<-ctx.Done()
		return node.Result{}, ctx.Err()
	}}, rpc.ServerOptions{})
	peers := newPeers(t)
	result := make(chan error, 1)
	go func() {
		_, err := peers.Do(context.Background(), ring.Ref{Addr: s.addr}, node.Op{Kind: node.OpPut, Key: key(1)})
		result <- err
	}()
	<-begun
	s.GracefulStop(within(t, 50*time.Millisecond))
	if err := <-result; err == nil || !rpc.MaybeApplied(err) {
		t.Errorf("got %v, want that the outcome is open", err)
	}
}
