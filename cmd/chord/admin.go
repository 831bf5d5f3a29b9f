package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
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

// adminConn is AdminService of one process.
type adminConn struct {
	chordv1.AdminServiceClient
	addr string
}

// withAdmin runs f with a connection to the admin listener: --admin, or the one that the first --server names.
func (a *app) withAdmin(ctx context.Context, f func(ctx context.Context, c adminConn) error) error {
	addr := a.globals.admin
	if addr == "" {
		var err error
		if addr, err = a.askAdminAddr(ctx); err != nil {
			return err
		}
	}
	c, closer, err := a.dialAdmin(addr)
	if err != nil {
		return cli.Usagef("--admin %s: %v", addr, err)
	}
	defer closer.Close()
	return f(ctx, adminConn{c, addr})
}

// askAdminAddr asks a process where its admin listener is. One that listens on all interfaces is reached like the process itself.
func (a *app) askAdminAddr(ctx context.Context) (addr string, err error) {
	if len(a.globals.servers) > 1 {
		return "", cli.Usagef("this command is for one process: name one --server, or its --admin listener")
	}
	server := a.globals.servers[0]
	err = a.withClient(ctx, func(ctx context.Context, c client) error {
		h, err := c.Hello(ctx)
		addr = h.AdminAddr
		return err
	})
	if err != nil {
		return "", err
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", cli.Usagef("%s does not say where its admin listener is", server).WithHint("Name it with --admin.")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host, _, _ = net.SplitHostPort(server) // completeAddr has made it valid
	}
	return net.JoinHostPort(host, port), nil
}

// call makes one call with a deadline and words its failure.
func call[Req, Res any](ctx context.Context, c adminConn, op string, timeout time.Duration,
	method func(context.Context, *Req, ...grpc.CallOption) (*Res, error), req *Req,
) (*Res, error) {
	start := time.Now()
	callCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	res, err := method(callCtx, req)
	if err == nil {
		return res, nil
	}
	return nil, c.failure(ctx, op, start, err)
}

// failure words the failure of a call that began at start.
func (c adminConn) failure(ctx context.Context, op string, start time.Time, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if answer := rpc.Answered(c.addr, err); answer != nil {
		f := failureOf(answer)
		f.Message = fmt.Sprintf("%s: %v (after %s)", op, answer, roundDuration(time.Since(start)))
		if errors.Is(answer, node.ErrUnreachable) {
			f.Hint = `Another process does not answer: "chord ring" shows which. Try again when the ring has closed over it.`
		}
		return f
	}
	oe := &rpc.OpError{Op: op, Attempted: []string{c.addr}, Attempts: 1, Elapsed: time.Since(start), Err: err}
	f := &cli.Failure{Exit: cli.ExitOther, Code: "OTHER", Attempted: oe.Attempted, Err: oe}
	detail, took := status.Convert(err).Message(), roundDuration(oe.Elapsed)
	switch status.Code(err) {
	case codes.Unavailable:
		f.Exit, f.Code, f.Retryable = cli.ExitUnavailable, "UNAVAILABLE", true
		f.Message = fmt.Sprintf("%s: cannot reach the admin listener at %s: %s (after %s)", op, c.addr, detail, took)
		f.Hint = "Is the process running? --admin names its admin listener (default port 7402)."
	case codes.DeadlineExceeded:
		f.Exit, f.Code, f.Retryable = cli.ExitUnknown, "TIMEOUT", true
		f.Message = fmt.Sprintf("%s: no answer from %s within %s", op, c.addr, took)
		f.Hint = "It may still be at work: look with \"chord status\"."
	case codes.Unimplemented:
		f.Exit, f.Code = cli.ExitUnavailable, "NOT_CHORD"
		f.Message = fmt.Sprintf("%s: %s %v's admin listener", op, c.addr, errNotChord)
		f.Hint = "--admin is the --admin address of a chordd (default port 7402)."
	case codes.PermissionDenied, codes.Unauthenticated:
		f.Exit, f.Code = cli.ExitPermission, "PERMISSION"
		f.Message = fmt.Sprintf("%s: %s: %s", op, c.addr, detail)
	default:
		f.Message = fmt.Sprintf("%s: %s: %s (after %s)", op, c.addr, detail, took)
	}
	return f
}

func (a *app) statusOf(ctx context.Context, c adminConn) (*chordv1.StatusResponse, error) {
	return call(ctx, c, "status", a.globals.timeout, c.Status, &chordv1.StatusRequest{})
}

// refOfWire reads a Ref of a message; one that is missing or malformed is zero.
func refOfWire(r *chordv1.Ref) ring.Ref {
	var id ring.ID
	if len(r.GetId()) != len(id) {
		return ring.Ref{}
	}
	return ring.Ref{ID: ring.ID(r.GetId()), Addr: r.GetAddr()}
}

func refsOfWire(refs []*chordv1.Ref) []ring.Ref {
	out := make([]ring.Ref, len(refs))
	for i, r := range refs {
		out[i] = refOfWire(r)
	}
	return slices.DeleteFunc(out, ring.Ref.IsZero)
}
