package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// The exit codes, the same for all commands, of which each uses some. Scripts test for them, so they never change their meaning.
const (
	ExitOK           = 0
	ExitOther        = 1 // any other failure
	ExitUsage        = 2 // flags, arguments, settings or input that cannot work
	ExitNotFound     = 3
	ExitPrecondition = 4 // things are not as the command must find them, such as a directory with something else in it, or a key of another version
	ExitUnavailable  = 5 // nobody to ask, or the ring cannot serve now; nothing was applied
	ExitUnknown      = 6 // no answer in time; a write may or may not have taken effect
	ExitPermission   = 7
	ExitConsistency  = 8 // fewer replicas answered than --consistency asks for
	ExitUnhealthy    = 9 // a check failed, or a figure is not as demanded
	ExitInterrupted  = 130
)

// Failure is an error as the user meets it: what failed, on which address, after how long, and what to try.
type Failure struct {
	Exit      int
	Code      string // for scripts, stable
	Message   string
	Hint      string   // what to try; may be empty
	Attempted []string // addresses that were asked
	Retryable bool     // repeating the command may help and does no harm
	Err       error    // the cause, for errors.Is
}

// Error returns the message.
func (f *Failure) Error() string { return f.Message }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Usagef returns the failure of flags, arguments or input that cannot work.
func Usagef(format string, args ...any) *Failure {
	return &Failure{Exit: ExitUsage, Code: "USAGE", Message: fmt.Sprintf(format, args...)}
}

// WithHint says what to try, and returns f.
func (f *Failure) WithHint(format string, args ...any) *Failure {
	f.Hint = fmt.Sprintf(format, args...)
	return f
}

// AsFailure returns a copy of the Failure in an error, with the words that were wrapped around it in its message; nil if there is none.
func AsFailure(err error) *Failure {
	var f *Failure
	if !errors.As(err, &f) {
		return nil
	}
	wrapped := *f
	wrapped.Message = err.Error()
	return &wrapped
}

// Print writes the failure of a program to w, as JSON or for people.
func (f *Failure) Print(w io.Writer, program string, asJSON bool, style Style) {
	if !asJSON {
		fmt.Fprintf(w, "%s %s\n", style.Red(program+":"), f.Message)
		if f.Hint != "" {
			fmt.Fprintf(w, "  %s\n", f.Hint)
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
	_ = enc.Encode(map[string]body{"error": {f.Code, f.Message, f.Hint, f.Attempted, f.Retryable}})
}

// WantsJSON finds -o json in a command line that could not be parsed as a whole.
func WantsJSON(args []string) bool {
	if i := slices.Index(args, "--"); i >= 0 {
		args = args[:i]
	}
	for i, arg := range args {
		switch {
		case arg == "-ojson", arg == "-o=json", arg == "--output=json":
			return true
		case (arg == "-o" || arg == "--output") && i+1 < len(args) && args[i+1] == "json":
			return true
		}
	}
	return false
}
