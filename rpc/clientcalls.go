package rpc

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

// This file is the single calls of a client, each to one server and with a deadline of its own. None is repeated here.

// on makes a call to the process at addr and keeps book of whether it works.
func (c *Client) on(ctx context.Context, addr string, call func(ctx context.Context, s *server) error) error {
	s := c.servers.learn(addr)
	if s == nil || !s.acquire() {
		return unreachable(addr, "no free connection for this address", false)
	}
	defer s.release()
	callCtx, cancel := context.WithTimeout(ctx, c.cfg.AttemptTimeout)
	defer cancel()
	err := call(callCtx, s)
	c.judgeServer(ctx, s, err)
	return err
}

// judgeServer keeps book of what the outcome of a call says about the process that was called: nothing, if the caller's ctx ended.
func (c *Client) judgeServer(ctx context.Context, s *server, err error) {
	switch {
	case err == nil || !deadServer(err):
		s.answered()
	case ctx.Err() == nil:
		s.failed(time.Now())
		c.table.forgetServer(s.addr)
	}
}

// deadServer reports whether err, of a call to a process, says that this process is of no use now.
func deadServer(err error) bool {
	var remote *RemoteError
	if errors.As(err, &remote) {
		return errors.Is(err, node.ErrNotReady)
	}
	return errors.Is(err, node.ErrUnreachable)
}

// send makes one attempt of an operation at a server. A direct operation is not forwarded by it. deadline is when the attempt ends.
func (c *Client) send(ctx context.Context, s *server, op node.Op, direct bool, deadline time.Time) (node.Result, error) {
	if !s.acquire() {
		return node.Result{}, unreachable(s.addr, "connection closed", false)
	}
	defer s.release()
	callCtx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	left := (time.Until(deadline) + time.Millisecond - 1).Milliseconds()
	call := opCall{opToProto(op, direct, uint32(min(max(left, 1), math.MaxUint32)))}
	reply, err := s.ops.call(callCtx, call, len(op.Key)+len(op.Value)+64)
	var result node.Result
	if err == nil {
		result, err = resultFromProto(s.addr, &op, reply)
	}
	c.judgeServer(ctx, s, err)
	return result, err
}

// askHello asks the process at addr who it is.
func (c *Client) askHello(ctx context.Context, addr string) (hello Hello, err error) {
	err = c.on(ctx, addr, func(ctx context.Context, s *server) error {
		m, err := invoke(ctx, addr, chordv1.NewRingServiceClient(s.conn).Hello, &chordv1.HelloRequest{Protocol: protocolVersion})
		if err != nil {
			return err
		}
		hello, err = helloFromProto(addr, m)
		return err
	})
	return hello, err
}

// askNeighbors reads the view of a node.
func (c *Client) askNeighbors(ctx context.Context, to ring.Ref) (view ring.View, err error) {
	err = c.on(ctx, to.Addr, func(ctx context.Context, s *server) error {
		request := &chordv1.NeighborsRequest{Node: idToProto(to.ID)}
		m, err := invoke(ctx, to.Addr, chordv1.NewRingServiceClient(s.conn).Neighbors, request)
		if err != nil {
			return err
		}
		if view, err = viewFromProto(to.ID, m); err != nil {
			return malformed(to.Addr, err)
		}
		return nil
	})
	return view, err
}

// askRoute asks a node for the way to id.
func (c *Client) askRoute(ctx context.Context, to ring.Ref, id ring.ID, avoid []ring.ID) (step ring.Step, err error) {
	err = c.on(ctx, to.Addr, func(ctx context.Context, s *server) error {
		request := &chordv1.RouteRequest{Node: idToProto(to.ID), Id: idToProto(id), Avoid: idsToProto(avoid)}
		m, err := invoke(ctx, to.Addr, chordv1.NewRingServiceClient(s.conn).Route, request)
		if err != nil {
			return err
		}
		if step, err = stepFromProto(m); err != nil {
			return malformed(to.Addr, err)
		}
		return nil
	})
	return step, err
}

// askList reads keys and versions of an arc that a process has stored, in ring order.
func (c *Client) askList(ctx context.Context, addr string, arc ring.Arc, from node.Cursor, limit int) (entries []node.Entry, err error) {
	err = c.on(ctx, addr, func(ctx context.Context, s *server) error {
		request := &chordv1.ListRequest{Arc: arcToProto(arc), FromKey: from.Key, Limit: uint32(limit)}
		m, err := invoke(ctx, addr, chordv1.NewReplicaServiceClient(s.conn).List, request)
		if err != nil {
			return err
		}
		entries, err = entriesFromProto(m.GetEntries())
		if err == nil && len(entries) > limit {
			err = badField("entries", "%d, want at most %d", len(entries), limit)
		}
		if err != nil {
			return malformed(addr, err)
		}
		return nil
	})
	return entries, err
}
