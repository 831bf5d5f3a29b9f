package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
)

// writeLines makes a TSV file with n lines key-i<TAB>value-i.
func writeLines(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "key-%d\tvalue-%d\n", i, i)
	}
	return writeFile(t, b.String())
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// wantLines checks that the ring holds exactly the lines of writeLines, each acknowledged once.
func wantLines(t *testing.T, f *fakeRing, n int) {
	t.Helper()
	if got, want := len(f.records), n; got != want {
		t.Errorf("keys: got %d, want %d", got, want)
	}
	for i := range n {
		key := fmt.Sprintf("key-%d", i)
		if got, want := string(f.records[key].Value), fmt.Sprintf("value-%d", i); got != want {
			t.Fatalf("%s: got %q, want %q", key, got, want)
		}
		if got := f.acks[key]; got != 1 {
			t.Fatalf("%s: acknowledged %d times, want once", key, got)
		}
	}
}

func readCheckpoint(t *testing.T, path string) (c importCheckpoint) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func wantNoFile(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: got %v, want that it does not exist", path, err)
	}
}

func TestImport(t *testing.T) {
	w := newWorld()
	path := writeLines(t, 5000)
	out := w.must(t, "import", path)
	if want := "5,000 lines: 5,000 acknowledged, 0 failed, 0 skipped"; !strings.HasPrefix(out, want) {
		t.Errorf("summary: got %q, want prefix %q", out, want)
	}
	wantLines(t, w.ring, 5000)
	wantNoFile(t, path+".checkpoint")
}

// TestImportResumeAfterInterruption: Ctrl-C in the middle, then --resume: together they acknowledge every line exactly once.
func TestImportResumeAfterInterruption(t *testing.T) {
	const lines = 3000
	w := newWorld()
	path := writeLines(t, lines)
	ctx, interrupt := context.WithCancel(t.Context())
	w.ring.fail = func(_ node.Op, n int) error {
		if n == lines/3 {
			interrupt()
		}
		return nil
	}
	if got, want := w.run(ctx, []string{"import", path, "--in-flight", "32"}), cli.ExitInterrupted; got != want {
		t.Fatalf("exit code: got %d, want %d\n%s", got, want, w.err.String())
	}
	if got := len(w.ring.records); got < lines/3 || got > lines/3+64 {
		t.Errorf("lines before the interruption: got %d, want %d and what was under way", got, lines/3)
	}
	c := readCheckpoint(t, path+".checkpoint")
	if got, want := c.Line, int64(len(w.ring.records)); got != want || len(c.Redo) != 0 {
		t.Errorf("checkpoint: got line %d and %d to redo, want line %d and none", got, len(c.Redo), want)
	}
	w.ring.fail = nil
	w.must(t, "import", path, "--resume")
	wantLines(t, w.ring, lines)
	wantNoFile(t, path+".checkpoint")
}

// TestImportResumeFailedLines: lines that failed are sent again by --resume, and only those.
func TestImportResumeFailedLines(t *testing.T) {
	const lines = 1000
	w := newWorld()
	path := writeLines(t, lines)
	broken := errors.New("broken")
	w.ring.fail = func(op node.Op, _ int) error {
		if strings.HasSuffix(string(op.Key), "7") {
			return broken
		}
		return nil
	}
	if got, want := w.chord(t, "import", path, "--retry-for", "0s"), cli.ExitOther; got != want {
		t.Fatalf("exit code: got %d, want %d\n%s", got, want, w.err.String())
	}
	if got, want := w.out.String(), "1,000 lines: 900 acknowledged, 100 failed"; !strings.HasPrefix(got, want) {
		t.Errorf("summary: got %q, want prefix %q", got, want)
	}
	if got, want := w.err.String(), `More such lines are only counted.`; !strings.Contains(got, want) {
		t.Errorf("stderr: got %q, want %q in it", got, want)
	}
	w.ring.fail = nil
	calls := w.ring.calls
	w.must(t, "import", path, "--resume")
	if got, want := w.ring.calls-calls, 100; got != want {
		t.Errorf("puts of the second run: got %d, want %d", got, want)
	}
	wantLines(t, w.ring, lines)
}

