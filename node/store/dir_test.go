package store_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

func dirOptions() store.DirOptions {
	return store.DirOptions{Random: rand.NewChaCha8([32]byte{1}), Now: func() time.Time { return start }}
}

func openDir(t testing.TB, path string, opts store.DirOptions) *store.Dir {
	t.Helper()
	d, err := store.OpenDir(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() }) // an error if the test has closed it
	return d
}

func closeDir(t testing.TB, d *store.Dir) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDirRemembers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	opts := dirOptions()
	opts.VNodes = 3
	first := openDir(t, path, opts)
	id := first.Identity()
	if id.VNodes != 3 || id.Incarnation != 1 || id.Process == [16]byte{} {
		t.Errorf("got %+v", id)
	}
	if c, ok := first.Cluster(); ok || first.Peers() != nil || !first.LastAlive().IsZero() {
		t.Errorf("a new directory has cluster %x, peers %v, last alive %v", c, first.Peers(), first.LastAlive())
	}
	cluster, peers, alive := [16]byte{7, 8}, []string{"127.0.0.1:1", "[::1]:2"}, start.Add(time.Hour)
	if err := errors.Join(first.SetCluster(cluster), first.SetPeers(peers), first.Touch(alive, node.Contact{Since: alive.Add(-2 * time.Hour), Until: alive.Add(-time.Hour)})); err != nil {
		t.Fatal(err)
	}
	if err := first.SetCluster([16]byte{9}); err == nil {
		t.Error("the cluster changed")
	}
	closeDir(t, first)

	opts.VNodes, opts.Cluster, opts.Random = 0, cluster, strings.NewReader("")
	second := openDir(t, path, opts)
	id.Incarnation++
	if got := second.Identity(); got != id {
		t.Errorf("got %+v, want %+v", got, id)
	}
	if got, ok := second.Cluster(); !ok || got != cluster {
		t.Errorf("got cluster %x, %v", got, ok)
	}
	if !slices.Equal(second.Peers(), peers) || !second.LastAlive().Equal(alive) {
		t.Errorf("got peers %v, last alive %v", second.Peers(), second.LastAlive())
	}
	if c := second.Contact(); !c.Since.Equal(alive.Add(-2*time.Hour)) || !c.Until.Equal(alive.Add(-time.Hour)) {
		t.Errorf("got contact %v", c)
	}
	if err := second.SetCluster(cluster); err != nil {
		t.Errorf("the same cluster again: %v", err)
	}
}

func TestDirsDiffer(t *testing.T) {
	opts := dirOptions()
	a, b := openDir(t, t.TempDir(), opts), openDir(t, t.TempDir(), opts)
	if a.Identity().Process == b.Identity().Process {
		t.Error("two processes have the same id")
	}
	if got := a.Identity().VNodes; got != 1 {
		t.Errorf("got %d vnodes by default", got)
	}
}

