package rpc

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
)

type (
	opReplier = replier[*chordv1.OpReply]
	opAnswer  = pendingReply[*chordv1.OpReply]
)

// Batch carries the operations of a client, or of another process that forwards them.
func (k kvService) Batch(stream grpc.BidiStreamingServer[chordv1.OpBatch, chordv1.OpBatchReply]) error {
	var out chordv1.OpBatchReply // used again and again: one message is sent at a time, and encoded when Send returns
	open := newWindow()
	replies := newReplier(open, func(list []*chordv1.OpReply) error {
		out.Replies = list
		return stream.Send(&out)
	}, k.s.opts.Metrics.batches("KVService", "reply"))
	received := k.s.opts.Metrics.batches("KVService", "received")
	ctx := stream.Context()
	return k.s.serveStream(ctx, open, func() error {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if received != nil {
			received(len(m.GetCalls()))
		}
		for calls := range slices.Chunk(m.GetCalls(), maxBatchCalls) {
			bytes := 0
			for _, call := range calls {
				bytes += callBytes(call)
			}
			k.start(ctx, calls, open.enter(len(calls), bytes), replies)
		}
		return nil
	})
}

// start begins the operations of a message: those that this process is to execute itself together, each of the others on a goroutine of its own,
// as it may wait for somebody else.
func (k kvService) start(ctx context.Context, calls []*chordv1.OpCall, enter admission, replies *opReplier) {
	if enter == ignoreCall {
		return
	}
	reply := func(call *chordv1.OpCall, reply *chordv1.OpReply) opAnswer {
		reply.Seq = call.GetSeq()
		return opAnswer{reply, replyBytes(reply), enter, callBytes(call)}
	}
	own := &ownOps{s: k.s, replies: replies, reply: reply}
	deadlines := sharedDeadlines{s: k.s, ctx: ctx}
	defer deadlines.release()
	for _, call := range calls {
		if enter == refuseCall {
			replies.reply(reply(call, failedOp(node.ErrNotReady)))
			continue
		}
		op, direct, err := opFromProto(call)
		switch {
		case err != nil:
			replies.reply(reply(call, failedOp(invalid(err))))
		case direct && k.s.checkOp(op) == nil:
			own.calls, own.ops = append(own.calls, call), append(own.ops, op)
		default:
			deadline := deadlines.get(call.GetTimeoutMs())
			k.s.opts.Go(func() {
				m := k.execute(deadline, op, direct, knows(call, direct))
				deadline.release()
				replies.reply(reply(call, m))
			})
		}
	}
	if len(own.ops) > 0 {
		k.s.opts.Go(func() { own.run(ctx) })
	}
}

// execute runs a single operation.
func (k kvService) execute(ctx context.Context, op node.Op, direct, known bool) (reply *chordv1.OpReply) {
	defer func() {
		if r := recover(); r != nil {
			reply = failedOp(k.s.panicked("KVService/Batch", r))
		}
	}()
	r, err := k.s.execute(ctx, op, direct)
	return outcomeToProto(&op, r, err, known)
}

// knows reports whether who sent an operation knows, if it succeeds, whose key it is about.
func knows(call *chordv1.OpCall, direct bool) bool { return direct && !call.GetWantServed() }

func outcomeToProto(op *node.Op, r node.Result, err error, known bool) *chordv1.OpReply {
	if err != nil {
		return failedOp(err)
	}
	return resultToProto(op, r, known)
}

func failedOp(err error) *chordv1.OpReply {
	return &chordv1.OpReply{Reply: &chordv1.OpReply_Error{Error: errorToItem(err)}}
}

// ownOps is the direct operations of a message.
type ownOps struct {
	s        *Server
	replies  *opReplier
	reply    func(call *chordv1.OpCall, reply *chordv1.OpReply) opAnswer
	calls    []*chordv1.OpCall
	ops      []node.Op // of the calls
	answered []atomic.Bool
	start    time.Time
}

func (o *ownOps) run(ctx context.Context) {
	o.start, o.answered = o.s.opts.Metrics.startOps(len(o.ops)), make([]atomic.Bool, len(o.ops))
	defer func() {
		if r := recover(); r != nil {
			o.fail(o.s.panicked("KVService/Batch", r))
		}
	}()
	p, err := o.s.process()
	if err != nil {
		o.fail(err)
		return
	}
	p.ServeAll(ctx, o.ops, o.answer)
}

// fail answers all that have no answer yet.
func (o *ownOps) fail(err error) {
	answers := make([]node.Answer, len(o.ops))
	for i := range answers {
		answers[i] = node.Answer{Index: i, Err: err}
	}
	o.answer(answers)
}

func (o *ownOps) answer(answers []node.Answer) {
	now := time.Now()
	replies := make([]opAnswer, 0, len(answers))
	for _, a := range answers {
		if o.answered[a.Index].Swap(true) {
			continue
		}
		op := &o.ops[a.Index]
		o.s.opts.Metrics.endOp(op.Kind, true, o.start, now, a.Err)
		replies = append(replies, o.reply(o.calls[a.Index], outcomeToProto(op, a.Result, a.Err, knows(o.calls[a.Index], true))))
	}
	o.replies.reply(replies...)
}

// callBytes is what an operation holds in memory while it runs.
func callBytes(call *chordv1.OpCall) int {
	return itemOverhead + len(call.GetPut().GetKey()) + len(call.GetPut().GetValue()) + len(call.GetGet().GetKey()) + len(call.GetDelete().GetKey()) +
		len(call.GetChange().GetKey()) + len(call.GetChange().GetValue())
}

// replyBytes is what a reply takes in a message, about.
func replyBytes(reply *chordv1.OpReply) int {
	const served = 128 // owner and arc
	return itemOverhead + served + len(reply.GetGet().GetValue()) + len(reply.GetError().GetMessage())
}
