package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/sim"
)

// TestRunLeavesADirectory runs a scenario as a user would, and again by the command that the first run has left.
func TestRunLeavesADirectory(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, "small.yaml", small)
	out, err := process(t, dir, "run", "small.yaml", "--set", "network.loss=0.01", "--seed", "9", "--out", "first", "--workers", "1").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"lookups", "hops", "neighbors", "checksum", filepath.Join("first", "report.html")} {
		if !strings.Contains(string(out), want) {
			t.Errorf("stdout has no %q:\n%s", want, out)
		}
	}
	var p struct {
		Command  []string
		Complete bool
		Go       string
		Commit   string
		Settings []struct{ Name, Value string }
	}
	if err := json.Unmarshal([]byte(read(t, "first", "params.json")), &p); err != nil {
		t.Fatal(err)
	}
	if want := "chordsim run small.yaml --seed 9 --set network.loss=0.01"; strings.Join(p.Command, " ") != want || !p.Complete || p.Commit == "" {
		t.Errorf("params.json: %+v, want the command %s", p, want)
	}
	if host, err := os.Hostname(); err == nil && len(host) > 3 && strings.Contains(read(t, "first", "params.json"), host) {
		t.Error("params.json names the host")
	}
	again := append(p.Command[1:], "--out", "second", "-q")
	if out, err := process(t, dir, again...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%v: %v: %s", again, err, out)
	}
	sameFiles(t, "second", "first")
	// The scenario that the run has left says everything too.
	if out, err := process(t, dir, "run", filepath.Join("first", "scenario.yaml"), "--out", "third", "-q").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got, want := read(t, "third", "series.csv"), read(t, "first", "series.csv"); got != want {
		t.Error("scenario.yaml gives another run")
	}
}

// sameFiles compares two directories, byte for byte.
func sameFiles(t *testing.T, got, want string) {
	t.Helper()
	g, w := files(t, got), files(t, want)
	for name := range w {
		if g[name] != w[name] {
			t.Errorf("%s differs", filepath.Join(got, name))
		}
	}
	if len(g) != len(w) {
		t.Errorf("%s has %d files, want %d", got, len(g), len(w))
	}
}

// interrupt starts a command that would take longer, ends it by SIGINT when a file is there, and returns what it said.
func interrupt(t *testing.T, dir, file string, args ...string) string {
	t.Helper()
	cmd := process(t, dir, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(file); err == nil {
			break
		}
		if time.Since(start) > time.Minute {
			t.Fatalf("no %s: %s", file, stderr.String())
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != cli.ExitInterrupted {
		t.Fatalf("got %v, want exit code %d: %s", err, cli.ExitInterrupted, stderr.String())
	}
	return stderr.String()
}

func TestInterruptedRunLeavesWhatThereIs(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	said := interrupt(t, dir, filepath.Join(out, "params.json"), "run", "--nodes", "500", "--duration", "2000h", "--out", "out")
	if !strings.Contains(said, "interrupted: what there is so far is in out") {
		t.Errorf("stderr: %s", said)
	}
	if page := read(t, out, "report.html"); !strings.Contains(page, "Not finished") {
		t.Error("report.html does not say that the run was interrupted")
	}
	if p := read(t, out, "params.json"); !strings.Contains(p, `"complete": false`) {
		t.Error("params.json says that the run is complete")
	}
	if csv := read(t, out, "series.csv"); !strings.HasPrefix(csv, "time,live,") {
		t.Errorf("series.csv: %.100s", csv)
	}
}

// TestInterruptedSweepGoesOn: what is left of an interrupted sweep becomes what an undisturbed one would have made.
func TestInterruptedSweepGoesOn(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, "small.yaml", small)
	grid := []string{"sweep", "small.yaml", "--nodes", "60", "--duration", "1m", "--seeds", "1..20", "-q", "--out"}
	out := filepath.Join(dir, "out")
	interrupt(t, dir, filepath.Join(out, "points", "point-000000.json"), append(grid, "out", "--workers", "1")...)
	for _, args := range [][]string{append(grid, "out"), append(grid, "undisturbed")} {
		if out, err := process(t, dir, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	sameFiles(t, "out", "undisturbed")
}

// TestBrokenPromise: a run in which a check fails ends with exit code 9, and its directory is complete.
func TestBrokenPromise(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "small.yaml", small)
	w := newWorld()
	w.must(t, cli.ExitUnhealthy, "run", "small.yaml", "--set", "faults=[{kind: partition, at: 5s, for: 15s}]", "--set", "heal=1ms", "--out", "out")
	if got := w.err.String(); !strings.Contains(got, "Heal") {
		t.Errorf("stderr: %s", got)
	}
	if page := read(t, "out", "report.html"); !strings.Contains(page, "A check failed") || strings.Contains(page, "Not finished") {
		t.Error("report.html does not say that a check failed")
	}
}

// TestWireChangesNothing: a run whose messages pass through protobuf is the same run, and has its bytes counted.
func TestWireChangesNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "small.yaml", small+data)
	w := newWorld()
	w.must(t, cli.ExitOK, "run", "small.yaml", "-o", "json", "--out", "plain")
	plain := w.result(t)
	w.must(t, cli.ExitOK, "run", "small.yaml", "-o", "json", "--out", "wired", "--wire")
	wired := w.result(t)
	if plain.Checksum == "" || plain.Checksum != wired.Checksum {
		t.Errorf("checksums %q and %q", plain.Checksum, wired.Checksum)
	}
	if got := read(t, "wired", "messages.csv"); !strings.Contains(got, "wire_bytes") {
		t.Errorf("messages.csv: %s", got)
	}
	if plain.Dir != "plain" || plain.Kind != "run" || plain.Name != "small" || !plain.Complete || len(plain.Tables) != 2 {
		t.Errorf("got %+v", plain)
	}
}

