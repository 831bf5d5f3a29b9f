package sim

import (
	"errors"
	"slices"
	"time"
)

// worker is what executes one schedule after the other: what it has room for is not made again each time.
type worker struct {
	spare  spare
	order  []taken
	idents []uint64
	known  []bits
	words  []uint64 // of known
}

// execution is one schedule.
type execution struct {
	drill *Drill
	o     ExploreOptions
	seen  map[state]struct{} // not followed any further; read only. nil: no states are taken

	x       *drilled
	chooses func([]Step) int // e.choose
	trail   *trail
	held    map[uint64]*waiting // by number
	order   []taken             // steps executed
	made    uint64              // number of the next step that is made
	step    int                 // steps executed so far, and steps held
	end     time.Duration       // when to stop, because the state is known; never: it is not

	reached []reached
	steps   uint64
	err     error
}

// waiting is a step that is held back.
type waiting struct {
	left int           // steps that its host executes first
	late time.Duration // when it waits no longer
}

// taken is a step that was executed.
type taken struct {
	seq   uint64
	made  uint64 // the number of the first step that it made
	maker int    // the place of the step that made it, -1 for none
	host  int
	at    time.Duration

	action        bool // it is something that happens to the host
	reads         bool // it is a request that only reads what its host shows
	inert         bool // it changed nothing and made no other step
	shown, hidden bool // it changed what its host shows, or the rest of its state
}

// conflicts reports whether the order of two steps of a host makes a difference.
func (t *taken) conflicts(u *taken) bool {
	if t.inert || u.inert {
		return false
	}
	return t.shown || u.shown || (t.hidden || u.hidden) && !t.reads && !u.reads
}

// reads reports whether a step is a request that only reads what its host shows.
func reads(s Step) bool {
	switch s.Method {
	case MethodNeighbors, MethodRoute, MethodFetch, MethodDigest, MethodOutline, MethodName, MethodList, MethodHello:
		return s.Kind == StepRequest
	}
	return false
}

// reached is a state on the way of an execution.
type reached struct {
	state state
	step  int   // number of the choice that comes next
	place int   // in order, of the step that came next
	holds []int // for how many steps that one may be held back
}

// maxDelay is how long a step is held back at most, and so how far behind it an execution looks for steps that could come before it.
const maxDelay = drillStabilize

// errKnown ends an execution that has come to a state that is known.
var errKnown = errors.New("sim: the state is known")

// run executes the schedule to its end, or to a state that is known.
func (e *execution) run(by *worker) {
	x, err := e.drill.begin(&by.spare)
	if err != nil {
		e.err = err
		return
	}
	e.x, e.chooses, e.held, e.end = x, e.choose, make(map[uint64]*waiting), never
	before := x.w.stats.Steps
	if e.seen != nil {
		e.trail = newTrail(x.w, by.idents[:0])
	}
	e.order = by.order[:0]
	e.made = x.w.queue.next
	after := x.w.options.AfterStep
	x.w.options.AfterStep = func(s Step) {
		e.executed(s)
		after(s)
	}
	e.steer()
	e.err = x.finish()
	e.steps = x.w.stats.Steps - before
	if e.err == errKnown {
		e.err = nil
	}
	x.w.err = nil // so that Close reports only what it finds itself
	e.err = errors.Join(e.err, x.w.Close())
	if len(e.reached) > 0 {
		known := e.causes(by)
		for i := range e.reached {
			e.bound(&e.reached[i], known)
		}
	}
	if e.trail != nil {
		by.idents, e.trail = e.trail.idents, nil
	}
	by.order, e.order, e.x = e.order, nil, nil
}

// steer has the world ask for the next step if that may be another one than the first, or if the state before it is of interest: asking takes longer than
// executing.
func (e *execution) steer() {
	next := e.nextHold()
	holds := len(e.held) > 0 || next < len(e.drill.Holds) && e.drill.Holds[next].Step == e.step
	looks := next == len(e.drill.Holds) && e.trail != nil && e.end == never
	e.x.w.options.Choose = nil
	if holds || looks {
		e.x.w.options.Choose = e.chooses
	}
}

// choose picks the first of the pending steps that is not held back.
func (e *execution) choose(pending []Step) int {
	first := e.free(pending)
	switch next := e.nextHold(); {
	case next < len(e.drill.Holds) && e.drill.Holds[next].Step == e.step:
		e.held[pending[first].Seq] = &waiting{e.drill.Holds[next].Until, pending[first].At + maxDelay}
		e.step++
		first = e.free(pending)
	case next == len(e.drill.Holds) && e.trail != nil && e.end == never:
		e.arrive(pending)
	}
	e.count(pending[first], pending)
	return first
}

// executed writes a step down.
func (e *execution) executed(s Step) {
	t := taken{seq: s.Seq, made: e.made, host: e.place(s), at: s.At, reads: reads(s), action: s.To == Harness}
	e.made = e.x.w.queue.next
	e.step++
	if e.trail != nil {
		t.shown, t.hidden = e.trail.executed(s)
		t.inert = !t.shown && !t.hidden && t.made == e.made
		if e.end != never && (s.At > e.end || len(e.reached) == 0) {
			e.x.w.Fail(errKnown)
		}
	}
	e.order = append(e.order, t)
	e.steer()
}

