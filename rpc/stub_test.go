package rpc_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

// stub is a process that does what a test tells it. What the test does not set answers as a ready process that is alone would.
type stub struct {
	notReady  atomic.Bool
	neighbors func(id ring.ID) (ring.View, error)
	notify    func(id ring.ID, from ring.Ref) error
	route     func(at, id ring.ID, avoid []ring.ID) (ring.Step, error)
	forward   func(at ring.ID, q node.Query) error
	arrived   func(a node.Arrival) error
	apply     func(ctx context.Context, records []node.Record) ([]node.Version, error)
	claims    func(claims []node.Claim) error
	fetch     func(ctx context.Context, wants []node.Want) ([]node.Found, error)
	digest    func(arcs []ring.Arc) ([]node.Summary, error)
	outline   func(arcs []ring.Arc, detail node.Detail) ([]node.Outline, error)
	name      func(unnamed []node.Unnamed) ([]node.Entry, error)
	list      func(arc ring.Arc, from node.Cursor, limit int) ([]node.Entry, error)
	collect   func(entries []node.Entry) error
	contact   node.Contact
	do        func(ctx context.Context, op node.Op) (node.Result, error)
	serve     func(ctx context.Context, op node.Op) (node.Result, error)
	watch     func(ctx context.Context, key []byte, after node.Version, tell func(node.Result) error) error
	prefixes  func(ctx context.Context, prefix []byte, tell func(node.Stored) error) error
	lookup    func(style node.Style, id ring.ID) (node.Lookup, error)
	repair    func(ctx context.Context, within ring.Arc, report func(node.Repaired)) error
	status    node.Status
}

var _ rpc.Processor = (*stub)(nil)

func (s *stub) Ready() bool { return !s.notReady.Load() }

func (s *stub) Neighbors(id ring.ID) (ring.View, error) {
	if s.neighbors == nil {
		self := ring.Ref{ID: id}
		return ring.View{Self: self, Pred: self}, nil
	}
	return s.neighbors(id)
}

func (s *stub) Notify(id ring.ID, from ring.Ref) error {
	if s.notify == nil {
		return nil
	}
	return s.notify(id, from)
}

func (s *stub) Changed(ring.ID, ring.Ref) error { return nil }

func (s *stub) Route(at, id ring.ID, avoid []ring.ID) (ring.Step, error) {
	if s.route == nil {
		return ring.Step{Covered: true}, nil
	}
	return s.route(at, id, avoid)
}

func (s *stub) Forward(at ring.ID, q node.Query) error {
	if s.forward == nil {
		return nil
	}
	return s.forward(at, q)
}

func (s *stub) Arrived(a node.Arrival) error {
	if s.arrived == nil {
		return nil
	}
	return s.arrived(a)
}

func (s *stub) Apply(ctx context.Context, records []node.Record, claims []node.Claim) ([]node.Version, error) {
	if s.claims != nil {
		if err := s.claims(claims); err != nil {
			return nil, err
		}
	}
	if s.apply == nil {
		versions := make([]node.Version, len(records))
		for i := range records {
			versions[i] = records[i].Version
		}
		return versions, nil
	}
	return s.apply(ctx, records)
}

func (s *stub) Fetch(ctx context.Context, wants []node.Want) ([]node.Found, error) {
	if s.fetch == nil {
		return make([]node.Found, len(wants)), nil
	}
	return s.fetch(ctx, wants)
}

func (s *stub) Digest(_ context.Context, arcs []ring.Arc, _ []node.Claim) ([]node.Summary, error) {
	if s.digest == nil {
		return make([]node.Summary, len(arcs)), nil
	}
	return s.digest(arcs)
}

func (s *stub) Outline(_ context.Context, arcs []ring.Arc, detail node.Detail) ([]node.Outline, error) {
	if s.outline == nil {
		return make([]node.Outline, len(arcs)), nil
	}
	return s.outline(arcs, detail)
}

func (s *stub) Name(_ context.Context, unnamed []node.Unnamed) ([]node.Entry, error) {
	if s.name == nil {
		return nil, nil
	}
	return s.name(unnamed)
}

func (s *stub) List(_ context.Context, arc ring.Arc, from node.Cursor, limit int) ([]node.Entry, error) {
	if s.list == nil {
		return nil, nil
	}
	return s.list(arc, from, limit)
}

