package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/sim/experiment"
)

const mergeLong = `Join the shards of a sweep into the directory that one machine would have made, byte by byte. PART is the
directory of a shard, or one that holds the directories of shards.

Shards of different sweeps, unfinished ones, and a set in which one is missing are refused with exit code 4.`

func newMerge(a *app) *cobra.Command {
	var f resultFlags
	cmd := &cobra.Command{
		Use:   "merge PART...",
		Short: "Join the shards of a sweep",
		Long:  mergeLong,
		Example: `  chordsim merge /data/parts --out /data/result
  chordsim merge shard-00000-of-00002 shard-00001-of-00002`,
		Args: cli.Args(cobra.MinimumNArgs(1)),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(_ *cobra.Command, args []string) error {
			parts, err := experiment.FindParts(args...)
			if err != nil {
				return err
			}
			out := f.out
			if out == "" {
				out = filepath.Join(defaultOut, "merged")
			}
			d, r, err := experiment.Merge(out, f.fresh, parts...)
			if err != nil {
				return err
			}
			return a.show(d.Meta(), d, r, "")
		},
	}
	f.add(cmd, defaultOut+"/merged")
	return cmd
}
