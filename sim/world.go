package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// epoch is what a right clock shows at virtual time 0: the year in which Chord was published.
var epoch = time.Date(2001, time.August, 27, 0, 0, 0, 0, time.UTC)

// World is one simulation.
type World struct {
	options Options
	now     time.Duration
	net     Net
	gossip  gossiping
	hosts   []*Host
	wired   Rand
	unheard node.Events // what processes are told to tell where nobody listens: nothing

	queue   queue
	tickets tickets
	calls   calls
	tasks   []*task // all
	idle    []*task // without a job
	current *task   // nil: the event loop itself
	serving *call   // whose handler runs in the event loop
	choice  choice

	sum        checksum
	stats      Stats
	heldEvents int // of paused processes
	running    int // processes
	busy       bool
	err        error
}

// New returns a world without hosts, at time 0. Close it.
func New(o Options) (*World, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("options of the simulation: %w", err)
	}
	w := &World{options: o, wired: stream(o.Seed, "wire", 0)}
	w.net.init(w)
	w.gossip.init(w)
	w.inherit(o.spare)
	return w, nil
}

// Close ends everything that still runs. It returns the error that the world failed with, or what it found to be wrong at the end: a *StuckError for
// each task that waits for what can never come, with the stack where it does.
func (w *World) Close() error {
	failed := w.err
	stuck := w.endTasks()
	w.err = errClosed
	if failed == errClosed {
		return nil
	}
	return errors.Join(failed, stuck)
}

var errClosed = errors.New("sim: the world is closed")

// AddHost adds a machine on which no process runs yet.
func (w *World) AddHost() *Host {
	h := &Host{}
	h.init(w, len(w.hosts), addrOf(len(w.hosts)))
	w.hosts = append(w.hosts, h)
	return h
}

// addHosts adds many at once, in one piece of memory.
func (w *World) addHosts(n int) []*Host {
	var addrs []byte
	for i := range n {
		addrs = strconv.AppendInt(append(addrs, 'n'), int64(len(w.hosts)+i), 10)
	}
	text := string(addrs)
	hosts := make([]Host, n)
	first := len(w.hosts)
	for i := range hosts {
		length := len("n") + len(strconv.Itoa(first+i))
		hosts[i].init(w, first+i, text[:length])
		text = text[length:]
		w.hosts = append(w.hosts, &hosts[i])
	}
	return w.hosts[first:]
}

// timersPerNode is how many timers a node at rest has, some of them those of its process. It is for making room, no more.
const timersPerNode = 5

// Bootstrap adds n hosts and starts a process on each, all members of one ideal ring. The hosts are numbered in no order of the ring.
func (w *World) Bootstrap(n int) error {
	hosts := slices.Clone(w.addHosts(n))
	refs := make([]ring.Ref, 0, n*w.options.VNodes)
	first := make([]ring.ID, len(w.hosts)) // of each host's nodes, by the host's number
	for _, h := range hosts {
		own := h.Identity().Refs(h.addr)
		first[h.number] = own[0].ID
		refs = append(refs, own...)
	}
	members, err := node.NewMembership(refs)
	if err != nil {
		return err
	}
	// In the order of the ring: those that talk to each other lie next to each other in memory.
	slices.SortFunc(hosts, func(a, b *Host) int { return first[a.number].Compare(first[b.number]) })
	w.queue.heap = slices.Grow(w.queue.heap, timersPerNode*len(refs))
	w.tickets.all = slices.Grow(w.tickets.all, timersPerNode*len(refs))
	for _, h := range hosts {
		if err := h.start().Bootstrap(members); err != nil {
			return err
		}
	}
	w.gossip.begin(hosts)
	return nil
}

// Acquaint lets the processes, which must be one ideal ring, know of each other's distance what they would find out in the end: see
// node.Process.Acquaint. The latency must be one that leaves nothing to chance.
func (w *World) Acquaint() error {
	var refs []ring.Ref
	for _, h := range w.hosts {
		refs = append(refs, h.process.Nodes()...)
	}
	members, err := node.NewMembership(refs)
	if err != nil {
		return err
	}
	for _, h := range w.hosts {
		h.process.Acquaint(members, func(to ring.Ref) time.Duration {
			number, _ := numberOf(to.Addr)
			here, there := int(h.number), int(number)
			return w.options.Latency.OneWay(here, there, nil) + w.options.Latency.OneWay(there, here, nil)
		})
	}
	return nil
}

// Host returns a host by its number.
func (w *World) Host(number int) *Host { return w.hosts[number] }

// Hosts returns all hosts by number. The caller must not change the slice.
func (w *World) Hosts() []*Host { return w.hosts }

// Net returns the network.
func (w *World) Net() *Net { return &w.net }

// Now returns the virtual time since the world's beginning.
func (w *World) Now() time.Duration { return w.now }

// Seed returns the seed of the options.
func (w *World) Seed() uint64 { return w.options.Seed }

// Rand returns the stream of chance for a purpose of the harness, from its beginning: see NewRand. The engine's own purposes are named after what
// they are for ("node", "latency"); those of a harness should not be.
func (w *World) Rand(purpose string) *Rand { return NewRand(w.options.Seed, "harness "+purpose, 0) }

// Checksum returns the checksum of all steps so far.
func (w *World) Checksum() uint64 { return uint64(w.sum) }

// Go starts f as a task of the harness, which may wait.
func (w *World) Go(f func()) { w.schedule(nil, StepTask, 0, f) }

// At starts f as a task of the harness at a virtual time, now if that is over. The returned function cancels it if it has not started.
func (w *World) At(t time.Duration, f func()) (stop func()) {
	return w.stopper(w.schedule(nil, StepTimer, t-w.now, f))
}

// inHarness panics unless the current task is one of the harness.
func (w *World) inHarness(what string) {
	if w.current == nil || w.current.host != nil {
		panic("sim: " + what + " outside of a task of the harness: use World.Go, World.At or World.Exec")
	}
}

// Sleep suspends the task of the harness that it is called on.
func (w *World) Sleep(d time.Duration) {
	w.inHarness("World.Sleep")
	w.wakeAt(w.now+max(d, 0), w.current)
	w.park("World.Sleep")
}

// WaitFor suspends the task of the harness that it is called on until cond holds, which is asked now and after each interval, or a time
// has passed. It reports whether cond held.
func (w *World) WaitFor(cond func() bool, every, within time.Duration) bool {
	for end := w.now + within; ; w.Sleep(min(every, end-w.now)) {
		if cond() {
			return true
		}
		if w.now >= end {
			return false
		}
	}
}

// Gather runs f(0) to f(n-1) as tasks of the harness and suspends the one that it is called on until all have ended.
func (w *World) Gather(n int, f func(i int)) {
	w.inHarness("World.Gather")
	w.gather(nil, n, func(i int) error {
		f(i)
		return nil
	}, nil, func(int, error) bool { return false })
}

// WithTimeout returns a context that ends by the world's clock. Its Done must not be called.
func (w *World) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return w.withTimeout(ctx, d)
}
