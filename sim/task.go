package sim

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

// TaskKind is how tasks are suspended. It makes no difference to what happens in a world.
type TaskKind uint8

// The kinds of task.
const (
	Coroutines TaskKind = iota // iter.Pull: about five times as fast
	Goroutines                 // hand-over by channels
)

// strand is a stack that can be suspended. Only one strand of a world runs at a time.
type strand interface {
	// resume runs the strand until it suspends itself or its body returns. It is called outside of the strand.
	resume()
	// suspend returns when the strand is resumed, false if it is to end. It is called inside of the strand.
	suspend() bool
	// end makes suspend return false and waits until the body returns. It is called outside of the strand, while that is suspended.
	end()
}

// newStrand returns a strand that runs body when it is first resumed.
func newStrand(kind TaskKind, body func()) strand {
	if kind == Goroutines {
		return newGoroutine(body)
	}
	return newCoroutine(body)
}

// maxSpare bounds the tasks, and the calls, that are kept for use after a moment at which very many were needed: their stacks are memory.
const maxSpare = 1 << 14

// spare is what a world that is closed leaves to the next one of the same kind of tasks. A search makes a world for every schedule; with coroutines whose
// stacks have grown it takes a tenth less.
type spare struct{ tasks []*task }

// end ends the tasks: nobody is to inherit them.
func (s *spare) end() {
	for _, t := range s.tasks {
		t.strand.end()
	}
	s.tasks = nil
}

// inherit takes over what another world has left.
func (w *World) inherit(s *spare) {
	if s == nil {
		return
	}
	w.tasks, w.idle, s.tasks = slices.Clone(s.tasks), s.tasks, nil
	for i, t := range w.tasks {
		t.w, t.number = w, i
	}
}

// task is a piece of code of a process, or of the harness, that may wait. It is used again for the next piece when one is done: a strand
// that has worked before has its stack grown.
type task struct {
	w      *World
	strand strand
	number int   // among the tasks of the world
	host   *Host // whose process it belongs to; nil for the harness
	job    func()

	prev, next *task // of the host's tasks

	waits  *call // whose answer it waits for
	serves *call // that it answers
	active bool  // it runs, or runs another one
	killed bool  // its process has ended: the next wait unwinds it
	inform bool  // it leaves its stack when it is unwound
	stack  []byte
}

// unwound is what a task that ends in the middle panics with.
type unwound struct{}

// begin runs f as a task of h, nil for the harness, until it waits for the first time.
func (w *World) begin(h *Host, f func()) {
	t := w.newTask(h)
	t.job = f
	w.resume(t)
}

func (w *World) newTask(h *Host) *task {
	var t *task
	if n := len(w.idle); n > 0 {
		t = w.idle[n-1]
		w.idle = w.idle[:n-1]
	} else {
		t = &task{w: w, number: len(w.tasks)}
		t.strand = newStrand(w.options.Tasks, t.work)
		w.tasks = append(w.tasks, t)
		w.stats.MaxTasks = max(w.stats.MaxTasks, len(w.tasks))
	}
	t.host = h
	if h != nil {
		t.next = h.tasks
		if t.next != nil {
			t.next.prev = t
		}
		h.tasks = t
	}
	return t
}

// resume goes on with a task until it waits or ends.
func (w *World) resume(t *task) {
	before := w.current
	w.current, t.active = t, true
	t.strand.resume()
	w.current, t.active = before, false
	if t.job == nil {
		w.retire(t)
	}
}

// retire puts a task that has ended aside for the next piece of work, unless enough of them wait for that.
func (w *World) retire(t *task) {
	if t.host != nil {
		if t.next != nil {
			t.next.prev = t.prev
		}
		if t.prev != nil {
			t.prev.next = t.next
		} else {
			t.host.tasks = t.next
		}
	}
	t.host, t.prev, t.next, t.killed = nil, nil, nil, false
	if len(w.idle) < maxSpare {
		w.idle = append(w.idle, t)
		return
	}
	t.strand.end()
	last := w.tasks[len(w.tasks)-1]
	w.tasks[t.number], last.number = last, t.number
	w.tasks[len(w.tasks)-1] = nil
	w.tasks = w.tasks[:len(w.tasks)-1]
}

// work is the body of a task's strand: it does one job after the other.
func (t *task) work() {
	for ok := true; ok; ok = t.strand.suspend() {
		t.do()
	}
}

// do does the job, up to its end or to where it is unwound.
func (t *task) do() {
	defer func() {
		t.job = nil
		if v := recover(); v != nil && v != (unwound{}) {
			t.w.Fail(&PanicError{Value: v, At: t.w.now, Where: "task of " + hostName(t.place()), Stack: debug.Stack()})
		}
	}()
	t.job()
}

func (t *task) place() int {
	if t.host == nil {
		return Harness
	}
	return t.host.Number()
}

// park suspends the current task until it is resumed by an event; what says what for. It does not return if the task's process has ended.
func (w *World) park(what string) {
	t := w.current
	if t == nil {
		panic(fmt.Sprintf("sim: %s outside of a task; handlers of calls never wait (rule 8)", what))
	}
	if t.killed || !t.strand.suspend() || t.killed {
		if t.inform {
			t.stack = debug.Stack()
		}
		panic(unwound{})
	}
}

// kill ends a task where it waits. One that is active, because it is the one that kills, ends when it waits next.
func (w *World) kill(t *task) {
	t.killed = true
	if c := t.waits; c != nil {
		t.waits, c.open = nil, false
		w.release(c)
	}
	if c := t.serves; c != nil {
		t.serves = nil
		w.abandon(c)
	}
	if !t.active {
		w.resume(t)
	}
}

// stuck reports whether the task waits for an answer that can never come.
func (t *task) stuck() bool { return t.waits != nil && t.waits.open && t.waits.pending == 0 }

// StuckError is a task that waits for what can never come: a call without a deadline that nobody will answer.
type StuckError struct {
	Where string // whose task, and what it waits for
	Stack []byte // where it waits
}

func (e *StuckError) Error() string {
	return fmt.Sprintf("%s waits for what can never come:\n%s", e.Where, e.Stack)
}

// endTasks ends all tasks and returns an error for each that was stuck.
func (w *World) endTasks() error {
	var errs []error
	for _, t := range slices.Clone(w.tasks) { // those that end may be dropped
		var stuck *StuckError
		if t.stuck() {
			stuck = &StuckError{Where: fmt.Sprintf("task of %s, which called %v at %s,", hostName(t.place()), t.waits.method, hostName(int(t.waits.to)))}
			t.inform = true
		}
		if t.job != nil {
			w.kill(t)
		}
		if stuck != nil {
			stuck.Stack = t.stack
			errs = append(errs, stuck)
		}
	}
	if s := w.options.spare; s != nil {
		s.tasks = w.idle // that is all: no job is left
	} else {
		(&spare{w.idle}).end()
	}
	w.tasks, w.idle = nil, nil
	return errors.Join(errs...)
}

// PanicError is a panic in the code that a world runs.
type PanicError struct {
	Value any
	At    time.Duration // virtual time
	Where string        // which task or handler, on which host
	Stack []byte        // of the panic
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("panic at %v in %s: %v\n\n%s", e.At, e.Where, e.Value, e.Stack)
}

// Unwrap returns the panic's value if that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
