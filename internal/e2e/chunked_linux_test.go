package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// sizeVariable names the environment variable with the size of the file of TestLargeValue in MiB.
const sizeVariable = "CHORD_E2E_LARGE_MIB"

// Memory that a process may have used at most, in MiB, however large the value is. The race detector would need more, but the programs are built without it.
const (
	maxClientMiB  = 256
	maxChorddMiB  = 768
	blockBytes    = 256 << 10
	defaultMiB    = 64
	minutesPerGiB = 10
)

// stepOfClient is how long a client runs between two looks at how far it is: it stores some MiB in it.
const stepOfClient = 5 * time.Millisecond

// TestLargeValue: a file is stored in blocks; the client is killed half way, and so is a process of the ring; the same command again sends the rest. Reading is killed and resumed in the
// same way, and what comes back is the file. No process takes memory in proportion to it. Overwriting frees the room.
func TestLargeValue(t *testing.T) {
	needPrograms(t)
	mib := defaultMiB
	if s := os.Getenv(sizeVariable); s != "" {
		var err error
		if mib, err = strconv.Atoi(s); err != nil || mib < 16 {
			t.Fatalf("%s=%s: want a number of MiB, at least 16", sizeVariable, s)
		}
	}
	limit := time.Minute + time.Duration(mib)*minutesPerGiB*time.Minute/1024
	dir := t.TempDir()
	file, want := makeFile(t, filepath.Join(dir, "file"), int64(mib)<<20+12345)
	blocks := (int64(mib)<<20 + 12345 + blockBytes - 1) / blockBytes
	ring := startRing(t, 5)
	waitSettled(t, ring...)
	server := ring[0].listen + "," + ring[1].listen

	put := []string{"put", "--chunked", "large", file, "--server", server, "-o", "json", "--retry-for", limit.String()}
	killed := startClient(t, limit, put...)
	killed.killWhen(t, "half of it is stored", func() bool {
		n, err := recordsOf(ring)
		return err == nil && int64(n) > 3*blocks/2
	})
	if out := chord(t, "get", "large", "--server", server); out.code != 3 {
		t.Fatalf("get of half an upload: exit code %d, want 3\n%s", out.code, out.stderr)
	}
	again := startClient(t, limit, put...)
	ring[4].kill()
	var sent struct {
		Bytes, Blocks int64
		Known         int64 `json:"known_bytes"`
	}
	if err := json.Unmarshal([]byte(again.succeed(t)), &sent); err != nil || sent.Blocks != blocks {
		t.Fatalf("put: %+v, %v, want %d blocks", sent, err, blocks)
	}
	if sent.Known < sent.Bytes/4 || sent.Known > sent.Bytes*9/10 {
		t.Errorf("of %d bytes %d did not have to be sent again, want about half", sent.Bytes, sent.Known)
	}
	t.Logf("of %d bytes %d did not have to be sent again", sent.Bytes, sent.Known)
	ring[4].start("--join", ring[0].listen)

	to := filepath.Join(dir, "copy")
	get := []string{"get", "large", "--to", to, "--server", server, "-o", "json", "--retry-for", limit.String()}
	killed = startClient(t, limit, get...)
	killed.killWhen(t, "half of it has arrived", func() bool {
		st, err := os.Stat(to + ".part")
		return err == nil && st.Size() > int64(mib)<<19
	})
	if err := json.Unmarshal([]byte(startClient(t, limit, get...).succeed(t)), &sent); err != nil || sent.Known < sent.Bytes/4 {
		t.Errorf("of %d bytes %d did not have to be fetched again (%v), want half", sent.Bytes, sent.Known, err)
	}
	if got := hashFile(t, to); !bytes.Equal(got, want) {
		t.Errorf("the file that came back has hash %x, want %x", got, want)
	}
	stream := startClient(t, limit, "get", "large", "--server", server, "--retry-for", limit.String())
	stream.wait(t)
	if got := stream.stdout.Sum(nil); !bytes.Equal(got, want) || stream.code() != 0 {
		t.Errorf("what came on standard output has hash %x, want %x\n%s", got, want, &stream.stderr)
	}

	mustChord(t, "put", "large", "small", "--server", server)
	if got, want := mustChord(t, "export", "-q", "--server", server), "{\"key\":\"large\",\"value\":\"small\"}\n"; got != want {
		t.Errorf("after an ordinary put the ring has %d bytes, want %q", len(got), want)
	}
	if got := mustChord(t, "gc-chunks", "--older-than", "1m", "--server", server); got != "nothing is left over\n" {
		t.Errorf("gc-chunks: got %q", got)
	}
	for _, d := range ring {
		checkMemory(t, d.name, peakMiB(t, d), maxChorddMiB)
	}
}

