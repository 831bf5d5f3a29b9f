package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

func fakeKey(i int) []byte   { return fmt.Appendf(nil, "key-%d", i) }
func fakeValue(i int) []byte { return fmt.Appendf(nil, "value-%d", i) }

func mustPut(t testing.TB, c *rpc.Client, i int) {
	t.Helper()
	if _, err := c.Put(t.Context(), fakeKey(i), fakeValue(i), node.LevelQuorum); err != nil {
		t.Fatal(err)
	}
}

func mustGet(t testing.TB, c *rpc.Client, i int) {
	t.Helper()
	r, err := c.Get(t.Context(), fakeKey(i), node.LevelQuorum)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Found || !bytes.Equal(r.Value, fakeValue(i)) {
		t.Fatalf("get %s: got %q, found %v; want %q", fakeKey(i), r.Value, r.Found, fakeValue(i))
	}
}

// greet lets the client connect, so that what follows has all its time.
func greet(t testing.TB, c *rpc.Client) {
	t.Helper()
	await(t, "a server answers", func() bool {
		_, err := c.Hello(t.Context())
		return err == nil
	})
}

func opError(t testing.TB, err error) *rpc.OpError {
	t.Helper()
	var e *rpc.OpError
	if !errors.As(err, &e) {
		t.Fatalf("got error %v of type %T, want an OpError", err, err)
	}
	if got, want := errors.Is(err, node.ErrUnknown), e.Outcome == rpc.OutcomeUnknown; got != want {
		t.Errorf("errors.Is(%v, ErrUnknown): got %v, want %v", err, got, want)
	}
	return e
}

func TestClientPutGetDelete(t *testing.T) {
	c := newFakeRing(t, 3).client(nil)
	mustPut(t, c, 1)
	mustGet(t, c, 1)
	if r, err := c.Delete(t.Context(), fakeKey(1), node.LevelQuorum); err != nil || !r.Found {
		t.Errorf("delete: got found %v, error %v", r.Found, err)
	}
	if r, err := c.Get(t.Context(), fakeKey(1), node.LevelQuorum); err != nil || r.Found {
		t.Errorf("get after delete: got found %v, error %v", r.Found, err)
	}
}

func TestClientLearnsOwnersAndGoesToThemDirectly(t *testing.T) {
	r := newFakeRing(t, 3)
	c := r.client(nil)
	for i := range 100 {
		mustPut(t, c, i)
	}
	// The first operation on an arc may be forwarded, unless the entry server owns it.
	if got := look(r, func() int { return r.forwards }); got != 2 {
		t.Errorf("forwarded while learning the 3 arcs: got %d, want 2", got)
	}
	r.set(func() { r.forwards = 0 })
	for i := range 100 {
		result, err := c.Get(t.Context(), fakeKey(i), node.LevelQuorum)
		if err != nil {
			t.Fatal(err)
		}
		if owner := look(r, func() ring.Ref { return r.group(ring.Hash(fakeKey(i)))[0].self }); result.Owner != owner {
			t.Errorf("owner in the result of a direct operation: got %v, want %v", result.Owner, owner)
		}
	}
	if got := look(r, func() int { return r.forwards }); got != 0 {
		t.Errorf("forwarded once the arcs were known: got %d, want 0", got)
	}
}

func TestClientFollowsHints(t *testing.T) {
	r := newFakeRing(t, 3)
	c := r.client(nil)
	for i := range 100 {
		mustPut(t, c, i)
	}
	// A process joins in the middle of the first arc.
	joined := r.start(ring.ID{0x20})
	r.heal()
	r.set(func() { r.forwards = 0 })
	moved := joined.keyOf(0)
	for range 2 {
		if _, err := c.Put(t.Context(), moved, nil, node.LevelQuorum); err != nil {
			t.Fatal(err)
		}
	}
	if got := look(r, func() int { return r.forwards }); got != 0 {
		t.Errorf("forwarded: got %d, want 0: the hint leads to the owner itself", got)
	}
	received := look(r, func() []fakeOp { return joined.received })
	if len(received) != 2 || received[0].direct || !received[1].direct {
		t.Errorf("operations at the new owner: got %+v, want one through the hint, then one directly", received)
	}
}

