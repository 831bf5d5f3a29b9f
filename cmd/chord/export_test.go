package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
)

// fillAwkward puts keys and values that are hard to write.
func fillAwkward(t *testing.T, f *fakeRing) {
	t.Helper()
	for i, s := range awkward {
		op := node.Op{Kind: node.OpPut, Key: []byte(fmt.Sprintf("%d-%s", i, s)), Value: []byte(s)}
		if _, err := f.Do(t.Context(), op); err != nil {
			t.Fatal(err)
		}
	}
}

func wantSameRecords(t *testing.T, got, want *fakeRing) {
	t.Helper()
	if len(got.records) != len(want.records) {
		t.Errorf("got %d keys, want %d", len(got.records), len(want.records))
	}
	for key, r := range want.records {
		if g, ok := got.records[key]; !ok || string(g.Value) != string(r.Value) || g.Manifest != r.Manifest {
			t.Errorf("%q: got %q (there: %v), want %q", key, g.Value, ok, r.Value)
		}
	}
}

// TestExportImportRoundTrip: any bytes survive, through files and through pipes.
func TestExportImportRoundTrip(t *testing.T) {
	for _, format := range []string{"json", "tsv"} {
		from := newWorld()
		fillAwkward(t, from.ring)
		path := filepath.Join(t.TempDir(), "dump")
		from.must(t, "export", path, "--format", format)
		wantNoFile(t, path+".checkpoint")
		to := newWorld()
		to.must(t, "import", path)
		wantSameRecords(t, to.ring, from.ring)

		piped := newWorld()
		piped.stdin = strings.NewReader(from.must(t, "export", "--format", format))
		piped.must(t, "import", "-")
		wantSameRecords(t, piped.ring, from.ring)
	}
}

// TestExportResume: an export that breaks in the middle and is resumed writes the same file as one that does not.
func TestExportResume(t *testing.T) {
	w := newWorld()
	for i := range 500 {
		if _, err := w.ring.Do(t.Context(), node.Op{Kind: node.OpPut, Key: fmt.Appendf(nil, "key-%d", i), Value: []byte("v")}); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	whole, broken := filepath.Join(dir, "whole"), filepath.Join(dir, "broken")
	w.must(t, "export", whole)

	w.ring.calls = 0
	w.ring.fail = func(_ node.Op, n int) error {
		if n == 200 {
			return errors.New("the ring is gone")
		}
		return nil
	}
	if got, want := w.chord(t, "export", broken), cli.ExitOther; got != want {
		t.Fatalf("exit code: got %d, want %d", got, want)
	}
	// What was written after the last checkpoint, for example half a line, goes away.
	f, err := os.OpenFile(broken, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"key":"ha`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	w.ring.fail = nil
	w.must(t, "export", broken, "--resume")
	if got, want := readText(t, broken), readText(t, whole); got != want {
		t.Errorf("the resumed export has %d bytes, want the %d of a whole one, in the same order", len(got), len(want))
	}
	wantNoFile(t, broken+".checkpoint")
}

func readText(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestExportDoesNotOverwrite(t *testing.T) {
	w := newWorld()
	path := filepath.Join(t.TempDir(), "dump")
	w.must(t, "export", path)
	if got, want := w.chord(t, "export", path), cli.ExitUsage; got != want {
		t.Errorf("second export: exit code: got %d, want %d", got, want)
	}
	w.must(t, "export", path, "--force")
}

func TestExportMakesNoFileWithoutRing(t *testing.T) {
	w := newWorld()
	w.ring.down = goldenFailures["refused"]
	path := filepath.Join(t.TempDir(), "dump")
	if got, want := w.chord(t, "export", path), cli.ExitUnavailable; got != want {
		t.Errorf("exit code: got %d, want %d", got, want)
	}
	wantNoFile(t, path)
	wantNoFile(t, path+".checkpoint")
}

// TestLargeValuesTravel: an export has large values, and an import puts them into another ring, or in their own place, whole.
func TestLargeValuesTravel(t *testing.T) {
	w := newWorld()
	dir := t.TempDir()
	file, dump := filepath.Join(dir, "file"), filepath.Join(dir, "dump")
	content := strings.Repeat("0123456789abcdef", 50_000)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	w.must(t, "put", "--chunked", "large", file)
	w.must(t, "put", "small", "value")
	w.must(t, "export", dump)
	w.must(t, "import", dump)
	if got := w.must(t, "get", "large"); got != content {
		t.Errorf("imported in its own place: got %d bytes, want %d", len(got), len(content))
	}
	old := w.ring
	w.ring = newFakeRing()
	w.must(t, "import", dump)
	if got := w.must(t, "get", "large"); got != content {
		t.Errorf("imported into another ring: got %d bytes, want %d", len(got), len(content))
	}
	wantSameRecords(t, w.ring, old)
	if got := w.must(t, "gc-chunks", "--older-than", "1m", "-q"); got != "" {
		t.Errorf("gc-chunks: got %q", got)
	}
	w.must(t, "del", "large")
	if got, want := w.must(t, "export", "-q"), "{\"key\":\"small\",\"value\":\"value\"}\n"; got != want {
		t.Errorf("after the delete: got %q, want %q", got, want)
	}
}
