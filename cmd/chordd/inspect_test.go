package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/chordkv/chord/internal/cli"
)

// inspectCommand runs chordd inspect.
func inspectCommand(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), surroundings{args: append([]string{"inspect"}, args...), stdout: &out, stderr: &err})
	return code, out.String(), err.String()
}

func TestInspectCommand(t *testing.T) {
	dir := t.TempDir()
	d := startChild(t, alone(t, "--data", dir, "--vnodes", "2")...)
	put(t, d.ready(t)["advertise"], "hello", "world")
	if code, out, err := inspectCommand(t, dir); code != cli.ExitOther || out != "" || !strings.Contains(err, "in use by process") {
		t.Errorf("of a running process: exit %d, %q, %q", code, out, err)
	}
	d.stop(t)

	code, out, err := inspectCommand(t, dir)
	if code != cli.ExitOK || err != "" || !strings.Contains(out, "start number 1") || !strings.Contains(out, "1, 0 of them deletes") || !strings.Contains(out, "agrees with the records") {
		t.Errorf("exit %d, %q, %q", code, out, err)
	}
	var r inspectionJSON
	code, out, _ = inspectCommand(t, dir, "-o", "json")
	if e := json.Unmarshal([]byte(out), &r); e != nil || code != cli.ExitOK || len(r.Arcs) != 2 || r.Cluster == "" || r.Format == 0 {
		t.Errorf("exit %d, %v: %s", code, e, out)
	}
	if code, _, err := inspectCommand(t, t.TempDir()); code != cli.ExitOther || !strings.Contains(err, "not a data directory") {
		t.Errorf("an empty directory: exit %d, %q", code, err)
	}
	if code, _, _ := inspectCommand(t); code != cli.ExitUsage {
		t.Errorf("without a directory: exit %d", code)
	}
}
