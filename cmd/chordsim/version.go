package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
)

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
			_, err := fmt.Fprintln(a.stdout, a.build.Line(program))
			return err
		},
	}
}

// buildVersion returns what the Go tool wrote into the program. Where that does not name the code exactly, because it was changed after
// the commit or was built outside of a repository, the commit ends with a hash of the program itself.
func buildVersion() cli.Build {
	b := cli.ReadBuild()
	if !b.Exact() {
		if hash := programHash(); hash != "" {
			b.Commit += "." + hash
		}
	}
	return b
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