func TestClientIgnoresHintsThatLeadInCircles(t *testing.T) {
	r := newFakeRing(t, 3)
	members := r.all()
	r.set(func() {
		for i, p := range members {
			p.disturb = func(fakeOp) misbehavior { return misbehavior{hint: &members[(i+1)%3].self} }
		}
	})
	c := r.client(func(cfg *rpc.ClientConfig) {
		cfg.Timeout, cfg.AttemptTimeout = 300*time.Millisecond, 300*time.Millisecond
		cfg.BackoffMin, cfg.BackoffMax = 50*time.Millisecond, 50*time.Millisecond
	})
	greet(t, c)
	_, err := c.Get(t.Context(), fakeKey(1), node.LevelQuorum)
	e := opError(t, err)
	// Four redirects come without a wait; everything else is paced, at 25 ms on average.
	if e.Attempts < 5 || e.Attempts > 100 {
		t.Errorf("attempts in 300 ms: got %d, want few", e.Attempts)
	}
}

// A process that does not own what it owned, and knows no better, is not asked again: another server finds the owner.
func TestClientForgetsAnOwnerThatDeniesIt(t *testing.T) {
	r := newFakeRing(t, 3)
	c := r.client(nil)
	for i := range 20 {
		mustPut(t, c, i)
	}
	denier := r.all()[1]
	k := denier.keyOf(1)
	denied := 0
	r.set(func() {
		denier.disturb = func(op fakeOp) misbehavior {
			if !op.direct {
				return misbehavior{}
			}
			denied++
			return misbehavior{hint: &ring.Ref{}}
		}
	})
	if _, err := c.Put(t.Context(), k, nil, node.LevelQuorum); err != nil {
		t.Fatal(err)
	}
	if denied != 1 {
		t.Errorf("went to the former owner directly %d times, want once", denied)
	}
}

func TestClientSurvivesTheDeathOfItsServer(t *testing.T) {
	r := newFakeRing(t, 4)
	c := r.client(nil)
	for i := range 100 {
		mustPut(t, c, i)
	}
	r.all()[0].stop()
	r.heal()
	for i := range 100 {
		mustGet(t, c, i)
	}
}

func TestClientMeetsOthersBeforeItsServerDies(t *testing.T) {
	r := newFakeRing(t, 3)
	c := r.client(nil)
	if _, err := c.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := r.all()[0]
	await(t, "the client asks for neighbors", func() bool { return look(r, func() int { return first.asked }) > 0 })
	first.stop()
	r.heal()
	await(t, "operations through the others succeed", func() bool {
		_, err := c.Put(t.Context(), fakeKey(1), nil, node.LevelQuorum)
		return err == nil
	})
}

func TestClientOwnerDies(t *testing.T) {
	r := newFakeRing(t, 3)
	c := r.client(nil)
	for i := range 100 {
		mustPut(t, c, i)
	}
	r.all()[2].stop()
	healed := time.AfterFunc(100*time.Millisecond, r.heal) // until then the others find no route to the owner
	defer healed.Stop()
	for i := range 100 {
		mustGet(t, c, i)
	}
}

