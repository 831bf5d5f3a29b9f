package sim

import (
	"context"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// Run executes a scenario. When ctx ends before it does, Run returns what there is so far together with the error of ctx. Other errors: a
// *ScenarioError before anything has run; with a Result, a *Violation or a *PanicError. The observer hears about the run while it goes on.
func Run(ctx context.Context, s Scenario, observer Observer) (*Result, error) {
	if problems := append(s.problems(), s.outsideProblems()...); len(problems) > 0 {
		return nil, &ScenarioError{Problems: problems}
	}
	r, err := newRunner(s, observer)
	if err != nil {
		return nil, err
	}
	err = r.run(ctx)
	r.over = true
	if closed := r.w.Close(); err == nil {
		err = closed
	}
	return r.result(), err
}

// runner is a run under way.
type runner struct {
	s        Scenario
	observer Observer
	w        *World
	oracle   *Oracle
	checker  *Checker // nil if the scenario asks for no check

	hosts   []account // by number
	members []int     // numbers of the hosts whose process is a member and not about to leave, in no order
	resting []rested  // hosts whose process never comes back, for newcomers
	seeds   *Rand     // draws who is asked for the way into the ring
	faults  faultState

	calm bool // Duration is over: no churn, no faults, no new operations
	over bool // the world is being closed
	open int  // operations under way
	ops  int  // begun so far

	meter meter
	slice time.Duration // of virtual time, after which the end of the context is looked for
}

// newRunner makes the world of a scenario, in which no time has passed.
func newRunner(s Scenario, observer Observer) (*runner, error) {
	latency, err := newLatency(s.Network.Latency, s.Seed)
	if err != nil {
		return nil, err
	}
	r := &runner{
		s: s, observer: observer, oracle: NewOracle(time.Minute+s.longestTimeout(), s.Node.Successors), seeds: NewRand(s.Seed, "seeds", 0),
		slice: time.Millisecond,
	}
	if s.Checks != (Checks{}) || s.Heal > 0 {
		r.checker = NewChecker(&r.s)
		r.oracle = r.checker.Oracle()
	}
	o := DefaultOptions()
	o.Seed, o.Config, o.VNodes = s.Seed, s.Node, s.VNodes
	o.Latency, o.Loss, o.Duplicate, o.Bandwidth = latency, s.Network.Loss, s.Network.Duplicate, s.Network.Bandwidth
	o.SyncInterval, o.SyncLatency = s.Disk.SyncInterval, s.Disk.SyncLatency
	o.Gossip = s.Gossip
	if s.Zones {
		o.Zones = s.Groups
	}
	events := r.events()
	o.Events = func(*Host) *node.Events { return events }
	if r.checker != nil {
		r.checker.Prepare(&o)
	}
	if observer.Prepare != nil {
		observer.Prepare(&o)
	}
	if r.w, err = New(o); err != nil {
		return nil, err
	}
	return r, nil
}

// longestTimeout returns how long an operation of the workload may take at most.
func (s Scenario) longestTimeout() (longest time.Duration) {
	for i := range s.Workload {
		longest = max(longest, s.Workload[i].timeout())
	}
	return longest
}

// events returns what tells the oracle who serves.
func (r *runner) events() *node.Events {
	return &node.Events{Joined: func(n ring.Ref) {
		now := time.Duration(0)
		if r.w != nil {
			now = r.w.Now()
		}
		r.oracle.Add(now, n)
	}}
}

// run lets the scenario happen.
func (r *runner) run(ctx context.Context) error {
	if err := r.begin(); err != nil {
		return err
	}
	if err := r.advance(ctx, r.s.Duration); err != nil {
		return err
	}
	r.meter.stop(r.w)
	r.settle()
	// What is under way ends by its deadlines, now that nothing is in its way.
	for last := r.w.Now() + r.s.longestTimeout(); r.open > 0 && r.w.Now() < last; {
		if err := r.advance(ctx, min(last, r.w.Now()+100*time.Millisecond)); err != nil {
			return err
		}
	}
	return r.heal(ctx)
}

// begin makes the hosts of the start and sets everything going.
func (r *runner) begin() error {
	present := r.s.Nodes - r.s.absent()
	first := present
	if r.s.Start == StartJoin {
		first = 1
	}
	if err := r.w.Bootstrap(first); err != nil {
		return err
	}
	r.oracle.changes = nil // of a large ring they are many, and nobody asks for them
	r.meter.init(r.s)
	for _, h := range r.w.Hosts() {
		r.adopt(h)
		r.admit(h)
	}
	for range r.s.Nodes - first {
		r.adopt(r.w.AddHost())
	}
	for i := first; i < present; i++ {
		r.w.At(time.Duration(i-first+1)*r.s.JoinInterval, func() { r.join(r.w.Host(i), "join") })
	}
	if r.checker != nil {
		r.checker.Start(r.w)
	}
	if r.observer.Start != nil {
		r.observer.Start(r.w)
	}
	r.startChurn()
	r.startFaults()
	r.startWorkload()
	return nil
}

// absent returns how many of the processes begin away: those with the highest numbers.
func (s Scenario) absent() (n int) {
	for _, c := range s.Churn {
		n = max(n, int(c.Absent*float64(s.Nodes)))
	}
	return min(n, s.Nodes-1)
}

// advance lets time pass until a moment, and writes the rows of the series on the way.
func (r *runner) advance(ctx context.Context, until time.Duration) error {
	for r.w.Now() < until {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		next := min(until, r.meter.next(), r.w.Now()+r.slice)
		began := time.Now()
		if err := r.w.Run(next); err != nil {
			return err
		}
		r.meter.pass(r.w, r.observer.Row)
		r.adapt(time.Since(began))
	}
	return nil
}

// adapt makes the slices of virtual time take about a tenth of a second of real time each.
func (r *runner) adapt(took time.Duration) {
	switch {
	case took < 50*time.Millisecond:
		r.slice = min(2*r.slice, time.Hour)
	case took > 200*time.Millisecond:
		r.slice = max(r.slice/2, time.Microsecond)
	}
	if r.observer.Tick != nil {
		r.observer.Tick(r.w.Now(), r.w.Stats())
	}
}

// settle ends churn, faults and workload. If the ring is to heal, those processes come back that would have come back later.
func (r *runner) settle() {
	r.calm = true
	r.endFaults()
	if r.s.Heal == 0 {
		return
	}
	for i := range r.hosts {
		if st := &r.hosts[i]; st.phase == phaseAway && st.returns {
			r.join(r.w.Host(i), "restart")
		}
	}
}

// heal demands that everything is as it should be within the time that the scenario allows.
func (r *runner) heal(ctx context.Context) error {
	if r.s.Heal == 0 {
		return nil
	}
	r.w.Net().SetLoss(0)
	r.w.Net().SetDuplicate(0)
	done := false
	r.w.Go(func() {
		r.checker.Heal(r.s.Heal)
		done = true
	})
	for !done {
		if err := r.advance(ctx, r.w.Now()+100*time.Millisecond); err != nil {
			return err
		}
	}
	r.meter.healed = r.w.Now() - r.s.Duration
	return nil
}

// result collects what the run has shown.
func (r *runner) result() *Result {
	if r.meter.measures {
		r.meter.stop(r.w) // the run has ended early
	}
	res := &Result{
		Scenario: r.s, Rows: r.meter.rows, Totals: r.meter.totals, Stats: r.w.Stats(), End: r.w.Now(), Healed: r.meter.healed, Checksum: r.w.Checksum(),
	}
	if r.checker != nil {
		res.Violation = r.checker.Violation()
	}
	return res
}

// event tells the observer what has happened to a host, or to the network if number is -1.
func (r *runner) event(kind string, number int, note string) {
	if r.observer.Event != nil {
		r.observer.Event(Event{r.w.Now(), kind, number, note})
	}
}

// outsideProblems reports what shows only when one looks at files and at the machine.
func (s Scenario) outsideProblems() []Problem {
	return append(s.fileProblems(), s.memoryProblems(availableMemory)...)
}
