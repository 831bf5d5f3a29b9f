package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/chordkv/chord/node"
)

// This file is the life of a host's process: how it starts and ends, and what the harness has it do.

// start starts a process that is not a member of a ring yet.
func (h *Host) start() *node.Process {
	if h.state == running {
		panic("sim: a process runs on " + h.addr + " already")
	}
	w := h.w
	h.incarnation++
	h.state = running
	w.running++
	var rt node.Runtime = hostRuntime{h}
	if w.options.Sections {
		rt = sections{hostRuntime{h}}
	}
	p, err := node.NewShared(&w.options.Config, h.Identity(), h.addr, hostPeers{h}, rt, disk{h}, h.events())
	if err != nil {
		panic(err) // the options were validated
	}
	p.RecallClock(h.noted(), h.noteClock)
	h.process = p
	return p
}

// events returns what is to be told about a process of the host: to nobody else but the world, where processes can be stale at all.
func (h *Host) events() *node.Events {
	w := h.w
	events := &w.unheard
	if w.options.Events != nil {
		events = w.options.Events(h)
	}
	if w.options.Config.TombstoneGrace == 0 {
		return events
	}
	own := *events
	own.Stale = func(err error) {
		if events.Stale != nil {
			events.Stale(err)
		}
		incarnation := h.incarnation
		w.At(w.now, func() { h.startOver(incarnation) })
	}
	return &own
}

// end ends the process, if one runs, at once; the machine is then in the given state.
func (h *Host) end(state machineState) {
	p := h.process
	h.state = state
	if p == nil {
		return
	}
	h.remember()
	h.w.gossip.gone(h)
	h.process = nil
	h.w.running--
	p.Stop()
	h.Resume()
	var tasks []*task
	for t := h.tasks; t != nil; t = t.next {
		tasks = append(tasks, t)
	}
	for _, t := range tasks {
		h.w.kill(t)
	}
	if h.traits != nil {
		for _, v := range h.traits.visits {
			v.wake()
		}
		h.traits.visits = nil
	}
}

// remember writes down whom the process knows, as chordd does whenever that changes.
func (h *Host) remember() {
	if !h.process.Ready() {
		return
	}
	t := h.trait()
	t.wasPart = true
	if known := h.process.Known(); len(known) > 0 {
		t.known = known
	}
	t.contact = h.process.Contact()
}

// startOver ends a process that has missed too much and starts it without records, as chordd does, unless it has ended already.
func (h *Host) startOver(incarnation uint32) {
	if h.state != running || h.incarnation != incarnation {
		return
	}
	h.end(exited)
	h.empty()
	h.w.Go(func() { _ = h.Restart() }) // it may end again before it is a member
}

// emptied returns how often a process of the host began anew.
func (h *Host) emptied() int {
	if h.traits == nil {
		return 0
	}
	return h.traits.emptied
}

// empty takes the records off the disk: what comes there from now on is up to date.
func (h *Host) empty() {
	t := h.trait()
	h.mem, t.tail = nil, nil
	t.contact = node.Contact{Since: h.Now(), Until: h.Now()}
	t.emptied++
}

// Kill ends the process at once, as kill -9 does: the machine stays up, refuses calls, and its disk has everything that was written.
func (h *Host) Kill() {
	if h.state == running {
		h.syncAll()
		h.end(exited)
	}
}

// Crash takes the whole machine down: calls to it are never answered, and its disk loses what was not synced.
func (h *Host) Crash() {
	h.end(down)
	h.loseTail()
}

// Replace gives a host whose process has ended a new identity and an empty disk: the next Join is that of a newcomer.
func (h *Host) Replace() {
	if h.state == running {
		panic("sim: Replace of " + h.addr + ", whose process runs")
	}
	h.generation++
	h.draw()
	h.mem = nil
	h.incarnation = 0
	if t := h.traits; t != nil {
		t.seeds, t.known, t.tail, t.wasPart, t.contact, t.clock = nil, nil, nil, false, node.Contact{}, time.Time{}
	}
}

// Pause stops the process, as SIGSTOP does: it neither acts nor answers, and everything that is due for it waits until Resume.
func (h *Host) Pause() { h.paused = h.state == running }

// Paused reports whether the process is paused.
func (h *Host) Paused() bool { return h.paused }

// Resume ends a Pause.
func (h *Host) Resume() {
	h.paused = false
	if h.traits == nil {
		return
	}
	for _, e := range h.traits.held {
		e.at = max(e.at, h.w.now)
		h.w.queue.push(e)
	}
	h.w.heldEvents -= len(h.traits.held)
	h.traits.held = nil
}

// hold keeps an event that is due until Resume. Whoever waits for the answer to a call does not do so for longer than its deadline.
func (h *Host) hold(e event) {
	h.trait().held = append(h.traits.held, e)
	h.w.heldEvents++
	if e.kind() == StepRequest {
		h.w.expire(h.w.calls.all[e.ref])
	}
}

// Go starts f as a task of the host's process. It does nothing if none runs. If the process ends while f waits, f ends there: its deferred
// functions run, the rest does not.
func (h *Host) Go(f func()) { hostRuntime{h}.Go(f) }

// visit is a task of the harness that waits for one of a host's process.
type visit struct {
	task *task
	done bool
}

func (v *visit) wake() { v.task.w.wakeAt(v.task.w.now, v.task) }

// Call runs f as a task of the host's process and waits until it has ended. It must be called on a task of the harness. Errors: ErrEnded, also if no
// process runs.
func (h *Host) Call(f func()) error {
	h.w.inHarness("Host.Call")
	if h.state != running {
		return fmt.Errorf("%s: %w", h.addr, ErrEnded)
	}
	t := h.trait()
	v := &visit{task: h.w.current}
	t.visits = append(t.visits, v)
	h.Go(func() {
		f()
		if i := slices.Index(t.visits, v); i >= 0 { // else the process ended by what f did
			t.visits = slices.Delete(t.visits, i, i+1)
			v.done = true
			v.wake()
		}
	})
	h.w.park("Host.Call")
	if !v.done {
		return fmt.Errorf("%s: %w", h.addr, ErrEnded)
	}
	return nil
}

// Join starts a process and makes it a member of the ring that it finds through the seeds, which are tried, with the peers that its disk remembers,
// until one works, with growing pauses, as chordd does. On a host that had a process before this is a restart: same identity, same disk, next incarnation.
// It must be called on a task of the harness and waits until the process is a member. Errors: ErrEnded. It panics if a process runs.
func (h *Host) Join(seeds ...*Host) error {
	t := h.trait()
	t.seeds = nil
	for _, s := range seeds {
		if s != h {
			t.seeds = append(t.seeds, s.addr)
		}
	}
	return h.Restart()
}

// Restart is Join through the seeds of the last Join and the peers that the disk remembers. A process of a ring in which nobody runs any more
// takes up its place alone, as chordd does.
func (h *Host) Restart() error {
	h.w.inHarness("Host.Join")
	p := h.start()
	p.Recall(h.trait().known)
	p.RecallContact(h.trait().contact)
	return h.Call(func() {
		h.enter(context.Background())
		h.w.gossip.joined(h)
	})
}

// Leave hands the data of the process over and ends it. It must be called on a task of the harness. Errors: ErrEnded, and those of
// node.Process.Leave, after which the process has ended all the same.
func (h *Host) Leave() error {
	var left error
	if err := h.Call(func() { left = h.process.Leave(context.Background()) }); err != nil {
		return err
	}
	h.w.gossip.leaves(h)
	h.Kill()
	return left
}