func TestExperiment(t *testing.T) {
	t.Chdir(t.TempDir())
	w := newWorld()
	run := []string{"experiment", "path-length", "--quick", "--set", "nodes=8", "--set", "least-lookups=2000", "-o", "json"}
	if code := w.chordsim(t.Context(), run...); code != cli.ExitOK && code != cli.ExitUnhealthy {
		t.Fatalf("exit code %d: %s", code, w.err.String())
	}
	first := w.result(t)
	if first.Kind != "experiment" || first.Earlier || !first.Complete || first.OK+first.Missed == 0 || len(first.Tables) == 0 {
		t.Errorf("got %+v", first)
	}
	if !regexp.MustCompile(`^chordsim-out/path-length-1-quick-[0-9a-f]{6}$`).MatchString(filepath.ToSlash(first.Dir)) {
		t.Errorf("the directory is %s", first.Dir)
	}
	before := files(t, first.Dir)
	w.must(t, cli.ExitOK, run...)
	if second := w.result(t); !second.Earlier || second.Dir != first.Dir {
		t.Errorf("the second run: %+v, want it to find the first", second)
	}
	w.build.Commit = "def"
	if code := w.chordsim(t.Context(), run...); code != cli.ExitOK && code != cli.ExitUnhealthy {
		t.Fatalf("exit code %d: %s", code, w.err.String())
	}
	if third := w.result(t); third.Earlier || !strings.Contains(w.err.String(), "made by commit abc, begins anew") {
		t.Errorf("with another commit: %+v, %s", third, w.err.String())
	}
	if got := read(t, first.Dir, "paths.csv"); got != before["paths.csv"] {
		t.Error("another run gives other figures")
	}
	w.must(t, cli.ExitOK, "experiment", "path-length", "--params")
	if got := w.out.String(); !strings.Contains(got, "least-lookups") {
		t.Errorf("--params: %s", got)
	}
}

func TestSweepInShards(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "small.yaml", small)
	w := newWorld()
	grid := []string{"sweep", "small.yaml", "--set", "nodes=4,6", "--seeds", "1..2"}
	w.must(t, cli.ExitOK, append(grid, "--out", "whole", "--workers", "2")...)
	for _, shard := range []string{"1/2", "0/2"} {
		w.must(t, cli.ExitOK, append(grid, "--out", "parts", "--shard", shard)...)
	}
	w.must(t, cli.ExitOK, "merge", "parts", "--out", "merged")
	sameFiles(t, "merged", "whole")
}

func TestBench(t *testing.T) {
	w := newWorld()
	var got benched
	if err := json.Unmarshal([]byte(w.must(t, cli.ExitOK, "bench", "--nodes", "300", "--duration", "40s", "-o", "json")), &got); err != nil {
		t.Fatal(err)
	}
	if got.Nodes != 300 || got.Events < 300 || got.EventsPerSecond <= 0 || got.BytesPerNode < 100 || got.MeanHops < 1 || len(got.Checksum) != 16 {
		t.Errorf("got %+v", got)
	}
}

