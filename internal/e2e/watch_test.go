package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/rpc"
)

// TestWatchOfAPrefix: while keys are written and deleted, the process through which the watches came is killed, and another one, they come back, a sixth joins, one leaves, and a watch
// stands still for a time. Each watch prints, of every key, versions that only grow, and in the end what the key has.
func TestWatchOfAPrefix(t *testing.T) {
	needPrograms(t)
	ring := startRing(t, 5, "--vnodes", "4")
	waitSettled(t, ring...)
	var servers []string
	for _, d := range ring {
		servers = append(servers, d.listen)
	}
	client, err := rpc.NewClient(rpc.DefaultClientConfig(servers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const keys = 2000 // more than a process keeps for a watch that stands still
	key := func(i int) []byte { return fmt.Appendf(nil, "w/%d\t\xff", i) }
	var first []node.Op
	for i := range keys {
		first = append(first, node.Op{Kind: node.OpPut, Key: key(i), Value: []byte("first")}, node.Op{Kind: node.OpPut, Key: fmt.Append(nil, "other/", i), Value: []byte("first")})
	}
	wrote := func(ops []node.Op) {
		t.Helper()
		for i, a := range client.DoAll(t.Context(), ops) {
			if a.Err != nil {
				t.Fatalf("%v %q: %v", ops[i].Kind, ops[i].Key, a.Err)
			}
		}
	}
	wrote(first)
	all, changes, slow := startWatch(t, ring[0]), startWatch(t, ring[0], "--changes"), startWatch(t, ring[1], "--changes")
	watches := []*watchRun{all, changes, slow}
	for _, w := range watches {
		eventually(t, time.Minute, "the watch has begun", w.begun)
	}
	if n := all.keys(); n != keys {
		t.Errorf("%d keys printed at first, want %d", n, keys)
	}
	if n := changes.keys(); n != 0 {
		t.Errorf("%d keys printed as changed before there was a change", n)
	}

	var writing sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	writing.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			op := node.Op{Kind: node.OpPut, Key: key(rand.IntN(keys / 2)), Value: fmt.Append(nil, n)} // of the other half nothing changes
			if n%7 == 0 {
				op = node.Op{Kind: node.OpDelete, Key: op.Key}
			}
			_, _ = client.Do(t.Context(), op) // what a key has in the end will be read
			time.Sleep(time.Millisecond)
		}
	})
	time.Sleep(time.Second)
	slow.signal(syscall.SIGSTOP)
	ring[0].kill()
	time.Sleep(2 * time.Second)
	sixth := newChordd(t, "process 5", "--vnodes", "4")
	sixth.start("--join", ring[1].listen)
	waitReady(t, sixth)
	time.Sleep(time.Second)
	ring[2].kill()
	time.Sleep(2 * time.Second)
	ring[0].start("--join", ring[1].listen)
	ring[2].start("--join", ring[1].listen)
	waitReady(t, append(ring, sixth)...)
	mustChord(t, "leave", "--server", ring[3].listen, "--yes")
	var many []node.Op
	for i := range keys {
		many = append(many, node.Op{Kind: node.OpPut, Key: key(i), Value: []byte("many")})
	}
	wrote(many)
	slow.signal(syscall.SIGCONT)
	stop()
	writing.Wait()
	r, err := client.PutFor(t.Context(), []byte("w/lease"), []byte("v"), 2*time.Second, node.LevelQuorum)
	if err != nil {
		t.Fatal(err)
	}

	want := make(map[string]node.Version)
	var reads []node.Op
	for i := range keys {
		reads = append(reads, node.Op{Kind: node.OpGet, Key: key(i)})
	}
	for i, a := range client.DoAll(t.Context(), reads) {
		if a.Err != nil {
			t.Fatal(a.Err)
		}
		want[string(key(i))] = a.Result.Version
	}
	for _, w := range watches {
		eventually(t, time.Minute, "the watch has printed what all keys have", func() error { return w.has(want) })
		eventually(t, time.Minute, "it has printed that a value has expired", func() error {
			if got := w.of("w/lease"); !slices.Equal(got, []watchLine{{r.Version, false}, {r.Version, true}}) {
				return fmt.Errorf("printed %v", got)
			}
			return nil
		})
		w.signal(syscall.SIGINT)
		w.check()
	}
}

