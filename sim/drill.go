package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// Drill is a small scenario whose every schedule can be tried: a few nodes, a few things that happen to them, and the departures from
// first-in-first-out order that make up one schedule. Its text form is a script, which Replay takes:
//
//	drill join-before-crash   # the name; what follows a # is a comment
//	seed 1
//	nodes 4                   # of the ideal ring at the beginning: hosts 0 to 3
//	successors 2
//	replicas 3
//	keys 12                   # that are stored before anything happens; default 0
//	window 0s 200ms           # departures begin in this time; these are the defaults
//	sections                  # steps are critical sections instead of deliveries
//	at 10ms join 4            # host 4, which is new, joins through host 0
//	at 30ms kill 2
//	at 30ms leave 1
//	hold 17 2                 # step 17 waits until its host has executed 2 others
type Drill struct {
	Name       string
	Seed       uint64
	Nodes      int
	Successors int
	Replicas   int
	Keys       int
	From       time.Duration // departures begin in this time
	Until      time.Duration
	Sections   bool
	Actions    []Action
	Holds      []Hold // in the order of their steps
}

// Action is something that happens in a Drill.
type Action struct {
	At   time.Duration // since the beginning
	Kind string        // join, kill or leave
	Host int
}

// The kinds of Action.
const (
	ActionJoin  = "join"
	ActionKill  = "kill"
	ActionLeave = "leave"
)

// Hold is a departure from first-in-first-out order: a step that waits although it is the next one.
type Hold struct {
	Step  int // number of the step since the beginning of the drill, in the order in which this schedule executes or holds them
	Until int // how many other steps its host executes first; of a step of the harness: how many steps anywhere
}

// How a drill passes. Timers are slow against messages, so that a message can be late by some steps without being lost.
const (
	drillLatency   = 10 * time.Microsecond
	drillStabilize = 150 * time.Millisecond
	drillRest      = 10 * time.Second // by then the ring has to be ideal again
	drillUnused    = 1000 * time.Hour // of maintenance that plays no part
)

// config returns the settings of the processes.
func (d *Drill) config() node.Config {
	c := node.DefaultConfig()
	c.Successors, c.Replicas = d.Successors, d.Replicas
	c.WriteQuorum, c.ReadQuorum = min(c.WriteQuorum, d.Replicas), min(c.ReadQuorum, d.Replicas)
	c.StabilizeInterval, c.SuspectTime, c.RingTimeout = drillStabilize, 300*time.Millisecond, 500*time.Millisecond
	c.StabilizeQuiet = 0 // always as often
	c.FixFingersInterval, c.HealInterval, c.RepairInterval, c.SweepInterval = drillUnused, drillUnused, drillUnused, drillUnused
	c.SettleDelay, c.Grace = drillUnused, 0
	c.MinTimeout = c.RingTimeout // one attempt: a second one makes many more schedules, and no other outcome
	if d.Keys > 0 {
		c.SettleDelay, c.SweepInterval, c.PinTime = 40*time.Millisecond, 400*time.Millisecond, 200*time.Millisecond
	}
	return c
}

// String returns the text form.
func (d *Drill) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "drill %s\nseed %d\nnodes %d\nsuccessors %d\nreplicas %d\n", d.Name, d.Seed, d.Nodes, d.Successors, d.Replicas)
	if d.Keys > 0 {
		fmt.Fprintf(&b, "keys %d\n", d.Keys)
	}
	fmt.Fprintf(&b, "window %v %v\n", d.From, d.Until)
	if d.Sections {
		b.WriteString("sections\n")
	}
	for _, a := range d.Actions {
		fmt.Fprintf(&b, "at %v %s %d\n", a.At, a.Kind, a.Host)
	}
	for _, h := range d.Holds {
		fmt.Fprintf(&b, "hold %d %d\n", h.Step, h.Until)
	}
	return b.String()
}

