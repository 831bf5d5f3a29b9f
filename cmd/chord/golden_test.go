package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cockroachdb/datadriven"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

// TestGolden runs command lines against a fake ring and compares everything that they print. Directives:
//
//	chord [stdin=TEXT] [from=FILE] [tty]   input: one command line, words split at blanks, '...' and $'...' as in a shell
//	env NAME=VALUE ...         for the rest of the file; NAME= unsets
//	fail NAME                  how the ring fails from here on; none heals it
//	fail-key KEY NAME          how operations on one key fail from here on
//	behind                     the process that status asks repairs
//	dead n=N                    the process that status asks hears that so many others are dead
//	file NAME                  input: contents of a file in the working directory
func TestGolden(t *testing.T) {
	scripts, err := filepath.Abs("testdata/golden")
	if err != nil {
		t.Fatal(err)
	}
	datadriven.Walk(t, scripts, func(t *testing.T, path string) {
		t.Chdir(t.TempDir())
		w := newWorld()
		w.ring.members = testMembers()
		w.ring.trace = testTrace()
		w.admin.status = *testStatus()
		w.admin.trace = *testWireTrace()
		w.admin.repaired = testRepaired()
		failures := make(map[string]error) // by key
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return golden(t, w, failures, d)
		})
	})
}

func golden(t *testing.T, w *world, failures map[string]error, d *datadriven.TestData) string {
	switch d.Cmd {
	case "chord":
		stdin := ""
		d.MaybeScanArgs(t, "stdin", &stdin)
		w.stdin = strings.NewReader(strings.ReplaceAll(stdin, `\n`, "\n"))
		if from := ""; d.HasArg("from") {
			d.ScanArgs(t, "from", &from)
			w.stdin = strings.NewReader(readText(t, filepath.Clean(from)))
		}
		w.stdinTTY, w.stdoutTTY = d.HasArg("tty"), d.HasArg("tty")
		code := w.chord(t, splitWords(t, d.Input)...)
		return transcript(code, w.out.Bytes(), w.err.Bytes())
	case "env":
		for _, arg := range d.CmdArgs {
			w.env[arg.Key] = strings.Join(arg.Vals, ",")
		}
		return ""
	case "fail":
		err, ok := goldenFailures[d.CmdArgs[0].Key]
		if !ok {
			d.Fatalf(t, "no failure %q", d.CmdArgs[0].Key)
		}
		w.ring.down, w.notChord, w.nobody = err, nil, nil
		switch d.CmdArgs[0].Key {
		case "not-chord":
			w.notChord = []string{"127.0.0.1:80"}
		case "refused", "refused-lookup":
			w.nobody = []string{testServer}
		}
		return ""
	case "fail-key":
		failures[d.CmdArgs[0].Key] = goldenFailures[d.CmdArgs[1].Key]
		w.ring.fail = func(op node.Op, _ int) error { return failures[string(op.Key)] }
		return ""
	case "behind":
		w.admin.status.Repair = &chordv1.RepairStatus{Behind: 3, Comparing: 2, Waiting: 1, Moved: 12000, Bytes: 2 << 20, Left: 34000, LeftMs: 8400}
		return ""
	case "dead":
		g := w.admin.status.GetGossip()
		d.ScanArgs(t, "n", &g.Dead)
		g.Minority = g.GetDead() > members(g)
		return ""
	case "file":
		if err := os.WriteFile(filepath.Clean(d.CmdArgs[0].Key), []byte(d.Input), 0o600); err != nil {
			t.Fatal(err)
		}
		return ""
	}
	d.Fatalf(t, "unknown directive %q", d.Cmd)
	return ""
}

var (
	leftAfter = regexp.MustCompile(`after [0-9.]+[a-zµ]+`)
	took      = regexp.MustCompile(`, in [0-9.]+[a-zµ]+\n`)
	uploadID  = regexp.MustCompile(`"upload":"[0-9a-f]{32}"`)
)

// transcript shows streams and exit code; what differs from run to run is replaced.
func transcript(code int, out, err []byte) string {
	var b strings.Builder
	show := func(name string, data []byte) {
		if len(data) == 0 {
			return
		}
		text := string(data)
		if !utf8.Valid(data) || strings.ContainsAny(text, "\x00\x1b") {
			text = fmt.Sprintf("%q\n", data)
		}
		for line := range strings.Lines(text) {
			fmt.Fprintf(&b, "%s| %s\n", name, strings.TrimSuffix(line, "\n"))
		}
		if !strings.HasSuffix(text, "\n") {
			fmt.Fprintf(&b, "%s| (no newline)\n", name)
		}
	}
	out = leftAfter.ReplaceAll(out, []byte("after TIME"))
	out = took.ReplaceAll(out, []byte(", in TIME\n"))
	show("out", uploadID.ReplaceAll(out, []byte(`"upload":"ID"`)))
	show("err", err)
	fmt.Fprintf(&b, "exit %d\n", code)
	return b.String()
}

