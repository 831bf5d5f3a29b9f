package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	nemesisRuns = flag.Int("nemesis.runs", 1, "how often each nemesis has its way")
	nemesisSeed = flag.Uint64("nemesis.seed", 0, "of the first run, to repeat it; 0: a random one")
)

// nemesis is something bad that happens to a ring of five processes while eight clients use it.
type nemesis struct {
	name string
	args []string // of the processes
	// exact says that no two processes think at once that they own a key: then no increment that was acknowledged is lost to another.
	exact bool
	// few says that at most one process is away at a time: then registers that move are linearizable, too.
	few bool
	// strike does harm, and makes it good again.
	strike func(e *engagement)
}

// engagement is a nemesis at work.
type engagement struct {
	*testing.T
	rng  *rand.Rand
	ring []*chordd
	work *workload
}

const (
	// enough operations were acknowledged before the fault, or the run is invalid, and after it, or the ring has not come back.
	enoughBefore = 200
	enoughAfter  = 100
)

var nemeses = []nemesis{
	{name: "kill one after the other", exact: true, few: true, strike: killLoop},
	{name: "kill all at once", exact: true, strike: killAll},
	{name: "pause", exact: true, few: true, strike: pause},
	{name: "pause during a transfer", exact: true, few: true, strike: pauseTransfer},
	{name: "kill at a hand-over", args: []string{"--leave-on-stop"}, exact: true, strike: killHandOver},
	{name: "spoil tables", exact: true, strike: spoilTables},
	{name: "spoil a log", exact: true, strike: spoilLog},
	{name: "two processes with one identity", strike: twins},
}

// TestNemeses has each nemesis attack a ring, -nemesis.runs times. Afterwards no write that was acknowledged is lost, no delete is undone, no increment counted
// twice, and registers are linearizable: all of them where at most one process is away at a time, else those for which always the same process answered.
func TestNemeses(t *testing.T) {
	needPrograms(t)
	seed := *nemesisSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	for run := range uint64(*nemesisRuns) {
		for _, n := range nemeses {
			t.Run(fmt.Sprintf("%s/%d", n.name, seed+run), func(t *testing.T) {
				t.Parallel() // most of the time is waiting
				n.attack(t, seed+run, func() []*chordd { return startRing(t, 5, append([]string{"--vnodes", "2"}, n.args...)...) })
			})
		}
	}
}

func (n *nemesis) attack(t *testing.T, seed uint64, start func() []*chordd) {
	t.Logf("seed %d", seed)
	ring := start()
	waitSettled(t, ring...)
	n.engage(t, seed, ring, startWorkload(t, seed, ring, nil))
}

// engage strikes when there was enough work before, and checks everything when there was enough after it.
func (n *nemesis) engage(t *testing.T, seed uint64, ring []*chordd, work *workload) {
	e := &engagement{T: t, rng: rand.New(rand.NewPCG(seed, 0)), ring: ring, work: work}
	more(t, work, enoughBefore, "work before the fault, or the run is invalid")
	n.strike(e)
	waitReady(t, e.ring...)
	waitSettled(t, e.ring...)
	more(t, work, enoughAfter, "work after the fault")
	work.stop()
	t.Logf("%d operations succeeded, %d failed, %d reads were stale", work.done.Load(), work.failed.Load(), work.stale.Load())
	eventually(t, 30*time.Second, "as it was acknowledged", func() error { return work.checkOwn(t.Context(), n.exact) })
	if err := work.checkCounters(t.Context(), n.exact); err != nil {
		t.Error(err)
	}
	eventually(t, 20*time.Second, "everything can be written", func() error { return work.checkWritable(t.Context()) })
	t.Logf("%d registers checked", work.checkShared(t, n.exact, n.few))
}

// more waits until so many more operations have succeeded.
func more(t *testing.T, work *workload, n int64, what string) {
	t.Helper()
	want := work.done.Load() + n
	eventually(t, 40*time.Second, what, func() error {
		if got := work.done.Load(); got < want {
			return fmt.Errorf("%d operations are missing", want-got)
		}
		return nil
	})
}

// between returns a random time.
func (e *engagement) between(least, most time.Duration) time.Duration {
	return least + time.Duration(e.rng.Int64N(int64(most-least)))
}

func (e *engagement) any() *chordd { return e.ring[e.rng.IntN(len(e.ring))] }

// back starts processes again, and waits until the ring has repaired what they missed.
func (e *engagement) back(processes ...*chordd) {
	for _, d := range processes {
		d.start(e.join(d)...)
	}
	waitReady(e.T, e.ring...)
	waitSettled(e.T, e.ring...)
}

// join returns the arguments with which a process finds the others.
func (e *engagement) join(d *chordd) []string {
	for _, other := range e.ring {
		if other != d && other.running() {
			return []string{"--join", other.listen}
		}
	}
	return nil
}

func killLoop(e *engagement) {
	for range 3 {
		d := e.any()
		d.kill()
		time.Sleep(e.between(0, 1500*time.Millisecond))
		e.back(d)
	}
}

func killAll(e *engagement) {
	var kills sync.WaitGroup
	for _, d := range e.ring {
		kills.Go(d.kill)
	}
	kills.Wait()
	for _, d := range e.ring {
		d.start()
	}
}

func (d *chordd) signal(s os.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.t.Fatalf("%s: %v", d.name, err)
	}
}

// pause stops processes for less and for more than the others wait for an answer.
func pause(e *engagement) {
	for _, most := range []time.Duration{300 * time.Millisecond, 2 * time.Second, 6 * time.Second} {
		d := e.any()
		d.signal(syscall.SIGSTOP)
		time.Sleep(e.between(most/2, most))
		d.signal(syscall.SIGCONT)
		time.Sleep(200 * time.Millisecond)
	}
}

// newcomer is a process that is about to join.
func (e *engagement) newcomer() *chordd {
	return newChordd(e.T, "newcomer", e.ring[0].args...)
}

// pauseTransfer stops a process, and then the one that is given its share, in the middle of that.
func pauseTransfer(e *engagement) {
	n := e.newcomer()
	n.start(e.join(n)...)
	time.Sleep(e.between(100*time.Millisecond, time.Second))
	for _, d := range []*chordd{e.any(), n} {
		d.signal(syscall.SIGSTOP)
		time.Sleep(e.between(500*time.Millisecond, 2*time.Second))
		d.signal(syscall.SIGCONT)
	}
	e.ring = append(e.ring, n)
}

// killHandOver kills a process while it hands its records over, and one while it gets its share.
func killHandOver(e *engagement) {
	d := e.ring[1+e.rng.IntN(len(e.ring)-1)]
	d.signal(syscall.SIGTERM) // with --leave-on-stop
	time.Sleep(e.between(0, 300*time.Millisecond))
	d.kill()
	e.back(d)
	n := e.newcomer()
	n.start(e.join(n)...)
	time.Sleep(e.between(300*time.Millisecond, 1500*time.Millisecond))
	n.kill()
	time.Sleep(e.between(0, time.Second))
	e.ring = append(e.ring, n)
	e.back(n)
}
