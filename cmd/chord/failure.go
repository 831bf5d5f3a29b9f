package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/rpc"
)

// The exit codes of chord: scripts test for them, so they never change their meaning.
const (
	exitOK          = 0
	exitOther       = 1
	exitUsage       = 2 // flags, arguments or input that cannot work
	exitNotFound    = 3
	exitUnavailable = 5 // nobody to ask, or the ring cannot serve now; nothing was applied
	exitUnknown     = 6 // no answer in time; a write may or may not have taken effect
	exitPermission  = 7
	exitConsistency = 8 // fewer replicas answered than --consistency asks for
	exitUnhealthy   = 9 // status --check, ring --check
	exitInterrupted = 130
)

// failure is an error as the user meets it: what failed, on which address, after how long, and what to try.
type failure struct {
	exit      int
	code      string // for scripts, stable
	message   string
	hint      string   // what to try; may be empty
	attempted []string // addresses that were asked
	retryable bool     // repeating the command may help and does no harm
	err       error    // the cause, for errors.Is

	// Of a failed call: what it was, `put "k"`, and how long was tried. They let enrich word the message anew.
	op      string
	elapsed time.Duration
}

func (f *failure) Error() string { return f.message }
func (f *failure) Unwrap() error { return f.err }

// errSilent ends a command with an exit code and no message, because its output has said everything.
type errSilent struct{ exit int }

func (e errSilent) Error() string { return fmt.Sprintf("exit code %d", e.exit) }

func usagef(format string, args ...any) *failure {
	return &failure{exit: exitUsage, code: "USAGE", message: fmt.Sprintf(format, args...)}
}

func (f *failure) withHint(format string, args ...any) *failure {
	f.hint = fmt.Sprintf(format, args...)
	return f
}

// rule is one row of the table that turns causes into failures. The first row whose cause is found wins.
type rule struct {
	cause     error
	exit      int
	code      string
	hint      string
	retryable bool
}

const hintUnavailable = `Is a chordd running there? Start one with "chordd --dev", or name another with --server or CHORD_SERVER.`

var rules = []rule{
	{node.ErrInvalid, exitUsage, "INVALID", "", false},
	{
		node.ErrStoreFull, exitOther, "STORE_FULL",
		"The disk of a replica is full. Reads go on, and writes come back by themselves when there is room: free or add space there.", true,
	},
	{
		node.ErrConsistency, exitConsistency, "CONSISTENCY",
		`Replicas are down or slow: "chord ring" shows which. --consistency one asks for less.`, true,
	},
	{node.ErrClockSkew, exitOther, "CLOCK_SKEW", "The clock of a process runs ahead: set it right (NTP).", true},
	{node.ErrCorrupt, exitOther, "CORRUPT", "Repair replaces the record from another replica; try again in a minute.", true},
	{node.ErrUnknown, exitUnknown, "OUTCOME_UNKNOWN", "", true},
	{
		context.DeadlineExceeded, exitUnknown, "TIMEOUT",
		`The ring may be busy or in repair: raise --timeout, or look at it with "chord ring".`, true,
	},
	{
		node.ErrNotReady, exitUnavailable, "NOT_READY",
		"Try again in a few seconds, or name another process with --server.", true,
	},
	{node.ErrNoRoute, exitUnavailable, "NO_ROUTE", "The ring is repairing itself after failures: try again in a few seconds.", true},
	{node.ErrUnreachable, exitUnavailable, "UNAVAILABLE", hintUnavailable, true},
	{node.ErrNoNode, exitUnavailable, "UNAVAILABLE", "The ring is changing: try again.", true},
	{node.ErrNotOwner, exitUnavailable, "UNAVAILABLE", "The ring is changing: try again.", true},
	{
		errNotChord, exitUnavailable, "NOT_CHORD",
		"Check the port: --server is the --listen address of a chordd (default port 7400), --admin its --admin address (7402).", false,
	},
	{fs.ErrPermission, exitPermission, "PERMISSION", "", false},
	{node.ErrStore, exitOther, "STORE", "The log of the process says more.", true},
}

