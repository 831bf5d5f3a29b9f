package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chordkv/chord/internal/raced"
)

// long says that the tests of which the usual form is a sample run in full, for minutes: CHORD_LONG=1.
var long = os.Getenv("CHORD_LONG") != ""

// patience is how long to wait for something that takes so long at most in the usual form of a test.
func patience(d time.Duration) time.Duration {
	if long {
		d *= 10
	}
	return d
}

// binDir is where the binaries under test are, once build has made them.
var binDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "chord-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

var build = sync.OnceValue(func() error {
	cmd := exec.Command("go", "build", "-race=false", "-o", binDir+string(filepath.Separator), "./cmd/chordd", "./cmd/chord")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return nil
})

// needPrograms skips a test in short mode, and else makes sure that the programs are built.
func needPrograms(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	if raced.Enabled && !long {
		t.Skip("starts processes, which the race detector does not see: run it without -race")
	}
	if err := build(); err != nil {
		t.Fatal(err)
	}
}

// environment is that of this process without what would configure the programs.
func environment() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "CHORD_") && !strings.HasPrefix(e, "CHORDD_") {
			env = append(env, e)
		}
	}
	return append(env, "NO_COLOR=1")
}

// output is what a command that ended left behind.
type output struct {
	stdout, stderr string
	code           int
}

// chord runs the command line and returns what it printed and its exit code.
func chord(t *testing.T, args ...string) output {
	t.Helper()
	return chordWithin(t, nil, args...)
}

// chordWithin is chord where a command runs its arguments: see chordd.within.
func chordWithin(t *testing.T, within []string, args ...string) output {
	t.Helper()
	out, err := tryChord(t.Context(), within, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tryChord is chordWithin for any goroutine. It fails if the command does not end in time or cannot be run.
func tryChord(ctx context.Context, within []string, args ...string) (output, error) {
	ctx, cancel := context.WithTimeout(ctx, patience(2*time.Minute))
	defer cancel()
	command := slices.Concat(within, []string{filepath.Join(binDir, "chord")}, args)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = environment()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		return output{}, fmt.Errorf("chord %s: %w (%v)\n%s", strings.Join(args, " "), err, ctx.Err(), stderr.String())
	}
	return output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}, nil
}

// mustChord is chord for a command that has to succeed.
func mustChord(t *testing.T, args ...string) string {
	t.Helper()
	out := chord(t, args...)
	if out.code != 0 {
		t.Fatalf("chord %s: exit code %d\n%s", strings.Join(args, " "), out.code, out.stderr)
	}
	return out.stdout
}

// eventually waits until check returns nil, and fails with its last error when the time is up.
func eventually(t *testing.T, limit time.Duration, what string, check func() error) {
	t.Helper()
	start := time.Now()
	limit = patience(limit)
	for {
		err := check()
		if err == nil {
			t.Logf("%s after %v", what, time.Since(start).Round(time.Millisecond))
			return
		}
		if time.Since(start) > limit {
			t.Fatalf("not %s after %v: %v", what, limit, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
