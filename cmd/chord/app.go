package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
	"github.com/chordkv/chord/rpc/chunk"
)

// client is what the commands ask of a ring.
type client interface {
	Do(ctx context.Context, op node.Op) (node.Result, error)
	Watch(ctx context.Context, key []byte, after node.Version, fn func(node.Result) error) error
	WatchPrefix(ctx context.Context, prefix []byte, opts rpc.PrefixOptions, fn func(key []byte, r node.Result) error) error
	Hello(ctx context.Context) (rpc.Hello, error)
	Lookup(ctx context.Context, id ring.ID, visit func(rpc.Hop)) (rpc.Trace, error)
	Ring(ctx context.Context, progress func(asked, known int)) ([]rpc.Member, error)
	Scan(ctx context.Context, arc ring.Arc, after node.Cursor, opts rpc.ScanOptions,
		fn func(r node.Record) error) error
	Close() error
}

var _ client = (*rpc.Client)(nil)

// app is the world of a command: its streams, its environment and the way to the ring. Tests fill it with fakes.
type app struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer

	stdinTTY, stdoutTTY, stderrTTY bool

	width     func() int // columns of the terminal on stderr
	lookupEnv func(string) (string, bool)

	dial      func(cfg rpc.ClientConfig) (client, error)
	dialAdmin func(addr string) (chordv1.AdminServiceClient, io.Closer, error)
	diagnose  func(ctx context.Context, addr string) error // why a chordd may not have answered at an address; nil if unclear

	globals globals
}

// globals are the flags that every command has.
type globals struct {
	servers     []string
	admin       string
	output      string
	timeout     time.Duration
	consistency string
	quiet       bool
	noColor     bool
	noProgress  bool

	level node.Level // parsed from consistency
}

// The ports of a chordd, for addresses that name none.
const (
	defaultPort      = "7400"
	defaultAdminPort = "7402"
)

// check completes the global flags and reports what is wrong with them.
func (g *globals) check() error {
	if g.output != "text" && g.output != "json" {
		return cli.Usagef("--output %q: want text or json", g.output)
	}
	if g.timeout <= 0 {
		return cli.Usagef("--timeout %v: want more than 0", g.timeout)
	}
	level, err := node.ParseLevel(g.consistency)
	if err != nil {
		return cli.Usagef("--consistency %q: want one, quorum or all", g.consistency)
	}
	g.level = level
	if len(g.servers) == 0 {
		return cli.Usagef("--server: want at least one address")
	}
	for i, s := range g.servers {
		if g.servers[i], err = completeAddr(strings.TrimSpace(s), defaultPort); err != nil {
			return cli.Usagef("--server %q: %v", s, err)
		}
	}
	if g.admin != "" {
		if g.admin, err = completeAddr(g.admin, defaultAdminPort); err != nil {
			return cli.Usagef("--admin %q: %v", g.admin, err)
		}
	}
	return nil
}

// completeAddr adds the port to an address that has none.
func completeAddr(addr, port string) (string, error) {
	if addr == "" {
		return "", fmt.Errorf("want host:port")
	}
	if strings.Contains(addr, "/") {
		return "", fmt.Errorf("want host:port, not a URL or a path")
	}
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		host, p = strings.Trim(addr, "[]"), port
		if strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return "", fmt.Errorf("want host:port")
		}
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if p == "" {
		p = port
	}
	return net.JoinHostPort(host, p), nil
}

func (a *app) json() bool { return a.globals.output == "json" }

// open connects to the ring. The connection is made when something is asked of it.
func (a *app) open() (client, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	return freeing{client: c}, nil
}

func (a *app) connect() (client, error) {
	cfg := rpc.DefaultClientConfig(a.globals.servers...)
	cfg.Timeout = a.globals.timeout
	cfg.AttemptTimeout = min(cfg.AttemptTimeout, cfg.Timeout)
	c, err := a.dial(cfg)
	if err != nil {
		return nil, cli.Usagef("%v", err)
	}
	return c, nil
}

// withClient runs f with a connection to the ring and within the time of --timeout.
func (a *app) withClient(ctx context.Context, f func(ctx context.Context, c client) error) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	limited, cancel := context.WithTimeout(ctx, a.globals.timeout)
	defer cancel()
	return f(limited, freeing{c, ctx})
}

// freeing is a client whose writes free the blocks of the large values that they take the place of, which may take longer than the operation itself.
type freeing struct {
	client
	ctx context.Context // of that; nil: the operation's
}

func (f freeing) Do(ctx context.Context, op node.Op) (node.Result, error) {
	r, err := f.client.Do(ctx, op)
	if err != nil || r.Replaced == nil {
		return r, err
	}
	return chunk.Freed(cmp.Or(f.ctx, ctx), f.client, op, r), nil
}

// printf writes to stdout what a command has to say to people; -q silences it.
func (a *app) printf(format string, args ...any) {
	if !a.globals.quiet {
		fmt.Fprintf(a.stdout, format, args...)
	}
}

// note writes a remark to stderr; -q silences it.
func (a *app) note(format string, args ...any) {
	if !a.globals.quiet {
		fmt.Fprintf(a.stderr, format+"\n", args...)
	}
}

// printJSON writes one line of JSON to stdout.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// progressTo is where a progress bar goes; nil for none.
func (a *app) progressTo() io.Writer {
	if !a.stderrTTY || a.globals.noProgress || a.globals.quiet {
		return nil
	}
	return a.stderr
}

// startProgress draws a bar, unless there is to be none.
func (a *app) startProgress(label, unit string, read func() cli.Gauge) *cli.Progress {
	return cli.StartBar(a.progressTo(), a.width, label, unit, read)
}

// styleFor returns the style of a stream.
func (a *app) styleFor(tty bool) cli.Style {
	return cli.NewStyle(tty, a.globals.noColor, a.lookupEnv)
}
