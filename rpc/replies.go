package rpc

import (
	"runtime"
	"sync"
)

// replier gathers the replies of a batch stream into messages: whatever was answered while the message before was being sent. An idle one has
// no goroutine: whoever has a reply while nobody sends becomes the sender.
type replier[R any] struct {
	open    *window // which the calls leave with their replies
	write   func(replies []R) error
	observe func(replies int)

	mu      sync.Mutex
	changed sync.Cond // the queue became shorter, or the stream broke
	queue   []pendingReply[R]
	bytes   int  // of the queue
	sending bool // someone is in flush
	broken  bool // the stream is gone: what is written goes nowhere

	// Owned by flush, kept for the next time.
	batch   []pendingReply[R]
	message []R
}

type pendingReply[R any] struct {
	reply R
	bytes int // in a message, about
	enter admission
	held  int // bytes of the window, given back when the reply is on its way, or cannot be sent any more
}

func newReplier[R any](open *window, write func([]R) error, observe func(int)) *replier[R] {
	r := &replier[R]{open: open, write: write, observe: observe}
	r.changed.L = &r.mu
	return r
}

// reply queues replies and, if nobody else does, sends. It waits while the queue is full because the caller at the other end does not read.
func (r *replier[R]) reply(list ...pendingReply[R]) {
	r.mu.Lock()
	for r.bytes > maxQueuedBytes && r.sending && !r.broken {
		r.changed.Wait()
	}
	for _, p := range list {
		r.queue = append(r.queue, p)
		r.bytes += p.bytes
	}
	if r.sending {
		r.mu.Unlock()
		return
	}
	r.sending = true
	r.mu.Unlock()
	r.flush()
}

// flush sends one message. If there are more replies by then, another goroutine goes on: this one may have work of its own.
func (r *replier[R]) flush() {
	// Others are about to have replies too, most of all those whose calls came in the same message. Let them go first: it costs
	// nothing if there are none.
	runtime.Gosched()
	r.mu.Lock()
	n, bytes := 0, 0
	for n < len(r.queue) && n < maxBatchCalls && (n == 0 || bytes+r.queue[n].bytes <= maxBatchBytes) {
		bytes += r.queue[n].bytes
		n++
	}
	r.batch = append(r.batch[:0], r.queue[:n]...)
	rest := copy(r.queue, r.queue[n:])
	clear(r.queue[rest:])
	r.queue = r.queue[:rest]
	r.bytes -= bytes
	r.changed.Broadcast()
	r.mu.Unlock()

	for i := range r.batch {
		r.message = append(r.message, r.batch[i].reply)
	}
	if r.observe != nil {
		r.observe(n)
	}
	err := r.write(r.message)
	r.leave()
	clear(r.batch)
	clear(r.message)
	r.message = r.message[:0]

	r.mu.Lock()
	r.broken = r.broken || err != nil
	r.sending = len(r.queue) > 0
	more := r.sending
	r.changed.Broadcast()
	r.mu.Unlock()
	if more {
		go r.flush()
	}
}

// leave gives back what the calls held whose replies were sent.
func (r *replier[R]) leave() {
	var calls, bytes [ignoreCall]int // by admission
	for i := range r.batch {
		calls[r.batch[i].enter]++
		bytes[r.batch[i].enter] += r.batch[i].held
	}
	for a := admitCall; a < ignoreCall; a++ {
		if calls[a] > 0 {
			r.open.leave(a, calls[a], bytes[a])
		}
	}
}
