package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

func TestPeersCarryEverything(t *testing.T) {
	outlines := []node.Outline{{Split: true, Hashes: []uint64{1, 2}}, {Hashes: []uint64{3}}}
	var (
		self    = ring.Ref{ID: ring.ID{1}, Addr: "self:1"}
		other   = ring.Ref{ID: ring.ID{2}, Addr: "other:1"}
		arc     = ring.Arc{After: ring.ID{3}, Through: ring.ID{4}}
		version = node.Version{Time: 5, Origin: 6}
		rec     = node.Record{Key: []byte("k\x00\xff"), Value: []byte("v"), Version: version, Request: node.RequestID{7}}
		view    = ring.View{Self: self, Pred: other, Succs: []ring.Ref{other, self}}
		step    = ring.Step{Covered: true, Nodes: []ring.Ref{other}}
		result  = node.Result{Found: true, Value: []byte("v"), Version: version, Acks: 2}
		hops    = []node.Hop{{Node: self, RTT: 3, Err: node.ErrPassedOver}, {Node: other, Covered: true}}
		query   = node.Query{Number: 8, ID: ring.ID{9}, Asker: "asker:1", Last: true, Hops: hops}
		arrival = node.Arrival{Number: 8, Owner: view, Hops: hops}
		op      = node.Op{Kind: node.OpGet, Key: []byte("k"), Level: node.LevelAll}
	)
	var got []any // what the process was asked
	s := serve(t, &stub{
		neighbors: func(id ring.ID) (ring.View, error) { got = append(got, id); return view, nil },
		notify:    func(id ring.ID, from ring.Ref) error { got = append(got, id, from); return nil },
		route: func(at, id ring.ID, avoid []ring.ID) (ring.Step, error) {
			got = append(got, at, id, avoid)
			return step, nil
		},
		forward: func(at ring.ID, q node.Query) error { got = append(got, at, q); return nil },
		arrived: func(a node.Arrival) error { got = append(got, a); return nil },
		apply: func(_ context.Context, records []node.Record) ([]node.Version, error) {
			got = append(got, records)
			return []node.Version{version}, nil
		},
		fetch: func(_ context.Context, wants []node.Want) ([]node.Found, error) {
			got = append(got, wants)
			return []node.Found{{Version: version, Record: rec}}, nil
		},
		digest: func(arcs []ring.Arc) ([]node.Summary, error) {
			got = append(got, arcs)
			return []node.Summary{{Count: 8, Hash: 9}}, nil
		},
		outline: func(arcs []ring.Arc, detail node.Detail) ([]node.Outline, error) {
			got = append(got, arcs, detail)
			return outlines, nil
		},
		name: func(unnamed []node.Unnamed) ([]node.Entry, error) {
			got = append(got, unnamed)
			return []node.Entry{{Key: rec.Key, Version: version}}, nil
		},
		list: func(arc ring.Arc, from node.Cursor, limit int) ([]node.Entry, error) {
			got = append(got, arc, from, limit)
			return []node.Entry{{Key: rec.Key, Version: version}}, nil
		},
		serve: func(_ context.Context, op node.Op) (node.Result, error) { got = append(got, op); return result, nil },
	}, rpc.ServerOptions{Metrics: rpc.NewMetrics()})
	peers := newPeers(t, rpc.WithPeerMetrics(rpc.NewMetrics()))
	to := ring.Ref{ID: self.ID, Addr: s.addr}
	ctx := t.Context()
	check := func(name string, answer any, err error, want any, asked ...any) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(answer, want) {
			t.Errorf("%s: got %+v (%v), want %+v", name, answer, err, want)
		}
		if !reflect.DeepEqual(got, asked) {
			t.Errorf("%s: the process was asked %+v, want %+v", name, got, asked)
		}
		got = nil
	}
	gotView, err := peers.Neighbors(ctx, to)
	check("neighbors", gotView, err, view, self.ID)
	err = peers.Notify(ctx, to, other)
	check("notify", nil, err, nil, self.ID, other)
	gotStep, err := peers.Route(ctx, to, other.ID, []ring.ID{{5}})
	check("route", gotStep, err, step, self.ID, other.ID, []ring.ID{{5}})
	gotStep, err = peers.Route(ctx, ring.Ref{Addr: s.addr}, other.ID, nil)
	check("route from any node", gotStep, err, step, ring.ID{}, other.ID, []ring.ID{})
	err = peers.Forward(ctx, to, query)
	check("forward", nil, err, nil, self.ID, query)
	err = peers.Arrived(ctx, ring.Ref{Addr: s.addr}, arrival)
	check("arrived", nil, err, nil, arrival)
	gotVersions, err := peers.Apply(ctx, to, []node.Record{rec}, nil)
	check("apply", gotVersions, err, []node.Version{version}, []node.Record{rec})
	gotFound, err := peers.Fetch(ctx, to, []node.Want{{Key: rec.Key, Have: version}})
	check("fetch", gotFound, err, []node.Found{{Version: version, Record: rec}}, []node.Want{{Key: rec.Key, Have: version}})
	gotSummaries, err := peers.Digest(ctx, to, []ring.Arc{arc}, nil)
	check("digest", gotSummaries, err, []node.Summary{{Count: 8, Hash: 9}}, []ring.Arc{arc})
	asked, detail := []ring.Arc{ring.FullArc(), arc}, node.Detail{Bits: 4, Records: 8}
	gotOutlines, err := peers.Outline(ctx, to, asked, detail)
	check("outline", gotOutlines, err, outlines, asked, detail)
	unnamed := []node.Unnamed{{Arc: arc, Hashes: []uint64{3}}}
	gotNamed, err := peers.Name(ctx, to, unnamed)
	check("name", gotNamed, err, []node.Entry{{Key: rec.Key, Version: version}}, unnamed)
	gotEntries, err := peers.List(ctx, to, arc, node.Cursor{Key: rec.Key}, 3)
	check("list", gotEntries, err, []node.Entry{{Key: rec.Key, Version: version}}, arc, node.Cursor{Key: rec.Key}, 3)
	gotResult, err := peers.Do(ctx, to, op)
	check("do", gotResult, err, result, op)
}

