package rpc

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/grpc"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
)

// replicaBatch executes the calls of one message of ReplicaService.Batch together: one Apply of all records, one Fetch of all wants.
type replicaBatch struct {
	s       *Server
	ctx     context.Context // of the stream
	replies *replier[*chordv1.ReplicaReply]
	enter   admission // of all its calls
}

// replicaItem is one call; it has either records or wants.
type replicaItem struct {
	seq     uint64
	bytes   int // that it holds of the window
	records []node.Record
	claims  []node.Claim
	wants   []node.Want
}

type replicaAnswer = pendingReply[*chordv1.ReplicaReply]

// Batch carries the reads and writes of another process.
func (r replicaService) Batch(stream grpc.BidiStreamingServer[chordv1.ReplicaBatch, chordv1.ReplicaBatchReply]) error {
	var out chordv1.ReplicaBatchReply // used again and again: one message is sent at a time, and encoded when Send returns
	open := newWindow()
	replies := newReplier(open, func(list []*chordv1.ReplicaReply) error {
		out.Replies = list
		return stream.Send(&out)
	}, r.s.opts.Metrics.batches("ReplicaService", "reply"))
	received := r.s.opts.Metrics.batches("ReplicaService", "received")
	ctx := stream.Context()
	return r.s.serveStream(ctx, open, func() error {
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
				bytes += replicaCallBytes(call)
			}
			b := &replicaBatch{s: r.s, ctx: ctx, replies: replies, enter: open.enter(len(calls), bytes)}
			b.start(calls)
		}
		return nil
	})
}

// start begins the calls. Writes, which may wait for the disk, do not hold up reads.
func (b *replicaBatch) start(calls []*chordv1.ReplicaCall) {
	if b.enter == ignoreCall {
		return
	}
	var applies, fetches []replicaItem
	for _, call := range calls {
		item := replicaItem{seq: call.GetSeq(), bytes: replicaCallBytes(call)}
		if b.enter == refuseCall {
			b.replies.reply(b.failed(item, node.ErrNotReady))
			continue
		}
		var err error
		switch {
		case len(call.Records) > 0 && len(call.Wants) == 0:
			if item.records, err = appendRecords(nil, call.Records); err == nil {
				item.claims, err = claimsFromProto(call.Claims)
			}
			if err == nil {
				applies = append(applies, item)
			}
		case len(call.Wants) > 0 && len(call.Records) == 0:
			if item.wants, err = wantsFromProto(call.Wants); err == nil {
				fetches = append(fetches, item)
			}
		default:
			err = badField("call", "%d records and %d wants, want either", len(call.Records), len(call.Wants))
		}
		if err != nil {
			b.replies.reply(b.failed(item, invalid(err)))
		}
	}
	if len(applies) > 0 {
		b.s.opts.Go(func() { b.replies.reply(b.apply(applies)...) })
	}
	if len(fetches) > 0 {
		b.s.opts.Go(func() {
			for len(fetches) > 0 {
				answers := b.fetch(fetches)
				fetches = fetches[len(answers):]
				b.replies.reply(answers...)
			}
		})
	}
}

func replicaCallBytes(call *chordv1.ReplicaCall) int {
	bytes := itemOverhead + len(call.GetClaims())
	for _, m := range call.GetRecords() {
		bytes += itemOverhead + len(m.GetKey()) + len(m.GetValue()) + len(m.GetHistory())
	}
	for _, m := range call.GetWants() {
		bytes += itemOverhead + len(m.GetKey())
	}
	return bytes
}

func (b *replicaBatch) answer(to replicaItem, reply *chordv1.ReplicaReply, bytes int) replicaAnswer {
	reply.Seq = to.seq
	return replicaAnswer{reply, itemOverhead + bytes, b.enter, to.bytes}
}

func (b *replicaBatch) failed(to replicaItem, err error) replicaAnswer {
	m := errorToItem(err)
	return b.answer(to, &chordv1.ReplicaReply{Error: m}, len(m.Message))
}

// answerEach answers the items one by one.
func answerEach(items []replicaItem, answer func(item replicaItem) replicaAnswer) []replicaAnswer {
	answers := make([]replicaAnswer, len(items))
	for i, item := range items {
		answers[i] = answer(item)
	}
	return answers
}