// ParseDrill reads what String writes. Errors name the line.
func ParseDrill(text string) (*Drill, error) {
	d := &Drill{Seed: 1, Successors: 2, Replicas: 3, Until: 200 * time.Millisecond}
	line := 0
	for s := range strings.Lines(text) {
		line++
		s, _, _ = strings.Cut(s, "#")
		words := strings.Fields(s)
		if len(words) == 0 {
			continue
		}
		if d.Name == "" && words[0] != "drill" {
			return nil, fmt.Errorf("line %d: a drill begins with the line \"drill NAME\"", line)
		}
		if err := d.parseLine(words); err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", line, words[0], err)
		}
	}
	return d, d.validate()
}

func (d *Drill) parseLine(words []string) (err error) {
	number := func(at, least int) (n int) {
		switch {
		case err != nil:
		case at >= len(words):
			err = fmt.Errorf("%d words, want more", len(words))
		default:
			if n, err = strconv.Atoi(words[at]); err == nil && n < least {
				err = fmt.Errorf("%d, want at least %d", n, least)
			}
		}
		return n
	}
	duration := func(at int) (t time.Duration) {
		if at < len(words) && err == nil {
			t, err = time.ParseDuration(words[at])
		}
		return t
	}
	want := 2
	switch words[0] {
	case "drill":
		if len(words) > 1 {
			d.Name = words[1]
		}
	case "seed":
		d.Seed = uint64(number(1, 0))
	case "nodes":
		d.Nodes = number(1, 1)
	case "successors":
		d.Successors = number(1, 1)
	case "replicas":
		d.Replicas = number(1, 1)
	case "keys":
		d.Keys = number(1, 0)
	case "window":
		want = 3
		d.From, d.Until = duration(1), duration(2)
	case "sections":
		d.Sections, want = true, 1
	case "at":
		want = 4
		if len(words) == want {
			d.Actions = append(d.Actions, Action{At: duration(1), Kind: words[2], Host: number(3, 0)})
		}
	case "hold":
		want = 3
		d.Holds = append(d.Holds, Hold{Step: number(1, 0), Until: number(2, 1)})
	default:
		return fmt.Errorf("unknown")
	}
	if err == nil && len(words) != want {
		err = fmt.Errorf("%d words, want %d", len(words), want)
	}
	return err
}

// validate reports the first problem.
func (d *Drill) validate() error {
	if d.Nodes < 1 {
		return fmt.Errorf("drill %s: no nodes", d.Name)
	}
	next := d.Nodes
	for _, a := range d.Actions {
		switch {
		case a.At < 0:
			return fmt.Errorf("drill %s: %s at %v", d.Name, a.Kind, a.At)
		case !slices.Contains([]string{ActionJoin, ActionKill, ActionLeave}, a.Kind):
			return fmt.Errorf("drill %s: %q, want join, kill or leave", d.Name, a.Kind)
		case a.Kind == ActionJoin && a.Host != next:
			return fmt.Errorf("drill %s: join %d, but the next new host is %d", d.Name, a.Host, next)
		case a.Kind == ActionJoin:
			next++
		case a.Host >= next:
			return fmt.Errorf("drill %s: %s %d: there is no such host by then", d.Name, a.Kind, a.Host)
		}
	}
	for i, h := range d.Holds {
		if i > 0 && h.Step <= d.Holds[i-1].Step {
			return fmt.Errorf("drill %s: the steps of hold must ascend: %d after %d", d.Name, h.Step, d.Holds[i-1].Step)
		}
	}
	c := d.config()
	return c.Validate()
}

// drilled is a world in which a drill is about to pass.
type drilled struct {
	*Drill
	w       *World
	checker *Checker
	began   time.Duration
	hosts   []planned
}

// planned is the step, by its number, in which something happens to a host.
type planned struct {
	seq  uint64
	host int
}

