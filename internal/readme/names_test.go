package readme

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sources returns the text of all files with the given ending below the folders, tests left out.
func sources(t *testing.T, ext string, dirs ...string) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range dirs {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if strings.HasSuffix(path, ext) && !strings.HasSuffix(path, "_test.go") {
				all.WriteString(readText(t, path))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

var (
	flagName   = regexp.MustCompile("[` (]--([a-z][a-z-]+)")
	metricName = regexp.MustCompile("`chord_([a-z_]+)")
	firstCell  = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")
)

// TestFlagsExist: every flag that a document names is one of the programs or scripts (or of the go command in CONTRIBUTING).
func TestFlagsExist(t *testing.T) {
	programs, scripts := sources(t, ".go", "cmd"), sources(t, ".sh", "scripts")
	for _, file := range documents(t) {
		for _, m := range flagName.FindAllStringSubmatch(readText(t, file), -1) {
			if name := m[1]; !strings.Contains(programs, `"`+name+`"`) && !strings.Contains(scripts, "--"+name+")") {
				t.Errorf("%s names --%s, which does not exist", file, name)
			}
		}
	}
}

// TestMetricsExist: every metric that a document names is made somewhere.
func TestMetricsExist(t *testing.T) {
	programs := sources(t, ".go", "cmd", "rpc", "node")
	for _, file := range documents(t) {
		for _, m := range metricName.FindAllStringSubmatch(readText(t, file), -1) {
			if name := m[1]; !strings.Contains(programs, `"`+name+`"`) && !strings.Contains(programs, `"chord_`+name+`"`) {
				t.Errorf("%s names the metric chord_%s, which does not exist", file, name)
			}
		}
	}
}

// TestMessagesExist: every error message of the table for troubleshooting is one of the programs'.
func TestMessagesExist(t *testing.T) {
	programs := sources(t, ".go", "cmd", "rpc", "node", "ring")
	_, table, ok := strings.Cut(readText(t, filepath.Join(root, "docs", "operations.md")), "## Troubleshooting")
	rows := firstCell.FindAllStringSubmatch(table, -1)
	if !ok || len(rows) < 5 {
		t.Fatalf("no table of messages in docs/operations.md")
	}
	for _, m := range rows {
		if message := strings.TrimSuffix(m[1], " HOST:PORT"); !strings.Contains(programs, message) {
			t.Errorf("docs/operations.md explains %q, which no program says", message)
		}
	}
}
