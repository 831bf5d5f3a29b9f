package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
)

func newLeave(a *app) *cobra.Command {
	var (
		yes  bool
		wait time.Duration
	)
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "Make a process hand over its data, leave the ring and stop",
		Long: `Make the process at --server hand over all it holds, leave the ring and stop. Every key keeps
its replicas.

A process that is only restarted need not leave: stop it with SIGTERM and start it again.`,
		Example: `  chord leave --server 10.0.0.3:7400
  chord leave --server 10.0.0.3:7400 --yes --wait 1h`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wait <= 0 {
				return cli.Usagef("--wait %v: want more than 0", wait)
			}
			return a.leave(cmd.Context(), yes, wait)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().DurationVar(&wait, "wait", 10*time.Minute, "how long the hand-over may take")
	return cmd
}

func (a *app) leave(ctx context.Context, yes bool, wait time.Duration) error {
	return a.withAdmin(ctx, func(ctx context.Context, c adminConn) error {
		s, err := a.confirm(ctx, c, yes, "It will hand over its data, leave the ring and stop.")
		if err != nil {
			return err
		}
		start := time.Now()
		if _, err := call(ctx, c, "leave", wait, c.Leave, &chordv1.LeaveRequest{}); err != nil {
			return leaveError(s, err, time.Since(start))
		}
		return a.done(s, "left", fmt.Sprintf("%s has left the ring after %s", s.GetAddr(), roundDuration(time.Since(start))))
	})
}

// leaveError is the failure of a leave after a time. The process answered a moment ago: that the connection broke may mean that it left and stopped.
func leaveError(s *chordv1.StatusResponse, err error, after time.Duration) error {
	f := explain(err)
	if f.Code == "UNAVAILABLE" {
		f.Exit, f.Code, f.Retryable, f.Attempted = cli.ExitUnknown, "OUTCOME_UNKNOWN", false, nil
		f.Message = fmt.Sprintf("leave: the connection broke after %s: it is unknown whether %s has left", roundDuration(after), s.GetAddr())
		f.Hint = `"chord ring" at another process shows whether it has.`
	}
	return f
}

func newDrain(a *app) *cobra.Command {
	var yes, undo bool
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Make a process refuse clients, so that they go elsewhere",
		Long: `Make the process at --server refuse new operations of clients, for maintenance. It stays a
member of the ring and holds its data; --undo makes it take clients again.`,
		Example: `  chord drain --server 10.0.0.3:7400
  chord drain --server 10.0.0.3:7400 --undo`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.drain(cmd.Context(), yes, undo) },
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&undo, "undo", false, "take clients again")
	return cmd
}

func (a *app) drain(ctx context.Context, yes, undo bool) error {
	return a.withAdmin(ctx, func(ctx context.Context, c adminConn) error {
		// To take clients again harms nobody.
		s, err := a.confirm(ctx, c, yes || undo, "It will refuse clients until it is told otherwise or restarted.")
		if err != nil {
			return err
		}
		if _, err := call(ctx, c, "drain", a.globals.timeout, c.Drain, &chordv1.DrainRequest{Undo: undo}); err != nil {
			return err
		}
		if undo {
			return a.done(s, "undrained", s.GetAddr()+" takes clients again")
		}
		return a.done(s, "drained", s.GetAddr()+" refuses clients")
	})
}

// confirm shows which process is meant and what it holds, and asks unless yes. A script that cannot be asked must say --yes.
func (a *app) confirm(ctx context.Context, c adminConn, yes bool, consequence string) (*chordv1.StatusResponse, error) {
	s, err := a.statusOf(ctx, c)
	if err != nil || yes {
		return s, err
	}
	if !a.stdinTTY {
		return nil, cli.Usagef("this needs to be confirmed, and standard input is no terminal").WithHint("Say --yes.")
	}
	share := 0.0
	for _, n := range s.GetNodes() {
		share += n.GetShare()
	}
	fmt.Fprintf(a.stderr, "%s: %s, %.2f%% of the ring, %s, %s.\n%s Go on? [y/N] ", s.GetAddr(), plural(int64(len(s.GetNodes())), "node"), 100*share,
		storeText(s), plural(int64(s.GetReplicas()), "replica")+" of a key", consequence)
	answer, err := bufio.NewReader(a.stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return s, nil
	}
	return nil, &cli.Failure{Exit: cli.ExitOther, Code: "NOT_CONFIRMED", Message: "not confirmed: nothing was done"}
}

// done reports what a process was made to do.
func (a *app) done(s *chordv1.StatusResponse, state, text string) error {
	if a.json() {
		return a.printJSON(map[string]string{"addr": s.GetAddr(), "state": state})
	}
	a.printf("%s\n", text)
	return nil
}
