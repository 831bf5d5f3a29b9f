package lint_test

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chordkv/chord/internal/lint"
)

func TestHouseRules(t *testing.T) {
	findings, err := lint.Check("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		t.Error(f)
	}
}

// TestEachRuleReports runs the checks on a module that breaks every rule. They must report exactly the sentences that its comments
// ask for, each on its line: a rule that went blind fails here.
func TestEachRuleReports(t *testing.T) {
	const dir = "testdata/bad"
	findings, err := lint.Check(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := wanted(t, dir)
	for _, f := range findings {
		got := f.String()
		if f.Line == 0 {
			got = fmt.Sprintf("%s:1: %s", f.File, f.Text) // about the whole file
		}
		if i := slices.Index(want, got); i >= 0 {
			want = slices.Delete(want, i, i+1)
		} else {
			t.Errorf("unexpected: %s", got)
		}
	}
	for _, w := range want {
		t.Errorf("not reported: %s", w)
	}
}

// TestLeftovers writes its input itself, so that a search for unfinished work in this repository finds nothing.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":      "module example.com/left\n\ngo 1.26.0\n",
		"ring/doc.go": "// Package ring is fine.\npackage ring\n",
		"README.md":   "Fine.\n\nTO" + "DO: finish.\n",
		".hidden.md":  "mktemp -d /tmp/chord.XX" + "XXXX\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := lint.Check(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []lint.Finding{{File: "README.md", Line: 3, Text: "TO" + "DO is banned, use an issue, or do it now"}}
	if !slices.Equal(got, want) {
		t.Errorf("Check = %v, want %v", got, want)
	}
}

var (
	wantComment = regexp.MustCompile(`// want (".*)$`)
	quoted      = regexp.MustCompile(`"[^"]*"`)
)

// wanted reads the findings that the comments of the files below dir ask for: one sentence in quotes for each.
func wanted(t *testing.T, dir string) []string {
	t.Helper()
	var want []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		for n := 1; lines.Scan(); n++ {
			comment := wantComment.FindStringSubmatch(lines.Text())
			if comment == nil {
				continue
			}
			for _, q := range quoted.FindAllString(comment[1], -1) {
				text, err := strconv.Unquote(q)
				if err != nil {
					return err
				}
				rel := strings.TrimPrefix(filepath.ToSlash(path), dir+"/")
				want = append(want, fmt.Sprintf("%s:%d: %s", rel, n, text))
			}
		}
		return lines.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(want) == 0 {
		t.Fatalf("no wanted findings in %s", dir)
	}
	return want
}