// files returns the content of all files below a directory, but the lock's, whose presence tells nothing.
func files(t testing.TB, path string) string {
	t.Helper()
	var all bytes.Buffer
	err := filepath.WalkDir(path, func(name string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		if e.Name() != "lock" {
			fmt.Fprintf(&all, "%s: %s\n", name, content)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// A directory of an older format is one of the present one from the next start on: a program that knows no hash tree, no history or no expiry must not write
// to it any more.
func TestDirIsBroughtUpToDate(t *testing.T) {
	path := t.TempDir()
	was, err := store.OpenDir(path, dirOptions())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(was.SetFormat(1), was.Close()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 4} {
		content, err := os.ReadFile(filepath.Join(path, "chord.json"))
		if err != nil || !bytes.Contains(content, fmt.Appendf(nil, "\"format\": %d,", want)) {
			t.Errorf("%v, want format %d in %s", err, want, content)
		}
		d, err := store.OpenDir(path, dirOptions())
		if err != nil {
			t.Fatal(err)
		}
		if d.Identity().Process != was.Identity().Process {
			t.Error("another process")
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestDirRefuses(t *testing.T) {
	edit := func(from, to string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			name := filepath.Join(path, "chord.json")
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(content, []byte(from)) {
				t.Fatalf("no %s in %s", from, content)
			}
			if err := os.WriteFile(name, bytes.Replace(content, []byte(from), []byte(to), 1), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name  string
		spoil func(t *testing.T, path string)
		opts  func(*store.DirOptions)
		want  []string // words of the error
	}{
		{"another cluster", nil, func(o *store.DirOptions) { o.Cluster = [16]byte{1} }, []string{"cluster 0500", "not 0100"}},
		{"other vnodes", nil, func(o *store.DirOptions) { o.VNodes = 8 }, []string{"vnodes 4, not 8", "start with vnodes 4"}},
		{"newer format", edit(`"format": 4`, `"format": 5`), nil, []string{"format 5", "newer version"}},
		{"flipped digit", edit(`"incarnation": 1`, `"incarnation": 5`), nil, []string{"chord.json is damaged", "checksum"}},
		{"cut short", edit("\"vnodes\"", "\x00"), nil, []string{"chord.json is damaged"}},
		{"short id", edit(`"process": "`, `"process": "00`), nil, []string{"chord.json is damaged"}},
		{"emptied", func(t *testing.T, path string) {
			if err := os.Truncate(filepath.Join(path, "chord.json"), 0); err != nil {
				t.Fatal(err)
			}
		}, nil, []string{"chord.json is damaged"}},
		{"without chord.json", func(t *testing.T, path string) {
			err := errors.Join(os.Remove(filepath.Join(path, "chord.json")), os.Mkdir(filepath.Join(path, "records"), 0o700))
			if err != nil {
				t.Fatal(err)
			}
		}, nil, []string{`holds "records" but no chord.json`}},
		{"someone's files", func(t *testing.T, path string) {
			err := errors.Join(os.Remove(filepath.Join(path, "chord.json")), os.WriteFile(filepath.Join(path, "thesis.tex"), nil, 0o600))
			if err != nil {
				t.Fatal(err)
			}
		}, nil, []string{`holds "thesis.tex"`, "not a data directory"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "data")
			opts := dirOptions()
			opts.VNodes = 4
			d := openDir(t, path, opts)
			if err := d.SetCluster([16]byte{5}); err != nil {
				t.Fatal(err)
			}
			closeDir(t, d)
			if test.spoil != nil {
				test.spoil(t, path)
			}
			if test.opts != nil {
				test.opts(&opts)
			}
			before := files(t, path)
			_, err := store.OpenDir(path, opts)
			if err == nil {
				t.Fatal("no error")
			}
			for _, word := range append(test.want, path) {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("no %q in: %v", word, err)
				}
			}
			if after := files(t, path); after != before {
				t.Errorf("changed from\n%sto\n%s", before, after)
			}
		})
	}
}

func TestDirRefusesOddPlaces(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.OpenDir(file, dirOptions()); err == nil {
		t.Error("opened a file")
	}
	opts := dirOptions()
	opts.Random = strings.NewReader("short")
	if _, err := store.OpenDir(t.TempDir(), opts); err == nil || !strings.Contains(err.Error(), "process id") {
		t.Errorf("got %v", err)
	}
}

// A first start that was cut short leaves a directory that the next one takes.
func TestDirAfterStartCutShort(t *testing.T) {
	path := t.TempDir()
	for _, name := range []string{"lock", "chord.json.tmp"} {
		if err := os.WriteFile(filepath.Join(path, name), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := openDir(t, path, dirOptions()).Identity().Incarnation; got != 1 {
		t.Errorf("got incarnation %d", got)
	}
}

const holdDir = "CHORD_TEST_HOLD_DIR"

// The directory is locked against other processes, and the error names the one that has it. The lock of a process that was killed is
// gone.
func TestDirIsLocked(t *testing.T) {
	if path := os.Getenv(holdDir); path != "" { // the other process
		openDir(t, path, dirOptions())
		fmt.Println("locked")
		select {}
	}
	path := t.TempDir()
	other := exec.Command(os.Args[0], "-test.run=^TestDirIsLocked$")
	other.Env = append(os.Environ(), holdDir+"="+path)
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill() }()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "locked\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	_, err = store.OpenDir(path, dirOptions())
	if want := fmt.Sprintf("in use by process %d", other.Process.Pid); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait() // killed
	if got := openDir(t, path, dirOptions()).Identity().Incarnation; got != 2 {
		t.Errorf("got incarnation %d, want 2", got)
	}
}

// TestSetAside: records that are out of date are kept under another name, and the process is up to date from then on, also after a restart.
func TestSetAside(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, path, dirOptions())
	if err := os.MkdirAll(d.RecordsPath(), 0o700); err != nil {
		t.Fatal(err)
	}
	now := start.Add(time.Hour)
	aside, err := d.SetAside(now)
	if err != nil || filepath.Dir(aside) != path || !strings.HasPrefix(filepath.Base(aside), "records-stale-2026") {
		t.Fatalf("set aside at %q, %v", aside, err)
	}
	if _, err := os.Stat(d.RecordsPath()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the records are where they were: %v", err)
	}
	if _, err := os.Stat(aside); err != nil {
		t.Error(err)
	}
	for range 2 {
		if c := d.Contact(); !c.Since.Equal(now) || !c.Until.Equal(now) {
			t.Errorf("got contact %v, want one at %v", c, now)
		}
		closeDir(t, d)
		d = openDir(t, path, dirOptions())
	}
}
