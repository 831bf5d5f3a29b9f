package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/rpc"
)

// errSilent ends a command with an exit code and no message, because its output has said everything.
type errSilent struct{ exit int }

func (e errSilent) Error() string { return fmt.Sprintf("exit code %d", e.exit) }

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
	{node.ErrCondition, cli.ExitPrecondition, "CONDITION", "", false},
	{node.ErrInvalid, cli.ExitUsage, "INVALID", "", false},
	{
		node.ErrStoreFull, cli.ExitOther, "STORE_FULL",
		"The disk of a replica is full. Reads go on, and writes come back by themselves when there is room: free or add space there.", true,
	},
	{
		node.ErrConsistency, cli.ExitConsistency, "CONSISTENCY",
		`Replicas are down or slow: "chord ring" shows which. --consistency one asks for less.`, true,
	},
	{
		node.ErrMinority, cli.ExitUnavailable, "MINORITY",
		"Most of the cluster is cut off from this process, or dead. Name one of the other part with --server, mend the network, or start new processes " +
			"in place of those that are lost. --consistency one does without a quorum.", true,
	},
	{node.ErrTooManyWatches, cli.ExitUnavailable, "TOO_MANY_WATCHES", "End other watches, or try again later.", true},
	{node.ErrClockSkew, cli.ExitOther, "CLOCK_SKEW", "The clock of a process is wrong: set it right (NTP). If it was ahead before and is right now, see Clocks in docs/operations.md.", true},
	{node.ErrCorrupt, cli.ExitOther, "CORRUPT", "Repair replaces the record from another replica; try again in a minute.", true},
	{node.ErrUnknown, cli.ExitUnknown, "OUTCOME_UNKNOWN", "", true},
	{
		context.DeadlineExceeded, cli.ExitUnknown, "TIMEOUT",
		`The ring may be busy or in repair: raise --timeout, or look at it with "chord ring".`, true,
	},
	{
		node.ErrNotReady, cli.ExitUnavailable, "NOT_READY",
		"Try again in a few seconds, or name another process with --server.", true,
	},
	{node.ErrSuperseded, cli.ExitUnavailable, "SUPERSEDED", "Ownership of the key has just changed: try again.", true},
	{node.ErrNoRoute, cli.ExitUnavailable, "NO_ROUTE", "The ring is repairing itself after failures: try again in a few seconds.", true},
	{node.ErrUnreachable, cli.ExitUnavailable, "UNAVAILABLE", hintUnavailable, true},
	{node.ErrNoNode, cli.ExitUnavailable, "UNAVAILABLE", "The ring is changing: try again.", true},
	{node.ErrNotOwner, cli.ExitUnavailable, "UNAVAILABLE", "The ring is changing: try again.", true},
	{
		errNotChord, cli.ExitUnavailable, "NOT_CHORD",
		"Check the port: --server is the --listen address of a chordd (default port 7400), --admin its --admin address (7402).", false,
	},
	{fs.ErrPermission, cli.ExitPermission, "PERMISSION", "", false},
	{node.ErrStore, cli.ExitOther, "STORE", "The log of the process says more.", true},
}

// explain turns any error of a command into a failure. A failure passes unchanged, but for the words that were wrapped round it.
func explain(err error) *cli.Failure {
	if f := cli.AsFailure(err); f != nil {
		return f
	}
	if errors.Is(err, context.Canceled) {
		return &cli.Failure{Exit: cli.ExitInterrupted, Code: "INTERRUPTED", Message: "interrupted", Retryable: true, Err: err}
	}
	f := failureOf(err)
	if f.Code == "OTHER" {
		explainStatus(f, err)
	}
	var oe *rpc.OpError
	if errors.As(err, &oe) {
		explainOp(f, oe)
	}
	return f
}

// failureOf is the failure that the rules make of an error.
func failureOf(err error) *cli.Failure {
	f := &cli.Failure{Exit: cli.ExitOther, Code: "OTHER", Message: err.Error(), Err: err}
	for _, r := range rules {
		if errors.Is(err, r.cause) {
			f.Exit, f.Code, f.Hint, f.Retryable = r.exit, r.code, r.hint, r.retryable
			break
		}
	}
	return f
}

// explainStatus covers the gRPC codes that no error of node stands for.
func explainStatus(f *cli.Failure, err error) {
	switch status.Code(err) {
	case codes.PermissionDenied, codes.Unauthenticated:
		f.Exit, f.Code = cli.ExitPermission, "PERMISSION"
	case codes.Unavailable:
		f.Exit, f.Code, f.Retryable = cli.ExitUnavailable, "UNAVAILABLE", true
	case codes.DeadlineExceeded:
		f.Exit, f.Code, f.Retryable = cli.ExitUnknown, "TIMEOUT", true
	}
}

// explainOp words the failure of an operation of rpc.Client: what, why, where, after how long, and the truth about a write that may
// have happened.
func explainOp(f *cli.Failure, oe *rpc.OpError) {
	f.Attempted, f.Retryable = oe.Attempted, oe.Retryable
	if oe.Write && oe.Outcome == rpc.OutcomeUnknown {
		if f.Exit != cli.ExitConsistency {
			f.Exit, f.Code = cli.ExitUnknown, "OUTCOME_UNKNOWN"
		}
		f.Message = fmt.Sprintf("%soutcome unknown, it may or may not have taken effect: %v%s", opPrefix(oe), oe.Err, tried(oe))
		f.Hint = "Read the key to see, or repeat the command: that does no harm unless others write the key."
		return
	}
	var condition *node.ConditionError
	switch {
	case errors.As(oe.Err, &condition):
		f.Message, f.Hint = fmt.Sprintf("%s%v", opPrefix(oe), condition), hintCondition(condition)
	case oe.Attempts == 0:
		f.Message = fmt.Sprintf("%s%v", opPrefix(oe), oe.Err)
	case f.Code == "UNAVAILABLE":
		f.Message = fmt.Sprintf("%scannot reach %s: %v (after %s)", opPrefix(oe), shortList(oe.Attempted), oe.Err, roundDuration(oe.Elapsed))
	case f.Code == "TIMEOUT":
		f.Message = fmt.Sprintf("%sno answer from %s within %s", opPrefix(oe), shortList(oe.Attempted), roundDuration(oe.Elapsed))
	default:
		f.Message = fmt.Sprintf("%s%v%s", opPrefix(oe), oe.Err, tried(oe))
	}
}

// hintCondition says what to do about a key that is not as an operation wants it.
func hintCondition(e *node.ConditionError) string {
	switch e.Conflict {
	case node.Exists:
		return fmt.Sprintf("To replace just this value, use --if-version %v.", e.Version)
	case node.Missing:
		return `To create the key, use "chord put --create".`
	case node.Changed, node.Earlier:
		return `Read the key with "chord get -o json", and decide again by its version.`
	case node.Chunked:
		return `Put the whole new value: "chord put" takes its place, whatever its size.`
	case node.NotNumber:
		return fmt.Sprintf(`To start counting over this value, use "chord put --if-version %v".`, e.Version)
	}
	return ""
}

// opPrefix is "put "k": ", or nothing before what the user asked for has even begun.
func opPrefix(oe *rpc.OpError) string {
	if oe.Op == "hello" {
		return ""
	}
	return oe.Op + ": "
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

// roundDuration shows a duration with three digits at most: 1.23s, 45.6ms.
func roundDuration(d time.Duration) string {
	unit := time.Duration(1)
	for unit*1000 <= d {
		unit *= 10
	}
	return d.Round(unit).String()
}
