package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

// liveProcess is a real process of a ring, over real sockets, inside the test.
type liveProcess struct {
	addr, admin string
	core        *node.Process
	stop        func() // as a crash would: nobody is told
}

// startRing starts a ring of n processes with two nodes each, in memory.
func startRing(t *testing.T, n int) []*liveProcess {
	t.Helper()
	var (
		listeners []net.Listener
		ids       []node.Identity
		members   []ring.Ref
	)
	for i := range n {
		l := listenLocal(t)
		id := node.Identity{Process: [16]byte{byte(i + 1)}, VNodes: 2, Incarnation: 1}
		listeners, ids = append(listeners, l), append(ids, id)
		for _, at := range id.Nodes() {
			members = append(members, ring.Ref{ID: at, Addr: l.Addr().String()})
		}
	}
	processes := make([]*liveProcess, n)
	for i := range n {
		processes[i] = startProcess(t, listeners[i], ids[i])
	}
	all, err := node.NewMembership(members)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		if err := p.core.Bootstrap(all); err != nil {
			t.Fatal(err)
		}
	}
	return processes
}

func listenLocal(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func startProcess(t *testing.T, l net.Listener, id node.Identity) *liveProcess {
	t.Helper()
	cfg := node.DefaultConfig()
	cfg.StabilizeInterval, cfg.SettleDelay, cfg.FixFingersInterval = 100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
	adminListener := listenLocal(t)
	p := &liveProcess{addr: l.Addr().String(), admin: adminListener.Addr().String()}
	local := &rpc.Local{Identity: id, Addr: p.addr, AdminAddr: p.admin, Version: "test", Config: cfg}
	local.SetCluster(rpc.ClusterID{1})
	peers, live, records := rpc.NewPeers(local), node.NewLive(), store.NewMemory()
	core, err := node.New(cfg, id, p.addr, peers, live, records, node.Events{})
	if err != nil {
		t.Fatal(err)
	}
	p.core = core
	server, admin := rpc.NewServer(local, core, rpc.ServerOptions{}), grpc.NewServer()
	server.RegisterAdmin(admin, rpc.AdminOptions{Started: time.Now(), Store: "memory", Leave: core.Leave})
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) }) // its error is that it was stopped
	serving.Go(func() { _ = admin.Serve(adminListener) })
	p.stop = sync.OnceFunc(func() {
		server.Stop()
		admin.Stop()
		serving.Wait()
		core.Stop()
		peers.Close()
		live.Close()
	})
	t.Cleanup(p.stop)
	return p
}

// realApp is the app of the real process with its streams in memory, pointed at a ring.
func realApp(servers ...*liveProcess) (a *app, out, errs *bytes.Buffer) {
	a = newApp()
	out, errs = new(bytes.Buffer), new(bytes.Buffer)
	a.stdin, a.stdout, a.stderr = strings.NewReader(""), out, errs
	a.stdinTTY, a.stdoutTTY, a.stderrTTY = false, false, false
	var addrs []string
	for _, s := range servers {
		addrs = append(addrs, s.addr)
	}
	a.lookupEnv = func(name string) (string, bool) {
		return strings.Join(addrs, ","), name == "CHORD_SERVER"
	}
	return a, out, errs
}

// runReal runs a command line against a ring and wants an exit code.
func runReal(t *testing.T, want int, servers []*liveProcess, args ...string) (stdout, stderr string) {
	t.Helper()
	a, out, errs := realApp(servers...)
	if got := a.run(t.Context(), args); got != want {
		t.Fatalf("chord %q: exit code: got %d, want %d\n%s%s", args, got, want, out, errs)
	}
	return out.String(), errs.String()
}

func wantContains(t *testing.T, got string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
}

