package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

// sentinels are all errors that callers test for, and whether a call that returned one may have taken effect.
var sentinels = []struct {
	err          error
	maybeApplied bool
}{
	{node.ErrNotReady, false},
	{node.ErrUnreachable, true},
	{node.ErrNoNode, false},
	{node.ErrNotOwner, false},
	{node.ErrNoRoute, false},
	{node.ErrMinority, false},
	{node.ErrConsistency, true},
	{node.ErrUnknown, true},
	{node.ErrInvalid, false},
	{node.ErrCondition, false},
	{node.ErrClockSkew, true},
	{node.ErrStoreFull, true},
	{node.ErrCorrupt, true},
	{node.ErrStore, true},
	{rpc.ErrWrongCluster, false},
	{context.DeadlineExceeded, true},
	{context.Canceled, true},
}

// TestErrorsCrossTheWire: whatever the process at the other end returns, errors.Is says the same here as there, for every sentinel,
// in unary calls and in the items of a batch.
func TestErrorsCrossTheWire(t *testing.T) {
	var fail error
	s := serve(t, &stub{
		notify: func(ring.ID, ring.Ref) error { return fail },
		apply:  func(context.Context, []node.Record) ([]node.Version, error) { return nil, fail },
		serve:  func(context.Context, node.Op) (node.Result, error) { return node.Result{}, fail },
	}, rpc.ServerOptions{})
	peers := newPeers(t)
	to := ring.Ref{ID: ring.ID{1}, Addr: s.addr}
	calls := map[string]func() error{
		"unary": func() error { return peers.Notify(t.Context(), to, to) },
		"apply": func() error { _, err := peers.Apply(t.Context(), to, []node.Record{record(1)}, nil); return err },
		"do": func() error {
			_, err := peers.Do(t.Context(), to, node.Op{Kind: node.OpGet, Key: key(1)})
			return err
		},
	}
	for _, sent := range sentinels {
		fail = fmt.Errorf("what was attempted %q: %w", "\xff\x00", sent.err)
		for name, call := range calls {
			got := call()
			for _, other := range sentinels {
				if got, want := errors.Is(got, other.err), errors.Is(fail, other.err); got != want {
					t.Errorf("%s: %v: errors.Is(%v): got %v, want %v", name, fail, other.err, got, want)
				}
			}
			if !strings.HasSuffix(got.Error(), fail.Error()) || !strings.HasPrefix(got.Error(), s.addr+": ") {
				t.Errorf("%s: got %q, want the address and %q", name, got, fail)
			}
			if got, want := rpc.MaybeApplied(got), sent.maybeApplied; got != want {
				t.Errorf("%s: %v: MaybeApplied: got %v, want %v", name, fail, got, want)
			}
			if errors.Is(got, rpc.ErrNotSent) {
				t.Errorf("%s: %v: marked as not sent", name, got)
			}
		}
	}
}

// TestErrorsKeepEveryCause: an error that wraps several sentinels is carried by what it says about the outcome, and keeps the others, but not
// those that would make the node that answered look dead.
func TestErrorsKeepEveryCause(t *testing.T) {
	fail := errors.Join(node.ErrUnreachable, node.ErrConsistency, context.DeadlineExceeded, node.ErrUnknown, node.ErrNotReady)
	s := serve(t, &stub{
		notify: func(ring.ID, ring.Ref) error { return fail },
		serve:  func(context.Context, node.Op) (node.Result, error) { return node.Result{}, fail },
	}, rpc.ServerOptions{})
	peers := newPeers(t)
	to := ring.Ref{ID: ring.ID{1}, Addr: s.addr}
	_, do := peers.Do(t.Context(), to, node.Op{Kind: node.OpDelete, Key: key(1)})
	for _, err := range []error{do, peers.Notify(t.Context(), to, to)} {
		for _, want := range []error{node.ErrUnknown, node.ErrConsistency, context.DeadlineExceeded} {
			if !errors.Is(err, want) {
				t.Errorf("%v: lost %v", err, want)
			}
		}
		for _, not := range []error{node.ErrUnreachable, node.ErrNotReady} {
			if errors.Is(err, not) {
				t.Errorf("%v: makes a live node look dead: %v", err, not)
			}
		}
		if !rpc.MaybeApplied(err) {
			t.Errorf("%v: got not applied", err)
		}
	}
}

func TestNotOwnerKeepsItsHint(t *testing.T) {
	for _, hint := range []ring.Ref{{}, {ID: ring.ID{9, 8}, Addr: "10.0.0.1:7400"}} {
		fail := fmt.Errorf("serve: %w", &node.NotOwnerError{Hint: hint})
		s := serve(t, &stub{
			notify: func(ring.ID, ring.Ref) error { return fail },
			serve:  func(context.Context, node.Op) (node.Result, error) { return node.Result{}, fail },
		}, rpc.ServerOptions{})
		peers := newPeers(t)
		to := ring.Ref{ID: ring.ID{1}, Addr: s.addr}
		_, do := peers.Do(t.Context(), to, node.Op{Kind: node.OpGet, Key: key(1)})
		for _, err := range []error{do, peers.Notify(t.Context(), to, to)} {
			var got *node.NotOwnerError
			if !errors.As(err, &got) || got.Hint != hint {
				t.Errorf("%v: got hint %+v, want %+v", err, got, hint)
			}
		}
	}
}