func TestProfiles(t *testing.T) {
	t.Chdir(t.TempDir())
	newWorld().must(t, cli.ExitOK, "bench", "--nodes", "50", "--duration", "1s", "--cpuprofile", "cpu.prof", "--memprofile", "mem.prof", "-q")
	for _, name := range []string{"cpu.prof", "mem.prof"} {
		if got := read(t, name); !strings.HasPrefix(got, "\x1f\x8b") {
			t.Errorf("%s is no compressed profile: %.10q", name, got)
		}
	}
	w := newWorld()
	w.must(t, cli.ExitUsage, "bench", "--nodes", "50", "--cpuprofile", filepath.Join("no", "such", "dir"))
	if got := w.err.String(); !strings.Contains(got, "--cpuprofile") {
		t.Errorf("stderr: %s", got)
	}
}

func TestCompletion(t *testing.T) {
	w := newWorld()
	for _, tc := range []struct{ typed, want string }{
		{"run st", "standard-faults"},
		{"experiment path", "path-length"},
		{"run --latency i", "internet"},
		{"merge -o j", "json"},
		{"explore two", "two-joins"},
		{"list e", "experiments"},
	} {
		out := w.must(t, cli.ExitOK, append([]string{"__complete"}, strings.Fields(tc.typed)...)...)
		if !strings.Contains(out, tc.want) {
			t.Errorf("%s: got %s, want %s", tc.typed, out, tc.want)
		}
	}
}

// TestErrorsNameTheField: what is wrong with a scenario or a parameter is told by its name, before anything runs.
func TestErrorsNameTheField(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "bad.yaml", "nodes: 10\nlattency: 5ms\nchurn:\n  - {kind: poisson, joins: -1}\n")
	w := newWorld()
	for _, tc := range []struct{ line, want string }{
		{"run bad.yaml", `bad.yaml:2:1: unknown field "lattency"`},
		{"run bad.yaml", "bad.yaml:4:28: churn[0].joins"},
		{"run --set nods=7", `unknown field "nods"`},
		{"sweep --set nods=7,8", `unknown field "nods"`},
		{"experiment path-length --set size=5", `no parameter "size": it has nodes, `},
	} {
		w.must(t, cli.ExitUsage, strings.Fields(tc.line)...)
		if got := w.err.String(); !strings.Contains(got, tc.want) {
			t.Errorf("%s: got %s, want %q", tc.line, got, tc.want)
		}
		if w.out.Len() > 0 {
			t.Errorf("%s: stdout has %s", tc.line, w.out.String())
		}
		if _, err := os.Stat(defaultOut); err == nil {
			t.Fatalf("%s: made a directory", tc.line)
		}
	}
}

func TestListNamesEverything(t *testing.T) {
	w := newWorld()
	all := w.must(t, cli.ExitOK, "list")
	for _, name := range []string{"path-length", "churn-ton", "scale", "first", "standard-faults"} {
		if !strings.Contains(all, "\n  "+name+" ") {
			t.Errorf("list has no %s:\n%s", name, all)
		}
	}
	lines := strings.Count(w.must(t, cli.ExitOK, "list", "-o", "json"), "\n")
	experiments := strings.Count(w.must(t, cli.ExitOK, "list", "experiments", "-o", "json"), "\n")
	scenarios := strings.Count(w.must(t, cli.ExitOK, "list", "scenarios", "-o", "json"), "\n")
	if lines != experiments+scenarios || experiments < 10 || scenarios < 1 {
		t.Errorf("%d lines of JSON, %d experiments, %d scenarios", lines, experiments, scenarios)
	}
}