// watchRun is a chord watch in the background.
type watchRun struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{}

	mu      sync.Mutex
	stderr  bytes.Buffer
	printed map[string][]watchLine
	wrong   []error
}

// watchLine is a line of a watch.
type watchLine struct {
	version node.Version
	deleted bool
}

func startWatch(t *testing.T, server *chordd, args ...string) *watchRun {
	t.Helper()
	w := &watchRun{t: t, ended: make(chan struct{}), printed: make(map[string][]watchLine)}
	w.cmd = exec.Command(filepath.Join(binDir, "chord"), append([]string{"watch", "--prefix", "w/", "-o", "json", "--server", server.listen}, args...)...)
	w.cmd.Env = environment()
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.cmd.Stderr = lockedWriter{&w.mu, &w.stderr}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			w.line(lines.Bytes())
		}
		_ = w.cmd.Wait() // the exit code is in cmd.ProcessState
	}()
	t.Cleanup(func() {
		_ = w.cmd.Process.Kill() // fails if it has ended, as it should have
		<-w.ended
	})
	return w
}

// lockedWriter is a buffer that others read.
type lockedWriter struct {
	mu  *sync.Mutex
	buf *bytes.Buffer
}

func (l lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

// line takes in a line, and what is wrong with it.
func (w *watchRun) line(text []byte) {
	var m struct {
		Key       string
		KeyBase64 []byte `json:"key_base64"`
		Version   string
		Deleted   bool
	}
	err := json.Unmarshal(text, &m)
	v, versionErr := node.ParseVersion(m.Version)
	key := m.Key + string(m.KeyBase64)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := errors.Join(err, versionErr); err != nil {
		w.wrong = append(w.wrong, err)
	}
	if !strings.HasPrefix(key, "w/") {
		w.wrong = append(w.wrong, fmt.Errorf("%q was printed", key))
	}
	if had := w.printed[key]; len(had) > 0 {
		if last := had[len(had)-1]; !v.Newer(last.version) && (key != "w/lease" || v != last.version) {
			w.wrong = append(w.wrong, fmt.Errorf("%q: %v was printed after %v", key, v, last.version))
		}
	}
	w.printed[key] = append(w.printed[key], watchLine{v, m.Deleted})
}

// begun returns nil when standard error says that changes follow.
func (w *watchRun) begun() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if text := w.stderr.String(); !strings.HasPrefix(text, "Changes from here on, of ") {
		return fmt.Errorf("standard error: %q", text)
	}
	return nil
}

func (w *watchRun) keys() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.printed)
}

func (w *watchRun) of(key string) []watchLine {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.printed[key]
}

// has returns nil if the last version printed of each key is this.
func (w *watchRun) has(want map[string]node.Version) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	missing := 0
	var example error
	for key, v := range want {
		if had := w.printed[key]; len(had) == 0 || had[len(had)-1].version != v {
			missing++
			example = fmt.Errorf("%q: printed %v, want %v", key, had, v)
		}
	}
	if missing > 0 {
		return fmt.Errorf("of %d keys the last version is missing: %w", missing, example)
	}
	return nil
}

func (w *watchRun) signal(sig syscall.Signal) {
	w.t.Helper()
	if err := w.cmd.Process.Signal(sig); err != nil {
		w.t.Fatal(err)
	}
}

// check waits for the end of a watch that was interrupted, and fails if anything was wrong.
func (w *watchRun) check() {
	w.t.Helper()
	select {
	case <-w.ended:
	case <-time.After(10 * time.Second):
		w.t.Fatal("the watch does not end")
	}
	if code := w.cmd.ProcessState.ExitCode(); code != 130 {
		w.t.Errorf("exit code %d, want 130: %s", code, w.stderr.String())
	}
	for _, err := range w.wrong {
		w.t.Error(err)
	}
}
