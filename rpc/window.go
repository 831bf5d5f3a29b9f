package rpc

import "sync"

// window bounds the calls of a stream that are under way, in number and in bytes. When it is full, the stream is not read, and the flow
// control of HTTP/2 holds the caller back.
type window struct {
	mu       sync.Mutex
	changed  sync.Cond
	phase    admission // what happens to calls that come now
	calls    int       // under way
	bytes    int       // that they hold
	refusals int       // not sent yet
}

// admission is what is to be done with a call.
type admission uint8

const (
	admitCall  admission = iota // execute it
	refuseCall                  // answer that the process is not ready
	ignoreCall                  // nothing: the end of the stream is the answer
)

// Bounds of a window.
const (
	maxOpenCalls = 4096
	maxOpenBytes = 64 << 20
)

func newWindow() *window {
	w := &window{}
	w.changed.L = &w.mu
	return w
}

// enter waits for room for the calls of a message, and says what is to be done with them. Unless they are ignored, each must leave when
// it has been answered. More than maxOpenCalls would never find room together with others.
func (w *window) enter(calls, bytes int) admission {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.phase == admitCall && w.calls > 0 && (w.calls+calls > maxOpenCalls || w.bytes+bytes > maxOpenBytes) {
		w.changed.Wait()
	}
	switch w.phase {
	case admitCall:
		w.calls += calls
		w.bytes += bytes
	case refuseCall:
		w.refusals += calls
	}
	return w.phase
}

// leave ends calls that entered together, or some of them: their answers have been sent.
func (w *window) leave(a admission, calls, bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a == refuseCall {
		w.refusals -= calls
	} else {
		w.calls -= calls
		w.bytes -= bytes
	}
	w.changed.Broadcast()
}

// close refuses all further calls, waits until those that have begun are answered, and then ignores what comes, so that the stream can end.
func (w *window) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.phase = refuseCall
	w.changed.Broadcast()
	for w.calls > 0 {
		w.changed.Wait()
	}
	w.phase = ignoreCall
	for w.refusals > 0 {
		w.changed.Wait()
	}
}
