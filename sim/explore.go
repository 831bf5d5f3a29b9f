package sim

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"
)

// ExploreOptions bound an exploration.
type ExploreOptions struct {
	Departures int           // from first-in-first-out order, per schedule
	MaxHold    int           // steps of its host that a step is held back for, at most; default 1
	Window     time.Duration // when departures begin at the latest; default: as the drill says
	Workers    int           // worlds that run side by side; default: one per processor
	Progress   func(ExploreStats)
}

// ExploreStats says how far an exploration has come.
type ExploreStats struct {
	Departures int    // per schedule, now
	Schedules  int    // executed
	Waiting    int    // schedules with so many departures that are to be executed
	States     int    // different ones reached within the window
	Steps      uint64 // executed
}

// Explored is the outcome of an exploration.
type Explored struct {
	ExploreStats
	Took  time.Duration
	Found *Drill // the schedule that a check fails, as small as it gets; nil if none does
	Err   error  // what that check says
}

// Explore tries every schedule of a drill with up to so many departures from first-in-first-out order, by executing it again and again from its
// beginning, and stops at the first one that a check fails. A departure is a step that is held back, although it is the next one, until its host
// has executed some others: a message that is late, a timer that is slow, a task that is interrupted.
//
// Two ways are pruned. A step is held back for steps of its own host only: steps at different hosts have nothing in common, so that their
// order makes no difference but by what they send, and that can be held back itself. And a schedule is not followed beyond a state that another one with no
// more departures has reached; see state for what that leaves out.
//
// Errors: that of ctx, with what was found until then.
func Explore(ctx context.Context, d *Drill, o ExploreOptions) (*Explored, error) {
	if err := d.validate(); err != nil {
		return nil, err
	}
	if o.MaxHold == 0 {
		o.MaxHold = 1
	}
	if o.Window != 0 {
		other := *d
		other.Until = o.Window
		d = &other
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	began := time.Now()
	x := &explorer{drill: d, o: o, seen: make(map[state]struct{}), workers: make([]worker, o.Workers)}
	defer func() {
		for i := range x.workers {
			x.workers[i].spare.end()
		}
	}()
	level := [][]Hold{d.Holds}
	var err error
	for x.out.Departures = 0; len(level) > 0 && x.out.Found == nil && err == nil; x.out.Departures++ {
		level, err = x.level(ctx, level)
	}
	x.out.Departures--
	if x.out.Found != nil {
		x.out.Found, x.out.Err = minimize(x.out.Found, x.out.Err)
	}
	x.out.States, x.out.Took = len(x.seen), time.Since(began)
	return &x.out, err
}

type explorer struct {
	drill   *Drill
	o       ExploreOptions
	seen    map[state]struct{}
	workers []worker
	out     Explored
}

// batch is how many schedules are executed before what they have reached is put together: the same, and in the same order, whatever the
// number of workers.
const batch = 64

// level executes schedules with the same number of departures and returns those with one more.
func (x *explorer) level(ctx context.Context, schedules [][]Hold) (next [][]Hold, err error) {
	for len(schedules) > 0 {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		n := min(batch, len(schedules))
		runs := x.execute(schedules[:n])
		schedules = schedules[n:]
		for _, r := range runs {
			x.out.Schedules++
			x.out.Steps += r.steps
			if r.err != nil {
				x.out.Found, x.out.Err = r.drill, r.err
				return nil, nil
			}
			next = x.branch(next, r)
		}
		if x.o.Progress != nil {
			x.out.States, x.out.Waiting = len(x.seen), len(schedules)
			x.o.Progress(x.out.ExploreStats)
		}
	}
	return next, nil
}

// branch adds the schedules that depart once more from one that was executed, at the states that nobody has been at before.
func (x *explorer) branch(next [][]Hold, r *execution) [][]Hold {
	for _, at := range r.reached {
		if _, ok := x.seen[at.state]; ok {
			continue
		}
		x.seen[at.state] = struct{}{}
		if len(r.drill.Holds)-len(x.drill.Holds) == x.o.Departures {
			continue
		}
		for _, until := range at.holds {
			next = append(next, append(slices.Clip(r.drill.Holds), Hold{at.step, until}))
		}
	}
	return next
}

// execute executes schedules side by side.
func (x *explorer) execute(schedules [][]Hold) []*execution {
	runs := make([]*execution, len(schedules))
	next, workers := make(chan int, len(schedules)), sync.WaitGroup{}
	for i := range schedules {
		next <- i
	}
	close(next)
	for i := range min(x.o.Workers, len(schedules)) {
		w := &x.workers[i]
		workers.Go(func() {
			for i := range next {
				d := *x.drill
				d.Holds = schedules[i]
				runs[i] = &execution{drill: &d, o: x.o, seen: x.seen}
				runs[i].run(w)
			}
		})
	}
	workers.Wait()
	return runs
}

// Run executes the schedule of the drill alone. It returns what a check, or the end of the world, found.
func (d *Drill) Run() error {
	var w worker
	defer w.spare.end()
	e := &execution{drill: d}
	e.run(&w)
	return e.err
}

// minimize takes departures and actions away, and makes waits shorter, as long as the same check fails.
func minimize(d *Drill, found error) (*Drill, error) {
	check := checkOf(found)
	try := func(smaller Drill) bool {
		if smaller.validate() != nil {
			return false
		}
		err := smaller.Run()
		if err == nil || checkOf(err) != check {
			return false
		}
		d, found = &smaller, err
		return true
	}
	for again := true; again; {
		again = false
		for i := range d.Holds {
			smaller := *d
			smaller.Holds = slices.Delete(slices.Clone(d.Holds), i, i+1)
			if again = try(smaller); again {
				break
			}
			if d.Holds[i].Until > 1 {
				smaller.Holds = slices.Clone(d.Holds)
				smaller.Holds[i].Until--
				if again = try(smaller); again {
					break
				}
			}
		}
		for i := 0; i < len(d.Actions) && !again; i++ {
			smaller := *d
			smaller.Actions = slices.Delete(slices.Clone(d.Actions), i, i+1)
			again = try(smaller)
		}
	}
	return d, found
}

// checkOf returns the name of the check that an error is of.
func checkOf(err error) string {
	var v *Violation
	if errors.As(err, &v) {
		return v.Check
	}
	return fmt.Sprintf("%T", err)
}