// TestNeighborsUnchanged: the view is right whether it came over the wire or not, follows every change, also one of the peer's restart, and the
// caller may do with it what it likes.
func TestNeighborsUnchanged(t *testing.T) {
	var view atomic.Pointer[ring.View]
	set := func(succs ...ring.Ref) {
		self := ring.Ref{ID: ring.ID{1}, Addr: "self"}
		view.Store(&ring.View{Self: self, Pred: self, Succs: succs})
	}
	proc := &stub{neighbors: func(ring.ID) (ring.View, error) { return *view.Load(), nil }}
	s := serve(t, proc, rpc.ServerOptions{})
	metrics := rpc.NewMetrics()
	peers := newPeers(t, rpc.WithPeerMetrics(metrics))
	to := ring.Ref{ID: ring.ID{1}, Addr: s.addr}
	many := make([]ring.Ref, 16)
	for i := range many {
		many[i] = ring.Ref{ID: ring.ID{byte(i + 2)}, Addr: "10.0.0.1:7400"}
	}
	ask := func() {
		t.Helper()
		got, err := peers.Neighbors(t.Context(), to)
		if err != nil || !reflect.DeepEqual(got, *view.Load()) {
			t.Fatalf("got %v (%v), want %v", got, err, *view.Load())
		}
		clear(got.Succs) // it is ours
	}
	set(many...)
	ask()
	before := sum(t, metrics, "chord_rpc_received_bytes_total")
	ask()
	if got := sum(t, metrics, "chord_rpc_received_bytes_total") - before; got > 100 {
		t.Errorf("an unchanged view of 16 successors cost %v bytes", got)
	}
	set(many[1:]...)
	ask()
	ask()
}