// TestSeedsAndReplay: a seed that fails a check becomes a file that fails it again, and passes when the demand is taken back.
func TestSeedsAndReplay(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "small.yaml", small+"faults: [{kind: partition, at: 5s, for: 15s}]\nheal: 1ms\n")
	w := newWorld()
	w.must(t, cli.ExitUnhealthy, "seeds", "small.yaml", "--first", "7", "--count", "50", "--most", "2", "-o", "json", "--out", "found", "--workers", "1")
	var got seedsJSON
	if err := json.Unmarshal(w.out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.First != 7 || len(got.Failed) != 2 || got.Done != 2 || got.Failed[0].Seed != 7 || !strings.Contains(got.Failed[0].Violation, "Heal") {
		t.Fatalf("got %+v", got)
	}
	file := filepath.Join("found", "small-seed-8.yaml")
	if got.Failed[1].Scenario != file || !strings.Contains(w.err.String(), "chordsim replay found/small-seed-7-small.yaml") {
		t.Errorf("got %+v and %s", got.Failed[1], w.err.String())
	}
	smaller, err := sim.ReadScenario(got.Failed[0].Smaller)
	if err != nil || smaller.Nodes >= 12 || len(smaller.Workload) > 0 || smaller.Seed != 7 {
		t.Errorf("the smaller scenario is %+v, %v", smaller, err)
	}
	w.must(t, cli.ExitUnhealthy, "replay", got.Failed[0].Smaller)
	w.must(t, cli.ExitUnhealthy, "replay", file)
	if said := w.err.String(); !strings.Contains(said, firstLine(got.Failed[1].Violation)) {
		t.Errorf("replay says %s, want %s", said, got.Failed[1].Violation)
	}
	w.must(t, cli.ExitOK, "seeds", "small.yaml", "--set", "heal=5m", "--count", "3", "--verify-wire", "0.5", "--out", "none")
	if !strings.Contains(w.out.String(), "3 seeds from") || !strings.Contains(w.out.String(), "0 failed") {
		t.Errorf("got %s", w.out.String())
	}
	if _, err := os.Stat("none"); err == nil {
		t.Error("a directory was made for nothing")
	}
}

// TestSwarm: each seed draws its own mixture, and the file of one that fails says what was drawn.
func TestSwarm(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "small.yaml", small+"node: {successors: 4}\nfaults: [{kind: partition, at: 5s, for: 15s}]\nheal: 1ms\n")
	w := newWorld()
	w.must(t, cli.ExitUnhealthy, "seeds", "small.yaml", "--first", "1", "--count", "30", "--most", "2", "--swarm", "--shrink", "0", "--out", "found", "-o", "json")
	var got seedsJSON
	if err := json.Unmarshal(w.out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, r := range got.Failed {
		s, err := sim.ReadScenario(r.Scenario)
		if err != nil || r.Smaller != "" || r.Header != s.Header() || len(s.Faults) != 1 || s.Faults[0].For == 15*time.Second {
			t.Errorf("got %+v, %+v, %v", r, s.Faults, err)
		}
		w.must(t, cli.ExitUnhealthy, "replay", r.Scenario)
	}
}

func TestExplore(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "tiny.drill", "drill tiny\nnodes 3\nsuccessors 2\nat 0s join 3\n")
	w := newWorld()
	out := w.must(t, cli.ExitOK, "explore", "tiny.drill", "--departures", "1", "-o", "json")
	var lines []exploredJSON
	for line := range strings.Lines(out) {
		var e exploredJSON
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, e)
	}
	if len(lines) != 2 || lines[0].Grain != grainDeliveries || lines[1].Grain != grainSections || lines[0].Schedules < 2 || lines[0].Violation != "" {
		t.Errorf("got %+v", lines)
	}
	all := w.must(t, cli.ExitOK, "explore", "--departures", "0", "--grain", grainSections)
	for _, name := range sim.Drills() {
		if !strings.Contains(all, "  "+name) {
			t.Errorf("%s is not among all drills: %s", name, all)
		}
	}
	w.must(t, cli.ExitUsage, "explore", "two-jions")
	if got := w.err.String(); !strings.Contains(got, `Did you mean "two-joins"?`) {
		t.Errorf("got %s", got)
	}
}

// TestScriptOfWhatWasFound: the file that explore writes is one that replay takes, departures included.
func TestScriptOfWhatWasFound(t *testing.T) {
	t.Chdir(t.TempDir())
	d := &sim.Drill{
		Name: "tiny", Seed: 1, Nodes: 3, Successors: 2, Replicas: 3, Sections: true,
		Actions: []sim.Action{{Kind: sim.ActionJoin, Host: 3}}, Holds: []sim.Hold{{Step: 1, Until: 1}},
	}
	path, err := writeScript("found", d)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseDrill(path, read(t, path))
	if err != nil || !reflect.DeepEqual(got, d) {
		t.Errorf("got %+v, %v, want %+v", got, err, d)
	}
	w := newWorld()
	w.must(t, cli.ExitOK, "replay", path)
	f := violated(d.Name, &sim.Violation{Check: "Ring", Detail: "two rings"}, path)
	if f.Exit != cli.ExitUnhealthy || f.Hint != "Replay it: chordsim replay found/tiny-sections.drill" || !strings.HasPrefix(f.Message, "tiny: Ring broken") {
		t.Errorf("got %+v", f)
	}
}