// splitWords splits a command line like a shell, as far as the scripts need it.
func splitWords(t *testing.T, line string) (words []string) {
	t.Helper()
	line = strings.TrimSpace(line)
	for line != "" {
		var word string
		switch {
		case strings.HasPrefix(line, "'"):
			end := strings.Index(line[1:], "'")
			if end < 0 {
				t.Fatalf("unbalanced quote: %s", line)
			}
			word, line = line[1:end+1], line[end+2:]
		case strings.HasPrefix(line, "$'"):
			end := strings.Index(line[2:], "'")
			if end < 0 {
				t.Fatalf("unbalanced quote: %s", line)
			}
			b, err := unescape([]byte(line[2 : end+2]))
			if err != nil {
				t.Fatal(err)
			}
			word, line = string(b), line[end+3:]
		default:
			word, line, _ = strings.Cut(line, " ")
		}
		if n, ok := strings.CutPrefix(word, "LONG"); ok { // LONG1025: a word of that many bytes
			var length int
			if _, err := fmt.Sscan(n, &length); err != nil {
				t.Fatal(err)
			}
			word = strings.Repeat("x", length)
		}
		words = append(words, word)
		line = strings.TrimLeft(line, " ")
	}
	return words
}

func opError(op string, write bool, outcome rpc.Outcome, attempts int, addr string, err error) error {
	return &rpc.OpError{
		Op: op, Write: write, Outcome: outcome, Attempted: []string{addr}, Attempts: attempts, Elapsed: 1234567 * time.Microsecond, Retryable: true, Err: err,
	}
}

const testServer = "127.0.0.1:7400"

var goldenFailures = map[string]error{
	"none":           nil,
	"refused":        opError(`put "k"`, true, rpc.NotApplied, 3, testServer, fmt.Errorf("connection refused: %w", node.ErrUnreachable)),
	"refused-lookup": opError("lookup 8254c329", false, rpc.NotApplied, 1, testServer, fmt.Errorf("%w: dial: %w", node.ErrNoRoute, node.ErrUnreachable)),
	"not-chord":      opError(`get "k"`, false, rpc.NotApplied, 3, "127.0.0.1:80", fmt.Errorf("malformed answer: %w", node.ErrUnreachable)),
	"timeout":        opError(`get "k"`, false, rpc.NotApplied, 2, testServer, context.DeadlineExceeded),
	"unknown":        opError(`put "k"`, true, rpc.OutcomeUnknown, 2, testServer, context.DeadlineExceeded),
	"consistency":    opError(`get "k"`, false, rpc.NotApplied, 1, testServer, fmt.Errorf("1 of 2: %w", node.ErrConsistency)),
	"few-acks":       opError(`put "k"`, true, rpc.OutcomeUnknown, 1, testServer, fmt.Errorf("1 of 2: %w", node.ErrConsistency)),
	"not-ready":      opError(`get "k"`, false, rpc.NotApplied, 1, testServer, node.ErrNotReady),
	"no-route":       opError(`get "k"`, false, rpc.NotApplied, 1, testServer, node.ErrNoRoute),
	"full":           opError(`put "k"`, true, rpc.NotApplied, 1, testServer, node.ErrStoreFull),
	"invalid":        opError(`put "k"`, true, rpc.NotApplied, 0, testServer, fmt.Errorf("%w: the value has 9 bytes, the limit is 8", node.ErrInvalid)),
	"minority":       opError(`put "k"`, true, rpc.NotApplied, 1, testServer, fmt.Errorf("%w: it hears of 7 of 20 processes", node.ErrMinority)),
	"skew":           opError(`put "k"`, true, rpc.NotApplied, 1, testServer, node.ErrClockSkew),
	"corrupt":        opError(`get "k"`, false, rpc.NotApplied, 1, testServer, node.ErrCorrupt),
	"interrupted":    opError(`get "k"`, false, rpc.NotApplied, 1, testServer, context.Canceled),
	"odd":            errors.New("something else"),
}

func testTrace() rpc.Trace {
	m := testMembers()
	return rpc.Trace{
		Owner: m[3].View, Group: []ring.Ref{m[3].Node, m[4].Node, m[5].Node}, Elapsed: 987 * time.Microsecond,
		Hops: []rpc.Hop{
			{Node: m[0].Node, RTT: 310 * time.Microsecond},
			{Node: m[1].Node, RTT: time.Second, Err: node.ErrUnreachable},
			{Node: m[2].Node, Covered: true, RTT: 290 * time.Microsecond},
			{Node: m[3].Node, Settled: true, Covered: true, Arc: m[3].View.Arc(), RTT: 200 * time.Microsecond},
		},
	}
}

