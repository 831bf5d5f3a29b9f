package e2e

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestRingKeepsData is the life of a small cluster: five processes, an import during which two of them are killed, their return, a sixth
// process, and one that leaves. After each step every acknowledged key has its value, and is on exactly the processes where it belongs.
func TestRingKeepsData(t *testing.T) {
	needPrograms(t)
	want := installable(50_000)
	t.Logf("%d real packages", len(want))
	addPackages(want, 1, 100_000)
	file := writeTSV(t, want)

	ring := make([]*chordd, 5)
	for i := range ring {
		ring[i] = newChordd(t, fmt.Sprintf("process %d", i), "--vnodes", "8", "--grace", "2s")
		if i == 0 {
			ring[i].start()
			waitReady(t, ring[0])
		} else {
			ring[i].start("--join", ring[0].listen)
		}
	}
	waitReady(t, ring...)

	importing := startImport(t, file, ring[0])
	importing.waitFor(t, 10*time.Second, "under way", func() bool { return ring[3].stores(1000) })
	ring[3].kill()
	importing.waitOrEnd(10 * time.Second)
	ring[4].kill()
	importing.succeed(t, 90*time.Second)

	t.Log("two processes are gone")
	waitHeld(t, ring[:3], want)
	checkExport(t, ring[1], want)

	t.Log("they come back")
	ring[3].start("--join", ring[0].listen)
	ring[4].start("--join", ring[1].listen)
	waitReady(t, ring...)
	c := waitHeld(t, ring, want)
	checkExport(t, ring[4], want)
	checkShare(t, c, ring[3], len(want))
	checkShare(t, c, ring[4], len(want))

	t.Log("a sixth joins")
	ring = append(ring, newChordd(t, "process 5", "--vnodes", "8", "--grace", "2s"))
	ring[5].start("--join", ring[2].listen)
	waitReady(t, ring[5])
	c = waitHeld(t, ring, want)
	checkExport(t, ring[5], want)
	checkShare(t, c, ring[5], len(want))

	t.Log("one leaves")
	mustChord(t, "leave", "--server", ring[1].listen, "--yes")
	if code := ring[1].wait(10 * time.Second); code != 0 {
		t.Errorf("exit code %d of the process that left, want 0", code)
	}
	ring = append(ring[:1], ring[2:]...)
	waitHeld(t, ring, want)
	checkExport(t, ring[0], want)
}

// checkShare fails if a process holds less than a tenth of the keys that it would if all nodes owned the same: its eight random nodes cannot be
// so unlucky, so it has not got its share.
func checkShare(t *testing.T, c census, d *chordd, keys int) {
	t.Helper()
	fair := keys * replicas / len(c.addrs)
	if got := c.count(d); got < fair/10 {
		t.Errorf("%s holds %d keys, want about %d", d.name, got, fair)
	}
}

// importRun is a chord import in the background.
type importRun struct {
	cmd    *exec.Cmd
	output bytes.Buffer // of cmd; to be read when ended is closed
	ended  chan struct{}
	err    error
}

func startImport(t *testing.T, file string, server *chordd) *importRun {
	t.Helper()
	run := &importRun{
		cmd:   exec.Command(filepath.Join(binDir, "chord"), "import", file, "--server", server.listen, "--no-progress"),
		ended: make(chan struct{}),
	}
	run.cmd.Env = environment()
	run.cmd.Stdout, run.cmd.Stderr = &run.output, &run.output
	if err := run.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		run.err = run.cmd.Wait()
		close(run.ended)
	}()
	t.Cleanup(func() {
		_ = run.cmd.Process.Kill() // fails if it has ended, as it should have
		<-run.ended
	})
	return run
}

// waitFor waits for a condition that has to come true before the import ends.
func (run *importRun) waitFor(t *testing.T, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	eventually(t, limit, "the import "+what, func() error {
		select {
		case <-run.ended:
			t.Fatalf("import ended before it was %s: %v\n%s", what, run.err, run.output.String())
		default:
		}
		if !condition() {
			return fmt.Errorf("not yet")
		}
		return nil
	})
}

// waitOrEnd lets the time pass, or the import end.
func (run *importRun) waitOrEnd(d time.Duration) {
	select {
	case <-time.After(d):
	case <-run.ended:
	}
}

// succeed waits until the import has ended without a failed line.
func (run *importRun) succeed(t *testing.T, limit time.Duration) {
	t.Helper()
	select {
	case <-run.ended:
	case <-time.After(limit):
		t.Fatalf("import has not ended after %v", limit)
	}
	t.Logf("import: %s", bytes.TrimSpace(run.output.Bytes()))
	if run.err != nil {
		t.Fatalf("import: %v", run.err)
	}
}
