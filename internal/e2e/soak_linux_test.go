package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// racy is chordd with the race detector.
var racy = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binDir, "chordd-race")
	cmd := exec.Command("go", "build", "-race", "-o", path, "./cmd/chordd")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build chordd with the race detector: %w\n%s", err, out)
	}
	return path, nil
})

// soak is a ring of five processes that does everything at once. Two stay to the end: they are looked at.
type soak struct {
	t       *testing.T
	rng     *rand.Rand
	program string // empty: without the race detector
	ring    []*chordd
	work    *workload
}

// staying is how many processes of the ring nothing happens to.
const staying = 2

// TestSoak uses a ring in all ways at once while processes are killed, restarted, leave and join. Between the rounds all is quiet, and the processes that were there all the time have
// no more goroutines, open files and live memory than after the first round. What is read is right, and no process reports anything that should not be.
// In full: ten minutes, the processes with the race detector.
func TestSoak(t *testing.T) {
	needPrograms(t)
	seed, rounds, round := rand.Uint64(), 2, 6*time.Second
	program := ""
	if long {
		rounds, round = 5, 2*time.Minute
		var err error
		if program, err = racy(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d", seed)
	s := &soak{t: t, rng: rand.New(rand.NewPCG(seed, 0)), program: program}
	for i := range 5 {
		s.ring = append(s.ring, s.newChordd(fmt.Sprint("process ", i)))
	}
	startAll(t, s.ring)
	waitSettled(t, s.ring...)
	stay := s.ring[:staying:staying]
	s.work = startWorkload(t, seed, stay, nil)
	chores := newChores(t, stay)
	ctx, cancel := context.WithCancel(t.Context())
	var tasks sync.WaitGroup
	for _, c := range chores {
		tasks.Go(func() { c.run(ctx, t, s.work) })
	}
	stop := func() {
		cancel()
		tasks.Wait()
	}
	defer stop()

	var first []footprint
	for i := range rounds {
		s.disturb(time.Now().Add(round))
		now := s.rest(first)
		for k, f := range now {
			t.Logf("round %d: %s has %v", i+1, stay[k].name, f)
		}
		if i == 0 {
			first = now
		}
	}
	stop()
	s.work.stop()
	s.conclude(chores)
}

func (s *soak) newChordd(name string) *chordd {
	d := newChordd(s.t, name, "--vnodes", "4")
	d.program = s.program
	s.t.Cleanup(func() { s.checkLog(d) })
	return d
}

// disturb has one process after the other come and go.
func (s *soak) disturb(until time.Time) {
	for n := s.rng.IntN(3); time.Now().Before(until); n++ {
		i := staying + s.rng.IntN(len(s.ring)-staying)
		d := s.ring[i]
		switch n % 3 {
		case 0:
			d.kill()
			d.start("--join", s.ring[0].listen)
		case 1:
			s.stop(d)
			d.start("--join", s.ring[1].listen)
		case 2:
			s.leave(d)
			s.ring[i] = s.newChordd(fmt.Sprintf("successor of %s", d.name))
			s.ring[i].start("--join", s.ring[0].listen)
		}
		waitReady(s.t, s.ring...)
		waitSettled(s.t, s.ring...)
		time.Sleep(time.Duration(s.rng.Int64N(int64(time.Second)))) // undisturbed
	}
}

// stop ends a process in order.
func (s *soak) stop(d *chordd) {
	s.t.Helper()
	s.checkExit(d, d.terminate(patience(20*time.Second)))
}

// leave has a process leave the ring. With the race detector on a machine that does other things too, that can take longer than the operator waits.
func (s *soak) leave(d *chordd) {
	s.t.Helper()
	out := chord(s.t, "leave", "--server", d.listen, "--yes")
	switch {
	case out.code == 0:
		s.checkExit(d, d.wait(patience(20*time.Second)))
	case long && out.code == 6:
		s.t.Logf("%s is killed while it leaves: %s", d.name, out.stderr)
		d.kill()
	default:
		s.t.Errorf("%s: leave: exit code %d: %s", d.name, out.code, out.stderr)
		d.kill()
	}
}

func (s *soak) checkExit(d *chordd, code int) {
	s.t.Helper()
	if code != 0 {
		s.t.Errorf("%s ended with exit code %d:\n%s", d.name, code, d.tail(8<<10))
	}
}

// conclude checks what was read and written, what the processes say, and how they end.
func (s *soak) conclude(chores []*chore) {
	t := s.t
	for _, c := range chores {
		t.Logf("%s: done %d times, not served %d times (%v)", c.name, c.done, c.troubles, c.last)
		if c.done == 0 || c.troubles > c.done {
			t.Errorf("%s: done %d times, not served %d times: %v", c.name, c.done, c.troubles, c.last)
		}
	}
	t.Logf("%d operations succeeded, %d failed, %d reads were stale", s.work.done.Load(), s.work.failed.Load(), s.work.stale.Load())
	eventually(t, 30*time.Second, "as it was acknowledged", func() error { return s.work.checkOwn(t.Context(), false) })
	if err := s.work.checkCounters(t.Context(), false); err != nil {
		t.Error(err)
	}
	t.Logf("%d registers checked", s.work.checkShared(t, false, false))
	for d, f := range figuresOf(t, s.ring) {
		for _, wrong := range []string{"chord_rpc_panics_total", "chord_violations_total", "chord_store_tree_errors_total", "chord_store_corrupt_reads_total"} {
			if n, ok := f[wrong]; !ok || n != 0 {
				t.Errorf("%s: %s is %v (%v)", d.name, wrong, n, ok)
			}
		}
	}
	for _, d := range s.ring {
		s.stop(d)
	}
}

// checkLog looks for what a process must never print, whatever else failed.
func (s *soak) checkLog(d *chordd) {
	log := d.printed()
	for _, bad := range []string{"DATA RACE", "panic:", "goroutine "} {
		if _, report, found := strings.Cut(log, bad); found {
			s.t.Errorf("%s: %s%.4000s", d.name, bad, report)
		}
	}
}

// footprint is what a process takes while nothing is asked of it.
type footprint struct {
	goroutines, files int    // without those that wait for a task, of which a process keeps some hundred
	heap, memory      int    // MiB that are reachable, and that are resident
	stacks            string // of the goroutines
}

func (f footprint) String() string {
	return fmt.Sprintf("%d goroutines, %d open files, %d MiB of live heap, %d MiB resident", f.goroutines, f.files, f.heap, f.memory)
}

// roomOfStore is what a store may take for its cache and its memtables, in MiB: they fill slowly.
const roomOfStore = 64 + 4*32

// room returns how much more live heap, and resident memory, a process may have because its store fills. With the race detector the store is in the heap, and
// what is touched has a shadow of eight times its size.
func room() (heap, memory int) {
	if long {
		return roomOfStore, 9 * roomOfStore
	}
	return 0, roomOfStore
}

// perConnection is how many goroutines come with a connection, which is an open file too: with each, as many more may be there.
const perConnection = 10

// exceeds returns an error if a footprint is more than it was.
func (f footprint) exceeds(was footprint) error {
	heap, memory := room()
	goroutines := 10 + perConnection*max(0, f.files-was.files)
	if f.goroutines > was.goroutines+goroutines || f.files > was.files+10 || f.heap > was.heap+was.heap/4+8+heap || f.memory > was.memory+was.memory/4+memory {
		return fmt.Errorf("%v, want no more than %v, about\n%s", f, was, f.stacks)
	}
	return nil
}

// rest has everybody be quiet, and returns what the processes that stay take then.
func (s *soak) rest(were []footprint) []footprint {
	s.t.Helper()
	s.work.quiet.Lock()
	defer s.work.quiet.Unlock() // also when the test ends here: who waits for it is waited for
	waitReady(s.t, s.ring...)
	waitSettled(s.t, s.ring...)
	return s.footprints(were)
}

// footprints looks at the processes that stay, until they are what they were, if that is known; else until they have come to rest.
func (s *soak) footprints(were []footprint) (now []footprint) {
	s.t.Helper()
	for _, d := range s.ring[:staying] {
		var f footprint
		eventually(s.t, time.Minute, d.name+" at rest", func() (err error) {
			was := f
			if f, err = d.footprint(); err != nil {
				return err
			}
			if were != nil {
				return f.exceeds(were[len(now)])
			}
			time.Sleep(500 * time.Millisecond)
			return f.exceeds(was)
		})
		now = append(now, f)
	}
	return now
}

// footprint measures a process, after it has collected its garbage.
func (d *chordd) footprint() (f footprint, err error) {
	if _, err := d.get("/debug/pprof/heap?gc=1"); err != nil {
		return f, err
	}
	metrics, err := d.figures()
	if err != nil {
		return f, err
	}
	f.heap = int(metrics["go_memstats_heap_alloc_bytes"]) >> 20
	if f.goroutines, f.stacks, err = d.goroutines(); err != nil {
		return f, err
	}
	proc := filepath.Join("/proc", strconv.Itoa(d.cmd.Process.Pid))
	files, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return f, err
	}
	f.files = len(files)
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		return f, err
	}
	m := resident.FindSubmatch(status)
	if m == nil || f.heap == 0 {
		return f, fmt.Errorf("%s: no figures", d.name)
	}
	kib, err := strconv.Atoi(string(m[1]))
	f.memory = kib >> 10
	return f, err
}

// goroutines counts those that have something to do or wait for something to happen, and returns what most of them do.
func (d *chordd) goroutines() (n int, stacks string, err error) {
	profile, err := d.get("/debug/pprof/goroutine?debug=1")
	if err != nil {
		return 0, "", err
	}
	kinds := strings.Split(profile, "\n\n")
	_, kinds[0], _ = strings.Cut(kinds[0], "\n") // the number of all
	kinds = slices.DeleteFunc(kinds, func(kind string) bool { return idleTask.MatchString(kind) })
	for _, kind := range kinds {
		if count, _, ok := strings.Cut(kind, " @ "); ok {
			k, err := strconv.Atoi(count)
			if err != nil {
				return 0, "", err
			}
			n += k
		}
	}
	if n == 0 {
		return 0, "", fmt.Errorf("%s: no goroutines in %q", d.name, profile)
	}
	return n, strings.Join(kinds[:min(5, len(kinds))], "\n\n"), nil
}

// idleTask is the stack of a goroutine of node.Live that waits for a task.
var idleTask = regexp.MustCompile(`(?m)\A\d+ @ .*\n#\s+\S+\s+github\.com/chordkv/chord/node\.\(\*Live\)\.work`)

var resident = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)
