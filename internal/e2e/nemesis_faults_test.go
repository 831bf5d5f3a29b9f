package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// faulty is the program with the tag faults, which does what a file says: see cmd/chordd/faults_on.go.
var faulty = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binDir, "chordd-faults")
	cmd := exec.Command("go", "build", "-race=false", "-tags", "faults", "-o", path, "./cmd/chordd")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build chordd with faults: %w\n%s", err, out)
	}
	return path, nil
})

// faults are the nemeses that take part in the program.
var faults = []nemesis{
	{name: "clock ahead", strike: func(e *engagement) { e.skew("clock 1h", "clock 1h") }},
	{name: "clock behind", strike: func(e *engagement) { e.skew("clock -1h", "clock -1h") }},
	{name: "clock jumps over a restart", strike: jumpOverRestart},
	{name: "slow disk", exact: true, strike: func(e *engagement) { e.skew("slow 300ms", "slow 30ms", "slow 1s") }},
	{name: "failed syncs", exact: true, strike: func(e *engagement) { failing(e, "sync", 20) }},
	{name: "failed writes", exact: true, strike: func(e *engagement) { failing(e, "write", 50) }},
	{name: "failed reads", exact: true, strike: failedReads},
	{name: "crash at a step of a hand-over", args: []string{"--leave-on-stop"}, exact: true, strike: crashAtSteps},
}

// TestNemesesOfTheMachine is TestNemeses for clocks that jump by an hour and disks that are slow or fail.
func TestNemesesOfTheMachine(t *testing.T) {
	needPrograms(t)
	program, err := faulty()
	if err != nil {
		t.Fatal(err)
	}
	seed := *nemesisSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	for run := range uint64(*nemesisRuns) {
		for _, n := range faults {
			t.Run(fmt.Sprintf("%s/%d", n.name, seed+run), func(t *testing.T) {
				t.Parallel()
				n.attack(t, seed+run, func() []*chordd {
					ring := make([]*chordd, 5)
					for i := range ring {
						ring[i] = newChordd(t, fmt.Sprint("process ", i), append([]string{"--vnodes", "2"}, n.args...)...)
						ring[i].program, ring[i].faults = program, filepath.Join(t.TempDir(), "faults")
					}
					startAll(t, ring)
					return ring
				})
			})
		}
	}
}

// suffer has a process suffer from faults, from now on.
func (d *chordd) suffer(what ...string) {
	d.t.Helper()
	temporary := d.faults + ".new"
	if err := os.WriteFile(temporary, []byte(strings.Join(what, "\n")), 0o644); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Rename(temporary, d.faults); err != nil {
		d.t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // it looks every 20 ms
}

// skew has one process after the other suffer from something, for a while.
func (e *engagement) skew(what ...string) {
	for _, fault := range what {
		d := e.any()
		d.suffer(fault)
		time.Sleep(e.between(time.Second, 4*time.Second))
		d.suffer()
	}
}

// jumpOverRestart kills a process and starts it with another time.
func jumpOverRestart(e *engagement) {
	for _, fault := range []string{"clock -1h", "clock 1h", ""} {
		d := e.any()
		d.kill()
		d.suffer(fault)
		d.start(e.join(d)...)
		waitReady(e.T, e.ring...) // nobody settles with a process whose clock is wrong
		time.Sleep(e.between(time.Second, 3*time.Second))
		d.kill()
		d.suffer()
		e.back(d)
	}
}

// failing has the disk of a process fail where it must not: the process ends, and comes back when the disk works again.
func failing(e *engagement, what string, most int) {
	for range 3 {
		d := e.any()
		d.suffer(fmt.Sprintf("%s %d", what, 1+e.rng.IntN(most)))
		if code := d.wait(20 * time.Second); code == 0 {
			e.Errorf("%s ended with exit code 0 after a failed %s", d.name, what)
		}
		d.suffer()
		e.back(d)
	}
}

// failedReads has reads fail now and then, of tables too.
func failedReads(e *engagement) {
	e.work.fill(e.T, 1000)
	for range 2 {
		d := e.any()
		d.kill() // what is in the log is in a table after the next start
		e.back(d)
		d.suffer(fmt.Sprintf("read %d", 1+e.rng.IntN(10)))
		time.Sleep(e.between(time.Second, 3*time.Second))
		d.suffer()
		if !d.running() {
			e.back(d)
		}
	}
}

// crashAtSteps has a process die at some step of handing its records over, one that is new while it gets its share, and one that gives it.
func crashAtSteps(e *engagement) {
	e.work.fill(e.T, 1000)
	for _, steps := range []int{10, 100} {
		d := e.ring[1+e.rng.IntN(len(e.ring)-1)]
		step := 1 + e.rng.IntN(steps)
		d.suffer(fmt.Sprint("crash ", step))
		_ = d.cmd.Process.Signal(syscall.SIGTERM) // fails if it has died already
		e.Logf("%s left, or died at step %d: exit code %d", d.name, step, d.wait(20*time.Second))
		d.suffer()
		e.back(d)
	}
	n := e.newcomer()
	n.program, n.faults = e.ring[0].program, filepath.Join(e.TempDir(), "faults")
	d := e.any()
	for d == e.ring[0] { // through which the other joins
		d = e.any()
	}
	for _, of := range []*chordd{n, d} {
		step := 1 + e.rng.IntN(30)
		of.suffer(fmt.Sprint("crash ", step))
		e.Logf("%s dies at step %d", of.name, step)
	}
	n.start("--join", e.ring[0].listen)
	time.Sleep(e.between(2*time.Second, 4*time.Second))
	e.ring = append(e.ring, n)
	for _, of := range []*chordd{n, d} {
		of.suffer()
		e.Logf("%s runs: %v", of.name, of.running())
		eventually(e.T, 20*time.Second, of.name+" is back", func() error {
			if !of.running() {
				of.start(e.join(of)...)
			}
			return of.ready()
		})
	}
}
