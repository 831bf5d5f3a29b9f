package main

import (
	"context"
	"errors"
	"io/fs"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/sim"
	"github.com/chordkv/chord/sim/experiment"
)

// rules turn causes into failures. The first row whose cause is found wins.
var rules = []struct {
	cause error
	exit  int
	code  string
	hint  string
}{
	{
		experiment.ErrForeign, cli.ExitPrecondition, "NOT_RESULTS",
		"Name an empty or new directory with --out: chordsim touches nothing that it did not make.",
	},
	{
		experiment.ErrOther, cli.ExitPrecondition, "OTHER_RESULTS",
		"Name another directory with --out, or replace the results there with --fresh.",
	},
	{experiment.ErrParts, cli.ExitPrecondition, "INCOMPLETE", "All shards of one sweep, finished and made by the same program, make a whole."},
	{fs.ErrPermission, cli.ExitPermission, "PERMISSION", ""},
	{fs.ErrNotExist, cli.ExitUsage, "NO_FILE", ""},
}

// explain turns any error of a command into a failure. A failure passes unchanged, but for the words that were wrapped round it.
func explain(err error) *cli.Failure {
	if errors.Is(err, context.Canceled) {
		f := &cli.Failure{Exit: cli.ExitInterrupted, Code: "INTERRUPTED", Message: "interrupted", Retryable: true, Err: err}
		var said *interrupted
		if errors.As(err, &said) {
			f.Message, f.Hint = said.Error(), said.hint
		}
		return f
	}
	if f := cli.AsFailure(err); f != nil {
		return f
	}
	var (
		scenario *sim.ScenarioError
		broken   *sim.Violation
		panicked *sim.PanicError
	)
	switch {
	case errors.As(err, &scenario):
		return &cli.Failure{
			Exit: cli.ExitUsage, Code: "SCENARIO", Message: err.Error(), Err: err,
			Hint: "sim/scenarios/README.md explains every field of a scenario.",
		}
	case errors.As(err, &broken), errors.As(err, &panicked):
		return &cli.Failure{Exit: cli.ExitUnhealthy, Code: "CHECK_FAILED", Message: err.Error(), Err: err}
	}
	f := &cli.Failure{Exit: cli.ExitOther, Code: "OTHER", Message: err.Error(), Err: err}
	for _, r := range rules {
		if errors.Is(err, r.cause) {
			f.Exit, f.Code, f.Hint = r.exit, r.code, r.hint
			break
		}
	}
	return f
}

// interrupted is the end of a command by a signal that has left something behind.
type interrupted struct {
	left string // what and where
	hint string
}

func (e *interrupted) Error() string { return "interrupted: " + e.left }
func (e *interrupted) Unwrap() error { return context.Canceled }
