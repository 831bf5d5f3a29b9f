package main

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
)

type versionJSON struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Example: `  chordsim version
  chordsim version -o json`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if a.json() {
				return a.printJSON(a.build)
			}
			_, err := io.WriteString(a.stdout, "chordsim "+a.build.Version+" (commit "+a.build.Commit+", "+a.build.Go+")\n")
			return err
		},
	}
}

// buildVersion reads what the Go tool wrote into the program. Where that does not name the code exactly, because it was changed after
// the commit or was built outside of a repository, the commit ends with a hash of the program itself.
func buildVersion() versionJSON {
	v := versionJSON{Version: "(devel)", Commit: "unknown", Go: runtime.Version()}
	exact := false
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			v.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				v.Commit, exact = s.Value, true
			case s.Key == "vcs.modified" && s.Value == "true":
				v.Commit, exact = v.Commit+"+changes", false
			}
		}
	}
	if hash := programHash(); !exact && hash != "" {
		v.Commit += "." + hash
	}
	return v
}

// programHash returns the first bytes of the SHA-256 of the program's file; empty if it cannot be read.
func programHash() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil)[:4])
}
