package sim

import (
	"context"
	"fmt"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// call is a request on its way, its answer, and who waits for it. Up to three events refer to one: the request, or two if the network doubles
// it; the answer; the deadline. There is no event for the deadline before it is clear that no answer will come in time.
type call struct {
	ref      uint32 // in calls
	method   Method
	from, to int32         // numbers of hosts
	caller   *task         // that waits for the answer
	deadline time.Duration // virtual time, or forever

	pending  int32 // events that refer to the call, and tasks that execute it
	open     bool  // the caller waits
	executed bool  // what executes it again is not answered
	timed    bool  // there is an event for the deadline
	refused  bool  // the answer is that no process listens

	request request
	answer  answer
}

// request is what a call asks. The fields for data are apart, so that calls of the ring stay small.
type request struct {
	to, from ring.Ref
	id       ring.ID
	avoid    []ring.ID
	query    *node.Query
	arrival  *node.Arrival
	data     *dataRequest
}

type dataRequest struct {
	records []node.Record
	claims  []node.Claim
	wants   []node.Want
	arcs    []ring.Arc
	detail  node.Detail
	unnamed []node.Unnamed
	arc     ring.Arc
	cursor  node.Cursor
	entries []node.Entry
	limit   int
	op      node.Op
}

// answer is what a call comes back with.
type answer struct {
	view ring.View
	step ring.Step
	data *dataAnswer
	err  error
}

type dataAnswer struct {
	versions []node.Version
	found    []node.Found
	sums     []node.Summary
	outlines []node.Outline
	entries  []node.Entry
	result   node.Result
	hello    hello
}

var (
	errRefused = fmt.Errorf("%w: connection refused", node.ErrUnreachable)
	errReset   = fmt.Errorf("%w: connection reset", node.ErrUnreachable)
	errLate    = fmt.Errorf("%w: no answer: %w", node.ErrUnreachable, context.DeadlineExceeded)
)

// calls are all calls of a world, used again like tickets.
type calls struct {
	all  []*call
	free []uint32
}

func (s *calls) add() *call {
	if n := len(s.free); n > 0 {
		ref := s.free[n-1]
		s.free = s.free[:n-1]
		if s.all[ref] == nil {
			s.all[ref] = &call{ref: ref}
		}
		return s.all[ref]
	}
	c := &call{ref: uint32(len(s.all))}
	s.all = append(s.all, c)
	return c
}

// open prepares a call of the current task, which must be one of h. Errors: that of ctx, if it has ended.
func (h *Host) open(ctx context.Context, method Method, to ring.Ref) (*call, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%v at %s: %w", method, to.Addr, err)
	}
	h.mine(method.String())
	number, ok := numberOf(to.Addr)
	if !ok || int(number) >= len(h.w.hosts) {
		return nil, fmt.Errorf("%w: no host has the address %q", node.ErrUnreachable, to.Addr)
	}
	c := h.w.calls.add()
	c.method, c.from, c.to = method, h.number, number
	c.caller, c.deadline = h.w.current, deadlineOf(ctx, h.w)
	c.open, c.executed, c.timed, c.refused = true, false, false, false
	c.request.to = to
	return c, nil
}

// mine panics unless the current task is one of the host's.
func (h *Host) mine(what string) {
	switch t := h.w.current; {
	case t == nil && h.w.serving != nil:
		c := h.w.serving
		panic(fmt.Sprintf("sim: the handler of %v at %s waits for %s: handlers of such calls never wait (rule 8)", c.method, hostName(int(c.to)), what))
	case t == nil || t.host != h:
		panic(fmt.Sprintf("sim: %s of %s outside of a task of that host: use Host.Go or Host.Call", what, h.Addr()))
	}
}

// wait sends a call and suspends the caller until it has come to an end.
func (w *World) wait(c *call) error {
	w.send(c)
	t := c.caller
	t.waits = c
	w.park(c.method.String())
	t.waits = nil
	return c.answer.err
}

// done is for the caller to say that it has read the answer.
func (w *World) done(c *call) {
	c.open = false
	w.release(c)
}

