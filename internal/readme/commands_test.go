package readme

import (
	"bytes"
	"context"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inNamespace says that the test runs in a network namespace of its own.
const inNamespace = "CHORD_README_NAMESPACE"

// TestCommands runs the commands of README.md as they stand, in the order in which they stand, in a copy of the repository. The README's ports
// are fixed, so the test moves into a network namespace where it may; elsewhere they have to be free.
func TestCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	if os.Getenv(inNamespace) == "" && exec.Command("unshare", "--net", "ip", "link", "set", "lo", "up").Run() == nil {
		cmd := exec.CommandContext(t.Context(), "unshare", "--net", "sh", "-c", `ip link set lo up && exec "$0" -test.run '^TestCommands$' -test.v`, os.Args[0])
		cmd.Env = append(os.Environ(), inNamespace+"=yes")
		out, err := cmd.CombinedOutput()
		t.Logf("in a network namespace:\n%s", out)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	dir := copyRepository(t)
	blocks := parseBlocks(readText(t, filepath.Join(root, "README.md")))
	ran := 0
	var last string // output of the block before
	for _, b := range blocks {
		switch kind, until, _ := strings.Cut(b.mark, " until "); kind {
		case "run":
			last = runBlock(t, dir, b.text)
			ran++
		case "run: background":
			startBlock(t, dir, b.text, until)
			ran++
		case "output":
			if !strings.HasSuffix(strings.TrimSpace(last), strings.TrimSpace(b.text)) {
				t.Errorf("README.md says that the commands print\n%s\nbut they printed\n%s", b.text, last)
			}
			ran++
		default:
			t.Errorf("README.md: unknown mark %q", b.mark)
		}
	}
	if ran < 5 {
		t.Errorf("only %d marked blocks in README.md", ran)
	}
}

// block is a fenced block of a document with the comment above it, which says what it is for.
type block struct{ mark, text string }

var fenced = regexp.MustCompile("(?m)^<!-- ((?:run|output)[^\n]*) -->\n```\\w*\n((?:[^`][^\n]*\n|\n)*)```$")

func parseBlocks(text string) []block {
	var blocks []block
	for _, m := range fenced.FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, block{m[1], m[2]})
	}
	return blocks
}

// runBlock runs the lines of a block in a shell, as a reader would paste them, and returns what they print.
func runBlock(t *testing.T, dir, text string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	out, err := os.CreateTemp(t.TempDir(), "output")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := shell(t, dir, text)
	cmd.Stdout, cmd.Stderr = out, out // a file, so that processes that the block leaves running keep nobody waiting
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = ctx.Err()
	}
	printed := readText(t, out.Name())
	t.Logf("%s\n%s", text, printed)
	if err != nil {
		t.Fatalf("%v in README.md:\n%s", err, text)
	}
	return printed
}

// startBlock runs a block in the background and waits until a URL answers with 200.
func startBlock(t *testing.T, dir, text, url string) {
	t.Helper()
	var out bytes.Buffer
	cmd := shell(t, dir, text)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it is killed in the end
		close(ended)
	}()
	client := http.Client{Timeout: time.Second}
	for limit := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if resp, err := client.Get(url); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-ended:
			t.Fatalf("ended: %s\n%s", text, out.String())
		default:
		}
		if time.Now().After(limit) {
			t.Fatalf("%s does not answer after: %s", url, text)
		}
	}
}

// shell returns a command that runs lines in dir, in a process group that ends with the test.
func shell(t *testing.T, dir, text string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", text)
	cmd.Dir = dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "CHORD_") || strings.HasPrefix(e, "CHORDD_")
	})
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	t.Cleanup(func() {
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // nothing of the group may be left
		}
	})
	return cmd
}

// copyRepository copies what is needed to build and run the programs, so that the commands leave nothing behind.
func copyRepository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"cmd", "internal/cli", "node", "proto", "ring", "rpc", "sim"} {
		if err := os.CopyFS(filepath.Join(dir, name), goFiles{os.DirFS(filepath.Join(root, name))}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(readText(t, filepath.Join(root, name))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// goFiles is a file system without what is not built into the programs.
type goFiles struct{ fs.FS }

// ReadDir implements fs.ReadDirFS.
func (g goFiles) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(g.FS, name)
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		return e.Name() == "testdata" || !e.IsDir() && strings.HasSuffix(e.Name(), "_test.go")
	}), err
}

var goBlock = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")

// TestProgramsCompile builds the Go programs of README.md.
func TestProgramsCompile(t *testing.T) {
	programs := goBlock.FindAllStringSubmatch(readText(t, filepath.Join(root, "README.md")), -1)
	if len(programs) == 0 {
		t.Fatal("no Go program in README.md")
	}
	for _, m := range programs {
		file := filepath.Join(t.TempDir(), "main.go")
		if err := os.WriteFile(file, []byte(m[1]), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("go", "vet", file)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s%s", err, out, m[1])
		}
	}
}