// TestBlackHoleDelaysNobody is the fault that freezes other Chords: one address that swallows everything. Calls to it end by their own
// deadlines; calls to everyone else do not notice.
func TestBlackHoleDelaysNobody(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	for name, hole := range map[string]func(testing.TB, *rpc.Peers) string{
		"accepts and is silent": func(t testing.TB, _ *rpc.Peers) string { return blackHole(t) },
		"never accepts":         func(t testing.TB, _ *rpc.Peers) string { return fullBacklog(t) },
		"stops in mid-stream":   frozenServer,
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, &stub{}, rpc.ServerOptions{})
			peers := newPeers(t)
			dead, alive := ring.Ref{ID: ring.ID{1}, Addr: hole(t, peers)}, ring.Ref{ID: ring.ID{2}, Addr: s.addr}
			const deadline = time.Second
			var stuck sync.WaitGroup
			for i := range 200 {
				stuck.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), deadline)
					defer cancel()
					var err error
					switch i % 3 {
					case 0:
						_, err = peers.Neighbors(ctx, dead)
					case 1:
						_, err = peers.Apply(ctx, dead, []node.Record{{
							Key: key(i), Value: make([]byte, 500<<10), Version: node.Version{Time: 1},
						}}, nil)
					case 2:
						_, err = peers.Do(ctx, dead, node.Op{Kind: node.OpGet, Key: key(i)})
					}
					if !errors.Is(err, node.ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("call %d: got %v, want unreachable after the deadline", i, err)
					}
				})
			}
			done := make(chan struct{})
			go func() { defer close(done); stuck.Wait() }()
			calls := 0
			for waiting := true; waiting; calls++ {
				select {
				case <-done:
					waiting = false
				default:
				}
				ctx := within(t, 5*time.Second)
				if _, err := peers.Neighbors(ctx, alive); err != nil {
					t.Fatalf("a live peer: %v", err)
				}
				if _, err := peers.Apply(ctx, alive, []node.Record{record(calls)}, nil); err != nil {
					t.Fatalf("a live peer: %v", err)
				}
			}
			if calls < 3 { // the machine may be slow; if anything were locked, it would be 0 or 1
				t.Errorf("only %d calls to a live peer worked while calls to a dead one were waiting", calls)
			}
		})
	}
	goleak.VerifyNone(t, ignore)
}

