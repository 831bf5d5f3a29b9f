package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/term"

	"github.com/chordkv/chord/internal/cli"
)

// ballast is how much the heap may grow, beside as much as is live, before it is collected. Most worlds need a few megabytes and would be collected
// hundreds of times a second, which took a sixth of the CPU. Nobody writes to it, so it takes no memory; a world of a million nodes hardly notices it.
const ballast = 16 << 20

func main() {
	keep := make([]byte, ballast)
	code := simulate()
	runtime.KeepAlive(keep)
	os.Exit(code)
}

// simulate runs the command line of the process and returns its exit code.
func simulate() int {
	// The first signal ends the command in good order, with what it has so far; the second ends the process.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return newApp().run(ctx, os.Args[1:])
}

// newApp returns the app of the real process.
func newApp() *app {
	isTTY := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
	return &app{
		stdout: os.Stdout, stderr: os.Stderr, stdoutTTY: isTTY(os.Stdout), stderrTTY: isTTY(os.Stderr),
		width: func() int {
			if w, _, err := term.GetSize(int(os.Stderr.Fd())); err == nil && w > 0 {
				return w
			}
			return 80
		},
		lookupEnv: os.LookupEnv,
		build:     buildVersion(),
	}
}

// run executes one command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := newRoot(a)
	root.SetArgs(append([]string{}, args...)) // of nil, cobra would take the process's own
	err := root.ExecuteContext(ctx)
	err = errors.Join(err, a.stopProfiles())
	if err == nil {
		return cli.ExitOK
	}
	f := explain(err)
	f.Print(a.stderr, program, a.json() || cli.WantsJSON(args), a.styleFor(a.stderrTTY))
	return f.Exit
}