func TestSupersededKeepsItsEpoch(t *testing.T) {
	fail := fmt.Errorf("apply: %w", &node.SupersededError{Epoch: 1<<63 - 1})
	s := serve(t, &stub{
		claims: func([]node.Claim) error { return fail },
		notify: func(ring.ID, ring.Ref) error { return fail },
	}, rpc.ServerOptions{})
	peers := newPeers(t)
	to := ring.Ref{ID: ring.ID{1}, Addr: s.addr}
	_, apply := peers.Apply(t.Context(), to, []node.Record{record(1)}, nil)
	for _, err := range []error{apply, peers.Notify(t.Context(), to, to)} {
		var got *node.SupersededError
		if !errors.As(err, &got) || got.Epoch != 1<<63-1 || rpc.MaybeApplied(err) {
			t.Errorf("%v: got %+v", err, got)
		}
	}
}

// TestUnknownErrors: an error that is in no table is still told from a dead peer, and nothing is assumed about its outcome.
func TestUnknownErrors(t *testing.T) {
	s := serve(t, &stub{notify: func(ring.ID, ring.Ref) error { return errors.New("strange") }}, rpc.ServerOptions{})
	err := newPeers(t).Notify(t.Context(), ring.Ref{ID: ring.ID{1}, Addr: s.addr}, ring.Ref{ID: ring.ID{2}, Addr: "a"})
	var remote *rpc.RemoteError
	if !errors.As(err, &remote) || remote.Message != "strange" || errors.Is(err, node.ErrUnreachable) || !rpc.MaybeApplied(err) {
		t.Errorf("got %#v", err)
	}
}

// TestTransportErrors: what has no answer from our own code is ErrUnreachable, says what happened in words, and whether the call was sent.
func TestTransportErrors(t *testing.T) {
	refused := listen(t, "127.0.0.1:0")
	refusedAddr := refused.Addr().String()
	_ = refused.Close()
	http1 := lineServer(t, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
	redis := lineServer(t, "-ERR unknown command 'PRI'\r\n")
	silent := blackHole(t)
	for _, c := range []struct {
		name, addr, text string
	}{
		{"nobody listens", refusedAddr, "connection refused"},
		{"HTTP/1", http1, "HTTP/1.1"},
		{"another protocol", redis, "reading server preface"},
		{"nobody answers", silent, "in time"},
		{"no port", "nowhere", "missing port"},
	} {
		t.Run(c.name, func(t *testing.T) {
			peers := newPeers(t)
			to := ring.Ref{ID: ring.ID{1}, Addr: c.addr}
			calls := map[string]func(ctx context.Context) error{
				"unary": func(ctx context.Context) error { _, err := peers.Neighbors(ctx, to); return err },
				"gathered": func(ctx context.Context) error {
					_, err := peers.Apply(ctx, to, []node.Record{record(1)}, nil)
					return err
				},
			}
			for name, call := range calls {
				err := call(within(t, 500*time.Millisecond))
				if !errors.Is(err, node.ErrUnreachable) || !errors.Is(err, rpc.ErrNotSent) || rpc.MaybeApplied(err) {
					t.Errorf("%s: got %v, want unreachable and not sent", name, err)
				}
				if err == nil || !strings.Contains(err.Error(), c.text) || !strings.HasPrefix(err.Error(), c.addr+": ") {
					t.Errorf("%s: got %q, want the address and %q", name, err, c.text)
				}
			}
		})
	}
}

// TestCanceledSaysNothingAboutThePeer: only a deadline makes a peer look dead, not a caller that gave up.
func TestCanceledSaysNothingAboutThePeer(t *testing.T) {
	started := make(chan struct{}, 2)
	hang := func(ctx context.Context) error { started <- struct{}{}; <-ctx.Done(); return ctx.Err() }
	s := serve(t, &stub{
		serve: func(ctx context.Context, _ node.Op) (node.Result, error) { return node.Result{}, hang(ctx) },
	}, rpc.ServerOptions{})
	peers := newPeers(t)
	to := ring.Ref{Addr: s.addr}
	op := node.Op{Kind: node.OpPut, Key: key(1)}

	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	_, err := peers.Do(ctx, to, op)
	if !errors.Is(err, context.Canceled) || errors.Is(err, node.ErrUnreachable) || !rpc.MaybeApplied(err) {
		t.Errorf("canceled: got %v", err)
	}
	_, err = peers.Do(ctx, to, op) // a context that has ended: nothing is sent
	if !errors.Is(err, context.Canceled) || !errors.Is(err, rpc.ErrNotSent) || errors.Is(err, node.ErrUnreachable) {
		t.Errorf("canceled before: got %v", err)
	}
}

// lineServer answers whatever comes with one line and closes the connection.
func lineServer(t testing.TB, line string) string {
	t.Helper()
	return rawServer(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 1024))
		_, _ = conn.Write([]byte(line))
		_, _ = io.Copy(io.Discard, conn)
	})
}

// blackHole accepts connections and never says a word.
func blackHole(t testing.TB) string {
	t.Helper()
	return rawServer(t, func(conn net.Conn) {
		for {
			if _, err := conn.Read(make([]byte, 1024)); err != nil {
				return
			}
		}
	})
}

func rawServer(t testing.TB, handle func(conn net.Conn)) string {
	t.Helper()
	lis := listen(t, "127.0.0.1:0")
	t.Cleanup(func() { _ = lis.Close() })
	go func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	return lis.Addr().String()
}