// TestClientRetries is the table of what is repeated and what is not: the first attempt fails, a second would succeed.
func TestClientRetries(t *testing.T) {
	item := func(code codes.Code, reason string) misbehavior {
		return misbehavior{err: itemError(code, reason).GetError()}
	}
	tests := []struct {
		name    string
		fail    misbehavior
		maybe   bool // the write may have been applied
		final   bool // repeating does not help, or not soon
		forever bool // repeating never helps
	}{
		{"reset before applying", misbehavior{reset: true}, true, false, false},
		{"reset after applying", misbehavior{reset: true, apply: true}, true, false, false},
		{"silence", misbehavior{silent: true}, true, false, false},
		{"silence after applying", misbehavior{silent: true, apply: true}, true, false, false},
		{"outcome unknown", item(codes.Unknown, "OUTCOME_UNKNOWN"), true, false, false},
		{"outcome unknown for lack of replicas", item(codes.Unknown, "OUTCOME_UNKNOWN,CONSISTENCY"), true, false, false},
		{"store failed", item(codes.Internal, "STORE"), true, false, false},
		{"reason of a later version", item(codes.Internal, "SURPRISE"), true, false, false},
		{"deadline at the server", item(codes.DeadlineExceeded, "DEADLINE"), true, false, false},
		{"not ready", item(codes.Unavailable, "NOT_READY"), false, false, false},
		{"no route", item(codes.Unavailable, "NO_ROUTE"), false, false, false},
		{"too few replicas", item(codes.Unavailable, "CONSISTENCY"), false, false, false},
		{"not the owner", misbehavior{hint: &ring.Ref{}}, false, false, false},
		{"store full", item(codes.ResourceExhausted, "STORE_FULL"), false, true, false},
		{"store full after applying", item(codes.Unknown, "OUTCOME_UNKNOWN,STORE_FULL"), true, false, false},
		{"clock skew", item(codes.FailedPrecondition, "CLOCK_SKEW"), false, true, false},
		{"invalid", item(codes.InvalidArgument, "INVALID"), false, true, true},
		{"condition not met", item(codes.Aborted, "CONDITION"), false, true, true},
	}
	r := newFakeRing(t, 3)
	n := 0
	for _, tt := range tests {
		for _, kind := range []node.Kind{node.OpGet, node.OpPut, node.OpDelete} {
			for _, request := range []node.RequestID{{}, {15: 1}} {
				t.Run(fmt.Sprintf("%s/%v/request=%v", tt.name, kind, request != node.RequestID{}), func(t *testing.T) {
					n++
					if request != (node.RequestID{}) {
						request[0], request[1] = byte(n>>8), byte(n)
					}
					k, failed, repeated := fakeKey(n), false, fakeOp{}
					r.set(func() {
						for _, p := range r.members {
							p.disturb = func(op fakeOp) misbehavior {
								if failed {
									repeated = op
									return misbehavior{}
								}
								failed = true
								return tt.fail
							}
						}
					})
					c := r.client(func(cfg *rpc.ClientConfig) {
						cfg.Timeout, cfg.AttemptTimeout = 10*time.Second, 10*time.Second
						if !tt.fail.silent {
							return
						}
						cfg.AttemptTimeout = 100 * time.Millisecond
						if request == (node.RequestID{}) && kind != node.OpGet {
							cfg.Timeout = cfg.AttemptTimeout // an attempt that cannot be repeated gets all the time there is
						}
					})
					greet(t, c)
					_, err := c.Do(t.Context(), node.Op{Kind: kind, Key: k, Value: nil, Request: request})

					write := kind != node.OpGet
					wantRetry := !tt.final && (!write || !tt.maybe || request != node.RequestID{})
					if wantRetry {
						if err != nil {
							t.Fatalf("got %v, want a repetition", err)
						}
						if got := look(r, func() int { return r.applied[string(k)] }); write && got != 1 {
							t.Errorf("applied: got %d times, want once", got)
						}
						if got := look(r, func() fakeOp { return repeated }); got.Request != request && write || got.Retry != (write && tt.maybe) {
							t.Errorf("repetition: got %+v, want the same request, marked as sent before: %v", got, write && tt.maybe)
						}
						return
					}
					e := opError(t, err)
					wantOutcome := rpc.NotApplied
					if write && tt.maybe {
						wantOutcome = rpc.OutcomeUnknown
					}
					if e.Outcome != wantOutcome || e.Attempts != 1 || len(e.Attempted) != 1 || e.Retryable == tt.forever {
						t.Errorf("got %+v, want outcome %v after 1 attempt, retryable %v", e, wantOutcome, !tt.forever)
					}
				})
			}
		}
	}
}

func TestClientErrorsTellTheOutcomeOfAllAttempts(t *testing.T) {
	r := newFakeRing(t, 3)
	n := 0
	r.set(func() {
		for _, p := range r.members {
			p.disturb = func(fakeOp) misbehavior {
				if n++; n == 1 {
					return misbehavior{reset: true}
				}
				return misbehavior{err: itemError(codes.InvalidArgument, "INVALID").GetError()}
			}
		}
	})
	_, err := r.client(nil).Put(t.Context(), fakeKey(1), nil, node.LevelQuorum)
	if e := opError(t, err); e.Outcome != rpc.OutcomeUnknown || e.Attempts != 2 || !errors.Is(err, node.ErrInvalid) {
		t.Errorf("got %+v, want outcome unknown although the second attempt was refused", e)
	}
	if want := `put "key-1": outcome unknown: `; !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "(2 attempts at ") {
		t.Errorf("got %q, want it to begin with %q and to say where", err, want)
	}
}

