package main

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chordkv/chord/internal/cli"
)

// refused runs chordd, which must end with exit code 1 and an error that has all the given words in it.
func refused(t *testing.T, args []string, words ...string) {
	t.Helper()
	d := startHere(t, args...)
	if code := d.exit(t); code != cli.ExitOther {
		t.Errorf("exit code %d, want %d", code, cli.ExitOther)
	}
	for _, w := range words {
		if !strings.Contains(d.log.text(), w) {
			t.Errorf("no %q in:\n%s", w, d.log.text())
		}
	}
}

// A port in use is found out before anything is written.
func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	for _, test := range []struct {
		name  string
		args  []string
		words []string
	}{
		{"listen", []string{"--listen", addr, "--admin", "off"}, []string{addr + " is in use", "--listen", "CHORDD_LISTEN"}},
		{"admin", []string{"--listen", "127.0.0.1:0", "--admin", addr}, []string{addr + " is in use", "--admin", "CHORDD_ADMIN", `"off"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			refused(t, append(test.args, "--data", data), test.words...)
			if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the data directory was made: %v", err)
			}
		})
	}
}

func TestDevPortInUse(t *testing.T) {
	first := startDevForTest(t)
	refused(t, []string{"--dev", "--listen", first[1].local.Addr}, first[1].local.Addr+" is in use")
	// Nothing of the ring that did not come up is left.
	put(t, first[0].local.Addr, "still", "there")
}

func TestForeignAddress(t *testing.T) {
	refused(t, []string{"--listen", "192.0.2.1:7400", "--insecure", "--admin", "off", "--store", "memory"},
		"192.0.2.1:7400 is not an address of this machine")
}

func TestDataDirectoryRefused(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, dir string) (data string)
		words   []string
	}{
		{"unwritable", func(t *testing.T, dir string) string {
			file := filepath.Join(dir, "file")
			write(t, file, "not a directory")
			return filepath.Join(file, "data")
		}, []string{"data directory", "not a directory"}},
		{"foreign", func(t *testing.T, dir string) string {
			write(t, filepath.Join(dir, "thesis.tex"), "precious")
			return dir
		}, []string{"thesis.tex", "not a data directory"}},
		{"damaged", func(t *testing.T, dir string) string {
			data := filepath.Join(dir, "data")
			startHere(t, alone(t, "--data", data)...).stop(t)
			text, err := os.ReadFile(filepath.Join(data, "chord.json"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(data, "chord.json"), strings.Replace(string(text), `"vnodes": 2`, `"vnodes": 3`, 1))
			return data
		}, []string{"chord.json is damaged", "checksum"}},
		{"other vnodes", func(t *testing.T, dir string) string {
			data := filepath.Join(dir, "data")
			startHere(t, alone(t, "--data", data, "--vnodes", "3")...).stop(t)
			return data
		}, []string{"vnodes 3, not 2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			data := test.prepare(t, t.TempDir())
			before := tree(t, filepath.Dir(data))
			refused(t, alone(t, "--data", data), test.words...)
			if after := tree(t, filepath.Dir(data)); after != before {
				t.Errorf("files changed; before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

func TestDataDirectoryInUse(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	startChild(t, alone(t, "--data", data)...).ready(t)
	refused(t, alone(t, "--data", data), "in use by process")
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tree lists the files below dir with their contents, but the lock, which a start that is refused may leave behind.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "lock" {
			return err
		}
		text, err := os.ReadFile(path)
		b.WriteString(path + ": " + string(text) + "\n")
		return err
	})
	if err != nil && !strings.Contains(err.Error(), "not a directory") {
		t.Fatal(err)
	}
	return b.String()
}
