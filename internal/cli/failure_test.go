package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/chordkv/chord/internal/cli"
)

func TestPrint(t *testing.T) {
	full := &cli.Failure{
		Exit: cli.ExitUnavailable, Code: "UNAVAILABLE", Message: "cannot reach <a>", Hint: "Start one.", Attempted: []string{"a:1", "b:2"}, Retryable: true,
	}
	bare := cli.Usagef("--size %d: want at least 0", -1)
	color := cli.NewStyle(true, false, func(string) (string, bool) { return "", false })
	for _, tc := range []struct {
		name  string
		f     *cli.Failure
		json  bool
		style cli.Style
		want  string
	}{
		{"text", full, false, cli.Style{}, "prog: cannot reach <a>\n  Start one.\n"},
		{"text without hint", bare, false, cli.Style{}, "prog: --size -1: want at least 0\n"},
		{"color", bare, false, color, "\x1b[31mprog:\x1b[0m --size -1: want at least 0\n"},
		{
			"JSON", full, true, color,
			`{"error":{"code":"UNAVAILABLE","message":"cannot reach <a>","hint":"Start one.","attempted":["a:1","b:2"],"retryable":true}}` + "\n",
		},
		{"JSON without hint", bare, true, color, `{"error":{"code":"USAGE","message":"--size -1: want at least 0","retryable":false}}` + "\n"},
	} {
		var b bytes.Buffer
		tc.f.Print(&b, "prog", tc.json, tc.style)
		if got := b.String(); got != tc.want {
			t.Errorf("%s:\ngot  %q\nwant %q", tc.name, got, tc.want)
		}
	}
}

// TestAsFailure: words that were wrapped around a failure become a part of its message, and the failure itself stays as it was.
func TestAsFailure(t *testing.T) {
	cause := errors.New("cause")
	f := &cli.Failure{Exit: cli.ExitOther, Message: "broken", Hint: "Mend it.", Err: cause}
	got := cli.AsFailure(fmt.Errorf("preload: %w", f))
	if got == nil || got.Message != "preload: broken" || got.Hint != f.Hint || !errors.Is(got, cause) || f.Message != "broken" {
		t.Errorf("got %+v of %+v", got, f)
	}
	if got := cli.AsFailure(cause); got != nil {
		t.Errorf("got %+v of an error that is no failure", got)
	}
}

func TestWantsJSON(t *testing.T) {
	for line, want := range map[string]bool{
		"get k -o json": true, "get -ojson k": true, "get -o=json": true, "get --output json": true, "get --output=json": true,
		"get k": false, "get k -o text": false, "put -- -o json": false, "get -o": false,
	} {
		if got := cli.WantsJSON(strings.Fields(line)); got != want {
			t.Errorf("%s: got %v, want %v", line, got, want)
		}
	}
}

// TestColors: on a terminal, unless a flag or the environment forbids it.
func TestColors(t *testing.T) {
	for _, tc := range []struct {
		tty, noColor bool
		env          string
		want         string
	}{
		{true, false, "", "\x1b[32mok\x1b[0m"},
		{false, false, "", "ok"},
		{true, true, "", "ok"},
		{true, false, "0", "ok"},
	} {
		s := cli.NewStyle(tc.tty, tc.noColor, func(name string) (string, bool) { return tc.env, name == "NO_COLOR" })
		if got := s.Green("ok"); got != tc.want {
			t.Errorf("%+v: got %q", tc, got)
		}
		if got := s.Bold(""); got != "" {
			t.Errorf("%+v: nothing is painted as %q", tc, got)
		}
	}
}
