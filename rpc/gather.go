package rpc

import (
	"context"
	"io"
	"runtime"
	"sync"
	"time"
)

// Bounds of a gatherer.
const (
	maxBatchCalls  = 1000    // calls in one message
	maxBatchBytes  = 1 << 20 // bytes in one message, unless a single call is larger
	maxQueuedCalls = 4096    // calls that wait to be sent; more wait for room
	maxQueuedBytes = 8 << 20

	promptCalls = 4                      // on their way to the peer: with fewer, a call is sent at once
	maxHold     = 300 * time.Microsecond // that a call waits for company otherwise
)

// batchStream is the caller's side of a Batch method: calls go out and replies come back in messages of many. One goroutine sends and one
// receives.
type batchStream[C, R any] interface {
	send(calls []C) error
	recv() ([]R, error)
}

// batchCall is a call in a batch.
type batchCall interface{ setSeq(seq uint64) }

// batchReply is a reply in a batch.
type batchReply interface{ GetSeq() uint64 }

// gatherer makes one stream of messages of the concurrent calls to one peer. A message costs much more than a call in it, so a busy stream carries
// few large ones: a call is sent at once while fewer than promptCalls are on their way; then calls wait until they are as many as those that are on their
// way, but never longer than maxHold. The stream is opened by the first call, and again by the first call after it broke; without a
// stream there is no goroutine.
//
// A call that fails has an error that wraps ErrNotSent, or the peer may have seen it.
type gatherer[C batchCall, R batchReply] struct {
	addr    string
	open    func(ctx context.Context) (batchStream[C, R], error)
	ctx     context.Context // of every stream
	cancel  context.CancelFunc
	tasks   sync.WaitGroup
	waiters sync.Pool
	wake    chan struct{} // buffered: there may be something to send now

	mu      sync.Mutex // held for a few instructions, never while anything is called
	closed  bool
	running bool // there is a goroutine that sends, or opens the stream
	lastSeq uint64
	queue   []*waiter[C, R] // not sent yet, some of them abandoned
	bytes   int             // of the queue
	room    chan struct{}   // closed when the queue has room again; nil if nobody waits for that
	sent    map[uint64]*waiter[C, R]
}

// waiter is one call. Its state changes under the gatherer's lock; whoever makes it answered must fill in the result and signal done.
type waiter[C batchCall, R batchReply] struct {
	call  C
	bytes int
	seq   uint64
	state waiterState
	reply R
	err   error
	done  chan struct{} // buffered
}

type waiterState uint8

const (
	queued waiterState = iota
	sent
	answered
	abandoned
)

func newGatherer[C batchCall, R batchReply](addr string, open func(ctx context.Context) (batchStream[C, R], error)) *gatherer[C, R] {
	ctx, cancel := context.WithCancel(context.Background())
	return &gatherer[C, R]{
		addr: addr, open: open, ctx: ctx, cancel: cancel,
		wake: make(chan struct{}, 1), sent: make(map[uint64]*waiter[C, R]),
		waiters: sync.Pool{New: func() any { return &waiter[C, R]{done: make(chan struct{}, 1)} }},
	}
}

// call sends c, which stands for about so many bytes, and waits for its reply. If ctx ends first, c may still be read afterwards:
// its slices must never be written to again.
func (g *gatherer[C, R]) call(ctx context.Context, c C, bytes int) (reply R, err error) {
	if ctx.Err() != nil {
		return reply, lateError(ctx, g.addr, false)
	}
	w := g.waiters.Get().(*waiter[C, R])
	w.call, w.bytes, w.state = c, bytes, queued
	if err := g.enqueue(ctx, w); err != nil {
		return reply, err
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		if was, ok := g.abandon(w); ok {
			return reply, lateError(ctx, g.addr, was == sent)
		}
		<-w.done // the reply came at the same moment
	}
	reply, err = w.reply, w.err
	*w = waiter[C, R]{done: w.done}
	g.waiters.Put(w)
	return reply, err
}

// enqueue waits for room in the queue and puts w there.
func (g *gatherer[C, R]) enqueue(ctx context.Context, w *waiter[C, R]) error {
	for {
		g.mu.Lock()
		if g.closed {
			g.mu.Unlock()
			return closedError(g.addr, false)
		}
		if len(g.queue) < maxQueuedCalls && (g.bytes == 0 || g.bytes+w.bytes <= maxQueuedBytes) {
			break
		}
		if g.room == nil {
			g.room = make(chan struct{})
		}
		room := g.room
		g.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return lateError(ctx, g.addr, false)
		}
	}
	g.queue = append(g.queue, w)
	g.bytes += w.bytes
	look, start := len(g.queue) == 1 || g.due(), !g.running
	if start {
		g.running = true
		g.tasks.Add(1)
	}
	g.mu.Unlock()
	if start {
		go g.run()
	}
	if look {
		g.rouse()
	}
	return nil
}

// due reports whether what is in the queue should be sent now. The caller holds mu.
func (g *gatherer[C, R]) due() bool {
	return len(g.queue) > 0 && (len(g.sent) < promptCalls || len(g.queue) >= len(g.sent))
}

