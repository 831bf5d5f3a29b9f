package main

import (
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
)

type versionJSON struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	Wire    string `json:"wire"` // the protobuf package
}

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Example: `  chord version
  chord version -o json`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			v := buildVersion()
			if a.json() {
				return a.printJSON(v)
			}
			_, err := io.WriteString(a.stdout, "chord "+v.Version+" (commit "+v.Commit+", "+v.Go+", wire "+v.Wire+")\n")
			return err
		},
	}
}

// buildVersion reads what the Go tool wrote into the program.
func buildVersion() versionJSON {
	v := versionJSON{Version: "(devel)", Commit: "unknown", Go: runtime.Version(), Wire: "chord.v1"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v.Commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			v.Commit += "+changes"
		}
	}
	return v
}
