package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chordkv/chord/internal/cli"
)

// asMain makes the test binary behave as chordsim: the tests of whole processes start themselves with it.
const asMain = "CHORDSIM_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// world runs command lines inside the test.
type world struct {
	app
	out, err bytes.Buffer
	env      map[string]string
}

func newWorld() *world {
	w := &world{env: make(map[string]string)}
	w.app = app{
		stdout: &w.out, stderr: &w.err, width: func() int { return 80 },
		lookupEnv: func(name string) (string, bool) { v, ok := w.env[name]; return v, ok },
		build:     cli.Build{Version: "v0.0.0", Commit: "abc", Go: "go1"},
	}
	return w
}

// chordsim runs a command line and returns its exit code; the streams are those of this command alone.
func (w *world) chordsim(ctx context.Context, args ...string) int {
	w.out.Reset()
	w.err.Reset()
	w.globals = globals{}
	return w.run(ctx, args)
}

// must runs a command line that has to end with the given exit code.
func (w *world) must(t *testing.T, exit int, args ...string) string {
	t.Helper()
	if got := w.chordsim(t.Context(), args...); got != exit {
		t.Fatalf("%v: exit code %d, want %d\n%s%s", args, got, exit, w.out.String(), w.err.String())
	}
	return w.out.String()
}

// result reads what a command has printed with -o json.
func (w *world) result(t *testing.T) resultJSON {
	t.Helper()
	dec := json.NewDecoder(&w.out)
	dec.DisallowUnknownFields()
	var r resultJSON
	if err := dec.Decode(&r); err != nil {
		t.Fatalf("%v in %s", err, w.out.String())
	}
	return r
}

// process returns a command line as a process of its own, in the given directory.
func process(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), asMain+"=1")
	return cmd
}

// small is a scenario that takes a moment.
const small = `
name: small
nodes: 12
duration: 20s
workload:
  - {op: lookup, rate: 5}
`

// data is what makes the small scenario exchange every kind of message.
const data = `  - {op: put, rate: 1, keys: 20}
  - {op: get, rate: 1, keys: 20}
  - {op: delete, rate: 0.5, keys: 20}
`

// write makes a file in the working directory of the test.
func write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// files reads all files of a directory.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string, len(entries))
	for _, e := range entries {
		all[e.Name()] = read(t, dir, e.Name())
	}
	return all
}
