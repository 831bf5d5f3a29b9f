package sim

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

// Run executes the steps that are due up to a virtual time, which it is afterwards. It returns the error that the world has failed with: that of Fail, or
// a *PanicError. A world that has failed stays as it is.
func (w *World) Run(until time.Duration) error {
	w.loop(until, nil)
	if w.err == nil {
		w.now = max(w.now, until)
	}
	return w.err
}

// RunFor is Run up to d from now.
func (w *World) RunFor(d time.Duration) error { return w.Run(w.now + d) }

// Exec runs f as a task of the harness, and the world until f has ended. It is for tests and small programs; it must be called from outside. Errors: as Run;
// and if f waits for what can never come.
func (w *World) Exec(f func()) error {
	ended := false
	w.Go(func() {
		f()
		ended = true
	})
	w.loop(forever, func() bool { return ended })
	if w.err == nil && !ended {
		return errors.New("sim: Exec: the task waits, and nothing is due that could end that")
	}
	return w.err
}

// Fail ends Run with an error after the present step, for good. Only the first error counts.
func (w *World) Fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// loop executes the steps that are due up to a virtual time, until enough, if not nil, says that it is.
func (w *World) loop(until time.Duration, enough func() bool) {
	if w.busy {
		panic("sim: a world is run by one of its own tasks")
	}
	w.busy = true
	defer func() {
		w.busy = false
		if c := w.serving; c != nil { // its handler panicked
			w.serving = nil
			where := fmt.Sprintf("the handler of %v at %s, called by %s", c.method, hostName(int(c.to)), hostName(int(c.from)))
			w.Fail(&PanicError{Value: recover(), At: w.now, Where: where, Stack: debug.Stack()})
		}
	}()
	for w.err == nil && w.queue.len() > 0 && (enough == nil || !enough()) {
		first := 0
		if w.options.Choose != nil {
			first = w.choose(until)
		}
		if first < 0 || w.queue.heap[first].at > until {
			return
		}
		e := w.queue.remove(first)
		w.now = max(w.now, e.at)
		w.step(e)
	}
}

// step executes an event, unless it is void.
func (w *World) step(e event) {
	var h *Host
	if e.host != Harness {
		if h = w.hosts[e.host]; h.paused {
			h.hold(e)
			return
		}
	}
	s := Step{Seq: e.order >> 8, At: w.now, Kind: e.kind(), From: int(e.host), To: int(e.host)}
	switch s.Kind {
	case StepRequest:
		c := w.calls.all[e.ref]
		s.Method, s.From = c.method, int(c.from)
		w.count(s)
		w.arrive(h, c)
	case StepResponse, StepTimeout:
		c := w.calls.all[e.ref]
		s.Method, s.From = c.method, int(c.to)
		if !w.conclude(c, s.Kind) {
			return
		}
		w.count(s)
		w.resume(c.caller)
	default:
		f, t, incarnation := w.tickets.take(e.ref)
		if f == nil && t == nil || h != nil && (h.state != running || h.incarnation != incarnation) {
			return
		}
		w.count(s)
		if t != nil {
			w.resume(t)
		} else {
			w.begin(h, f)
		}
	}
	if w.options.AfterStep != nil {
		w.options.AfterStep(s)
	}
}

func (w *World) count(s Step) {
	w.stats.Steps++
	w.sum.add(s)
}

// choose asks Options.Choose for the next event and returns its place in the queue's heap, -1 if none is due up to a virtual time.
func (w *World) choose(until time.Duration) int {
	for i := w.queue.len() - 1; i >= 0; i-- {
		if i < w.queue.len() && w.void(&w.queue.heap[i]) {
			w.step(w.queue.remove(i)) // or they would pile up
		}
	}
	c := &w.choice
	c.places, c.pending = c.places[:0], c.pending[:0]
	for i := range w.queue.heap {
		if e := &w.queue.heap[i]; e.at <= until && !w.void(e) { // a void one may have moved behind the loop above
			c.places = append(c.places, i)
		}
	}
	if len(c.places) == 0 {
		return -1
	}
	slices.SortFunc(c.places, func(i, j int) int {
		if w.queue.heap[i].before(&w.queue.heap[j]) {
			return -1
		}
		return +1
	})
	for _, place := range c.places {
		c.pending = append(c.pending, w.describe(&w.queue.heap[place]))
	}
	return c.places[w.options.Choose(c.pending)]
}

// choice is what choose works with, kept from one step to the next.
type choice struct {
	places  []int // in the queue's heap
	pending []Step
}

// void reports whether an event will do nothing.
func (w *World) void(e *event) bool {
	switch e.kind() {
	case StepRequest:
		return false
	case StepResponse, StepTimeout:
		return !w.calls.all[e.ref].open
	}
	s := &w.tickets.all[e.ref]
	if s.f == nil && s.task == nil {
		return true
	}
	return e.host != Harness && (w.hosts[e.host].state != running || w.hosts[e.host].incarnation != s.incarnation)
}

// describe returns the step that an event is.
func (w *World) describe(e *event) Step {
	s := Step{Seq: e.order >> 8, At: max(e.at, w.now), Kind: e.kind(), From: int(e.host), To: int(e.host)}
	switch s.Kind {
	case StepRequest:
		c := w.calls.all[e.ref]
		s.Method, s.From = c.method, int(c.from)
	case StepResponse, StepTimeout:
		c := w.calls.all[e.ref]
		s.Method, s.From = c.method, int(c.to)
	}
	return s
}
