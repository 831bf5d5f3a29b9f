package main

import (
	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
)

// program is the name that errors begin with, and that the names of environment variables begin with in capitals.
const program = "chordsim"

// The groups of the overview.
const (
	groupRun     = "run"
	groupSearch  = "search"
	groupMeasure = "measure"
	groupOther   = "other"
)

const rootLong = `chordsim runs the code of chordd under virtual time: rings from three nodes to a million in one
process, with churn, faults and checks, the same every time from the same seed.

  chordsim list                         what there is to run
  chordsim run first                    a scenario that comes with the program
  chordsim run my.yaml --set nodes=500  your own, with a field changed
  chordsim experiment path-length       a figure of the Chord papers, theirs beside ours
  chordsim seeds --count 1000           look for a seed that breaks a promise
  chordsim sweep my.yaml --set network.loss=0,0.01,0.05 --seeds 1..10

What a run leaves is a directory: report.html, which opens offline, with plots (PNG, SVG), all data (CSV,
JSONL), and params.json with the command, the seed and the commit that make it again.

Every flag can be set in the environment: --out is CHORDSIM_OUT.

Exit codes: 0 ok, 1 other failure, 2 usage or a scenario that cannot work, 4 the directory has other
things in it or parts are missing, 7 permission, 9 a check failed or a figure is not as demanded, 130
interrupted. With -o json, errors are JSON on stderr too: {"error":{"code","message","hint","retryable"}}.`

// newRoot returns the command tree over an app.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           program,
		Short:         "Run the code of chordd under virtual time",
		Long:          rootLong,
		SilenceErrors: true, SilenceUsage: true,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return cli.UnknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := cli.SetFromEnv(program, cmd.Flags(), a.lookupEnv); err != nil {
				return err
			}
			if err := a.globals.check(); err != nil {
				return err
			}
			return a.startProfiles()
		},
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(cli.FlagError)
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Run:"},
		&cobra.Group{ID: groupSearch, Title: "Search for what breaks:"},
		&cobra.Group{ID: groupMeasure, Title: "Measure:"},
		&cobra.Group{ID: groupOther, Title: "Other:"},
	)
	addGlobalFlags(root, &a.globals)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupRun, newList(a), newRun(a), newExperiment(a))
	add(groupSearch, newSeeds(a), newExplore(a), newReplay(a))
	add(groupMeasure, newSweep(a), newMerge(a), newBench(a))
	add(groupOther, newVersion(a))
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)
	return root
}

func addGlobalFlags(root *cobra.Command, g *globals) {
	f := root.PersistentFlags()
	f.SortFlags = false
	f.StringVarP(&g.output, "output", "o", "text", "`format` of what is printed: text or json")
	f.IntVar(&g.workers, "workers", 0, "worlds that run at once (0: one for each core); results do not depend on it")
	f.BoolVarP(&g.quiet, "quiet", "q", false, "print results and errors only")
	f.BoolVar(&g.noColor, "no-color", false, "no colors (also: NO_COLOR)")
	f.BoolVar(&g.noProgress, "no-progress", false, "no progress bar")
	f.StringVar(&g.cpuProfile, "cpuprofile", "", "write a CPU profile to `file`, for go tool pprof")
	f.StringVar(&g.memProfile, "memprofile", "", "write a profile of allocations to `file`")
	cli.CompleteWith(root, "output", "text", "json")
}