// fullBacklog is a port whose queue of connections is full: the kernel drops what comes, as an address does that routes nowhere.
func fullBacklog(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 8 {
		conn, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err != nil {
			return addr // full
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Skip("the kernel took more connections than the backlog")
	return ""
}

// frozenServer is a real server behind a relay that stops relaying once peers have used it: a host that drops off the net, or is stopped.
func frozenServer(t testing.TB, peers *rpc.Peers) string {
	t.Helper()
	s := serve(t, &stub{}, rpc.ServerOptions{})
	var frozen atomic.Bool
	relay := func(to, from net.Conn) {
		buf := make([]byte, 64<<10)
		for {
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			if !frozen.Load() {
				_, _ = to.Write(buf[:n])
			}
		}
	}
	addr := rawServer(t, func(conn net.Conn) {
		server, err := net.Dial("tcp", s.addr)
		if err != nil {
			return
		}
		go relay(conn, server)
		defer server.Close()
		relay(server, conn)
	})
	to := ring.Ref{ID: ring.ID{1}, Addr: addr}
	_, apply := peers.Apply(t.Context(), to, []node.Record{record(1)}, nil)
	_, do := peers.Do(t.Context(), to, node.Op{Kind: node.OpGet, Key: key(1)})
	if err := errors.Join(apply, do); err != nil {
		t.Fatal(err)
	}
	frozen.Store(true)
	return addr
}

// TestPeerComesBack: a peer that went away fails at once, and is reachable again soon after it is back.
func TestPeerComesBack(t *testing.T) {
	lis := listen(t, "127.0.0.1:0")
	addr := lis.Addr().String()
	peers := newPeers(t)
	to := ring.Ref{ID: ring.ID{1}, Addr: addr}
	call := func() error {
		_, unary := peers.Neighbors(within(t, time.Second), to)
		_, gathered := peers.Apply(within(t, time.Second), to, []node.Record{record(1)}, nil)
		return errors.Join(unary, gathered)
	}
	s := serveOn(t, lis, &stub{}, rpc.ServerOptions{})
	if err := call(); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	eventually(t, "the peer is unreachable", func() bool { return errors.Is(call(), node.ErrUnreachable) })
	start := time.Now()
	for range 20 {
		if err := call(); !errors.Is(err, node.ErrUnreachable) {
			t.Errorf("got %v, want unreachable", err)
		}
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("20 calls to a dead peer took %v: they waited", took)
	}
	serveOn(t, listen(t, addr), &stub{}, rpc.ServerOptions{})
	eventually(t, "the peer is back", func() bool { return call() == nil })
}

// TestConnectionLost: that a connection breaks is told at once, without another call, each time that it does; that it was closed is not.
func TestConnectionLost(t *testing.T) {
	lis := listen(t, "127.0.0.1:0")
	addr := lis.Addr().String()
	to := ring.Ref{ID: ring.ID{1}, Addr: addr}
	lost := make(chan string, 100)
	told := func(addr string) { lost <- addr }
	closed := newPeers(t, rpc.WithConnectionLost(func(addr string) { t.Errorf("told that the connection to %s is lost, which was closed", addr) }))
	idle := newPeers(t, rpc.WithIdleTimeout(20*time.Millisecond), rpc.WithConnectionLost(func(addr string) { t.Errorf("told of %s, which was not used", addr) }))
	peers := newPeers(t, rpc.WithConnectionLost(told))
	call := func(p *rpc.Peers) bool {
		_, err := p.Neighbors(within(t, time.Second), to)
		return err == nil
	}
	for range 2 {
		s := serveOn(t, lis, &stub{}, rpc.ServerOptions{})
		eventually(t, "the peer answers", func() bool { return call(peers) && call(closed) && call(idle) })
		closed.Close()
		time.Sleep(100 * time.Millisecond) // longer than a connection may be idle
		s.Stop()
		select {
		case got := <-lost:
			if got != addr {
				t.Errorf("told of %s, want %s", got, addr)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the connection broke, and nobody was told")
		}
		lis = listen(t, addr)
		closed = newPeers(t)
	}
	if len(lost) != 0 {
		t.Errorf("told %d times more than connections broke", len(lost))
	}
}

// TestStreamBreaks: what was sent may have been applied, what was not certainly was not, and the next call opens a new stream.
func TestStreamBreaks(t *testing.T) {
	lis := listen(t, "127.0.0.1:0")
	reached := make(chan struct{})
	var hang atomic.Bool
	hang.Store(true)
	proc := &stub{apply: func(ctx context.Context, records []node.Record) ([]node.Version, error) {
		if hang.Load() {
			close(reached)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return []node.Version{records[0].Version}, nil
	}}
	s := serveOn(t, lis, proc, rpc.ServerOptions{})
	peers := newPeers(t)
	to := ring.Ref{Addr: s.addr}
	failed := make(chan error)
	go func() {
		_, err := peers.Apply(context.Background(), to, []node.Record{record(1)}, nil)
		failed <- err
	}()
	<-reached
	s.Stop()
	if err := <-failed; !errors.Is(err, node.ErrUnreachable) || errors.Is(err, rpc.ErrNotSent) || !rpc.MaybeApplied(err) {
		t.Errorf("got %v, want unreachable, perhaps applied", err)
	}
	hang.Store(false)
	serveOn(t, listen(t, s.addr), proc, rpc.ServerOptions{})
	eventually(t, "a new stream", func() bool {
		_, err := peers.Apply(within(t, time.Second), to, []node.Record{record(1)}, nil)
		return err == nil
	})
}

// TestGatherConcurrently: every one of many concurrent calls gets its own answer, in far fewer messages than calls.
func TestGatherConcurrently(t *testing.T) {
	var applies, records atomic.Int64
	s := serve(t, &stub{
		apply: func(_ context.Context, list []node.Record) ([]node.Version, error) {
			applies.Add(1)
			records.Add(int64(len(list)))
			versions := make([]node.Version, len(list))
			for i, r := range list {
				versions[i] = node.Version{Time: r.Version.Time + 1}
			}
			return versions, nil
		},
		serve: func(_ context.Context, op node.Op) (node.Result, error) {
			return node.Result{Found: true, Value: op.Key}, nil
		},
		fetch: func(_ context.Context, wants []node.Want) ([]node.Found, error) {
			found := make([]node.Found, min(len(wants), 3)) // an answer that is full
			for i := range found {
				found[i].Version = wants[i].Have
			}
			return found, nil
		},
	}, rpc.ServerOptions{})
	peers := newPeers(t)
	to := ring.Ref{Addr: s.addr}
	const callers, rounds = 300, 30
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range rounds {
				n := c*rounds + i + 1
				switch n % 3 {
				case 0:
					want := node.Version{Time: uint64(n) + 2}
					if got, err := peers.Apply(t.Context(), to, []node.Record{record(n)}, nil); err != nil || len(got) != 1 || got[0] != want {
						t.Errorf("apply: got %v (%v), want %v", got, err, want)
					}
				case 1:
					if got, err := peers.Do(t.Context(), to, node.Op{Kind: node.OpGet, Key: key(n)}); err != nil || !bytes.Equal(got.Value, key(n)) {
						t.Errorf("do: got %q (%v), want %q", got.Value, err, key(n))
					}
				case 2:
					wants := []node.Want{{Key: key(n), Have: node.Version{Time: uint64(n)}}, {Key: key(n), Have: node.Version{Time: 1}}}
					got, err := peers.Fetch(t.Context(), to, wants)
					if err != nil || len(got) < 1 || got[0].Version != wants[0].Have || len(got) > 1 && got[1].Version != wants[1].Have {
						t.Errorf("fetch: got %v (%v), want %v", got, err, wants)
					}
				}
			}
		})
	}
	wg.Wait()
	if got, want := records.Load(), int64(callers*rounds/3); got != want {
		t.Errorf("got %d records, want %d", got, want)
	}
	if got := applies.Load(); got > records.Load()/2 {
		t.Errorf("%d records came in %d calls: they are not gathered", records.Load(), got)
	}
}

// TestOneBadRecordFailsAlone: of calls that came in one message, those that cannot be executed fail, and no others.
func TestOneBadRecordFailsAlone(t *testing.T) {
	proc := &stub{
		apply: func(_ context.Context, records []node.Record) ([]node.Version, error) {
			if slices.ContainsFunc(records, func(r node.Record) bool { return r.Version.Time%7 == 0 }) {
				return nil, node.ErrClockSkew
			}
			return make([]node.Version, len(records)), nil
		},
		fetch: func(_ context.Context, wants []node.Want) ([]node.Found, error) {
			if slices.ContainsFunc(wants, func(w node.Want) bool { return w.Have.Time%7 == 0 }) {
				return nil, node.ErrCorrupt
			}
			return make([]node.Found, len(wants)), nil
		},
	}
	s := serve(t, proc, rpc.ServerOptions{})
	peers := newPeers(t)
	to := ring.Ref{Addr: s.addr}
	var wg sync.WaitGroup
	for n := range 500 {
		wg.Go(func() {
			version := node.Version{Time: uint64(n) + 1}
			_, apply := peers.Apply(t.Context(), to, []node.Record{{Key: key(n), Version: version}}, nil)
			_, fetch := peers.Fetch(t.Context(), to, []node.Want{{Key: key(n), Have: version}})
			bad := version.Time%7 == 0
			if errors.Is(apply, node.ErrClockSkew) != bad || (apply != nil) != bad {
				t.Errorf("apply of version %d: got %v", version.Time, apply)
			}
			if errors.Is(fetch, node.ErrCorrupt) != bad || (fetch != nil) != bad {
				t.Errorf("fetch of version %d: got %v", version.Time, fetch)
			}
		})
	}
	wg.Wait()
}

// TestSlowOperationsHoldNobodyUp: operations that take long do not delay others on the same stream.
func TestSlowOperationsHoldNobodyUp(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, &stub{
		serve: func(_ context.Context, op node.Op) (node.Result, error) {
			if op.Kind == node.OpPut {
				<-release
			}
			return node.Result{}, nil
		},
		apply: func(_ context.Context, records []node.Record) ([]node.Version, error) {
			<-release
			return make([]node.Version, len(records)), nil
		},
	}, rpc.ServerOptions{})
	peers := newPeers(t)
	to := ring.Ref{Addr: s.addr}
	var slow sync.WaitGroup
	for n := range 100 {
		slow.Go(func() {
			_, do := peers.Do(t.Context(), to, node.Op{Kind: node.OpPut, Key: key(n)})
			_, apply := peers.Apply(t.Context(), to, []node.Record{record(n)}, nil)
			if err := errors.Join(do, apply); err != nil {
				t.Errorf("slow: %v", err)
			}
		})
	}
	for n := range 100 {
		if _, err := peers.Do(within(t, 3*time.Second), to, node.Op{Kind: node.OpGet, Key: key(n)}); err != nil {
			t.Fatalf("fast operation: %v", err)
		}
		if _, err := peers.Fetch(within(t, 3*time.Second), to, []node.Want{{Key: key(n)}}); err != nil {
			t.Fatalf("read: %v", err)
		}
	}
	close(release)
	slow.Wait()
}