// makeFile makes a file that does not compress, and returns its hash.
func makeFile(t *testing.T, path string, size int64) (name string, hash []byte) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(f, h), rand.NewChaCha8([32]byte{1}), size); err != nil {
		t.Fatal(err)
	}
	return path, h.Sum(nil)
}

func hashFile(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return h.Sum(nil)
}

// client is a chord that runs in the background.
type client struct {
	cmd    *exec.Cmd
	args   []string
	limit  time.Duration
	begun  time.Time
	text   bytes.Buffer // of standard output, when it is short
	stdout interface{ Sum(b []byte) []byte }
	stderr bytes.Buffer
	ended  chan struct{}
}

func startClient(t *testing.T, limit time.Duration, args ...string) *client {
	t.Helper()
	hash := sha256.New()
	c := &client{cmd: exec.Command(filepath.Join(binDir, "chord"), args...), args: args, limit: limit, begun: time.Now(), stdout: hash, ended: make(chan struct{})}
	c.cmd.Env = environment()
	c.cmd.Stdout, c.cmd.Stderr = io.MultiWriter(hash, &head{&c.text}), &c.stderr
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = c.cmd.Wait() // the exit code is in cmd.ProcessState
		close(c.ended)
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // fails if it has ended, as it should have
		<-c.ended
	})
	return c
}

// head keeps the first bytes that are written.
type head struct{ to *bytes.Buffer }

func (h *head) Write(b []byte) (int, error) {
	h.to.Write(b[:min(len(b), max(0, 4096-h.to.Len()))])
	return len(b), nil
}

// killWhen ends the client by SIGKILL as soon as something holds, which must be before it ends. The client stands still
// while the question is asked, so that it does not get far in the meantime, however slow the answer is.
func (c *client) killWhen(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(c.limit); ; time.Sleep(stepOfClient) {
		select {
		case <-c.ended:
			t.Fatalf("chord %v ended before %s\n%s", c.args, what, &c.stderr)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("chord %v: after %v not %s", c.args, c.limit, what)
		}
		_ = c.cmd.Process.Signal(syscall.SIGSTOP) // fails if it has just ended, which is seen in the next round
		if holds() {
			break
		}
		_ = c.cmd.Process.Signal(syscall.SIGCONT)
	}
	_ = c.cmd.Process.Kill() // fails if it has just ended, which is seen below
	<-c.ended
	if s, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGKILL {
		t.Fatalf("chord %v ended before it was killed: %v", c.args, c.cmd.ProcessState)
	}
	c.checkMemory(t)
}

func (c *client) wait(t *testing.T) {
	t.Helper()
	select {
	case <-c.ended:
	case <-time.After(c.limit):
		t.Fatalf("chord %v has not ended after %v", c.args, c.limit)
	}
	t.Logf("chord %v took %v", c.args[:2], time.Since(c.begun).Round(time.Millisecond))
	c.checkMemory(t)
}

func (c *client) code() int { return c.cmd.ProcessState.ExitCode() }

// succeed waits for the end and returns what was printed.
func (c *client) succeed(t *testing.T) string {
	t.Helper()
	if c.wait(t); c.code() != 0 {
		t.Fatalf("chord %v: exit code %d\n%s", c.args, c.code(), &c.stderr)
	}
	return c.text.String()
}

func (c *client) checkMemory(t *testing.T) {
	t.Helper()
	if r, ok := c.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		checkMemory(t, fmt.Sprint("chord ", c.args[0]), r.Maxrss>>10, maxClientMiB)
	}
}

func checkMemory(t *testing.T, what string, got, most int64) {
	t.Helper()
	t.Logf("%s used %d MiB at most", what, got)
	if got > most || got == 0 {
		t.Errorf("%s used %d MiB, want at most %d", what, got, most)
	}
}

var peakMemory = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)

// peakMiB returns the most memory that a process has had.
func peakMiB(t *testing.T, d *chordd) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	m := peakMemory.FindSubmatch(status)
	if m == nil {
		t.Fatalf("no VmHWM in %s", status)
	}
	kib, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib >> 10
}
