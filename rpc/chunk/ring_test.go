package chunk_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

// fakeRing is a ring of one map, with conditions and faults.
type fakeRing struct {
	hello rpc.Hello

	mu      sync.Mutex
	records map[string]node.Record
	clock   uint64
	puts    int // of blocks
	gets    int
	acks    int
	fail    func(op node.Op) error // before an operation takes effect
	after   func(op node.Op) error // an error that hides that it has
}

func newRing(maxValue int) *fakeRing {
	return &fakeRing{
		hello: rpc.Hello{Replicas: 3, WriteQuorum: 2, ReadQuorum: 2, MaxKeyBytes: 1024, MaxValueBytes: maxValue}, acks: 2,
		records: make(map[string]node.Record), clock: uint64(time.Now().UnixMilli()) << 16,
	}
}

func (f *fakeRing) Hello(context.Context) (rpc.Hello, error) { return f.hello, nil }

func (f *fakeRing) Do(ctx context.Context, op node.Op) (node.Result, error) {
	if err := ctx.Err(); err != nil {
		return node.Result{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		if err := f.fail(op); err != nil {
			return node.Result{}, err
		}
	}
	r, err := f.do(op)
	if err == nil && f.after != nil {
		err = f.after(op)
	}
	return r, err
}

func (f *fakeRing) do(op node.Op) (node.Result, error) {
	old := f.records[string(op.Key)]
	found := !old.Version.IsZero()
	if op.Kind == node.OpGet {
		f.gets++
		r := node.Result{Found: found, Version: old.Version, Manifest: old.Manifest}
		if !op.Bare {
			r.Value = old.Value
		}
		return r, nil
	}
	if op.Retry && old.Request == op.Request {
		return node.Result{Version: old.Version, Acks: f.acks}, nil
	}
	conflict := &node.ConditionError{Found: found, Version: old.Version}
	switch {
	case len(op.Value) > f.hello.MaxValueBytes:
		return node.Result{}, node.ErrInvalid
	case op.If == node.IfAbsent && found, op.If == node.IfVersion && (!found || old.Version != op.Version):
		return node.Result{}, conflict
	}
	f.clock++
	r := node.Result{Found: found, Version: node.Version{Time: f.clock, Origin: 1}, Acks: f.acks}
	if old.Manifest {
		r.Replaced = old.Value
	}
	if op.Kind == node.OpDelete {
		delete(f.records, string(op.Key))
		return r, nil
	}
	if strings.HasPrefix(string(op.Key), "\x00chord.block") {
		f.puts++
	}
	f.records[string(op.Key)] = node.Record{
		Key: slices.Clone(op.Key), Value: slices.Clone(op.Value), Version: r.Version, Request: op.Request, Manifest: op.Kind == node.OpManifest,
	}
	return r, nil
}

func (f *fakeRing) Scan(_ context.Context, _ ring.Arc, _ node.Cursor, opts rpc.ScanOptions, fn func(r node.Record) error) error {
	f.mu.Lock()
	records := make([]node.Record, 0, len(f.records))
	for _, r := range f.records {
		records = append(records, r)
	}
	f.mu.Unlock()
	slices.SortFunc(records, func(a, b node.Record) int { return a.ID().Compare(b.ID()) })
	for _, r := range records {
		if opts.Only(r.Key) {
			if err := fn(node.Record{Key: r.Key, Version: r.Version}); err != nil {
				return err
			}
		}
	}
	return nil
}

// own returns the keys that are not the user's.
func (f *fakeRing) own() (keys []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range f.records {
		if strings.HasPrefix(key, "\x00chord.") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// set changes the ring under its lock.
func (f *fakeRing) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeRing) blocks() (n int) {
	for _, key := range f.own() {
		if strings.HasPrefix(key, "\x00chord.block") {
			n++
		}
	}
	return n
}

var errStop = errors.Join(rpc.ErrClosed, errors.New("the test says so"))

// flaky is a source whose end the test decides on.
type flaky struct {
	bytes.Reader
	err error
}

func (f *flaky) Read(b []byte) (int, error) {
	n, err := f.Reader.Read(b)
	if err != nil && f.err != nil {
		err = f.err
	}
	return n, err
}