func TestClientRetryBudget(t *testing.T) {
	r := newFakeRing(t, 3)
	r.set(func() {
		for _, p := range r.members {
			p.disturb = func(fakeOp) misbehavior { return misbehavior{err: itemError(codes.Unavailable, "NO_ROUTE").GetError()} }
		}
	})
	const operations, burst = 100, 5
	c := r.client(func(cfg *rpc.ClientConfig) {
		cfg.Timeout, cfg.AttemptTimeout = time.Second, time.Second
		cfg.BackoffMin, cfg.BackoffMax = time.Millisecond, 10*time.Millisecond
		cfg.RetryRatio, cfg.RetryFloor, cfg.RetryBurst = 0.1, 0, burst
	})
	greet(t, c)
	errs := make([]error, operations)
	var tasks sync.WaitGroup
	for i := range operations {
		tasks.Go(func() { _, errs[i] = c.Get(t.Context(), fakeKey(i), node.LevelQuorum) })
	}
	tasks.Wait()
	attempts := 0
	for _, err := range errs {
		attempts += opError(t, err).Attempts
		if !errors.Is(err, rpc.ErrRetryBudget) || !errors.Is(err, node.ErrNoRoute) {
			t.Errorf("got %v, want the budget and the cause", err)
		}
	}
	if low, high := operations+burst, operations+burst+operations/10; attempts < low || attempts > high {
		t.Errorf("attempts of %d operations: got %d, want %d to %d", operations, attempts, low, high)
	}
}

func TestClientDeadline(t *testing.T) {
	r := newFakeRing(t, 3)
	r.set(func() {
		for _, p := range r.members {
			p.disturb = func(fakeOp) misbehavior { return misbehavior{silent: true} }
		}
	})
	c := r.client(func(cfg *rpc.ClientConfig) { cfg.AttemptTimeout = 100 * time.Millisecond })
	greet(t, c)
	for _, kind := range []node.Kind{node.OpGet, node.OpPut} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := c.Do(ctx, node.Op{Kind: kind, Key: fakeKey(1), Request: node.RequestID{1}})
		e := opError(t, err)
		if e.Elapsed > 3*time.Second || !errors.Is(err, context.DeadlineExceeded) || !e.Retryable {
			t.Errorf("%v: got %+v, want it to end with its deadline", kind, e)
		}
		if got, want := e.Outcome == rpc.OutcomeUnknown, kind == node.OpPut; got != want {
			t.Errorf("%v: outcome: got %v", kind, e.Outcome)
		}
	}
}

// One process that takes operations and never answers must not use up the time of those that others could serve.
func TestClientGoesRoundAProcessThatHangs(t *testing.T) {
	r := newFakeRing(t, 3)
	hung := r.all()[0]
	r.set(func() { hung.disturb = func(fakeOp) misbehavior { return misbehavior{silent: true} } })
	c := r.client(func(cfg *rpc.ClientConfig) { cfg.AttemptTimeout = 50 * time.Millisecond }, r.all()...)
	for i := range 30 {
		mustPut(t, c, i)
	}
	for i := range 30 {
		if got := look(r, func() int { return r.applied[string(fakeKey(i))] }); got != 1 {
			t.Errorf("applied %s: got %d times, want once", fakeKey(i), got)
		}
	}
}

func TestClientRefusesWhatBreaksTheLimits(t *testing.T) {
	r := newFakeRing(t, 3)
	c := r.client(nil)
	for _, tt := range []struct {
		key, value int
		ok         bool
	}{
		{0, 0, false}, {1025, 0, false}, {1, 1<<20 + 1, false}, {1024, 0, true}, {1, 1 << 20, true},
	} {
		_, err := c.Put(t.Context(), bytes.Repeat([]byte{0}, tt.key), make([]byte, tt.value), node.LevelQuorum)
		if tt.ok {
			if err != nil {
				t.Errorf("key of %d bytes, value of %d: %v", tt.key, tt.value, err)
			}
			continue
		}
		if e := opError(t, err); !errors.Is(err, node.ErrInvalid) || e.Attempts != 0 || e.Retryable || e.Outcome != rpc.NotApplied {
			t.Errorf("key of %d bytes, value of %d: got %+v, want it refused before anything is sent", tt.key, tt.value, e)
		}
	}
	if _, err := c.Do(t.Context(), node.Op{Key: fakeKey(1)}); !errors.Is(err, node.ErrInvalid) {
		t.Errorf("operation of no kind: got %v, want ErrInvalid", err)
	}
	if _, err := c.Get(t.Context(), fakeKey(1), node.LevelAll+1); !errors.Is(err, node.ErrInvalid) {
		t.Errorf("level that does not exist: got %v, want ErrInvalid", err)
	}
	received := 0
	for _, p := range r.all() {
		received += look(r, func() int { return len(p.received) })
	}
	if received != 2 {
		t.Errorf("operations received: got %d, want the 2 good ones", received)
	}
}