// nextHold returns the index of the first hold whose step has not come yet.
func (e *execution) nextHold() int {
	i, _ := slices.BinarySearchFunc(e.drill.Holds, e.step, func(h Hold, step int) int { return h.Step - step })
	return i
}

// free returns the first step that need not wait, or has waited long enough. If all wait, that is the first.
func (e *execution) free(pending []Step) int {
	if len(e.held) == 0 {
		return 0
	}
	for i, s := range pending {
		if e.held[s.Seq] != nil {
			continue
		}
		for j, p := range pending[:i] {
			if e.held[p.Seq].late <= s.At {
				delete(e.held, p.Seq)
				return j
			}
		}
		return i
	}
	delete(e.held, pending[0].Seq)
	return 0
}

// count takes one off what the held steps wait for, since s is executed.
func (e *execution) count(s Step, pending []Step) {
	if len(e.held) == 0 {
		return
	}
	for _, p := range pending {
		if w := e.held[p.Seq]; w != nil && e.place(p) == e.place(s) {
			if w.left--; w.left == 0 {
				delete(e.held, p.Seq)
			}
		}
	}
}

// arrive notes the state before a step, until one is known.
func (e *execution) arrive(pending []Step) {
	at := reached{state: e.trail.state(pending, e.held), step: e.step, place: len(e.order)}
	if _, ok := e.seen[at.state]; ok {
		e.end = e.x.w.now + maxDelay // what comes until then may come before what was executed lately
		return
	}
	e.reached = append(e.reached, at)
}

// bound finds out for how many steps the one that came next in a state can be held back: behind those that its host executed soon after it, that do not
// follow from it, and whose order makes a difference.
func (e *execution) bound(r *reached, known []bits) {
	if r.place >= len(e.order) {
		return
	}
	first := &e.order[r.place]
	if at := first.at - e.x.began; at < e.drill.From || at > e.drill.Until {
		return
	}
	most, others := e.o.MaxHold, 0
	if first.action {
		most = maxActionHold
	}
	for i := r.place + 1; i < len(e.order) && len(r.holds) < most; i++ {
		t := &e.order[i]
		if t.at > first.at+maxDelay {
			return
		}
		if t.host != first.host || t.maker >= 0 && known[t.maker].has(r.place) {
			continue
		}
		others++
		if t.conflicts(first) {
			r.holds = append(r.holds, others)
		}
	}
}

// causes returns, for each executed step, the steps that it knows of when it has been executed: by the message or task that it is, and by the state of
// its host, which others have written. A step from without, such as the timers of the beginning, knows of none.
func (e *execution) causes(by *worker) []bits {
	known := by.sets(len(e.order))
	hosts := len(e.x.w.hosts) + 1                          // Harness is -1
	shown, all := make([]bits, hosts), make([]bits, hosts) // who wrote what a host shows, and any of its state
	for i := range e.order {
		t := &e.order[i]
		b := known[i]
		b.add(i)
		if t.maker = e.maker(i); t.maker >= 0 {
			b.join(known[t.maker])
		}
		if b.join(shown[t.host+1]); !t.reads {
			b.join(all[t.host+1])
		}
		if t.shown {
			shown[t.host+1] = b
		}
		if t.shown || t.hidden {
			all[t.host+1] = b
		}
	}
	return known
}

// maker returns the place of the step that made a step, -1 if that was before the first.
func (e *execution) maker(i int) int {
	// It is the last one that had made none with a higher number before.
	j, _ := slices.BinarySearchFunc(e.order[:i], e.order[i].seq, func(t taken, seq uint64) int {
		if t.made <= seq {
			return -1
		}
		return +1
	})
	return j - 1
}

// bits is a set of places in the order of an execution.
type bits []uint64

// sets returns n empty sets of places below n, until it is called again.
func (by *worker) sets(n int) []bits {
	width := (n + 63) / 64
	by.words = slices.Grow(by.words[:0], n*width)[:n*width]
	clear(by.words)
	by.known = by.known[:0]
	for i := range n {
		by.known = append(by.known, by.words[i*width:(i+1)*width])
	}
	return by.known
}

func (b bits) add(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bits) has(i int) bool { return b[i/64]>>(i%64)&1 != 0 }

// join adds what is in other, a set of the same size or none.
func (b bits) join(other bits) {
	for i, w := range other {
		b[i] |= w
	}
}

// place returns the host that a step happens at, or that something happens to in it.
func (e *execution) place(s Step) int {
	if s.To == Harness {
		for _, p := range e.x.hosts {
			if p.seq == s.Seq {
				return p.host
			}
		}
	}
	return s.To
}

// maxActionHold is for how many steps of its host something that happens to it may be held back: long enough to hit any moment of what else is going on.
const maxActionHold = 30