// TestRealRing goes through the commands against real processes.
func TestRealRing(t *testing.T) {
	processes := startRing(t, 4)
	one := processes[:1]

	runReal(t, cli.ExitOK, one, "put", "hello", "world")
	if got, _ := runReal(t, cli.ExitOK, one, "get", "hello", "--consistency", "all"); got != "world" {
		t.Errorf("get: got %q, want world", got)
	}
	runReal(t, cli.ExitOK, one, "put", "--key-hex", "00ff", "nul and no UTF-8")
	if got, _ := runReal(t, cli.ExitOK, processes[1:2], "get", "--key-hex", "00ff"); got != "nul and no UTF-8" {
		t.Errorf("get of bytes: got %q", got)
	}
	runReal(t, cli.ExitNotFound, one, "get", "nothing")
	runReal(t, cli.ExitUsage, one, "put", strings.Repeat("k", 1025), "v")
	runReal(t, cli.ExitUsage, one, "put", "k", "@missing")

	out, _ := runReal(t, cli.ExitOK, one, "lookup", "hello", "--trace")
	wantContains(t, out, "owns the key", "owner    ", "replica  ", "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c")
	out, _ = runReal(t, cli.ExitOK, one, "lookup", "hello", "--trace", "--style", "recursive")
	wantContains(t, out, "owner    ", "replica  ", "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c")
	runReal(t, cli.ExitUsage, one, "lookup", "hello", "--style", "backward")
	out, _ = runReal(t, cli.ExitOK, one, "ring", "--check")
	wantContains(t, out, processes[0].addr, processes[3].addr, "ok")
	out, _ = runReal(t, cli.ExitOK, one, "ring", "--svg", "-")
	if got, want := parseSVG(t, []byte(out))["path"], 8; got != want {
		t.Errorf("ring --svg: got %d arcs, want %d", got, want)
	}
	out, _ = runReal(t, cli.ExitOK, one, "status", "--check")
	wantContains(t, out, "at "+processes[0].addr, "health    ok", "memory")
	out, _ = runReal(t, cli.ExitOK, one, "bench", "mixed", "--duration", "300ms", "--warmup", "50ms", "--keys", "200", "-o", "json")
	var bench loadJSON
	if err := json.Unmarshal([]byte(out), &bench); err != nil || bench.Operations == 0 || bench.Failed != 0 {
		t.Errorf("bench: got %+v, error %v", bench, err)
	}
	runReal(t, cli.ExitOK, one, "del", "hello")
	runReal(t, cli.ExitNotFound, one, "del", "hello")

	runReal(t, cli.ExitOK, one, "drain", "--yes")
	runReal(t, cli.ExitUnhealthy, one, "status", "--check", "-q")
	runReal(t, cli.ExitOK, one, "drain", "--undo")
	runReal(t, cli.ExitOK, one, "status", "--check", "-q")
	runReal(t, cli.ExitOK, processes[3:], "leave", "--yes")
	if processes[3].core.Ready() {
		t.Error("leave: the process still is a member")
	}
}

// TestRealConditions: conditions are decided by a real owner, whichever process is asked, and conflicts come back with the version that is there.
func TestRealConditions(t *testing.T) {
	processes := startRing(t, 4)
	one, other := processes[:1], processes[2:3]
	runReal(t, cli.ExitOK, one, "put", "lock", "me", "--create")
	_, errs := runReal(t, cli.ExitPrecondition, other, "put", "lock", "you", "--create")
	wantContains(t, errs, `put "lock": condition not met: the key exists, version `, "--if-version ")
	var held struct{ Version string }
	out, _ := runReal(t, cli.ExitOK, other, "get", "lock", "-o", "json")
	if err := json.Unmarshal([]byte(out), &held); err != nil {
		t.Fatal(err)
	}
	runReal(t, cli.ExitOK, other, "cas", "lock", "me", "you")
	_, errs = runReal(t, cli.ExitPrecondition, one, "del", "lock", "--if-version", held.Version)
	wantContains(t, errs, "condition not met: the key has version ")
	runReal(t, cli.ExitPrecondition, one, "cas", "lock", "me", "them")
	runReal(t, cli.ExitPrecondition, one, "incr", "lock")
	for i, args := range [][]string{{"incr", "n"}, {"incr", "n", "41"}, {"decr", "n", "2"}} {
		out, _ := runReal(t, cli.ExitOK, processes[i:i+1], args...)
		if want := []string{"1\n", "42\n", "40\n"}[i]; out != want {
			t.Errorf("%v: got %q, want %q", args, out, want)
		}
	}
	runReal(t, cli.ExitOK, one, "append", "log", "b")
	runReal(t, cli.ExitOK, other, "prepend", "log", "a")
	if out, _ := runReal(t, cli.ExitOK, one, "get", "log"); out != "ab" {
		t.Errorf("get: got %q, want ab", out)
	}
	runReal(t, cli.ExitUsage, one, "append", "log", "@missing")
}

