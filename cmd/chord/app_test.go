package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"github.com/chordkv/chord/internal/cli"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
)

func TestCompleteAddr(t *testing.T) {
	for in, want := range map[string]string{
		"localhost": "localhost:7400", "10.0.0.1:99": "10.0.0.1:99", ":7410": "127.0.0.1:7410", "::1": "[::1]:7400", "[::1]": "[::1]:7400",
		"[::1]:5": "[::1]:5", "host:": "host:7400", "": "", "a:b:c": "", "http://x": "",
	} {
		got, err := completeAddr(in, defaultPort)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("completeAddr(%q): got %q, error %v; want %q", in, got, err, want)
		}
	}
}

func TestRoundDuration(t *testing.T) {
	for in, want := range map[time.Duration]string{
		0: "0s", 999: "999ns", 1234567: "1.23ms", 45678 * time.Microsecond: "45.7ms",
		1234 * time.Millisecond: "1.23s", 65432 * time.Millisecond: "1m5.4s",
	} {
		if got := roundDuration(in); got != want {
			t.Errorf("roundDuration(%d): got %s, want %s", in, got, want)
		}
	}
}

// TestEveryCommandIsDocumented: a description, an example that begins with chord, a description of each flag, no two flags with
// one environment variable, and a group in the overview.
func TestEveryCommandIsDocumented(t *testing.T) {
	root := newRoot(newWorld().app)
	if !root.AllChildCommandsHaveGroup() {
		t.Error("a command has no group")
	}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Short == "" || c.HasParent() && !strings.Contains(c.Example, "chord "+c.Name()) {
			t.Errorf("%s: short text %q, example %q", c.CommandPath(), c.Short, c.Example)
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s is not described", c.CommandPath(), f.Name)
			}
			if root.PersistentFlags().Lookup(f.Name) != nil && c != root {
				t.Errorf("%s: --%s hides the global flag", c.CommandPath(), f.Name)
			}
		})
		for _, child := range c.Commands() {
			visit(child)
		}
	}
	visit(root)
}

// TestEveryFlagHasAnEnvironmentVariable sets each in turn and sees it arrive.
func TestEveryFlagHasAnEnvironmentVariable(t *testing.T) {
	for _, c := range newRoot(newWorld().app).Commands() {
		c.InheritedFlags() // merges them into Flags
		c.Flags().VisitAll(func(f *pflag.Flag) {
			value := map[string]string{
				"int": "7", "int64": "7", "uint64": "7", "float64": "0.7", "bool": "true", "duration": "7s", "string": "seven", "stringSlice": "seven",
			}[f.Value.Type()]
			if value == "" {
				t.Fatalf("--%s has the new type %s", f.Name, f.Value.Type())
			}
			env := map[string]string{cli.EnvName(program, f.Name): value}
			if f.Name == "help" {
				return
			}
			err := cli.SetFromEnv(program, c.Flags(), func(name string) (string, bool) { v, ok := env[name]; return v, ok })
			if err != nil || strings.Trim(f.Value.String(), "[]") != value {
				t.Errorf("%s=%s: --%s is %s, error %v", cli.EnvName(program, f.Name), value, f.Name, f.Value, err)
			}
		})
	}
}

func TestProgressOnlyOnTerminals(t *testing.T) {
	w := newWorld()
	path := writeLines(t, 10)
	if w.must(t, "import", path); w.err.Len() > 0 {
		t.Errorf("off a terminal: stderr has %q", w.err.String())
	}
	w.stderrTTY = true
	for _, flag := range []string{"--no-progress", "-q"} {
		if w.must(t, "import", path, flag); strings.Contains(w.err.String(), "\r") {
			t.Errorf("%s: stderr has %q", flag, w.err.String())
		}
	}
	if w.must(t, "import", path); !strings.Contains(w.err.String(), "\r") {
		t.Errorf("on a terminal: stderr has %q, want a bar", w.err.String())
	}
}