// TestLargeValues: the largest allowed values pass, many at once and in one call.
func TestLargeValues(t *testing.T) {
	large := bytes.Repeat([]byte("x"), node.DefaultConfig().MaxValueBytes)
	s := serve(t, &stub{
		serve: func(_ context.Context, op node.Op) (node.Result, error) {
			return node.Result{Found: true, Value: large}, nil
		},
		fetch: func(context.Context, []node.Want) ([]node.Found, error) {
			return []node.Found{{Version: node.Version{Time: 1}, Record: node.Record{Key: key(1), Value: large, Version: node.Version{Time: 1}}}}, nil
		},
	}, rpc.ServerOptions{})
	peers := newPeers(t)
	to := ring.Ref{Addr: s.addr}
	records := make([]node.Record, 10)
	for i := range records {
		records[i] = node.Record{Key: key(i), Value: large, Version: node.Version{Time: uint64(i) + 1}}
	}
	var wg sync.WaitGroup
	ctx := within(t, time.Minute)
	for range 3 {
		wg.Go(func() {
			if got, err := peers.Apply(ctx, to, records, nil); err != nil || len(got) != len(records) || got[9] != records[9].Version {
				t.Errorf("apply: got %v (%v)", got, err)
			}
			if got, err := peers.Do(ctx, to, node.Op{Kind: node.OpPut, Key: key(1), Value: large}); err != nil || !got.Found {
				t.Errorf("put: %v", err)
			}
			if got, err := peers.Do(ctx, to, node.Op{Kind: node.OpGet, Key: key(1)}); err != nil || !bytes.Equal(got.Value, large) {
				t.Errorf("get: got %d bytes (%v)", len(got.Value), err)
			}
			if got, err := peers.Fetch(ctx, to, []node.Want{{Key: key(1)}, {Key: key(2)}}); err != nil || !bytes.Equal(got[0].Record.Value, large) {
				t.Errorf("fetch: %v", err)
			}
		})
	}
	wg.Wait()
}

