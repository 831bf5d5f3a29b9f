package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"

	"github.com/chordkv/chord/internal/cli"
)

// app is the world of a command: its streams and its environment. Tests fill it with buffers.
type app struct {
	stdout io.Writer
	stderr io.Writer

	stdoutTTY, stderrTTY bool

	width     func() int // columns of the terminal on stderr
	lookupEnv func(string) (string, bool)
	build     cli.Build

	globals  globals
	profiles profiles
}

// globals are the flags that every command has.
type globals struct {
	output     string
	quiet      bool
	noColor    bool
	noProgress bool
	workers    int
	cpuProfile string
	memProfile string
}

// check completes the global flags and reports what is wrong with them.
func (g *globals) check() error {
	if g.output != "text" && g.output != "json" {
		return cli.Usagef("--output %q: want text or json", g.output)
	}
	if g.workers < 0 {
		return cli.Usagef("--workers %d: want at least 0", g.workers)
	}
	if g.workers == 0 {
		g.workers = runtime.GOMAXPROCS(0)
	}
	return nil
}

func (a *app) json() bool { return a.globals.output == "json" }

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

// styleFor returns the style of a stream.
func (a *app) styleFor(tty bool) cli.Style {
	return cli.NewStyle(tty, a.globals.noColor, a.lookupEnv)
}
