package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/rpc/chunk"
)

// TestLargeValuesResume: an upload that failed half way, and a download of which a part is there, go on where they were.
func TestLargeValuesResume(t *testing.T) {
	w := newWorld()
	dir := t.TempDir()
	file, to := filepath.Join(dir, "file"), filepath.Join(dir, "copy")
	var content strings.Builder
	for i := range 10 {
		content.WriteString(strings.Repeat(string(rune('a'+i)), chunk.BlockBytes))
	}
	if err := os.WriteFile(file, []byte(content.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	blocks := 0
	w.ring.fail = func(op node.Op, _ int) error {
		if op.Kind != node.OpPut || !chunk.Internal(op.Key) || op.If != node.Always {
			return nil
		}
		if blocks++; blocks > 5 {
			return errors.New("the test says so")
		}
		return nil
	}
	put := []string{"put", "--chunked", "k", file, "--retry-for", "1ms", "--parallel", "1"}
	if code := w.chord(t, put...); code != cli.ExitOther {
		t.Fatalf("exit code %d, want %d: %s", code, cli.ExitOther, w.err.String())
	}
	if code := w.chord(t, "get", "k"); code != cli.ExitNotFound {
		t.Errorf("get of half a value: exit code %d", code)
	}
	w.ring.fail = nil
	known := func(args ...string) int64 {
		t.Helper()
		var out chunkedJSON
		if err := json.Unmarshal([]byte(w.must(t, append(args, "-o", "json")...)), &out); err != nil || out.Bytes != 10*chunk.BlockBytes || out.Blocks != 10 {
			t.Errorf("%v: %+v, %v", args, out, err)
		}
		return out.Known
	}
	if got := known(put...); got != 5*chunk.BlockBytes {
		t.Errorf("put: %d bytes were known, want 5 blocks", got)
	}
	if err := os.WriteFile(to+".part", []byte(content.String()[:4*chunk.BlockBytes]+"something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := known("get", "k", "--to", to); got != 4*chunk.BlockBytes {
		t.Errorf("get: %d bytes were known, want 4 blocks", got)
	}
	if got := readText(t, to); got != content.String() {
		t.Errorf("get: %d bytes, not the %d that were stored", len(got), content.Len())
	}
	wantNoFile(t, to+".part")
	w.stderrTTY = true
	for _, args := range [][]string{put, {"get", "k", "--to", to}} {
		if w.must(t, args...); !strings.Contains(w.err.String(), "\r") {
			t.Errorf("%v on a terminal: stderr has %q, want a bar", args, w.err.String())
		}
	}
}

// TestManySaysWhatIsLeft: blocks of large values that mdel and mput could not free are not passed over in silence.
func TestManySaysWhatIsLeft(t *testing.T) {
	for left, want := range map[int]string{0: "", 1: "blocks of the value before", 2: "blocks of 2 values"} {
		w := newWorld()
		m := &many{a: w.app, kind: node.OpDelete}
		for i := range 3 {
			r := node.Result{Found: true}
			if i < left {
				r.Replaced = []byte("manifest")
			}
			if err := m.show(fmt.Append(nil, i), r, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.outcome(); err != nil {
			t.Fatal(err)
		}
		if got := w.err.String(); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%d left: said %q, want %q in it", left, got, want)
		}
	}
}