// begin makes the world, of what others have left if there is any, and lets it come to rest. It must be closed.
func (d *Drill) begin(left *spare) (*drilled, error) {
	o := DefaultOptions()
	o.Seed, o.Config, o.Sections = d.Seed, d.config(), d.Sections
	o.Latency, o.spare = Constant(drillLatency), left
	s := Scenario{Node: o.Config, Checks: Checks{Ring: true, Data: d.Keys > 0}}
	c := NewChecker(&s)
	c.Prepare(&o)
	w, err := New(o)
	if err != nil {
		return nil, err
	}
	if err := w.Bootstrap(d.Nodes); err != nil {
		return nil, err
	}
	c.Start(w)
	x := &drilled{Drill: d, w: w, checker: c}
	if d.Keys > 0 {
		x.store()
		for range 20 {
			if err := w.RunFor(100 * time.Millisecond); err != nil || c.stable {
				break
			}
			c.tick()
		}
	}
	for range d.Actions {
		w.AddHost()
	}
	x.began = w.Now()
	for _, a := range d.Actions {
		x.hosts = append(x.hosts, planned{w.queue.next, a.Host})
		w.At(x.began+a.At, func() { x.act(a) })
	}
	return x, w.err
}

// store puts every key where it belongs, and has the checker take it for acknowledged.
func (x *drilled) store() {
	for i := range x.Keys {
		key := fmt.Appendf(nil, "key-%d", i)
		r := node.Record{Key: key, Value: key, Version: node.Version{Time: uint64(epoch.UnixMilli()) << 16, Origin: 1}}
		for _, member := range x.checker.oracle.Group(ring.Hash(key), x.Replicas) {
			number, _ := numberOf(member.Addr)
			if _, err := (disk{x.w.Host(int(number))}).Apply([]node.Record{r}); err != nil {
				panic(err) // it is in memory
			}
		}
		x.checker.stored(r, x.Replicas)
	}
}

func (x *drilled) act(a Action) {
	h := x.w.Host(a.Host)
	switch {
	case a.Kind == ActionJoin:
		x.join(h)
	case !h.Running():
	case a.Kind == ActionKill:
		h.Kill()
	default:
		_ = h.Leave() // a check looks at what it left behind
	}
}

// join has a process join through host 0, which is asked directly: how a process finds its ring plays no part.
func (x *drilled) join(h *Host) {
	p := h.start()
	h.Go(func() {
		for p.Join(context.Background(), []string{addrOf(0)}) != nil {
			_ = hostRuntime{h}.Sleep(context.Background(), drillStabilize) // the context does not end
		}
	})
}

// finish lets the drill come to its end: everything has happened, nothing is under way, the ring is ideal, and data is complete.
func (x *drilled) finish() error {
	after := x.w.options.AfterStep
	x.w.options.AfterStep = func(s Step) {
		after(s)
		if x.done() && x.quiet() && x.open() == nil {
			x.w.Fail(errFinished)
		}
	}
	err := x.w.Run(x.began + drillRest)
	if err == nil {
		open := x.open()
		x.checker.report(CheckHeal, fmt.Sprintf("%v after the beginning: %v", drillRest, open), x.checker.concerned(open)...)
		err = x.w.err
	}
	if err == errFinished {
		return nil
	}
	return err
}

// quiet reports whether nothing is due but timers.
func (x *drilled) quiet() bool {
	for i := range x.w.queue.heap {
		if e := &x.w.queue.heap[i]; e.kind() != StepTimer && !x.w.void(e) {
			return false
		}
	}
	return true
}

// errFinished ends a drill whose ring has come to rest.
var errFinished = errors.New("sim: the drill is over")

// open returns what is not as it should be in the end; nil if everything is.
func (x *drilled) open() error {
	if x.Keys > 0 {
		return x.checker.healed()
	}
	return x.checker.ideal()
}

// done reports whether everything has happened that is to happen.
func (x *drilled) done() bool {
	for _, a := range x.Actions {
		h := x.w.Host(a.Host)
		if x.w.Now() < x.began+a.At || a.Kind == ActionJoin && h.incarnation == 0 || a.Kind != ActionJoin && h.Running() {
			return false
		}
	}
	return true
}