// TestRealWatch: a watch goes on when the process that owns the key dies. What it prints gets newer with every line, and the last is what the key has.
func TestRealWatch(t *testing.T) {
	processes := startRing(t, 5)
	runReal(t, cli.ExitOK, processes[:1], "put", "watched", "0")
	var owner *liveProcess
	id := ring.Hash([]byte("watched"))
	for _, p := range processes {
		for _, n := range p.core.Status().Nodes {
			if n.View.Arc().Contains(id) {
				owner = p
			}
		}
	}
	rest := slices.DeleteFunc(slices.Clone(processes), func(p *liveProcess) bool { return p == owner })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lines, out := io.Pipe()
	a, _, errs := realApp(rest...)
	a.stdout = out
	ended := make(chan int, 1)
	go func() {
		ended <- a.run(ctx, []string{"watch", "watched", "-o", "json"})
		out.Close()
	}()
	var last struct{ Value, Version string }
	next := json.NewDecoder(lines)
	until := func(value string) {
		t.Helper()
		for last.Value != value {
			before := last.Version
			if err := next.Decode(&last); err != nil {
				t.Fatalf("waiting for %s: %v\n%s", value, err, errs)
			}
			if last.Version <= before {
				t.Fatalf("version %s came after %s", last.Version, before)
			}
		}
	}
	until("0")
	runReal(t, cli.ExitOK, rest[:1], "put", "watched", "1")
	until("1")
	owner.stop()
	for i := range 5 {
		value := strconv.Itoa(i + 2)
		runReal(t, cli.ExitOK, rest[i%len(rest):], "put", "watched", value)
		until(value)
	}
	cancel()
	if got := <-ended; got != cli.ExitInterrupted {
		t.Errorf("exit code: got %d, want %d", got, cli.ExitInterrupted)
	}
}

// TestRealMany: a batch through any process, of more keys than are sent together, and again when the owner of some of them has died.
func TestRealMany(t *testing.T) {
	processes := startRing(t, 4)
	a, out, errs := realApp(processes[1])
	var pairs, keys strings.Builder
	const many = 1000
	for i := range many {
		fmt.Fprintf(&pairs, "key-%d\tvalue \\x00\\xff %d\n", i, i)
		fmt.Fprintf(&keys, "key-%d\n", i)
	}
	a.stdin = strings.NewReader(pairs.String())
	if code := a.run(t.Context(), []string{"mput", "-"}); code != cli.ExitOK || out.String() != "ok: 1,000 keys\n" {
		t.Fatalf("mput: exit code %d: %s%s", code, out, errs)
	}
	processes[3].stop()
	out.Reset()
	a.stdin = strings.NewReader(keys.String() + "missing\n")
	if code := a.run(t.Context(), []string{"mget", "-"}); code != cli.ExitNotFound || out.String() != pairs.String() {
		t.Errorf("mget: exit code %d, %d bytes, want %d: %s", code, out.Len(), pairs.Len(), errs)
	}
	a.stdin = strings.NewReader(keys.String())
	if code := a.run(t.Context(), []string{"mdel", "-", "-q"}); code != cli.ExitOK {
		t.Errorf("mdel: exit code %d: %s", code, errs)
	}
	runReal(t, cli.ExitNotFound, processes[:1], "mget", "key-1", "key-999")
}

// TestRealOwnerIsNamed: whoever carries an operation out is named in its result, also where a process that was asked passes it on: so a client learns whom to ask the next time.
func TestRealOwnerIsNamed(t *testing.T) {
	processes := startRing(t, 4)
	for i := range 40 {
		key := fmt.Appendf(nil, "key-%d", i)
		found, err := processes[0].core.Lookup(t.Context(), ring.Hash(key))
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range []node.Op{
			{Kind: node.OpPut, Value: []byte("1")}, {Kind: node.OpIncrement, Add: 1}, {Kind: node.OpPut, Value: []byte("2"), If: node.IfPresent}, {Kind: node.OpGet}, {Kind: node.OpDelete},
		} {
			op.Key = key
			client, err := rpc.NewClient(rpc.DefaultClientConfig(processes[1].addr)) // it has nothing learned yet
			if err != nil {
				t.Fatal(err)
			}
			r, err := client.Do(t.Context(), op)
			client.Close()
			if err != nil || r.Owner != found.Owner.Self || r.Arc != found.Owner.Arc() {
				t.Errorf("%v of %q: served by %v with %v, %v; want %v with %v", op.Kind, key, r.Owner, r.Arc, err, found.Owner.Self, found.Owner.Arc())
			}
		}
	}
}

