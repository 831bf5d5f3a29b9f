package e2e

import (
	"bufio"
	"bytes"
	cryptorand "crypto/rand"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The parts of which names of packages are made.
var (
	prefixes = []string{"", "", "", "lib", "lib", "lib", "python3-", "golang-github-", "node-", "r-cran-", "ruby-", "fonts-", "texlive-", "librust-", "haskell-"}
	stems    = []string{
		"acl", "alsa", "apt", "archive", "atomic", "avahi", "base", "bash", "boost", "buffer", "cache", "cairo", "chord", "clang", "config",
		"core", "crypt", "curl", "data", "dbus", "diff", "edit", "event", "expat", "ffi", "file", "font", "gcc", "geo", "git", "glib", "gnome",
		"graph", "grpc", "gtk", "hash", "http", "icon", "image", "input", "java", "json", "kernel", "key", "lang", "link", "linux", "log", "lua",
		"mail", "math", "media", "mesa", "mono", "net", "ocaml", "open", "pack", "parse", "perl", "php", "pixel", "proto", "qt", "query", "ring",
		"sasl", "scan", "session", "shell", "sql", "ssl", "store", "sync", "system", "table", "term", "test", "text", "theme", "time", "tls", "tool",
		"tree", "type", "udev", "unicode", "usb", "util", "video", "virt", "vim", "wave", "web", "wrap", "xml", "yaml", "zip",
	}
	suffixes = []string{"", "", "", "", "-dev", "-dev", "-doc", "-data", "-bin", "-common", "-utils", "-tools", "-dbg", "1", "2", "3", "-perl"}
)

// packageList returns n names of packages, such as a distribution has, and their versions: the same for the same seed.
func packageList(seed uint64, n int) map[string]string {
	list := make(map[string]string, n)
	addPackages(list, seed, n)
	return list
}

// addPackages makes packages up until the list has n.
func addPackages(list map[string]string, seed uint64, n int) {
	r := rand.New(rand.NewPCG(seed, 0))
	pick := func(of []string) string { return of[r.IntN(len(of))] }
	for len(list) < n {
		name := pick(prefixes) + pick(stems) + pick(stems)
		if r.IntN(2) == 0 {
			name += "-" + pick(stems)
		}
		list[name+pick(suffixes)] = fmt.Sprintf("%d.%d.%d-%d", r.IntN(20), r.IntN(40), r.IntN(100), 1+r.IntN(9))
	}
}

// installable returns at most n packages that this machine could install, and their versions, if it is a Debian and knows; else none.
func installable(n int) map[string]string {
	list := make(map[string]string)
	out, err := exec.Command("apt-cache", "dumpavail").Output()
	if err != nil {
		return list
	}
	name := ""
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() && len(list) < n {
		if n, ok := strings.CutPrefix(lines.Text(), "Package: "); ok {
			name = n
		}
		if v, ok := strings.CutPrefix(lines.Text(), "Version: "); ok {
			list[name] = v
		}
	}
	return list
}

// writeTSV writes the pairs to a file for chord import, in an order that has nothing to do with the ring's.
func writeTSV(t *testing.T, pairs map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		fmt.Fprintf(&b, "%s\t%s\n", key, pairs[key])
	}
	file := filepath.Join(t.TempDir(), "pairs.tsv")
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// randomFile writes a file that no compression makes smaller.
func randomFile(t *testing.T, size int) string {
	t.Helper()
	data := make([]byte, size)
	if _, err := cryptorand.Read(data); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "random")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}
