package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

const (
	noCommit = "unknown"
	dirty    = "+dirty" // the toolchain's own word, in the versions that it makes up
)

// Build is what the Go toolchain has recorded in a program.
type Build struct {
	Version string `json:"version"` // "devel" if unknown
	Commit  string `json:"commit"`  // with "+dirty" if files were changed after it; "unknown" outside of a repository
	Go      string `json:"go"`
}

// ReadBuild returns the build of the running program.
func ReadBuild() Build {
	b := Build{Version: "devel", Commit: noCommit, Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	changed := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			changed = s.Value == "true"
		}
	}
	if changed && b.Commit != noCommit {
		b.Commit += dirty
	}
	return b
}

// Exact reports whether the commit is all of the program's source.
func (b Build) Exact() bool { return b.Commit != noCommit && !strings.HasSuffix(b.Commit, dirty) }

// Line is a program's build for people, with more about it at the end: "chord v0.1.0 (commit 0123abc, go1.26.0, protocol chord.v1)".
func (b Build) Line(program string, more ...string) string {
	return fmt.Sprintf("%s %s (%s)", program, b.Version, strings.Join(append([]string{"commit " + b.Commit, b.Go}, more...), ", "))
}
