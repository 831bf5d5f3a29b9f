package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/chordkv/chord/sim"
	"github.com/chordkv/chord/sim/experiment"
)

// The exit codes of chordsim, a part of chord's: scripts test for them, so they never change their meaning.
const (
	exitOK           = 0
	exitOther        = 1
	exitUsage        = 2 // flags, arguments or files that cannot work
	exitPrecondition = 4 // a directory with other things in it, parts that do not make a whole
	exitPermission   = 7
	exitUnhealthy    = 9 // a check failed, or a figure is not as demanded
	exitInterrupted  = 130
)

// failure is an error as the user meets it: what failed and what to try.
type failure struct {
	exit    int
	code    string // for scripts, stable
	message string
	hint    string // what to try; may be empty
	err     error  // the cause, for errors.Is
}

func (f *failure) Error() string { return f.message }
func (f *failure) Unwrap() error { return f.err }

func usagef(format string, args ...any) *failure {
	return &failure{exit: exitUsage, code: "USAGE", message: fmt.Sprintf(format, args...)}
}

func (f *failure) withHint(format string, args ...any) *failure {
	f.hint = fmt.Sprintf(format, args...)
	return f
}

// rules turn causes into failures. The first row whose cause is found wins.
var rules = []struct {
	cause error
	exit  int
	code  string
	hint  string
}{
	{
		experiment.ErrForeign, exitPrecondition, "NOT_RESULTS",
		"Name an empty or new directory with --out: chordsim touches nothing that it did not make.",
	},
	{
		experiment.ErrOther, exitPrecondition, "OTHER_RESULTS",
		"Name another directory with --out, or replace the results there with --fresh.",
	},
	{experiment.ErrParts, exitPrecondition, "INCOMPLETE", "All shards of one sweep, finished and made by the same program, make a whole."},
	{fs.ErrPermission, exitPermission, "PERMISSION", ""},
	{fs.ErrNotExist, exitUsage, "NO_FILE", ""},
}

// explain turns any error of a command into a failure. A failure passes unchanged, but for the words that were wrapped round it.
func explain(err error) *failure {
	if errors.Is(err, context.Canceled) {
		f := &failure{exit: exitInterrupted, code: "INTERRUPTED", message: "interrupted", err: err}
		var said *interrupted
		if errors.As(err, &said) {
			f.message, f.hint = said.Error(), said.hint
		}
		return f
	}
	var (
		f        *failure
		scenario *sim.ScenarioError
		broken   *sim.Violation
		panicked *sim.PanicError
	)
	switch {
	case errors.As(err, &f):
		wrapped := *f
		wrapped.message = err.Error()
		return &wrapped
	case errors.As(err, &scenario):
		return &failure{
			exit: exitUsage, code: "SCENARIO", message: err.Error(), err: err,
			hint: "sim/scenarios/README.md explains every field of a scenario.",
		}
	case errors.As(err, &broken), errors.As(err, &panicked):
		return &failure{exit: exitUnhealthy, code: "CHECK_FAILED", message: err.Error(), err: err}
	}
	f = &failure{exit: exitOther, code: "OTHER", message: err.Error(), err: err}
	for _, r := range rules {
		if errors.Is(err, r.cause) {
			f.exit, f.code, f.hint = r.exit, r.code, r.hint
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

// print writes the failure to w, as JSON or for people.
func (f *failure) print(w io.Writer, asJSON bool, style style) {
	if !asJSON {
		fmt.Fprintf(w, "%s %s\n", style.red("chordsim:"), f.message)
		if f.hint != "" {
			fmt.Fprintf(w, "  %s\n", f.hint)
		}
		return
	}
	type body struct {
		Code      string `json:"code"`
		Message   string `json:"message"`
		Hint      string `json:"hint,omitempty"`
		Retryable bool   `json:"retryable"`
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	// An error of Encode can only be one of w, which is where errors go.
	_ = enc.Encode(map[string]body{"error": {f.code, f.message, f.hint, f.exit == exitInterrupted}})
}
