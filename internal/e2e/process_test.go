package e2e

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// chordd is a process under test: its place and settings, which outlive what is running there at the moment.
type chordd struct {
	t      *testing.T
	name   string
	listen string // HOST:PORT, the same through all restarts
	admin  string
	data   string
	args   []string // besides the addresses and the data directory
	log    string   // file with everything that it ever printed

	program string // empty: the one that everybody runs
	faults  string // file that says from what it suffers; empty: it is not made for that

	within []string                                                     // command that runs its arguments where the process is to run; nil: here
	dial   func(ctx context.Context, addr string) (c net.Conn, e error) // from there

	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
}

// newChordd prepares a process in a directory of its own; nothing is started yet.
func newChordd(t *testing.T, name string, args ...string) *chordd {
	t.Helper()
	dir := t.TempDir()
	d := &chordd{
		t: t, name: name, listen: freeAddr(t), admin: freeAddr(t),
		data: filepath.Join(dir, "data"), args: args, log: filepath.Join(dir, "log"),
		dial: func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		},
	}
	t.Cleanup(func() {
		d.kill()
		if t.Failed() {
			t.Logf("end of the log of %s (%s):\n%s", name, d.listen, d.tail(4<<10))
		}
	})
	return d
}

// freeAddr returns a loopback address with a port that nobody listens on, nor on the one after it, where a chordd gossips. It lies below the
// range from which the kernel takes ports for outgoing connections, so that none of those gets in the way of a restart, and is
// the test's until it ends.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := 20000 + 2*rand.IntN(6000)
		if _, taken := takenPorts.LoadOrStore(port, true); !taken && free(port) && free(port+1) {
			t.Cleanup(func() { takenPorts.Delete(port) })
			return fmt.Sprintf("127.0.0.1:%d", port)
		}
	}
	t.Fatal("no free port")
	return ""
}

var takenPorts sync.Map

// free reports whether nobody listens on a port of the loopback address.
func free(port int) bool {
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer l.Close()
	u, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	defer u.Close()
	return true
}

// gossip returns where the process gossips, by default.
func (d *chordd) gossip() string {
	host, port, _ := net.SplitHostPort(d.listen)
	n, _ := strconv.Atoi(port)
	return net.JoinHostPort(host, strconv.Itoa(n+1))
}

// start runs the process, with more arguments for this time only.
func (d *chordd) start(more ...string) {
	d.t.Helper()
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close() // the process has its own descriptor
	command := slices.Concat(d.within, []string{cmp.Or(d.program, filepath.Join(binDir, "chordd")), "--listen", d.listen, "--admin", d.admin, "--data", d.data}, d.args, more)
	d.cmd = exec.Command(command[0], command[1:]...)
	d.cmd.Env = append(environment(), "FAULTS_OF_CHORDD="+d.faults)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait() // the exit code is in cmd.ProcessState
		close(exited)
	}(d.cmd, d.exited)
}

// running reports whether the process was started and has not ended.
func (d *chordd) running() bool {
	if d.exited == nil {
		return false
	}
	select {
	case <-d.exited:
		return false
	default:
		return true
	}
}

// kill ends the process as a crash does: by SIGKILL.
func (d *chordd) kill() {
	if d.running() {
		_ = d.cmd.Process.Kill() // fails only if it has just ended
		<-d.exited
	}
}

// terminate asks the process to stop and returns its exit code.
func (d *chordd) terminate(limit time.Duration) int {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatalf("%s: %v", d.name, err)
	}
	return d.wait(limit)
}

// wait waits for the process to end and returns its exit code.
func (d *chordd) wait(limit time.Duration) int {
	d.t.Helper()
	select {
	case <-d.exited:
	case <-time.After(limit):
		d.t.Fatalf("%s has not ended after %v", d.name, limit)
	}
	return d.cmd.ProcessState.ExitCode()
}

// ready returns nil when the process says that it is a member and serves.
func (d *chordd) ready() error {
	if !d.running() {
		return fmt.Errorf("%s has ended", d.name)
	}
	_, err := d.get("/readyz")
	return err
}

// get reads a page of the admin listener; an answer other than 200 is an error.
func (d *chordd) get(path string) (string, error) {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, addr string) (net.Conn, error) { return d.dial(ctx, addr) },
	}
	client := http.Client{Timeout: time.Second, Transport: transport}
	resp, err := client.Get("http://" + d.admin + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", d.name, resp.Status, bytes.TrimSpace(body))
	}
	return string(body), err
}

// waitReady waits until all of the processes are ready.
func waitReady(t *testing.T, processes ...*chordd) {
	t.Helper()
	eventually(t, 20*time.Second, "ready", func() error {
		var errs []error
		for _, d := range processes {
			errs = append(errs, d.ready())
		}
		return errors.Join(errs...)
	})
}

// tail returns the last bytes of the log, from the beginning of a line on.
func (d *chordd) tail(most int64) string {
	f, err := os.Open(d.log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if end, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, end-most), io.SeekStart) // a seek inside the file does not fail
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	if _, rest, ok := strings.Cut(string(text), "\n"); ok && int64(len(text)) == most {
		return rest
	}
	return string(text)
}
