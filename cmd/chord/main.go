package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/chordkv/chord/internal/cli"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/rpc"
)

func main() {
	// The first signal ends the command in good order, with what it has so far; the second ends the process.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(newApp().run(ctx, os.Args[1:]))
}

// newApp returns the app of the real process.
func newApp() *app {
	isTTY := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
	return &app{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		stdinTTY: isTTY(os.Stdin), stdoutTTY: isTTY(os.Stdout), stderrTTY: isTTY(os.Stderr),
		width: func() int {
			if w, _, err := term.GetSize(int(os.Stderr.Fd())); err == nil && w > 0 {
				return w
			}
			return 80
		},
		lookupEnv: os.LookupEnv,
		dial:      func(cfg rpc.ClientConfig) (client, error) { return rpc.NewClient(cfg) },
		dialAdmin: dialAdmin,
		diagnose:  diagnose,
	}
}

func dialAdmin(addr string) (chordv1.AdminServiceClient, io.Closer, error) {
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	if err != nil {
		return nil, nil, err
	}
	return chordv1.NewAdminServiceClient(conn), conn, nil
}

// run executes one command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := newRoot(a)
	root.SetArgs(append([]string{}, args...)) // of nil, cobra would take the process's own
	err := root.ExecuteContext(ctx)
	var silent errSilent
	switch {
	case err == nil:
		return cli.ExitOK
	case errors.As(err, &silent):
		return silent.exit
	}
	f := a.enrich(ctx, explain(err))
	f.Print(a.stderr, program, a.json() || cli.WantsJSON(args), a.styleFor(a.stderrTTY))
	return f.Exit
}

// maxDiagnosed bounds the addresses that a command looks at after it has failed.
const maxDiagnosed = 3

// enrich looks at the addresses that could not be reached and says what is there, in a second of a command that has failed anyway.
func (a *app) enrich(ctx context.Context, f *cli.Failure) *cli.Failure {
	var oe *rpc.OpError // what addresses were asked for
	if f.Exit != cli.ExitUnavailable && f.Exit != cli.ExitUnknown || len(f.Attempted) == 0 || !errors.As(f.Err, &oe) {
		return f
	}
	looked := f.Attempted[:min(len(f.Attempted), maxDiagnosed)]
	var reasons []string
	for _, addr := range looked {
		err := a.diagnose(ctx, addr)
		switch {
		case errors.Is(err, errNotChord) && f.Exit == cli.ExitUnavailable:
			g := explain(fmt.Errorf("%s%s %w", opPrefix(oe), addr, err))
			g.Attempted = f.Attempted
			return g
		case errors.Is(err, errNobody):
			reasons = append(reasons, addr+": "+err.Error())
		case err != nil:
			f.Hint = addr + " " + err.Error() + ". " + f.Hint
		}
	}
	if f.Exit == cli.ExitUnavailable && len(reasons) == len(f.Attempted) {
		if f.Code != "UNAVAILABLE" {
			f.Code, f.Hint = "UNAVAILABLE", hintUnavailable
		}
		f.Message = fmt.Sprintf("%scannot reach %s (after %s)", opPrefix(oe), strings.Join(reasons, ", "), roundDuration(oe.Elapsed))
	}
	return f
}
