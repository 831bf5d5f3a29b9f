package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

// WatchPrefix implements KVService as a process does: it lists what it stores, and looks every millisecond whether that has changed, or the processes next to it.
func (kv fakeKV) WatchPrefix(m *chordv1.WatchPrefixRequest, stream grpc.ServerStreamingServer[chordv1.WatchPrefixResponse]) error {
	kv.p.ring.mu.Lock()
	kv.p.streams++
	kv.p.ring.mu.Unlock()
	defer func() {
		kv.p.ring.mu.Lock()
		defer kv.p.ring.mu.Unlock()
		kv.p.streams--
	}()
	told := make(map[string]node.Version)
	var around []string
	var state *ring.State // when it looked last
	var clock uint64
	listed := false
	for ; stream.Context().Err() == nil && !kv.p.dead(); time.Sleep(time.Millisecond) {
		var out chordv1.WatchPrefixResponse
		kv.p.ring.mu.Lock()
		if kv.p.deaf != nil {
			defer kv.p.ring.mu.Unlock()
			return kv.p.deaf
		}
		if listed && kv.p.state == state && kv.p.ring.clock == clock {
			kv.p.ring.mu.Unlock()
			continue
		}
		state, clock = kv.p.state, kv.p.ring.clock
		for key, r := range kv.p.data {
			if strings.HasPrefix(key, string(m.Prefix)) && r.Version.Newer(told[key]) {
				told[key] = r.Version
				out.Entries = append(out.Entries, &chordv1.Entry{Key: []byte(key), Version: versionMessage(r.Version)})
			}
		}
		out.Listed, listed = !listed, true
		v := kv.p.state.View()
		now := []string{kv.p.self.Addr, v.Pred.Addr}
		for _, r := range v.Succs {
			now = append(now, r.Addr)
		}
		if !slices.Equal(now, around) {
			around, out.Around = now, now
		}
		kv.p.ring.mu.Unlock()
		if out.Listed || len(out.Entries)+len(out.Around) > 0 {
			if err := stream.Send(&out); err != nil {
				return err
			}
		}
	}
	return errors.New("stopped")
}

// prefixLog collects what a watch tells, and fails if a version is told twice or goes back.
type prefixLog struct {
	t *testing.T

	mu     sync.Mutex
	last   map[string]node.Result
	order  []string
	begun  int
	ended  chan error
	cancel context.CancelFunc
}

func watchPrefix(t *testing.T, c *rpc.Client, prefix string, opts rpc.PrefixOptions) *prefixLog {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &prefixLog{t: t, last: make(map[string]node.Result), ended: make(chan error, 1), cancel: cancel}
	opts.Begun = func(processes int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.begun = processes
	}
	go func() {
		l.ended <- c.WatchPrefix(ctx, []byte(prefix), opts, func(key []byte, r node.Result) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			before := l.last[string(key)]
			if !r.Version.Newer(before.Version) && (r.Version != before.Version || !r.Expired() || before.Expired()) {
				t.Errorf("%q: told %+v after %+v", key, r, before)
			}
			l.last[string(key)] = r
			l.order = append(l.order, string(key))
			return nil
		})
	}()
	t.Cleanup(cancel)
	return l
}

// await waits until the last thing told of each key is this: a value, or - if it was deleted.
func (l *prefixLog) await(want map[string]string) {
	l.t.Helper()
	await(l.t, fmt.Sprint("told ", want), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		for key, value := range want {
			if r, ok := l.last[key]; !ok || r.Found == (value == "-") || r.Found && string(r.Value) != value {
				return false
			}
		}
		return true
	})
}

func (l *prefixLog) awaitBegun() {
	l.t.Helper()
	await(l.t, "begun", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.begun > 0
	})
}

// A watch of a prefix tells what is there, leaves out what was deleted before, and goes on with changes; with Changes it tells only those. Other keys play no part.
func TestClientWatchPrefix(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7} {
		r := newFakeRing(t, n)
		c := r.client(nil)
		put := func(key, value string) {
			t.Helper()
			if _, err := c.Put(t.Context(), []byte(key), []byte(value), node.LevelQuorum); err != nil {
				t.Fatal(err)
			}
		}
		del := func(key string) {
			t.Helper()
			if _, err := c.Delete(t.Context(), []byte(key), node.LevelQuorum); err != nil {
				t.Fatal(err)
			}
		}
		want := make(map[string]string)
		for i := range 300 {
			want[fmt.Sprint("a/", i)] = fmt.Sprint("first ", i)
			put(fmt.Sprint("a/", i), fmt.Sprint("first ", i))
		}
		put("a", "no")
		put("b/1", "no")
		put("a/gone", "no")
		del("a/gone")
		all, changes := watchPrefix(t, c, "a/", rpc.PrefixOptions{}), watchPrefix(t, c, "a/", rpc.PrefixOptions{Changes: true})
		some := watchPrefix(t, c, "", rpc.PrefixOptions{Only: func(key []byte) bool { return string(key) != "b/1" }})
		all.await(want)
		for _, l := range []*prefixLog{all, changes, some} {
			l.awaitBegun()
			if l.begun != n {
				t.Errorf("begun with %d processes, want %d", l.begun, n)
			}
		}
		put("b/1", "no")
		then := map[string]string{"a/1": "then", "a/2": "-", "a/new": "new", "a/gone": "again"}
		put("a/1", "then")
		del("a/2")
		put("a/new", "new")
		put("a/gone", "again")
		for _, l := range []*prefixLog{all, changes, some} {
			l.await(then)
			l.cancel()
			if err := <-l.ended; !errors.Is(err, context.Canceled) {
				t.Errorf("it ends with %v", err)
			}
		}
		if len(changes.last) != len(then) || len(all.last) != len(want)+2 || len(some.last) != len(want)+3 {
			t.Errorf("told of %d, %d and %d keys", len(changes.last), len(all.last), len(some.last))
		}
		await(t, "no stream is left", func() bool {
			return look(r, func() bool {
				return !slices.ContainsFunc(r.members, func(p *fakeProcess) bool { return p.streams > 0 })
			})
		})
	}
}