// release frees a call that nobody needs any more.
func (w *World) release(c *call) {
	if c.open || c.pending > 0 {
		return
	}
	if len(w.calls.free) < maxSpare {
		c.caller = nil
		c.request = request{}
		c.answer = answer{}
	} else {
		w.calls.all[c.ref] = nil
	}
	w.calls.free = append(w.calls.free, c.ref)
}

// send puts a call's request on the network.
func (w *World) send(c *call) {
	size, wired := w.requestSize(c)
	w.stats.Requests[c.method].add(size, wired)
	from, to := w.hosts[c.from], w.hosts[c.to]
	at, ok := w.net.transmit(from, to, size)
	if ok {
		c.pending++
		w.queue.add(at, StepRequest, c.to, c.ref)
		if w.net.duplicate > 0 && w.net.duplicated.chance(w.net.duplicate) {
			if again, ok := w.net.transmit(from, to, size); ok {
				c.pending++
				w.queue.add(again, StepRequest, c.to, c.ref)
			}
		}
	}
	if !ok || at >= c.deadline {
		w.expire(c)
	}
}

// expire makes the caller learn at its deadline that it gets no answer in time.
func (w *World) expire(c *call) {
	if !c.timed && c.open && c.deadline != forever {
		c.timed = true
		c.pending++
		w.queue.add(max(c.deadline, w.now), StepTimeout, c.from, c.ref)
	}
}

// reply sends the answer of a call back.
func (w *World) reply(c *call) {
	size, wired := w.answerSize(c)
	w.stats.Answers[c.method].add(size, wired)
	at, ok := w.net.transmit(w.hosts[c.to], w.hosts[c.from], size)
	switch {
	case !c.open: // nobody waits for it any more
	case !ok || at >= c.deadline:
		w.expire(c)
	default:
		c.pending++
		w.queue.add(at, StepResponse, c.from, c.ref)
	}
}

// abandon is what becomes of a call whose executing task was killed.
func (w *World) abandon(c *call) {
	c.pending--
	if h := w.hosts[c.to]; !c.executed && h.state == exited {
		c.executed = true
		c.answer.err = errReset
		w.reply(c)
	}
	w.release(c)
}

// arrive executes a request that has arrived at h, or what becomes of it.
func (w *World) arrive(h *Host, c *call) {
	c.pending--
	switch {
	case w.net.cut && !w.net.reaches(c.from, c.to):
		w.stats.Cut++
		w.expire(c)
	case h.state == down:
		w.stats.Silent++
		w.expire(c)
	case h.state == exited:
		w.stats.Refused++
		if !c.executed {
			c.executed = true
			c.answer.err = errRefused
			w.reply(c)
		}
	case w.options.Sections || c.method == MethodDo || c.method.waitsForDisk() && w.options.SyncLatency > 0:
		w.serve(h, c)
		return
	default:
		w.execute(h, c)
	}
	w.release(c)
}

// execute executes a request that need not wait, in the event loop.
func (w *World) execute(h *Host, c *call) {
	w.serving = c
	if c.executed {
		w.stats.Repeated++
		h.handle(c, &answer{})
	} else {
		c.executed = true
		h.handle(c, &c.answer)
		w.reply(c)
	}
	w.serving = nil
}

// serve executes a request on a task of its own. When that will answer, if ever, is open.
func (w *World) serve(h *Host, c *call) {
	again := c.executed
	c.pending++
	if again {
		w.stats.Repeated++
	} else {
		w.expire(c)
	}
	w.begin(h, func() {
		t := w.current
		t.serves = c
		var a answer
		h.handle(c, &a)
		t.serves = nil
		c.pending--
		if !c.executed {
			c.executed = true
			c.answer = a
			w.reply(c)
		}
		w.release(c)
	})
}

// conclude writes down how a call ended, by its answer or by its deadline. It reports false if the caller does not wait any more, or does so still.
func (w *World) conclude(c *call, kind StepKind) bool {
	c.pending--
	if !c.open || c.caller.waits != c {
		w.release(c)
		return false
	}
	if kind == StepResponse && w.net.cut && !w.net.reaches(c.to, c.from) {
		w.stats.Cut++
		w.expire(c)
		return false
	}
	if kind == StepTimeout || w.now >= c.deadline {
		w.stats.Timeouts[c.method]++
		c.answer.err = errLate
	}
	return true
}
