package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
)

type versionJSON struct {
	cli.Build
	Protocol string `json:"protocol"` // package of the wire protocol
}

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Example: `  chord version
  chord version -o json`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			v := versionJSON{cli.ReadBuild(), string(chordv1.File_chord_v1_ring_proto.Package())}
			if a.json() {
				return a.printJSON(v)
			}
			_, err := fmt.Fprintln(a.stdout, v.Line(program, "protocol "+v.Protocol))
			return err
		},
	}
}