func TestClientNobodyListens(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := lis.Addr().String()
	_ = lis.Close()
	c, err := rpc.NewClient(rpc.DefaultClientConfig(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, err = c.Put(t.Context(), fakeKey(1), nil, node.LevelQuorum)
	e := opError(t, err)
	if !errors.Is(err, node.ErrUnreachable) || e.Outcome != rpc.NotApplied || !e.Retryable || len(e.Attempted) != 1 || e.Attempted[0] != addr {
		t.Errorf("got %+v, want unreachable and not applied", e)
	}
	if e.Elapsed > 2*time.Second {
		t.Errorf("took %v, want an answer soon", e.Elapsed)
	}
	if text := err.Error(); !strings.Contains(text, "connection refused") || !strings.Contains(text, "not applied") {
		t.Errorf("got %q, want the reason", text)
	}
}

// Once all processes are gone, an operation ends soon as well, and knows that it was not applied.
func TestClientEverybodyDies(t *testing.T) {
	r := newFakeRing(t, 3)
	c := r.client(nil)
	for i := range 20 {
		mustPut(t, c, i)
	}
	for _, p := range r.all() {
		p.stop()
	}
	await(t, "operations fail without having been sent", func() bool {
		_, err := c.Put(t.Context(), fakeKey(1), nil, node.LevelQuorum)
		e := opError(t, err)
		if e.Elapsed > 3*time.Second {
			t.Errorf("took %v, want an answer soon", e.Elapsed)
		}
		return e.Outcome == rpc.NotApplied && errors.Is(err, node.ErrUnreachable) && len(e.Attempted) == 3
	})
}

func TestClientManyGoroutines(t *testing.T) {
	r := newFakeRing(t, 3)
	c := r.client(func(cfg *rpc.ClientConfig) { cfg.Timeout, cfg.AttemptTimeout = time.Minute, time.Minute })
	var tasks sync.WaitGroup
	for g := range 1024 {
		tasks.Go(func() {
			for i := g * 4; i < g*4+4; i++ {
				if _, err := c.Put(t.Context(), fakeKey(i), fakeValue(i), node.LevelQuorum); err != nil {
					t.Error(err)
					return
				}
				if got, err := c.Get(t.Context(), fakeKey(i), node.LevelQuorum); err != nil || !bytes.Equal(got.Value, fakeValue(i)) {
					t.Errorf("get %s: got %q, error %v", fakeKey(i), got.Value, err)
				}
			}
		})
	}
	tasks.Wait()
}

func TestClientClose(t *testing.T) {
	r := newFakeRing(t, 3)
	r.set(func() {
		for _, p := range r.members {
			p.disturb = func(fakeOp) misbehavior { return misbehavior{silent: true} }
		}
	})
	c := r.client(nil)
	failed := make(chan error)
	go func() {
		_, err := c.Put(t.Context(), fakeKey(1), nil, node.LevelQuorum)
		failed <- err
	}()
	await(t, "the operation arrives", func() bool {
		return look(r, func() int { return len(r.members[0].received) }) > 0
	})
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; !errors.Is(err, rpc.ErrClosed) || opError(t, err).Outcome != rpc.OutcomeUnknown {
		t.Errorf("operation under way: got %v, want closed, outcome unknown", err)
	}
	if _, err := c.Get(t.Context(), fakeKey(1), node.LevelQuorum); !errors.Is(err, rpc.ErrClosed) {
		t.Errorf("operation afterwards: got %v, want ErrClosed", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}

func TestClientConfigValidate(t *testing.T) {
	if err := rpc.DefaultClientConfig("localhost:7400").Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	bad := rpc.ClientConfig{
		Servers: []string{"localhost", ":7400"}, Timeout: time.Second, AttemptTimeout: time.Minute, BackoffMin: time.Minute, BackoffMax: time.Second,
		RetryRatio: -1, RetryFloor: -1, RetryBurst: -1, MaxArcs: 0, MaxServers: 0, MaxHops: 0,
	}
	_, err := rpc.NewClient(bad)
	for _, want := range []string{
		`server "localhost"`, `server ":7400"`, "attempt timeout", "back-off min", "retry ratio", "retry floor", "retry burst", "max arcs", "max servers", "max hops",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to name %q", err, want)
		}
	}
	if _, err := rpc.NewClient(rpc.DefaultClientConfig()); err == nil {
		t.Error("no servers: want an error")
	}
}
