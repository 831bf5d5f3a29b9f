package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

// fakeRing is a client without a ring: a map of records, with faults on demand.
type fakeRing struct {
	mu      sync.Mutex
	records map[string]node.Record
	acks    map[string]int                // successful puts by key
	writes  map[node.RequestID]int        // calls by request id
	fail    func(op node.Op, n int) error // consulted at each call; n counts the calls of all operations from 1
	calls   int
	stall   time.Duration // of each operation
	hello   rpc.Hello
	down    error // all calls fail
	trace   rpc.Trace
	members []rpc.Member
}

func newFakeRing() *fakeRing {
	return &fakeRing{
		records: make(map[string]node.Record), acks: make(map[string]int), writes: make(map[node.RequestID]int),
		hello: rpc.Hello{
			Addr: "127.0.0.1:7400", AdminAddr: "127.0.0.1:7402", Replicas: 3, WriteQuorum: 2, ReadQuorum: 2, MaxKeyBytes: 1024, MaxValueBytes: 1 << 20,
			Member: true, Version: "v0.1.0",
		},
	}
}

func (f *fakeRing) Do(ctx context.Context, op node.Op) (node.Result, error) {
	if f.stall > 0 {
		time.Sleep(f.stall)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.down != nil {
		return node.Result{}, f.down
	}
	if f.fail != nil {
		if err := f.fail(op, f.calls); err != nil {
			return node.Result{}, err
		}
	}
	old, found := f.records[string(op.Key)]
	version := node.Version{Time: uint64(1_700_000_000_000+len(f.acks)) << 16, Origin: 0xab}
	if err := f.conflict(op, old, found); err != nil {
		return node.Result{}, &rpc.OpError{
			Op: fmt.Sprintf("%v %q", op.Kind, op.Key), Write: true, Attempted: []string{"127.0.0.1:7400"}, Attempts: 1, Elapsed: time.Millisecond, Err: err,
		}
	}
	var number, expires int64
	switch op.Kind {
	case node.OpIncrement:
		number = op.Initial
		if found {
			number, _ = strconv.ParseInt(string(old.Value), 10, 64)
		}
		number += op.Add
		op.Value = strconv.AppendInt(nil, number, 10)
	case node.OpAppend:
		op.Value = slices.Concat(old.Value, op.Value)
		number = int64(len(op.Value))
	case node.OpTouch:
		op.Value = old.Value
	case node.OpPrepend:
		op.Value = slices.Concat(op.Value, old.Value)
		number = int64(len(op.Value))
	}
	switch op.Kind {
	case node.OpPut, node.OpIncrement, node.OpAppend, node.OpPrepend, node.OpTouch, node.OpManifest:
		r := node.Record{
			Key: bytes.Clone(op.Key), Value: bytes.Clone(op.Value), Version: version, Expires: op.Expires, Manifest: op.Kind == node.OpManifest,
		}
		switch {
		case op.TTL > 0:
			r.Expires = version.Millis() + op.TTL.Milliseconds()
		case op.TTL == 0 && op.Expires == 0 && (op.Kind != node.OpPut && op.Kind != node.OpManifest || op.If == node.IfVersion):
			r.Expires = old.Expires
		}
		if op.Expiring() {
			expires = r.Expires
		}
		f.records[string(op.Key)] = r
		f.acks[string(op.Key)]++
		f.writes[op.Request]++
	case node.OpDelete:
		delete(f.records, string(op.Key))
	default:
		r := node.Result{Found: found, Value: old.Value, Version: old.Version, Expires: old.Expires, Acks: 2, Manifest: old.Manifest}
		if op.Bare {
			r.Value = nil
		}
		if r.Expires != 0 {
			r.Left = time.Duration(r.Expires-version.Millis()) * time.Millisecond
		}
		return r, nil
	}
	r := node.Result{Found: found, Number: number, Version: version, Expires: expires, Acks: 3}
	if old.Manifest {
		r.Replaced = old.Value
	}
	return r, nil
}

// conflict returns why an operation is not carried out.
func (f *fakeRing) conflict(op node.Op, old node.Record, found bool) error {
	e := &node.ConditionError{Found: found, Version: old.Version}
	_, err := strconv.ParseInt(string(old.Value), 10, 64)
	switch {
	case op.If == node.IfAbsent && found:
		e.Conflict = node.Exists
	case (op.If == node.IfPresent || op.If == node.IfVersion || op.Kind == node.OpTouch) && !found:
		e.Conflict = node.Missing
	case op.If == node.IfVersion && op.Version != old.Version:
		e.Conflict = node.Changed
	case old.Manifest && (op.Kind == node.OpIncrement || op.Kind == node.OpAppend || op.Kind == node.OpPrepend):
		e.Conflict = node.Chunked
	case op.Kind == node.OpIncrement && found && err != nil:
		e.Conflict = node.NotNumber
	default:
		return nil
	}
	return e
}

// Watch tells what is there, then that it is deleted, and then finds nobody any more.
func (f *fakeRing) Watch(_ context.Context, key []byte, after node.Version, fn func(node.Result) error) error {
	f.mu.Lock()
	r, found := f.records[string(key)]
	f.mu.Unlock()
	for _, e := range []node.Result{{Found: found, Value: r.Value, Version: r.Version}, {Version: node.Version{Time: r.Version.Time + 1<<16, Origin: 0xab}}} {
		if found && e.Version.Newer(after) {
			if err := fn(e); err != nil {
				return err
			}
		}
	}
	return &rpc.OpError{
		Op: fmt.Sprintf("watch %q", key), Attempted: []string{"127.0.0.1:7400"}, Attempts: 3, Elapsed: 31 * time.Second, Retryable: true, Err: node.ErrUnreachable,
	}
}

// WatchPrefix tells what is there, unless only changes are asked for, then that the first key has been deleted, and then finds too few processes.
func (f *fakeRing) WatchPrefix(_ context.Context, prefix []byte, opts rpc.PrefixOptions, fn func(key []byte, r node.Result) error) error {
	f.mu.Lock()
	keys := slices.Sorted(maps.Keys(f.records))
	f.mu.Unlock()
	keys = slices.DeleteFunc(keys, func(key string) bool { return !strings.HasPrefix(key, string(prefix)) || !opts.Only([]byte(key)) })
	for _, key := range keys {
		r := f.records[key]
		if opts.Changes {
			break
		}
		if err := fn(r.Key, node.Result{Found: true, Value: r.Value, Version: r.Version, Manifest: r.Manifest}); err != nil {
			return err
		}
	}
	opts.Begun(5)
	if len(keys) > 0 {
		r := f.records[keys[0]]
		if err := fn(r.Key, node.Result{Version: node.Version{Time: r.Version.Time + 1<<16, Origin: 0xab}}); err != nil {
			return err
		}
	}
	return &rpc.OpError{
		Op: fmt.Sprintf("watch prefix %q", prefix), Attempted: []string{"127.0.0.1:7400"}, Attempts: 3, Elapsed: 31 * time.Second, Retryable: true, Err: node.ErrUnreachable,
	}
}

func (f *fakeRing) Hello(context.Context) (rpc.Hello, error) { return f.hello, f.down }

func (f *fakeRing) Lookup(_ context.Context, id ring.ID, _ func(rpc.Hop)) (rpc.Trace, error) {
	t := f.trace
	t.ID = id
	return t, f.down
}

func (f *fakeRing) Ring(context.Context, func(asked, known int)) ([]rpc.Member, error) {
	return f.members, f.down
}

// Scan visits the records in ring order.
func (f *fakeRing) Scan(ctx context.Context, arc ring.Arc, after node.Cursor, opts rpc.ScanOptions,
	fn func(r node.Record) error,
) error {
	if f.down != nil {
		return f.down
	}
	var records []node.Record
	f.mu.Lock()
	for _, r := range f.records {
		if id := r.ID(); after.Key == nil || ring.Hash(after.Key).Less(id) {
			records = append(records, r)
		}
	}
	f.mu.Unlock()
	slices.SortFunc(records, func(a, b node.Record) int { return a.ID().Compare(b.ID()) })
	for _, r := range records {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(r); err != nil {
			return err
		}
		if f.fail != nil {
			f.calls++
			if err := f.fail(node.Op{Kind: node.OpGet, Key: r.Key}, f.calls); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *fakeRing) Close() error { return nil }

// fakeAdmin answers as a process would.
type fakeAdmin struct {
	status   chordv1.StatusResponse
	trace    chordv1.TraceResponse
	repaired []*chordv1.RepairProgress
	err      error
	asked    []string
}

func (f *fakeAdmin) Status(context.Context, *chordv1.StatusRequest, ...grpc.CallOption) (*chordv1.StatusResponse, error) {
	return &f.status, f.err
}

func (f *fakeAdmin) Ring(context.Context, *chordv1.RingRequest, ...grpc.CallOption) (*chordv1.RingResponse, error) {
	return nil, status.Error(codes.Unimplemented, "not asked by chord")
}

func (f *fakeAdmin) Trace(_ context.Context, r *chordv1.TraceRequest, _ ...grpc.CallOption) (*chordv1.TraceResponse, error) {
	f.asked = append(f.asked, fmt.Sprintf("trace %q %v", r.GetKey(), r.GetStyle()))
	return &f.trace, f.err
}

func (f *fakeAdmin) Repair(_ context.Context, r *chordv1.RepairRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[chordv1.RepairProgress], error) {
	f.asked = append(f.asked, fmt.Sprintf("repair %x..%x", r.GetWithin().GetAfter(), r.GetWithin().GetThrough()))
	return &fakeRepair{reports: slices.Clone(f.repaired), err: f.err}, nil
}

// fakeRepair is the stream of a repair, which ends with err.
type fakeRepair struct {
	grpc.ClientStream
	reports []*chordv1.RepairProgress
	err     error
}

func (f *fakeRepair) Recv() (*chordv1.RepairProgress, error) {
	if len(f.reports) == 0 {
		return nil, cmp.Or(f.err, io.EOF)
	}
	m := f.reports[0]
	f.reports = f.reports[1:]
	return m, nil
}

func (f *fakeAdmin) Backup(_ context.Context, r *chordv1.BackupRequest, _ ...grpc.CallOption) (*chordv1.BackupResponse, error) {
	f.asked = append(f.asked, "backup "+r.GetDir())
	return &chordv1.BackupResponse{Records: 12345}, f.err
}

func (f *fakeAdmin) Leave(context.Context, *chordv1.LeaveRequest, ...grpc.CallOption) (*chordv1.LeaveResponse, error) {
	f.asked = append(f.asked, "leave")
	return &chordv1.LeaveResponse{}, f.err
}

func (f *fakeAdmin) Drain(_ context.Context, r *chordv1.DrainRequest, _ ...grpc.CallOption) (*chordv1.DrainResponse, error) {
	f.asked = append(f.asked, fmt.Sprintf("drain undo=%v", r.GetUndo()))
	return &chordv1.DrainResponse{}, f.err
}

func (f *fakeAdmin) Close() error { return nil }

// world is an app with fakes all round.
type world struct {
	*app
	ring     *fakeRing
	admin    *fakeAdmin
	env      map[string]string
	out, err bytes.Buffer

	notChord, nobody []string // addresses that diagnose says it of
}

func newWorld() *world {
	w := &world{ring: newFakeRing(), admin: &fakeAdmin{}, env: make(map[string]string)}
	w.app = &app{
		stdin: bytes.NewReader(nil), stdout: &w.out, stderr: &w.err,
		width:     func() int { return 80 },
		lookupEnv: func(name string) (string, bool) { v, ok := w.env[name]; return v, ok },
		dial: func(cfg rpc.ClientConfig) (client, error) {
			if err := cfg.Validate(); err != nil {
				return nil, err
			}
			return w.ring, nil
		},
		dialAdmin: func(string) (chordv1.AdminServiceClient, io.Closer, error) { return w.admin, w.admin, nil },
		diagnose: func(_ context.Context, addr string) error {
			switch {
			case slices.Contains(w.notChord, addr):
				return errNotChord
			case slices.Contains(w.nobody, addr):
				return nobody{"connection refused"}
			}
			return nil
		},
	}
	return w
}

// chord runs a command line with empty streams and returns the exit code.
func (w *world) chord(t *testing.T, args ...string) int {
	t.Helper()
	w.out.Reset()
	w.err.Reset()
	w.globals = globals{}
	return w.run(t.Context(), args)
}

// must runs a command line that has to succeed and returns what it printed.
func (w *world) must(t *testing.T, args ...string) string {
	t.Helper()
	if code := w.chord(t, args...); code != cli.ExitOK {
		t.Fatalf("chord %q: exit code %d\n%s", args, code, w.err.String())
	}
	return w.out.String()
}

// testMembers are six nodes of three processes, all as they should be.
func testMembers() []rpc.Member {
	var refs []ring.Ref
	for i, first := range []byte{0x08, 0x30, 0x55, 0x90, 0xc0, 0xf0} {
		refs = append(refs, ring.Ref{ID: ring.ID{0: first, 19: 1}, Addr: fmt.Sprintf("127.0.0.1:74%d0", i%3)})
	}
	members := make([]rpc.Member, len(refs))
	for i, r := range refs {
		n := len(refs)
		view := ring.View{Self: r, Pred: refs[(i+n-1)%n], Succs: []ring.Ref{refs[(i+1)%n], refs[(i+2)%n]}}
		members[i] = rpc.Member{Node: r, View: view, RTT: 250 * time.Microsecond}
	}
	return members
}
