package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	chordv1 "github.com/chordkv/chord/proto/chord/v1"
)

// beChordd in the environment makes the test binary be chordd, so that signals and exit codes are those of a real process.
const beChordd = "TEST_BE_CHORDD"

func TestMain(m *testing.M) {
	if os.Getenv(beChordd) != "" {
		main()
	}
	os.Exit(m.Run())
}

// patienceForTests is how long a condition may take before a test gives up on it.
const patienceForTests = time.Minute

// daemon is a chordd that a test runs, in the test's process or in one of its own.
type daemon struct {
	log    *logLines
	stdout *logLines
	signal func(os.Signal)
	done   chan struct{}
	code   int // once done is closed
}

// startHere runs chordd on goroutines of the test. It is stopped at the end of the test.
func startHere(t *testing.T, args ...string) *daemon {
	t.Helper()
	signals := make(chan os.Signal, 2)
	d := &daemon{log: newLogLines(), stdout: newLogLines(), done: make(chan struct{}), signal: func(s os.Signal) { signals <- s }}
	go func() {
		defer close(d.done)
		d.code = run(context.Background(), surroundings{args: args, stdout: d.stdout, stderr: d.log, signals: signals})
	}()
	d.stopAtEnd(t, args)
	return d
}

// startChild runs chordd as an operating system process.
func startChild(t *testing.T, args ...string) *daemon {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{log: newLogLines(), stdout: newLogLines(), done: make(chan struct{})}
	cmd := exec.Command(self, args...)
	cmd.Env = append(withoutSettings(os.Environ()), beChordd+"=1")
	cmd.Stdout, cmd.Stderr = d.stdout, d.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.signal = func(s os.Signal) {
		if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("signal %v: %v", s, err)
		}
	}
	go func() {
		defer close(d.done)
		_ = cmd.Wait() // the code says it
		d.code = cmd.ProcessState.ExitCode()
	}()
	d.stopAtEnd(t, args)
	return d
}

func withoutSettings(environ []string) (kept []string) {
	for _, e := range environ {
		if !strings.HasPrefix(e, envPrefix) {
			kept = append(kept, e)
		}
	}
	return kept
}

func (d *daemon) stopAtEnd(t *testing.T, args []string) {
	t.Helper()
	t.Cleanup(func() {
		select {
		case <-d.done:
		default:
			d.signal(syscall.SIGTERM)
			d.exit(t)
		}
		if t.Failed() {
			t.Logf("log of chordd %s:\n%s", strings.Join(args, " "), d.log.text())
		}
	})
}

// exit waits for the end and returns the exit code.
func (d *daemon) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-d.done:
		return d.code
	case <-time.After(patienceForTests):
		d.signal(syscall.SIGKILL)
		t.Fatalf("chordd does not end; its log:\n%s", d.log.text())
		return 0
	}
}

// await waits for a log line with the message and returns its fields.
func (d *daemon) await(t *testing.T, message string) map[string]any {
	t.Helper()
	deadline := time.After(patienceForTests)
	for from := 0; ; {
		lines, more := d.log.since(from)
		for _, l := range lines {
			var fields map[string]any
			if json.Unmarshal([]byte(l), &fields) == nil && fields["message"] == message {
				return fields
			}
		}
		from += len(lines)
		select {
		case <-more:
		case <-d.done:
			if late, _ := d.log.since(from); len(late) == 0 {
				t.Fatalf("chordd ended with code %d without logging %q:\n%s", d.code, message, d.log.text())
			}
		case <-deadline:
			t.Fatalf("chordd does not log %q; its log:\n%s", message, d.log.text())
		}
	}
}

// ready waits until the process is a member, and returns the fields of the line that says so as strings.
func (d *daemon) ready(t *testing.T) map[string]string {
	t.Helper()
	fields := map[string]string{}
	for k, v := range d.await(t, "ready") {
		fields[k] = fmt.Sprint(v)
	}
	return fields
}

// logLines collects what is written to it, by line.
type logLines struct {
	mu    sync.Mutex
	lines []string
	rest  []byte
	more  chan struct{} // closed with the next line
}

func newLogLines() *logLines { return &logLines{more: make(chan struct{})} }

// Write implements io.Writer.
func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, b...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(b), nil
		}
		l.lines = append(l.lines, string(line))
		l.rest = rest
		close(l.more)
		l.more = make(chan struct{})
	}
}

// since returns the lines from the n-th on, and a channel that is closed when there are more.
func (l *logLines) since(n int) ([]string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines[n:len(l.lines):len(l.lines)], l.more
}

func (l *logLines) text() string {
	lines, _ := l.since(0)
	return strings.Join(lines, "\n")
}

// alone are the flags of a process that a test starts for itself: any free port, and happy without others.
func alone(t *testing.T, more ...string) []string {
	t.Helper()
	return append([]string{
		"--listen", "127.0.0.1:0", "--gossip", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", filepath.Join(t.TempDir(), "data"), "--vnodes", "2",
		"--write-quorum", "1", "--read-quorum", "1",
	}, more...)
}

// inMemory are the flags of one process of several.
func inMemory(more ...string) []string {
	return append([]string{"--listen", "127.0.0.1:0", "--gossip", "127.0.0.1:0", "--admin", "off", "--store", "memory", "--vnodes", "2"}, more...)
}

// freePort returns an address where nothing listens at the moment.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// dial connects to a gRPC address.
func dial(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// insist makes a call as a client does: while a ring is being put together, it may be refused for a moment, and what came of a write may not be known.
func insist[A any](t *testing.T, call func(ctx context.Context) (A, error)) A {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patienceForTests)
	defer cancel()
	for {
		answer, err := call(ctx)
		if err == nil {
			return answer
		}
		if code := status.Code(err); code != codes.Unavailable && code != codes.Unknown || ctx.Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func put(t *testing.T, addr, key, value string) {
	t.Helper()
	kv := chordv1.NewKVServiceClient(dial(t, addr))
	request := &chordv1.PutRequest{Key: []byte(key), Value: []byte(value), Request: make([]byte, 16)}
	_, _ = rand.Read(request.Request) // it never fails
	insist(t, func(ctx context.Context) (*chordv1.PutResponse, error) {
		answer, err := kv.Put(ctx, request)
		request.Retry = true
		return answer, err
	})
}

func wantValue(t *testing.T, addr, key, want string) {
	t.Helper()
	kv := chordv1.NewKVServiceClient(dial(t, addr))
	got := insist(t, func(ctx context.Context) (*chordv1.GetResponse, error) {
		return kv.Get(ctx, &chordv1.GetRequest{Key: []byte(key)})
	})
	if string(got.GetValue()) != want {
		t.Errorf("get %q at %s: got %q (found: %v), want %q", key, addr, got.GetValue(), got.GetFound(), want)
	}
}