func refToWire(r ring.Ref) *chordv1.Ref { return &chordv1.Ref{Id: r.ID[:], Addr: r.Addr} }

// testWireTrace is a recursive lookup that went round a dead node.
func testWireTrace() *chordv1.TraceResponse {
	m := testMembers()
	after, through := m[3].View.Arc().After, m[3].View.Arc().Through
	arc := &chordv1.Arc{After: after[:], Through: through[:]}
	return &chordv1.TraceResponse{
		Owner: refToWire(m[3].Node), Arc: arc, Group: []*chordv1.Ref{refToWire(m[3].Node), refToWire(m[4].Node)}, ElapsedNs: 612_000,
		Hops: []*chordv1.Hop{
			{Node: refToWire(m[1].Node), RttNs: 100_000_000, Error: node.ErrPassedOver.Error()},
			{Node: refToWire(m[2].Node), Covered: true},
			{Node: refToWire(m[3].Node), Covered: true, Arc: arc},
		},
	}
}

// testRepaired is what a repair of two arcs reports, of which the replicas of one differed.
func testRepaired() (reports []*chordv1.RepairProgress) {
	for i, m := range testMembers()[1:3] {
		for j, peer := range m.View.Succs[:2] {
			arc := m.View.Arc()
			reports = append(reports, &chordv1.RepairProgress{Repaired: &chordv1.RepairedArc{
				Node: refToWire(m.Node), Peer: refToWire(peer), Arc: &chordv1.Arc{After: arc.After[:], Through: arc.Through[:]},
				Sent: int64(i * j * 1200), Received: int64(i * j * 7),
			}})
		}
	}
	return append(reports, &chordv1.RepairProgress{Status: &chordv1.RepairStatus{}})
}

func testStatus() *chordv1.StatusResponse {
	wire := refToWire
	m := testMembers()[3]
	return &chordv1.StatusResponse{
		Process: bytes.Repeat([]byte{0xab}, 16), Cluster: bytes.Repeat([]byte{0xcd}, 16), Addr: testServer, Version: "v0.1.0", Incarnation: 4,
		Ready: true, Records: 12345, DiskBytes: 5 << 20, FreeBytes: 7 << 30, Store: "pebble", Replicas: 3, WriteQuorum: 2, ReadQuorum: 2,
		Gossip: &chordv1.GossipStatus{
			Addr: "127.0.0.1:7401", Zone: "b", Zones: []*chordv1.ZoneCount{{Members: 1}, {Zone: "a", Members: 2}, {Zone: "b", Members: 2}},
		},
		Repair: &chordv1.RepairStatus{},
		Nodes: []*chordv1.NodeStatus{{
			Self: wire(m.Node), Predecessor: wire(m.View.Pred), Successors: []*chordv1.Ref{wire(m.View.Succs[0]), wire(m.View.Succs[1])},
			Fingers: []*chordv1.Ref{wire(m.View.Succs[1])}, Serving: true, Settled: true, Share: 0.23,
		}},
	}
}

// TestErrorJSON checks the schema of errors with -o json, for every kind of failure, and that stdout stays empty.
func TestErrorJSON(t *testing.T) {
	for name, down := range goldenFailures {
		if down == nil {
			continue
		}
		w := newWorld()
		w.ring.down = down
		code := w.chord(t, "get", "k", "-o", "json")
		if code == cli.ExitOK {
			t.Errorf("%s: exit code 0", name)
		}
		if w.out.Len() > 0 {
			t.Errorf("%s: stdout has %q, want nothing", name, w.out.String())
		}
		dec := json.NewDecoder(&w.err)
		dec.DisallowUnknownFields()
		var got struct {
			Error struct {
				Code      *string  `json:"code"`
				Message   *string  `json:"message"`
				Hint      string   `json:"hint"`
				Attempted []string `json:"attempted"`
				Retryable *bool    `json:"retryable"`
			} `json:"error"`
		}
		if err := dec.Decode(&got); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.Error.Code == nil || *got.Error.Code == "" || got.Error.Message == nil || *got.Error.Message == "" || got.Error.Retryable == nil {
			t.Errorf("%s: a member is missing: %+v", name, got.Error)
		}
	}
}

// TestInterrupted: a command that a signal ends says so and exits with 130.
func TestInterrupted(t *testing.T) {
	w := newWorld()
	w.ring.down = goldenFailures["interrupted"]
	if got, want := w.chord(t, "get", "k"), cli.ExitInterrupted; got != want {
		t.Errorf("exit code: got %d, want %d", got, want)
	}
}