// Processes die, others join, and the last value of each key is told all the same, each version once.
func TestClientWatchPrefixWhileTheRingChanges(t *testing.T) {
	r := newFakeRing(t, 5)
	c, writer := r.client(nil), r.client(nil, r.all()...)
	l := watchPrefix(t, c, "", rpc.PrefixOptions{})
	l.awaitBegun()
	write := func(round int) map[string]string {
		t.Helper()
		want := make(map[string]string)
		for i := range 100 {
			key := fakeKey(i)
			want[string(key)] = fmt.Sprint("round ", round)
			if _, err := writer.Put(t.Context(), key, []byte(want[string(key)]), node.LevelQuorum); err != nil {
				t.Fatal(err)
			}
		}
		return want
	}
	l.await(write(0))
	r.start(evenID(1, 16)) // a newcomer, which the ring knows from now on
	r.heal()
	l.await(write(1))
	r.all()[2].stop()
	r.heal()
	l.await(write(2))
	for _, p := range r.all()[:3] { // the client has entered by the first: it knows only those it has heard of
		p.stop()
	}
	r.heal()
	l.await(write(3))
	r.start(evenID(3, 16))
	r.start(evenID(11, 16))
	r.heal()
	l.await(write(4))
	l.cancel()
	<-l.ended
}

// As long as too few processes are deaf to have a write for themselves, the watch begins and goes on; when one is not any more, nothing is told twice.
func TestClientWatchPrefixOfTheDeaf(t *testing.T) {
	r := newFakeRing(t, 3)
	deaf := r.all()[2]
	r.set(func() { deaf.deaf = errors.New("the test says so") })
	c := r.client(nil)
	put := func(value string) map[string]string {
		t.Helper()
		want := make(map[string]string)
		for i := range 50 {
			want[string(fakeKey(i))] = value
			if _, err := c.Put(t.Context(), fakeKey(i), []byte(value), node.LevelQuorum); err != nil {
				t.Fatal(err)
			}
		}
		return want
	}
	want := put("first")
	l := watchPrefix(t, c, "", rpc.PrefixOptions{})
	l.await(want)
	l.awaitBegun()
	l.await(put("second"))
	r.set(func() { deaf.deaf = nil })
	await(t, "it is heard", func() bool { return look(r, func() bool { return deaf.streams > 0 }) })
	l.await(put("third"))
	l.cancel()
	<-l.ended
}

// A server passes on what its process tells, refuses a prefix that is longer than any key, and leaves nothing behind when the caller or itself ends the stream.
func TestServerWatchPrefix(t *testing.T) {
	var under atomic.Int32
	proc := &stub{prefixes: func(ctx context.Context, prefix []byte, tell func(node.Stored) error) error {
		under.Add(1)
		defer under.Add(-1)
		if err := tell(node.Stored{Around: []string{"a:1"}, Entries: []node.Entry{{Key: prefix}}}); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	}}
	s := serve(t, proc, rpc.ServerOptions{})
	kv := chordv1.NewKVServiceClient(dial(t, s.addr))
	watch := func(prefix []byte, end func()) error {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stream, err := kv.WatchPrefix(ctx, &chordv1.WatchPrefixRequest{Prefix: prefix})
		if err != nil {
			return err
		}
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if string(m.GetEntries()[0].GetKey()) != string(prefix) || m.GetAround()[0] != "a:1" || m.GetListed() {
			t.Errorf("got %v", m)
		}
		if end == nil {
			cancel()
		} else {
			end()
		}
		_, err = stream.Recv()
		return err
	}
	s.SetDraining(true) // nobody else could tell
	if err := watch([]byte("k"), nil); status.Code(err) != codes.Canceled {
		t.Errorf("cancelled: got %v", err)
	}
	if err := watch(bytes.Repeat([]byte("k"), 1025), nil); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a long prefix: got %v", err)
	}
	await(t, "no watch is left", func() bool { return under.Load() == 0 })
	proc.notReady.Store(true)
	if err := watch([]byte("k"), nil); status.Code(err) != codes.Unavailable {
		t.Errorf("a process that is no member: got %v", err)
	}
	proc.notReady.Store(false)
	stopped := make(chan struct{})
	if err := watch([]byte("k"), func() {
		go func() {
			defer close(stopped)
			s.GracefulStop(t.Context())
		}()
	}); status.Code(err) != codes.Unavailable {
		t.Errorf("a server that stops: got %v", err)
	}
	<-stopped
	if n := under.Load(); n != 0 {
		t.Errorf("%d watches are left", n)
	}
}