// rouse has the sender look at the queue.
func (g *gatherer[C, R]) rouse() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// abandon forgets a call whose caller does not wait any more. It reports false if the result is there already.
func (g *gatherer[C, R]) abandon(w *waiter[C, R]) (was waiterState, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	was = w.state
	if was == answered {
		return was, false
	}
	if was == sent {
		delete(g.sent, w.seq)
	}
	// In the queue it keeps its place until the sender comes by: a queue that does not move fills up, and new calls wait for room.
	w.state = abandoned
	return was, true
}

// take moves the first calls of the queue, as many as fit into a message, to those that were sent. held means that it left them there to wait
// for more, which it does not if they have waited long enough.
func (g *gatherer[C, R]) take(calls []C, late bool) (_ []C, held bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !late && !g.due() {
		return calls, len(g.queue) > 0
	}
	n, bytes := 0, 0
	for ; n < len(g.queue); n++ {
		w := g.queue[n]
		if w.state != abandoned {
			if len(calls) == maxBatchCalls || len(calls) > 0 && bytes+w.bytes > maxBatchBytes {
				break
			}
			bytes += w.bytes
			g.lastSeq++
			w.seq, w.state = g.lastSeq, sent
			w.call.setSeq(w.seq)
			g.sent[w.seq] = w
			calls = append(calls, w.call)
		}
		g.bytes -= w.bytes
	}
	rest := copy(g.queue, g.queue[n:])
	clear(g.queue[rest:])
	g.queue = g.queue[:rest]
	if g.room != nil && n > 0 {
		close(g.room)
		g.room = nil
	}
	return calls, false
}

// run opens the stream and sends until it breaks or the gatherer is closed.
func (g *gatherer[C, R]) run() {
	defer g.tasks.Done()
	ctx, cancel := context.WithCancel(g.ctx)
	defer cancel()
	stream, err := g.open(ctx)
	if err != nil {
		g.fail(g.broken(err, false), g.broken(err, false))
		return
	}
	received := make(chan error, 1)
	g.tasks.Go(func() {
		received <- g.receive(stream)
		cancel()
	})
	g.send(ctx, stream)
	err = <-received // it says why; send only learns that the stream is gone
	g.fail(g.broken(err, true), g.broken(err, false))
}

// broken is the error of a call whose stream ended with err.
func (g *gatherer[C, R]) broken(err error, sent bool) error {
	switch {
	case g.ctx.Err() != nil:
		return closedError(g.addr, sent)
	case err == io.EOF:
		return unreachable(g.addr, "the peer ended the stream", sent)
	}
	return errorFromStatus(g.ctx, g.addr, err, sent)
}

func (g *gatherer[C, R]) send(ctx context.Context, stream batchStream[C, R]) {
	var calls []C
	hold := time.NewTimer(maxHold)
	defer hold.Stop()
	holding, late := false, false // whether the timer runs for what is in the queue, and whether it has run out
	for {
		var held bool
		if calls, held = g.take(calls[:0], late); len(calls) > 0 {
			if stream.send(calls) != nil {
				return
			}
			clear(calls)
			holding, late = false, false
			continue
		}
		if held && !holding {
			hold.Reset(maxHold)
		}
		holding = held
		select {
		case <-hold.C:
			late = holding
		case <-g.wake:
			// The first caller has woken us up; others may be about to call, most of all those to whom one message just brought
			// their replies. Let them go first: it costs nothing if there are none.
			runtime.Gosched()
		case <-ctx.Done():
			return
		}
	}
}

func (g *gatherer[C, R]) receive(stream batchStream[C, R]) error {
	var ready []*waiter[C, R]
	for {
		replies, err := stream.recv()
		if err != nil {
			return err
		}
		ready = ready[:0]
		g.mu.Lock()
		for _, r := range replies {
			if w := g.sent[r.GetSeq()]; w != nil { // else nobody waits for it any more
				delete(g.sent, w.seq)
				w.state, w.reply = answered, r
				ready = append(ready, w)
			}
		}
		due := g.due()
		g.mu.Unlock()
		if due {
			g.rouse()
		}
		for _, w := range ready {
			w.done <- struct{}{}
		}
		clear(ready)
	}
}

// fail ends every call that waits, after the stream broke.
func (g *gatherer[C, R]) fail(sentErr, queuedErr error) {
	g.mu.Lock()
	failed := make([]*waiter[C, R], 0, len(g.sent)+len(g.queue))
	for _, w := range g.sent {
		w.state, w.err = answered, sentErr
		failed = append(failed, w)
	}
	for _, w := range g.queue {
		if w.state == queued {
			w.state, w.err = answered, queuedErr
			failed = append(failed, w)
		}
	}
	clear(g.sent)
	clear(g.queue)
	g.queue, g.bytes, g.running = g.queue[:0], 0, false
	if g.room != nil {
		close(g.room)
		g.room = nil
	}
	g.mu.Unlock()
	for _, w := range failed {
		w.done <- struct{}{}
	}
}

// close ends the stream and every call that waits, and returns when no goroutine is left.
func (g *gatherer[C, R]) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.cancel()
	g.tasks.Wait()
}