// TestListAndDigestPage: long lists are asked for in parts that fit into messages, and nobody notices.
func TestListAndDigestPage(t *testing.T) {
	const all = 5000
	s := serve(t, &stub{
		list: func(_ ring.Arc, from node.Cursor, limit int) (entries []node.Entry, err error) {
			at := 0
			if len(from.Key) > 0 {
				at = (int(from.Key[1])<<16 | int(from.Key[2])<<8 | int(from.Key[3])) + 1
			}
			for ; at < all && len(entries) < limit; at++ {
				entries = append(entries, node.Entry{Key: key(at), Version: node.Version{Time: uint64(at) + 1}})
			}
			return entries, nil
		},
		digest: func(arcs []ring.Arc) (list []node.Summary, err error) {
			for _, a := range arcs {
				list = append(list, node.Summary{Count: uint64(a.After[0])<<8 | uint64(a.After[1])})
			}
			return list, nil
		},
	}, rpc.ServerOptions{})
	peers := newPeers(t)
	to := ring.Ref{Addr: s.addr}
	for limit, want := range map[int]int{1: 1, 1024: 1024, 1025: 1025, 4999: 4999, 5000: 5000, 9000: 5000} {
		got, err := peers.List(t.Context(), to, ring.FullArc(), node.Cursor{}, limit)
		if err != nil || len(got) != want || !bytes.Equal(got[want-1].Key, key(want-1)) {
			t.Errorf("limit %d: got %d entries (%v), want %d", limit, len(got), err, want)
		}
	}
	arcs := make([]ring.Arc, 3000)
	for i := range arcs {
		arcs[i].After = ring.ID{byte(i >> 8), byte(i)}
	}
	got, err := peers.Digest(t.Context(), to, arcs, nil)
	if err != nil || len(got) != len(arcs) || got[2999].Count != 2999 {
		t.Errorf("got %d summaries (%v), want %d", len(got), err, len(arcs))
	}
}