// explain turns any error of a command into a failure. A failure passes unchanged, but for the words that were wrapped round it.
func explain(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		wrapped := *f
		wrapped.message = err.Error()
		return &wrapped
	}
	if errors.Is(err, context.Canceled) {
		return &failure{exit: exitInterrupted, code: "INTERRUPTED", message: "interrupted", retryable: true, err: err}
	}
	f = &failure{exit: exitOther, code: "OTHER", message: err.Error(), err: err}
	for _, r := range rules {
		if errors.Is(err, r.cause) {
			f.exit, f.code, f.hint, f.retryable = r.exit, r.code, r.hint, r.retryable
			break
		}
	}
	if f.code == "OTHER" {
		explainStatus(f, err)
	}
	var oe *rpc.OpError
	if errors.As(err, &oe) {
		explainOp(f, oe)
	}
	return f
}

// explainStatus covers the gRPC codes that no error of node stands for.
func explainStatus(f *failure, err error) {
	switch status.Code(err) {
	case codes.PermissionDenied, codes.Unauthenticated:
		f.exit, f.code = exitPermission, "PERMISSION"
	case codes.Unavailable:
		f.exit, f.code, f.retryable = exitUnavailable, "UNAVAILABLE", true
	case codes.DeadlineExceeded:
		f.exit, f.code, f.retryable = exitUnknown, "TIMEOUT", true
	}
}

// explainOp words the failure of an operation of rpc.Client: what, why, where, after how long, and the truth about a write that may
// have happened.
func explainOp(f *failure, oe *rpc.OpError) {
	f.attempted, f.retryable, f.op, f.elapsed = oe.Attempted, oe.Retryable, oe.Op, oe.Elapsed
	if f.op == "hello" {
		f.op = "" // what the user asked for had not even begun
	}
	if oe.Write && oe.Outcome == rpc.OutcomeUnknown {
		if f.exit != exitConsistency {
			f.exit, f.code = exitUnknown, "OUTCOME_UNKNOWN"
		}
		f.message = fmt.Sprintf("%soutcome unknown, it may or may not have taken effect: %v%s", opPrefix(f.op), oe.Err, tried(oe))
		f.hint = "Read the key to see, or repeat the command: that does no harm unless others write the key."
		return
	}
	switch {
	case oe.Attempts == 0:
		f.message = fmt.Sprintf("%s%v", opPrefix(f.op), oe.Err)
	case f.code == "UNAVAILABLE":
		f.message = fmt.Sprintf("%scannot reach %s: %v (after %s)", opPrefix(f.op), shortList(oe.Attempted), oe.Err, roundDuration(oe.Elapsed))
	case f.code == "TIMEOUT":
		f.message = fmt.Sprintf("%sno answer from %s within %s", opPrefix(f.op), shortList(oe.Attempted), roundDuration(oe.Elapsed))
	default:
		f.message = fmt.Sprintf("%s%v%s", opPrefix(f.op), oe.Err, tried(oe))
	}
}

func opPrefix(op string) string {
	if op == "" {
		return ""
	}
	return op + ": "
}

// tried says where, how often and for how long: " (127.0.0.1:7400, 3 attempts in 1.2s)".
func tried(oe *rpc.OpError) string {
	switch oe.Attempts {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf(" (%s, after %s)", shortList(oe.Attempted), roundDuration(oe.Elapsed))
	}
	return fmt.Sprintf(" (%s, %d attempts in %s)", shortList(oe.Attempted), oe.Attempts, roundDuration(oe.Elapsed))
}

// shortList keeps a message readable on a ring of hundreds of processes.
func shortList(addrs []string) string {
	const most = 4
	if len(addrs) <= most {
		return strings.Join(addrs, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(addrs[:most], ", "), len(addrs)-most)
}

// print writes the failure to w, as JSON or for people.
func (f *failure) print(w io.Writer, asJSON bool, style style) {
	if !asJSON {
		fmt.Fprintf(w, "%s %s\n", style.red("chord:"), f.message)
		if f.hint != "" {
			fmt.Fprintf(w, "  %s\n", f.hint)
		}
		return
	}
	type body struct {
		Code      string   `json:"code"`
		Message   string   `json:"message"`
		Hint      string   `json:"hint,omitempty"`
		Attempted []string `json:"attempted,omitempty"`
		Retryable bool     `json:"retryable"`
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	// An error of Encode can only be one of w, which is where errors go.
	_ = enc.Encode(map[string]body{"error": {f.code, f.message, f.hint, f.attempted, f.retryable}})
}

// roundDuration shows a duration with three digits at most: 1.23s, 45.6ms.
func roundDuration(d time.Duration) string {
	unit := time.Duration(1)
	for unit*1000 <= d {
		unit *= 10
	}
	return d.Round(unit).String()
}
