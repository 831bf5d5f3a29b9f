package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestGolden runs command lines and compares everything that they print. Directives:
//
//	chordsim             input: one command line, words split at blanks, '...' as in a shell
//	env NAME=VALUE ...   for the rest of the file; NAME= unsets
//	file NAME            input: contents of a file in the working directory
func TestGolden(t *testing.T) {
	scripts, err := filepath.Abs("testdata/golden")
	if err != nil {
		t.Fatal(err)
	}
	datadriven.Walk(t, scripts, func(t *testing.T, path string) {
		t.Chdir(t.TempDir())
		w := newWorld()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return golden(t, w, d)
		})
	})
}

func golden(t *testing.T, w *world, d *datadriven.TestData) string {
	switch d.Cmd {
	case "chordsim":
		code := w.chordsim(t.Context(), splitWords(t, d.Input)...)
		return transcript(code, w.out.Bytes(), w.err.Bytes())
	case "env":
		for _, arg := range d.CmdArgs {
			w.env[arg.Key] = strings.Join(arg.Vals, ",")
		}
		return ""
	case "file":
		name := filepath.Clean(d.CmdArgs[0].Key)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, name, d.Input)
		return ""
	}
	d.Fatalf(t, "unknown directive %q", d.Cmd)
	return ""
}

// transcript shows streams and exit code.
func transcript(code int, out, err []byte) string {
	var b strings.Builder
	show := func(name string, data []byte) {
		for line := range bytes.Lines(data) {
			fmt.Fprintf(&b, "%s| %s\n", name, bytes.TrimSuffix(line, []byte("\n")))
		}
	}
	show("out", out)
	show("err", err)
	fmt.Fprintf(&b, "exit %d\n", code)
	return b.String()
}

// splitWords splits a command line like a shell, as far as the scripts need it.
func splitWords(t *testing.T, line string) (words []string) {
	t.Helper()
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " ") {
		var word string
		if rest, ok := strings.CutPrefix(line, "'"); ok {
			if word, line, ok = strings.Cut(rest, "'"); !ok {
				t.Fatalf("unbalanced quote: %s", rest)
			}
		} else {
			word, line, _ = strings.Cut(line, " ")
		}
		words = append(words, word)
	}
	return words
}