// recovered answers all items if the calling function panicked.
func (b *replicaBatch) recovered(items []replicaItem, answers *[]replicaAnswer) {
	if r := recover(); r != nil {
		err := b.s.panicked("ReplicaService/Batch", r)
		*answers = answerEach(items, func(item replicaItem) replicaAnswer { return b.failed(item, err) })
	}
}

// hopeless reports whether a call that failed together with others cannot fare better alone.
func hopeless(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, node.ErrNotReady) || errors.Is(err, node.ErrStoreFull)
}

// apply stores the records of all items at once: in one batch of the store, with one sync. If that fails, the halves are tried, so that
// one bad record does not fail the others.
func (b *replicaBatch) apply(items []replicaItem) (answers []replicaAnswer) {
	defer b.recovered(items, &answers)
	ctx, cancel := b.s.bounded(b.ctx, 0)
	defer cancel()
	records, claims := items[0].records, items[0].claims
	if len(items) > 1 {
		n := 0
		for _, item := range items {
			n += len(item.records)
		}
		records = make([]node.Record, 0, n)
		claims = nil
		for _, item := range items {
			records = append(records, item.records...)
			for _, c := range item.claims {
				if !slices.Contains(claims, c) {
					claims = append(claims, c)
				}
			}
		}
	}
	versions, err := b.applyRecords(ctx, records, claims)
	if err != nil && len(items) > 1 && !hopeless(ctx, err) {
		half := len(items) / 2
		return append(b.apply(items[:half]), b.apply(items[half:])...)
	}
	return answerEach(items, func(item replicaItem) replicaAnswer {
		if err != nil {
			return b.failed(item, err)
		}
		n := len(item.records)
		list := versionsToProto(versions[:n])
		versions = versions[n:]
		return b.answer(item, &chordv1.ReplicaReply{Versions: list}, n*versionBytes)
	})
}

func (b *replicaBatch) applyRecords(ctx context.Context, records []node.Record, claims []node.Claim) ([]node.Version, error) {
	p, err := b.s.process()
	if err != nil {
		return nil, err
	}
	return p.Apply(ctx, records, claims)
}

const versionBytes = 24 // of a version in a message, with the bytes around it

// fetch reads the records of the first items, at least one: as many as fit into an answer of the process. An item whose wants were
// reached in part gets a short answer, as it would alone. If reading fails, one half is tried.
func (b *replicaBatch) fetch(items []replicaItem) (answers []replicaAnswer) {
	defer b.recovered(items, &answers)
	ctx, cancel := b.s.bounded(b.ctx, 0)
	defer cancel()
	wants := items[0].wants
	if len(items) > 1 {
		wants = nil
		for _, item := range items {
			wants = append(wants, item.wants...)
		}
	}
	found, err := b.fetchRecords(ctx, wants)
	switch {
	case err != nil && len(items) > 1 && !hopeless(ctx, err):
		return b.fetch(items[:len(items)/2])
	case err != nil:
		return answerEach(items, func(item replicaItem) replicaAnswer { return b.failed(item, err) })
	}
	reached, left := 0, len(found)
	for reached < len(items) && (left > 0 || len(items[reached].wants) == 0) {
		left -= min(left, len(items[reached].wants))
		reached++
	}
	return answerEach(items[:reached], func(item replicaItem) replicaAnswer {
		n := min(len(found), len(item.wants))
		answer := b.found(item, found[:n])
		found = found[n:]
		return answer
	})
}

func (b *replicaBatch) fetchRecords(ctx context.Context, wants []node.Want) ([]node.Found, error) {
	p, err := b.s.process()
	if err != nil || len(wants) == 0 {
		return nil, err
	}
	found, err := p.Fetch(ctx, wants)
	if err == nil && len(found) == 0 {
		err = errors.New("fetch: no answer to the first want")
	}
	return found, err
}

func (b *replicaBatch) found(to replicaItem, found []node.Found) replicaAnswer {
	bytes := 0
	for i := range found {
		r := &found[i].Record
		bytes += itemOverhead + versionBytes + len(r.Key) + len(r.Value) + len(r.History)
	}
	return b.answer(to, &chordv1.ReplicaReply{Found: foundToProto(found)}, bytes)
}
