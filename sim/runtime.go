package sim

import (
	"context"
	"time"

	"github.com/chordkv/chord/node"
)

// hostRuntime is the node.Runtime of the processes of a host.
type hostRuntime struct{ h *Host }

var _ node.Runtime = hostRuntime{}

// Now implements node.Runtime.
func (r hostRuntime) Now() time.Time { return r.h.Now() }

// Uint64 implements node.Runtime.
func (r hostRuntime) Uint64() uint64 { return r.h.rand.Uint64() }

// Go implements node.Runtime.
func (r hostRuntime) Go(f func()) {
	if r.h.Running() {
		r.h.w.schedule(r.h, StepTask, 0, f)
	}
}

// AfterFunc implements node.Runtime.
func (r hostRuntime) AfterFunc(d time.Duration, f func()) (stop func()) {
	if !r.h.Running() {
		return func() {}
	}
	w := r.h.w
	return w.stopper(w.schedule(r.h, StepTimer, r.h.truly(d), f))
}

// Sleep implements node.Runtime. Unlike a live process, it notices the end of ctx by cancellation only afterwards.
func (r hostRuntime) Sleep(ctx context.Context, d time.Duration) error {
	w := r.h.w
	if err := ctx.Err(); err != nil {
		return err
	}
	r.h.mine("Sleep")
	d = min(max(r.h.truly(d), 0), deadlineOf(ctx, w)-w.now)
	w.wakeAt(w.now+d, w.current)
	w.park("Sleep")
	return ctx.Err()
}

// Await implements node.Runtime.
func (r hostRuntime) Await(ctx context.Context, begin func(wake func())) error {
	w := r.h.w
	if err := ctx.Err(); err != nil {
		return err
	}
	r.h.mine("Await")
	t, resumed, woken := w.current, false, false
	resume := func() {
		if !resumed {
			resumed = true
			w.wakeAt(w.now, t)
		}
	}
	if at := deadlineOf(ctx, w); at != forever {
		defer w.stopper(w.schedule(r.h, StepTimer, at-w.now, resume))()
	}
	begin(func() {
		woken = woken || !resumed
		resume()
	})
	w.park("Await")
	if woken {
		return nil
	}
	return ctx.Err()
}

// WithTimeout implements node.Runtime.
func (r hostRuntime) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return r.h.w.withTimeout(ctx, r.h.truly(d))
}

// Gather implements node.Runtime.
func (r hostRuntime) Gather(n int, call func(i int) error, meanwhile func() (enough bool), done func(i int, err error) (enough bool)) {
	switch {
	case n == 1 && meanwhile == nil:
		done(0, call(0))
	case n > 0:
		r.h.mine("Gather")
		r.h.w.gather(r.h, n, call, meanwhile, done)
	case meanwhile != nil:
		meanwhile()
	}
}

// gathering is the state of a Gather.
type gathering struct {
	w       *World
	task    *task // that gathers
	waiting bool  // for the next result
	results []gathered
}

type gathered struct {
	i   int
	err error
}

// gather is Gather on the current task, with tasks of h, nil for the harness.
func (w *World) gather(h *Host, n int, call func(i int) error, meanwhile func() (enough bool), done func(i int, err error) (enough bool)) {
	g := &gathering{w: w, task: w.current, results: make([]gathered, 0, n)}
	for i := range n {
		w.schedule(h, StepTask, 0, func() { g.add(i, call(i)) })
	}
	if meanwhile != nil && meanwhile() {
		return
	}
	for got := range n {
		if len(g.results) == got {
			g.waiting = true
			w.park("Gather")
		}
		if r := g.results[got]; done(r.i, r.err) {
			return
		}
	}
}

func (g *gathering) add(i int, err error) {
	g.results = append(g.results, gathered{i, err})
	if g.waiting && !g.w.current.killed {
		g.waiting = false
		g.w.wakeAt(g.w.now, g.task)
	}
}

// sections is a runtime that makes every section of the node's code a step of its own.
type sections struct{ hostRuntime }

var _ node.Yielder = sections{}

// Yield implements node.Yielder.
func (s sections) Yield() {
	w := s.h.w
	if t := w.current; t == nil || t.host != s.h || t.killed {
		return // the harness looks at the process
	}
	w.wakeAt(w.now, w.current)
	w.park("Yield")
}