// While fn does not return, nothing is kept for it but the keys that are being read; then it is told the last value of each.
func TestClientWatchPrefixOfTheSlow(t *testing.T) {
	r := newFakeRing(t, 3)
	c := r.client(nil)
	var mu sync.Mutex
	last := make(map[string]string)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	stalled := make(chan struct{})
	goOn := sync.OnceFunc(func() { close(stalled) })
	defer goOn()
	defer cancel()
	go func() {
		ended <- c.WatchPrefix(ctx, nil, rpc.PrefixOptions{}, func(key []byte, result node.Result) error {
			<-stalled
			mu.Lock()
			defer mu.Unlock()
			last[string(key)] = string(result.Value)
			return nil
		})
	}()
	const keys, rounds = 300, 3
	for round := range rounds {
		for i := range keys {
			if _, err := c.Put(t.Context(), fakeKey(i), fmt.Append(nil, "round ", round), node.LevelQuorum); err != nil {
				t.Fatal(err)
			}
		}
	}
	reads := look(r, func() (n int) {
		for _, p := range r.members {
			for _, op := range p.received {
				if op.Kind == node.OpGet {
					n++
				}
			}
		}
		return n
	})
	if reads > 100 {
		t.Errorf("%d keys were read ahead", reads)
	}
	goOn()
	await(t, "all are told", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for i := range keys {
			if last[string(fakeKey(i))] != fmt.Sprint("round ", rounds-1) {
				return false
			}
		}
		return true
	})
	cancel()
	<-ended
}

// What is forgotten may be told again, and nothing is lost by it.
func TestClientWatchPrefixForgets(t *testing.T) {
	r := newFakeRing(t, 3)
	c := r.client(nil)
	const keys = 200
	for i := range keys {
		if _, err := c.Put(t.Context(), fakeKey(i), []byte("v"), node.LevelQuorum); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	told := make(map[string]int)
	begun, ended := make(chan int, 1), make(chan error, 1)
	go func() {
		ended <- c.WatchPrefix(ctx, nil, rpc.PrefixOptions{Keys: 20, Begun: func(n int) { begun <- n }}, func(key []byte, _ node.Result) error {
			mu.Lock()
			defer mu.Unlock()
			told[string(key)]++
			return nil
		})
	}()
	<-begun
	mu.Lock()
	defer mu.Unlock()
	if len(told) != keys {
		t.Errorf("told of %d keys, want %d", len(told), keys)
	}
	cancel()
}

// What ends a watch of a prefix, or keeps it from beginning, and with which error.
func TestClientWatchPrefixEnds(t *testing.T) {
	r := newFakeRing(t, 3)
	enough := errors.New("enough")
	filler := r.client(nil)
	if _, err := filler.Put(t.Context(), []byte("k"), []byte("v"), node.LevelQuorum); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		prefix string
		end    func(c *rpc.Client, cancel context.CancelFunc) error
		want   error
	}{
		"context": {"k", func(_ *rpc.Client, cancel context.CancelFunc) error { cancel(); return nil }, context.Canceled},
		"close":   {"k", func(c *rpc.Client, _ context.CancelFunc) error { go c.Close(); return nil }, rpc.ErrClosed},
		"fn":      {"k", func(*rpc.Client, context.CancelFunc) error { return enough }, enough},
		"long":    {strings.Repeat("k", 1025), nil, node.ErrInvalid},
	} {
		c := r.client(nil)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		err := c.WatchPrefix(ctx, []byte(test.prefix), rpc.PrefixOptions{}, func([]byte, node.Result) error { return test.end(c, cancel) })
		cancel()
		var failed *rpc.OpError
		if !errors.Is(err, test.want) || test.want != enough && !errors.As(err, &failed) {
			t.Errorf("%s: got %v, want %v in an OpError", name, err, test.want)
		}
	}
	full := r.client(func(cfg *rpc.ClientConfig) { cfg.MaxServers = 2 })
	if err := full.WatchPrefix(t.Context(), nil, rpc.PrefixOptions{}, func([]byte, node.Result) error { return nil }); !errors.Is(err, node.ErrInvalid) {
		t.Errorf("more processes than the client may know: got %v", err)
	}
	for _, p := range r.all() {
		p.stop()
	}
	if err := filler.WatchPrefix(t.Context(), nil, rpc.PrefixOptions{}, nil); !errors.Is(err, node.ErrUnreachable) {
		t.Errorf("with nobody there: got %v", err)
	}
}
