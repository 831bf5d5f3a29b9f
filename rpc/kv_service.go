package rpc

import (
	"context"

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
	start := s.opts.Metrics.startOp()
	defer func() { s.opts.Metrics.endOp(op.Kind, direct, start, err) }()
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

// Batch runs every operation on a goroutine of its own: a slow one holds nobody back.
func (k kvService) Batch(stream grpc.BidiStreamingServer[chordv1.OpBatch, chordv1.OpBatchReply]) error {
	var out chordv1.OpBatchReply // used again and again: one message is sent at a time, and encoded when Send returns
	replies := newReplier(func(list []*chordv1.OpReply) error {
		out.Replies = list
		return stream.Send(&out)
	}, k.s.opts.Metrics.batches("KVService", "reply"))
	received := k.s.opts.Metrics.batches("KVService", "received")
	ctx := stream.Context()
	return k.s.serveStream(ctx, func(open *window) error {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if received != nil {
			received(len(m.GetCalls()))
		}
		deadlines := sharedDeadlines{s: k.s, ctx: ctx}
		defer deadlines.release()
		for _, call := range m.GetCalls() {
			bytes := callBytes(call)
			enter := open.enter(bytes)
			answer := func(reply *chordv1.OpReply) {
				replies.reply(pendingReply[*chordv1.OpReply]{reply, replyBytes(reply), func() { open.leave(enter, bytes) }})
			}
			switch enter {
			case refuseCall:
				answer(refusedOp(call))
			case admitCall:
				deadline := deadlines.get(call.GetTimeoutMs())
				k.s.opts.Go(func() {
					reply := k.serve(deadline, call)
					deadline.release()
					answer(reply)
				})
			}
		}
		return nil
	})
}

func refusedOp(call *chordv1.OpCall) *chordv1.OpReply {
	reply := failedOp(node.ErrNotReady)
	reply.Seq = call.GetSeq()
	return reply
}

// serve runs one operation of a batch.
func (k kvService) serve(ctx context.Context, call *chordv1.OpCall) (reply *chordv1.OpReply) {
	defer func() {
		if r := recover(); r != nil {
			reply = failedOp(k.s.panicked("KVService/Batch", r))
		}
		reply.Seq = call.GetSeq()
	}()
	op, direct, err := opFromProto(call)
	if err != nil {
		return failedOp(invalid(err))
	}
	r, err := k.s.execute(ctx, op, direct)
	if err != nil {
		return failedOp(err)
	}
	return resultToProto(op.Kind, r, direct)
}

func failedOp(err error) *chordv1.OpReply {
	return &chordv1.OpReply{Reply: &chordv1.OpReply_Error{Error: errorToItem(err)}}
}

// callBytes is what an operation holds in memory while it runs.
func callBytes(call *chordv1.OpCall) int {
	return itemOverhead + len(call.GetPut().GetKey()) + len(call.GetPut().GetValue()) + len(call.GetGet().GetKey()) + len(call.GetDelete().GetKey())
}

// replyBytes is what a reply takes in a message, about.
func replyBytes(reply *chordv1.OpReply) int {
	const served = 128 // owner and arc
	return itemOverhead + served + len(reply.GetGet().GetValue()) + len(reply.GetError().GetMessage())
}
