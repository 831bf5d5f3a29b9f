package node

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Live is the Runtime of a real process: goroutines, the wall clock and the operating system's randomness. It is the one place in
// ring and node that may use them.
type Live struct {
	tasks sync.WaitGroup

	mu     sync.Mutex
	timers map[*timer]struct{} // that have not fired
	idle   []chan func()       // goroutines that wait for the next task, the one that worked last at the end
	closed bool
}

// maxIdle bounds the goroutines that wait for work. A task on one that has worked before finds its stack grown: growing a new one to the
// depth of a gRPC call costs more than the call.
const maxIdle = 256

type timer struct{ *time.Timer }

var _ Runtime = (*Live)(nil)

// NewLive returns a Runtime on goroutines.
func NewLive() *Live { return &Live{timers: make(map[*timer]struct{})} }

// Close cancels the timers that have not fired and blocks until every task that was started has ended. Call it after Process.Stop;
// timers that are set later never fire.
func (l *Live) Close() {
	l.mu.Lock()
	l.closed = true
	for t := range l.timers {
		t.Stop()
	}
	clear(l.timers)
	for _, next := range l.idle {
		close(next)
	}
	l.idle = nil
	l.mu.Unlock()
	l.tasks.Wait()
}

// Now implements Runtime.
func (l *Live) Now() time.Time { return time.Now() }

// Uint64 implements Runtime.
func (l *Live) Uint64() uint64 { return rand.Uint64() }

// Go implements Runtime.
func (l *Live) Go(f func()) {
	l.tasks.Add(1)
	l.mu.Lock()
	var next chan func()
	if n := len(l.idle); n > 0 {
		next, l.idle = l.idle[n-1], l.idle[:n-1]
	}
	l.mu.Unlock()
	if next != nil {
		next <- f // never blocks: the goroutine took its channel off the list when it was given its last task
		return
	}
	go l.work(f)
}

// work runs tasks until there are enough idle goroutines, or none is wanted any more.
func (l *Live) work(f func()) {
	next := make(chan func(), 1)
	for ok := true; ok; f, ok = <-next {
		f()
		l.mu.Lock()
		if l.closed || len(l.idle) == maxIdle {
			close(next)
		} else {
			l.idle = append(l.idle, next)
		}
		l.mu.Unlock()
		l.tasks.Done()
	}
}

// AfterFunc implements Runtime.
func (l *Live) AfterFunc(d time.Duration, f func()) (stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return func() {}
	}
	t := new(timer)
	t.Timer = time.AfterFunc(d, func() {
		if l.fire(t) {
			defer l.tasks.Done()
			f()
		}
	})
	l.timers[t] = struct{}{}
	return func() {
		t.Stop()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.timers, t)
	}
}

// fire turns a timer that fires into a task; it reports false if it was cancelled at the last moment.
func (l *Live) fire(t *timer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.timers[t]; !ok {
		return false
	}
	delete(l.timers, t)
	l.tasks.Add(1)
	return true
}

// Sleep implements Runtime.
func (l *Live) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Await implements Runtime.
func (l *Live) Await(ctx context.Context, begin func(wake func())) error {
	woken := make(chan struct{}, 1)
	begin(func() {
		select {
		case woken <- struct{}{}:
		default: // woken already
		}
	})
	select {
	case <-woken:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// WithTimeout implements Runtime.
func (l *Live) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}

// Gather implements Runtime. A single call runs on the caller's goroutine, if that has nothing else to do.
func (l *Live) Gather(n int, call func(i int) error, meanwhile func() (enough bool), done func(i int, err error) (enough bool)) {
	if n == 1 && meanwhile == nil {
		done(0, call(0))
		return
	}
	type result struct {
		i   int
		err error
	}
	results := make(chan result, n) // so that late calls never block
	for i := range n {
		l.Go(func() { results <- result{i, call(i)} })
	}
	if meanwhile != nil && meanwhile() {
		return
	}
	for range n {
		if r := <-results; done(r.i, r.err) {
			return
		}
	}
}
