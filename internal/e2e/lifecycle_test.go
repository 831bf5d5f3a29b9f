package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// startRing starts n processes and waits until all are ready.
func startRing(t *testing.T, n int, args ...string) []*chordd {
	t.Helper()
	ring := make([]*chordd, n)
	for i := range ring {
		ring[i] = newChordd(t, fmt.Sprintf("process %d", i), args...)
	}
	startAll(t, ring)
	return ring
}

// startAll starts processes as one ring, which the first founds, and waits until all are ready.
func startAll(t *testing.T, ring []*chordd) {
	t.Helper()
	ring[0].start()
	waitReady(t, ring[0])
	for _, d := range ring[1:] {
		d.start("--join", ring[0].listen)
	}
	waitReady(t, ring...)
}

// importAll puts the pairs through the command line.
func importAll(t *testing.T, server *chordd, pairs map[string]string) {
	t.Helper()
	mustChord(t, "import", writeTSV(t, pairs), "--server", server.listen, "--no-progress")
}

// TestWholeRingRestarts kills every process at once and starts all again: acknowledged is on disk.
func TestWholeRingRestarts(t *testing.T) {
	needPrograms(t)
	want := packageList(2, 5000)
	ring := startRing(t, 3, "--vnodes", "4")
	importAll(t, ring[0], want)
	for _, d := range ring {
		d.kill()
	}
	for i, d := range ring {
		d.start("--join", ring[(i+1)%len(ring)].listen)
	}
	waitReady(t, ring...)
	checkExport(t, ring[2], want)
	waitHeld(t, ring, want)
}

// TestRollingRestart stops the processes one after the other, each when the ring has settled, as an upgrade does: all the time every key can
// be read, and in the end each is where it was.
func TestRollingRestart(t *testing.T) {
	needPrograms(t)
	t.Parallel() // most of the time is waiting
	want := packageList(3, 2000)
	ring := startRing(t, 4, "--vnodes", "4")
	importAll(t, ring[0], want)
	for i, d := range ring {
		if code := d.terminate(10 * time.Second); code != 0 {
			t.Fatalf("%s: exit code %d after SIGTERM, want 0", d.name, code)
		}
		other := ring[(i+1)%len(ring)]
		checkExport(t, other, want)
		d.start("--join", other.listen)
		waitReady(t, d)
		checkExport(t, d, want)
		waitSettled(t, ring...)
	}
	waitHeld(t, ring, want)
}

// waitSettled waits until the replicas of every arc agree, by what the processes tell Prometheus.
func waitSettled(t *testing.T, ring ...*chordd) {
	t.Helper()
	eventually(t, 60*time.Second, "settled", func() error {
		for _, d := range ring {
			metrics, err := d.get("/metrics")
			if err != nil {
				return err
			}
			nodes := settledMetric.FindAllStringSubmatch(metrics, -1)
			if len(nodes) == 0 {
				return fmt.Errorf("%s shows no nodes", d.name)
			}
			for _, n := range nodes {
				if n[2] != "1" {
					return fmt.Errorf("node %.8s of %s is not settled", n[1], d.name)
				}
			}
		}
		return nil
	})
}

var settledMetric = regexp.MustCompile(`(?m)^chord_node_settled\{node="([0-9a-f]+)"\} (\d)$`)

// TestLeaveOnStop: with --leave-on-stop, SIGTERM hands over before the process ends, so that nothing has to be repaired afterwards.
func TestLeaveOnStop(t *testing.T) {
	needPrograms(t)
	want := packageList(4, 2000)
	ring := startRing(t, 4, "--vnodes", "4", "--leave-on-stop")
	importAll(t, ring[0], want)
	waitHeld(t, ring, want)
	if code := ring[3].terminate(10 * time.Second); code != 0 {
		t.Fatalf("exit code %d, want 0", code)
	}
	c, err := take(t.Context(), ring[:3])
	if err == nil {
		err = c.check(want)
	}
	if err != nil {
		t.Errorf("right after the process left: %v", err)
	}
	checkExport(t, ring[0], want)
}

// TestLargeAndStrangeKeys: keys are bytes. NUL and invalid UTF-8 work, and what breaks a limit is refused with exit code 2.
func TestLargeAndStrangeKeys(t *testing.T) {
	needPrograms(t)
	ring := startRing(t, 1, "--replicas", "1", "--write-quorum", "1", "--read-quorum", "1")
	server := ring[0].listen
	for _, hex := range []string{"00", "ff00fe", strings.Repeat("61", 1024)} {
		mustChord(t, "put", "--server", server, "--key-hex", hex, "value of "+hex[:2])
		if got, want := mustChord(t, "get", "--server", server, "--key-hex", hex), "value of "+hex[:2]; got != want {
			t.Errorf("get %.8s = %q, want %q", hex, got, want)
		}
	}
	for name, args := range map[string][]string{
		"empty key":      {"put", "", "v"},
		"1025-byte key":  {"put", strings.Repeat("k", 1025), "v"},
		"value over max": {"put", "k", "@" + writeTSV(t, map[string]string{"k": strings.Repeat("v", 1<<20)})},
	} {
		if out := chord(t, append(args, "--server", server)...); out.code != 2 || out.stdout != "" || !strings.Contains(out.stderr, "bytes") && !strings.Contains(out.stderr, "empty") {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q; want 2, nothing, and the limit", name, out.code, out.stdout, out.stderr)
		}
	}
	if out := chord(t, "get", "k", "--server", server); out.code != 3 {
		t.Errorf("get of a key that was refused: exit code %d, want 3 (not found)", out.code)
	}
}