// TestImportResumeAfterKill: a checkpoint of any moment, taken while puts are under way, loses no line.
func TestImportResumeAfterKill(t *testing.T) {
	const lines = 2000
	path := writeLines(t, lines)
	first := newFakeRing()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	print, err := takeFingerprint(file)
	if err != nil {
		t.Fatal(err)
	}
	cfg := importConfig{format: formatTSV, limits: defaultLimits(), inFlight: 16, maxFailures: 10}
	var im *importer
	var killed importCheckpoint
	acked := make(map[string]bool) // when the checkpoint was taken
	first.fail = func(_ node.Op, n int) error {
		if n == lines/2 { // called under the lock of the ring: what it holds is what is acknowledged or about to be
			killed = im.checkpoint()
			for key := range first.records {
				acked[key] = true
			}
		}
		return nil
	}
	im = newImporter(cfg, importCheckpoint{Input: print, Format: formatTSV}, first.Do, func(lineRef, error) {})
	if err := im.run(t.Context(), newLineReader(file, im.startAt(), 1<<20)); err != nil {
		t.Fatal(err)
	}
	if len(killed.Redo) == 0 || len(killed.Redo) > 17 {
		t.Errorf("lines under way: got %d, want 1 to 17", len(killed.Redo))
	}
	// The run that follows the kill: whatever was not acknowledged then must be put now.
	w := newWorld()
	if err := saveCheckpoint(path+".checkpoint", killed); err != nil {
		t.Fatal(err)
	}
	w.must(t, "import", path, "--resume")
	for i := range lines {
		key := fmt.Sprintf("key-%d", i)
		if _, again := w.ring.records[key]; !again && !acked[key] {
			t.Errorf("%s was neither acknowledged before the kill nor put after it", key)
		}
	}
}

// TestImportSurvivesDeaths: puts that fail for a while are repeated, each under its one request id.
func TestImportSurvivesDeaths(t *testing.T) {
	const lines = 500
	w := newWorld()
	path := writeLines(t, lines)
	requests := make(map[string]node.RequestID)
	w.ring.fail = func(op node.Op, n int) error {
		first, seen := requests[string(op.Key)]
		if !seen {
			requests[string(op.Key)] = op.Request
		} else if first != op.Request || !op.Retry {
			t.Errorf("%s was repeated with request %v, retry %v; want %v, true", op.Key, op.Request, op.Retry, first)
		}
		if n < lines && n%3 != 0 {
			return fmt.Errorf("dead: %w", node.ErrUnreachable)
		}
		return nil
	}
	w.must(t, "import", path)
	wantLines(t, w.ring, lines)
	if w.ring.calls <= lines {
		t.Errorf("calls: got %d, want more than %d, or nothing was repeated", w.ring.calls, lines)
	}
}

// TestImportLastLineWins: lines with one key never run at the same time, nor does an earlier one that failed overwrite a later one.
func TestImportLastLineWins(t *testing.T) {
	var b strings.Builder
	for i := range 300 {
		fmt.Fprintf(&b, "key-%d\tvalue-%d\n", i%3, i)
	}
	path := writeFile(t, b.String())
	w := newWorld()
	w.ring.stall = 50 * time.Microsecond
	w.ring.fail = func(op node.Op, _ int) error {
		if string(op.Value) == "value-150" {
			return errors.New("broken")
		}
		return nil
	}
	if got, want := w.chord(t, "import", path, "--retry-for", "0s"), cli.ExitOther; got != want {
		t.Fatalf("exit code: got %d, want %d", got, want)
	}
	w.ring.fail = nil
	w.chord(t, "import", path, "--resume")
	for i := range 3 {
		if got, want := string(w.ring.records[fmt.Sprintf("key-%d", i)].Value), fmt.Sprintf("value-%d", 297+i); got != want {
			t.Errorf("key-%d: got %q, want %q", i, got, want)
		}
	}
}

