package rpc

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
)

// kvService implements KVService.
type kvService struct {
	chordv1.UnimplementedKVServiceServer
	s *Server
}

// execute runs an operation: at the own nodes if it is direct, else wherever its key is owned.
func (s *Server) execute(ctx context.Context, op node.Op, direct bool) (r node.Result, err error) {
	start := s.opts.Metrics.startOps(1)
	defer func() { s.opts.Metrics.endOp(op.Kind, direct, start, time.Now(), err) }()
	if err := s.checkOp(op); err != nil {
		return node.Result{}, err
	}
	p, err := s.process()
	if err != nil {
		return node.Result{}, err
	}
	if direct {
		// Not even when draining is it refused: nobody else could serve it.
		return p.Serve(ctx, op)
	}
	if s.draining.Load() || !p.Ready() {
		return node.Result{}, node.ErrNotReady
	}
	return p.Do(ctx, op)
}

// checkOp enforces the limits for keys and values.
func (s *Server) checkOp(op node.Op) error {
	if n, limit := len(op.Key), s.local.Config.MaxKeyBytes; n < 1 || n > limit {
		return invalid(badField("key", "%d bytes, want 1 to %d", n, limit))
	}
	if n, limit := len(op.Value), s.local.Config.MaxValueBytes; n > limit {
		return invalid(badField("value", "%d bytes, want at most %d", n, limit))
	}
	return nil
}

func (k kvService) Get(ctx context.Context, m *chordv1.GetRequest) (*chordv1.GetResponse, error) {
	op, err := getFromProto(m)
	if err != nil {
		return nil, invalid(err)
	}
	r, err := k.s.execute(ctx, op, m.GetDirect())
	if err != nil {
		return nil, err
	}
	return getToProto(r, m.GetDirect()), nil
}

func (k kvService) Put(ctx context.Context, m *chordv1.PutRequest) (*chordv1.PutResponse, error) {
	op, err := putFromProto(m)
	if err != nil {
		return nil, invalid(err)
	}
	r, err := k.s.execute(ctx, op, m.GetDirect())
	if err != nil {
		return nil, err
	}
	return putToProto(r, m.GetDirect()), nil
}

func (k kvService) Change(ctx context.Context, m *chordv1.ChangeRequest) (*chordv1.ChangeResponse, error) {
	op, err := changeFromProto(m)
	if err != nil {
		return nil, invalid(err)
	}
	r, err := k.s.execute(ctx, op, m.GetDirect())
	if err != nil {
		return nil, err
	}
	return changeToProto(r, m.GetDirect()), nil
}

func (k kvService) Delete(ctx context.Context, m *chordv1.DeleteRequest) (*chordv1.DeleteResponse, error) {
	op, err := deleteFromProto(m)
	if err != nil {
		return nil, invalid(err)
	}
	r, err := k.s.execute(ctx, op, m.GetDirect())
	if err != nil {
		return nil, err
	}
	return deleteToProto(r, m.GetDirect()), nil
}

// Watch implements KVService. It has no deadline: what it waits for may never happen.
func (k kvService) Watch(m *chordv1.WatchRequest, stream chordv1.KVService_WatchServer) error {
	if err := k.s.checkOp(node.Op{Key: m.GetKey()}); err != nil {
		return err
	}
	if k.s.draining.Load() {
		return node.ErrNotReady
	}
	return k.s.watch(stream, func(ctx context.Context, p Processor) error {
		return p.Watch(ctx, m.GetKey(), versionFromProto(m.GetAfter()), func(r node.Result) error { return stream.Send(getToProto(r, true)) })
	})
}

// WatchPrefix implements KVService. Not even when draining is it refused: nobody else can tell what is stored here.
func (k kvService) WatchPrefix(m *chordv1.WatchPrefixRequest, stream chordv1.KVService_WatchPrefixServer) error {
	if n, limit := len(m.GetPrefix()), k.s.local.Config.MaxKeyBytes; n > limit {
		return invalid(badField("prefix", "%d bytes, want at most %d", n, limit))
	}
	return k.s.watch(stream, func(ctx context.Context, p Processor) error {
		return p.WatchPrefix(ctx, m.GetPrefix(), func(told node.Stored) error { return stream.Send(storedToProto(told)) })
	})
}

// watch runs a stream until the caller ends it, run returns, or the server stops.
func (s *Server) watch(stream grpc.ServerStream, run func(ctx context.Context, p Processor) error) error {
	p, err := s.process()
	if err != nil {
		return err
	}
	if !p.Ready() {
		return node.ErrNotReady
	}
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	go func() {
		select {
		case <-s.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	err = run(ctx, p)
	if ctx.Err() != nil && stream.Context().Err() == nil {
		return node.ErrNotReady // the server stops
	}
	return err
}