func TestColors(t *testing.T) {
	w := newWorld()
	w.stdoutTTY = true
	w.ring.members = testMembers()
	green := "\x1b[32mok\x1b[0m"
	if got := w.must(t, "ring"); !strings.Contains(got, green) {
		t.Errorf("on a terminal: %q is not in %q", green, got)
	}
	if got := w.must(t, "ring", "--no-color"); strings.Contains(got, "\x1b") {
		t.Errorf("--no-color: got %q", got)
	}
	w.env["NO_COLOR"] = "1"
	if got := w.must(t, "ring"); strings.Contains(got, "\x1b") {
		t.Errorf("NO_COLOR: got %q", got)
	}
}

// listenWith runs a server that does one thing with every connection.
func listenWith(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return l.Addr().String()
}

func serveGRPC(t *testing.T, register func(*grpc.Server)) (addr string) {
	t.Helper()
	server := grpc.NewServer()
	register(server)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l)
	t.Cleanup(server.Stop)
	return l.Addr().String()
}

// helloServer is as much of a chordd as diagnose asks for.
type helloServer struct {
	chordv1.UnimplementedRingServiceServer
}

func (helloServer) Hello(context.Context, *chordv1.HelloRequest) (*chordv1.HelloResponse, error) {
	return &chordv1.HelloResponse{}, nil
}

func TestDiagnose(t *testing.T) {
	http1 := listenWith(t, func(c net.Conn) {
		line, _ := bufio.NewReader(c).ReadString('\n')
		io.WriteString(c, "HTTP/1.1 400 Bad Request: "+line+"\r\n\r\n")
	})
	closing := listenWith(t, func(net.Conn) {})
	silent := listenWith(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	other := serveGRPC(t, func(*grpc.Server) {})
	chord := serveGRPC(t, func(s *grpc.Server) { chordv1.RegisterRingServiceServer(s, helloServer{}) })
	for _, tc := range []struct{ name, addr, want string }{
		{"HTTP/1", http1, "answers, but not as a chordd"},
		{"closing", closing, "answers, but not as a chordd"},
		{"silent", silent, "does not answer"},
		{"another gRPC server", other, "answers, but not as a chordd"},
		{"a chordd", chord, ""},
		{"nobody", "127.0.0.1:1", "connection refused"},
	} {
		err := diagnose(t.Context(), tc.addr)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
}

// TestCompletion: the shell offers commands and the values of flags.
func TestCompletion(t *testing.T) {
	w := newWorld()
	if got, want := w.must(t, "__complete", "bench", "put", "--dist", ""), "uniform\nzipf\n"; !strings.HasPrefix(got, want) {
		t.Errorf("--dist: got %q, want prefix %q", got, want)
	}
	if got := w.must(t, "completion", "bash"); !strings.Contains(got, "__start_chord") {
		t.Errorf("completion bash: got %d bytes without __start_chord", len(got))
	}
}

// TestAdminAnswers: an error with which the process answered is told as that, also where its code is the one of a process that is not reached.
func TestAdminAnswers(t *testing.T) {
	for reason, want := range map[string]struct {
		exit int
		text string
	}{
		"UNREACHABLE": {cli.ExitUnavailable, "chord: repair: 127.0.0.1:7402: the text"},
		"NOT_READY":   {cli.ExitUnavailable, "Try again in a few seconds"},
		"INVALID":     {cli.ExitUsage, "the text"},
		"":            {cli.ExitUnavailable, "cannot reach the admin listener"},
	} {
		answer := status.New(codes.Unavailable, "the text")
		if reason != "" {
			var err error
			if answer, err = answer.WithDetails(protoadapt.MessageV1Of(&errdetails.ErrorInfo{Domain: "chord", Reason: reason})); err != nil {
				t.Fatal(err)
			}
		}
		w := newWorld()
		w.notChord = []string{"127.0.0.1:7402"} // what diagnose says of an admin listener
		if reason == "" {
			w.notChord = nil
		}
		w.admin.err = answer.Err()
		code := w.chord(t, "repair", "--admin", "127.0.0.1:7402")
		if got := w.err.String(); code != want.exit || !strings.Contains(got, want.text) || strings.Contains(got, "not as a chordd") {
			t.Errorf("%q: exit code %d, %q; want %d, %q", reason, code, got, want.exit, want.text)
		}
	}
}