func (s *stub) Collect(_ context.Context, entries []node.Entry) error {
	if s.collect == nil {
		return nil
	}
	return s.collect(entries)
}

func (s *stub) Contact() node.Contact { return s.contact }

func (s *stub) Do(ctx context.Context, op node.Op) (node.Result, error) {
	if s.do == nil {
		return node.Result{}, nil
	}
	return s.do(ctx, op)
}

func (s *stub) Serve(ctx context.Context, op node.Op) (node.Result, error) {
	if s.serve == nil {
		return node.Result{}, nil
	}
	return s.serve(ctx, op)
}

// ServeAll executes each operation on a goroutine of its own. It panics if one of them does, when the others are done.
func (s *stub) ServeAll(ctx context.Context, ops []node.Op, answer func([]node.Answer)) {
	panics := make(chan any, len(ops))
	for i := range ops {
		go func() {
			defer func() { panics <- recover() }()
			r, err := s.Serve(ctx, ops[i])
			answer([]node.Answer{{Index: i, Result: r, Err: err}})
		}()
	}
	for range ops {
		if r := <-panics; r != nil {
			defer panic(r)
		}
	}
}

// Watch tells what watch says until that returns an error, or ctx ends.
func (s *stub) Watch(ctx context.Context, key []byte, after node.Version, tell func(node.Result) error) error {
	if s.watch == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.watch(ctx, key, after, tell)
}

// WatchPrefix tells what prefixes says until that returns an error, or ctx ends.
func (s *stub) WatchPrefix(ctx context.Context, prefix []byte, tell func(node.Stored) error) error {
	if s.prefixes == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.prefixes(ctx, prefix, tell)
}

func (s *stub) LookupBy(_ context.Context, style node.Style, id ring.ID) (node.Lookup, error) {
	if s.lookup == nil {
		return node.Lookup{ID: id}, nil
	}
	return s.lookup(style, id)
}

func (s *stub) Repair(ctx context.Context, within ring.Arc, report func(node.Repaired)) error {
	if s.repair == nil {
		return nil
	}
	return s.repair(ctx, within, report)
}

func (s *stub) RepairStatus() node.RepairStatus { return s.status.Repair }

func (s *stub) Status() node.Status { return s.status }

// newLocal describes a process that listens at addr; its process id is made of the number n.
func newLocal(n byte, addr string) *rpc.Local {
	cfg := node.DefaultConfig()
	cfg.RingTimeout = 5 * time.Second // tests that want a short deadline set one
	cfg.ReplicaTimeout = 5 * time.Second
	return &rpc.Local{
		Identity: node.Identity{Process: [16]byte{n}, VNodes: 2, Incarnation: 1}, Addr: addr, Version: "test", Config: cfg,
	}
}

// served is a server under test.
type served struct {
	*rpc.Server
	local *rpc.Local
	addr  string
	done  chan error
}

// serve starts a server for proc on a free port.
func serve(t testing.TB, proc rpc.Processor, opts rpc.ServerOptions) *served {
	t.Helper()
	return serveOn(t, listen(t, "127.0.0.1:0"), proc, opts)
}

func serveOn(t testing.TB, lis net.Listener, proc rpc.Processor, opts rpc.ServerOptions) *served {
	t.Helper()
	return serveAs(t, lis, newLocal(1, lis.Addr().String()), proc, opts)
}

func serveAs(t testing.TB, lis net.Listener, local *rpc.Local, proc rpc.Processor, opts rpc.ServerOptions) *served {
	t.Helper()
	s := &served{local: local, addr: local.Addr, done: make(chan error, 1)}
	s.Server = rpc.NewServer(s.local, proc, opts)
	go func() { s.done <- s.Serve(lis) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-s.done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

func listen(t testing.TB, addr string) net.Listener {
	t.Helper()
	lis, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return lis
}

// newPeers returns the peers of another process.
func newPeers(t testing.TB, opts ...rpc.PeersOption) *rpc.Peers {
	t.Helper()
	p := rpc.NewPeers(newLocal(2, "127.0.0.1:1"), opts...)
	t.Cleanup(p.Close)
	return p
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func key(n int) []byte { return []byte{'k', byte(n >> 16), byte(n >> 8), byte(n)} }

func record(n int) node.Record {
	return node.Record{Key: key(n), Value: make([]byte, 100), Version: node.Version{Time: uint64(n) + 1, Origin: 7}}
}