// TestRealImportSurvivesDeath: of four processes one dies in the middle of an import; no line is lost, and the export has every key
// once.
func TestRealImportSurvivesDeath(t *testing.T) {
	const lines = 8_000
	processes := startRing(t, 4)
	path := writeLines(t, lines)
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		for processes[3].core.Status().Store.Records < lines/8 && t.Context().Err() == nil {
			time.Sleep(5 * time.Millisecond)
		}
		processes[3].stop()
	}()
	// The dead one is among the servers, and first.
	out, _ := runReal(t, cli.ExitOK, []*liveProcess{processes[3], processes[0]}, "import", path)
	<-killed
	wantContains(t, out, fmt.Sprintf("%s acknowledged, 0 failed", cli.GroupDigits(lines)))

	dump := filepath.Join(t.TempDir(), "dump")
	runReal(t, cli.ExitOK, processes[:1], "export", dump, "--format", "tsv")
	want := make(map[string]bool)
	for line := range strings.Lines(readText(t, path)) {
		want[line] = true
	}
	for line := range strings.Lines(readText(t, dump)) {
		if !want[line] {
			t.Fatalf("export: %q is there twice, or was never put", line)
		}
		delete(want, line)
	}
	if len(want) > 0 {
		t.Errorf("export: %d keys are missing", len(want))
	}
}

// TestRealRefusals: nobody there, somebody else there, and a process that went away.
func TestRealRefusals(t *testing.T) {
	gone := startRing(t, 1)
	gone[0].stop()
	for _, args := range [][]string{{"get", "k"}, {"put", "k", "v"}, {"lookup", "k"}, {"ring"}, {"status"}, {"bench", "put"}, {"import", writeLines(t, 3)}, {"export"}} {
		_, errs := runReal(t, cli.ExitUnavailable, gone, args...)
		wantContains(t, errs, "cannot reach "+gone[0].addr+": connection refused", "CHORD_SERVER")
	}
	web := &liveProcess{addr: listenWith(t, func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 400 Bad Request\r\n\r\n") })}
	_, errs := runReal(t, cli.ExitUnavailable, []*liveProcess{web}, "get", "k")
	wantContains(t, errs, web.addr+" answers, but not as a chordd")
	ring := startRing(t, 1)
	_, errs = runReal(t, cli.ExitUnavailable, []*liveProcess{{addr: ring[0].admin}}, "get", "k")
	wantContains(t, errs, ring[0].admin+" answers, but not as a chordd")
	_, errs = runReal(t, cli.ExitUnavailable, ring, "status", "--admin", ring[0].addr)
	wantContains(t, errs, "answers, but not as a chordd's admin listener")
	mute := &liveProcess{addr: listenWith(t, func(c net.Conn) { <-t.Context().Done() })}
	_, errs = runReal(t, cli.ExitUnknown, []*liveProcess{mute}, "get", "k", "--timeout", "300ms")
	wantContains(t, errs, "accepts connections, but does not answer")
}

// TestRealInterrupt: an import that is interrupted ends in good order against a real ring, too, and --resume completes it.
func TestRealInterrupt(t *testing.T) {
	const lines = 8_000
	processes := startRing(t, 3)
	path := writeLines(t, lines)
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		for processes[0].core.Status().Store.Records < lines/10 && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		interrupt()
	}()
	a, _, errs := realApp(processes...)
	if got, want := a.run(ctx, []string{"import", path}), cli.ExitInterrupted; got != want {
		t.Fatalf("exit code: got %d, want %d\n%s", got, want, errs)
	}
	if _, err := os.Stat(path + ".checkpoint"); err != nil {
		t.Fatal(err)
	}
	out, _ := runReal(t, cli.ExitOK, processes, "import", path, "--resume")
	if strings.HasPrefix(out, "8,000 lines") {
		t.Errorf("the resumed import put all lines again: %s", out)
	}
	out, _ = runReal(t, cli.ExitOK, processes, "export", "-")
	if got := strings.Count(out, "\n"); got != lines {
		t.Errorf("export: got %d lines, want %d", got, lines)
	}
}