// TestIdleConnectionsAreClosed, and come back with the next call.
func TestIdleConnectionsAreClosed(t *testing.T) {
	s := serve(t, &stub{}, rpc.ServerOptions{})
	metrics := rpc.NewMetrics()
	peers := newPeers(t, rpc.WithIdleTimeout(20*time.Millisecond), rpc.WithPeerMetrics(metrics))
	to := ring.Ref{Addr: s.addr}
	for range 2 {
		if _, err := peers.Apply(t.Context(), to, []node.Record{record(1)}, nil); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the connection is closed", func() bool { return sum(t, metrics, "chord_rpc_connections") == 0 })
	}
}

// TestPeersClose ends calls under way, with an error that blames nobody, and leaves nothing behind.
func TestPeersClose(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, &stub{
		apply: func(ctx context.Context, _ []node.Record) ([]node.Version, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
		neighbors: func(ring.ID) (ring.View, error) { <-release; return ring.View{}, node.ErrNoNode },
	}, rpc.ServerOptions{})
	ignore := goleak.IgnoreCurrent()
	peers := rpc.NewPeers(newLocal(2, "127.0.0.1:1"))
	if err := peers.Notify(t.Context(), ring.Ref{ID: ring.ID{1}, Addr: s.addr}, ring.Ref{ID: ring.ID{2}, Addr: "a"}); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	for _, addr := range []string{s.addr, blackHole(t)} {
		go func() {
			_, err := peers.Apply(context.Background(), ring.Ref{Addr: addr}, []node.Record{record(1)}, nil)
			failed <- err
		}()
		go func() {
			_, err := peers.Neighbors(context.Background(), ring.Ref{ID: ring.ID{1}, Addr: addr})
			failed <- err
		}()
	}
	time.Sleep(20 * time.Millisecond) // either way of being under way is fine
	peers.Close()
	for range 4 {
		if err := <-failed; !errors.Is(err, rpc.ErrClosed) || errors.Is(err, node.ErrUnreachable) {
			t.Errorf("got %v, want %v", err, rpc.ErrClosed)
		}
	}
	if _, err := peers.Neighbors(t.Context(), ring.Ref{Addr: s.addr}); !errors.Is(err, rpc.ErrClosed) || !errors.Is(err, rpc.ErrNotSent) {
		t.Errorf("after Close: got %v", err)
	}
	peers.Close()
	close(release)
	s.Stop()
	goleak.VerifyNone(t, ignore, goleak.IgnoreAnyFunction("net.(*netFD).accept"))
}
