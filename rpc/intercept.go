package rpc

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// unary surrounds every unary call: deadline, cluster, panics, errors, metrics.
func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (answer any, err error) {
	ctx, cancel := s.bounded(ctx, 0)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			answer, err = nil, s.panicked(info.FullMethod, r)
		}
		err = ownStatus(err)
		s.opts.Metrics.request(info.FullMethod, status.Code(err))
	}()
	if err := s.local.admit(ctx); err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

// stream surrounds every stream. It has no deadline itself; what comes through it has.
func (s *Server) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = s.panicked(info.FullMethod, r)
		}
		err = ownStatus(err)
		s.opts.Metrics.request(info.FullMethod, status.Code(err))
	}()
	if err := s.local.admit(stream.Context()); err != nil {
		return err
	}
	return handler(srv, stream)
}

// ownStatus makes a status of an error of ours, and leaves alone what gRPC (reflection, health, unknown methods) made.
func ownStatus(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	return errorToStatus(err)
}

// bounded is ctx with a deadline: what the caller asked for, in milliseconds or by its own deadline, within the limits of the server.
func (s *Server) bounded(ctx context.Context, millis uint32) (context.Context, context.CancelFunc) {
	timeout := s.opts.DefaultTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = time.Until(deadline)
	}
	if millis > 0 {
		timeout = time.Duration(millis) * time.Millisecond
	}
	return context.WithTimeout(ctx, min(timeout, s.opts.MaxTimeout))
}

// panicked reports a bug and makes an error of it: a call that hits one must not take the process, and all others, with it.
func (s *Server) panicked(where string, cause any) error {
	s.opts.Metrics.panicked()
	s.opts.Logger.Error().Str("call", where).Interface("panic", cause).Bytes("stack", debug.Stack()).Msg("a call panicked")
	return fmt.Errorf("internal error in %s", where)
}