func TestImportMalformedLine(t *testing.T) {
	content := "a\t1\nb\t2\nno tab\nc\t3\n\nd\t4\n"
	path := writeFile(t, content)

	w := newWorld()
	if got, want := w.chord(t, "import", path), cli.ExitUsage; got != want {
		t.Errorf("file: exit code: got %d, want %d", got, want)
	}
	if got, want := w.err.String(), "line 3: no TAB between key and value"; !strings.Contains(got, want) {
		t.Errorf("file: got %q, want %q in it", got, want)
	}
	if got := len(w.ring.records); got != 0 {
		t.Errorf("file: %d keys were put, want none", got)
	}

	w.stdin = strings.NewReader(content)
	if got, want := w.chord(t, "import", "-"), cli.ExitUsage; got != want {
		t.Errorf("stdin: exit code: got %d, want %d", got, want)
	}
	if got, want := len(w.ring.records), 2; got != want {
		t.Errorf("stdin: %d keys were put, want the %d before the bad line", got, want)
	}

	out := w.must(t, "import", path, "--skip-bad")
	if got, want := out, "5 lines: 4 acknowledged, 0 failed, 1 skipped"; !strings.HasPrefix(got, want) {
		t.Errorf("--skip-bad: got %q, want prefix %q", got, want)
	}
	if got, want := w.err.String(), "line 3: no TAB"; !strings.Contains(got, want) {
		t.Errorf("--skip-bad: stderr: got %q, want %q in it", got, want)
	}
}

func TestImportLimits(t *testing.T) {
	for name, content := range map[string]string{
		"empty key":  "a\t1\n\tv\n",
		"long key":   "a\t1\n" + strings.Repeat("k", 1025) + "\tv\n",
		"long value": "a\t1\nk\t" + strings.Repeat("v", 1<<20+1) + "\n",
		"long line":  "a\t1\n" + strings.Repeat("v", 10<<20) + "\n",
	} {
		w := newWorld()
		if got, want := w.chord(t, "import", writeFile(t, content)), cli.ExitUsage; got != want {
			t.Errorf("%s: exit code: got %d, want %d", name, got, want)
		}
		if got, want := w.err.String(), "line 2: "; !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q in it", name, got, want)
		}
		if got := len(w.ring.records); got != 0 {
			t.Errorf("%s: %d keys were put, want none", name, got)
		}
	}
}

func TestImportStopsWhenAllFails(t *testing.T) {
	w := newWorld()
	w.ring.fail = func(node.Op, int) error { return node.ErrUnreachable }
	path := writeLines(t, 5000)
	if got, want := w.chord(t, "import", path, "--retry-for", "0s", "--max-failures", "50", "-o", "json"), cli.ExitOther; got != want {
		t.Errorf("exit code: got %d, want %d", got, want)
	}
	var got struct {
		Lines, Failed int64
		Complete      bool
		Errors        map[string]int64
	}
	if err := json.Unmarshal(w.out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Failed < 50 || got.Failed > 50+256 || got.Complete || got.Errors["UNAVAILABLE"] != got.Failed {
		t.Errorf("got %+v, want some more than 50 failures, all UNAVAILABLE", got)
	}
}

func TestImportRefusesAnotherFile(t *testing.T) {
	w := newWorld()
	path := writeLines(t, 10)
	if err := saveCheckpoint(path+".checkpoint", importCheckpoint{Line: 5, Offset: 50, Input: fingerprint{Size: 1}}); err != nil {
		t.Fatal(err)
	}
	if got, want := w.chord(t, "import", path, "--resume"), cli.ExitUsage; got != want {
		t.Errorf("exit code: got %d, want %d", got, want)
	}
	if got, want := w.err.String(), "the file that checkpoint"; !strings.Contains(got, want) {
		t.Errorf("got %q, want %q in it", got, want)
	}
}

// TestImportStdinResume: standard input is read again from its start, and what is done is passed over.
func TestImportStdinResume(t *testing.T) {
	content := "a\t1\nb\t2\nno tab\n"
	checkpoint := filepath.Join(t.TempDir(), "cp")
	w := newWorld()
	w.stdin = strings.NewReader(content)
	if got, want := w.chord(t, "import", "-", "--checkpoint", checkpoint), cli.ExitUsage; got != want {
		t.Fatalf("exit code: got %d, want %d", got, want)
	}
	w.stdin = strings.NewReader("a\t1\nb\t2\nc\t3\n")
	w.must(t, "import", "-", "--checkpoint", checkpoint, "--resume")
	for _, key := range []string{"a", "b", "c"} {
		if got := w.ring.acks[key]; got != 1 {
			t.Errorf("%s: acknowledged %d times, want once", key, got)
		}
	}
}
