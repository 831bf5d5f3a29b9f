package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
)

// program is the name that errors begin with, and that the names of environment variables begin with in capitals.
const program = "chord"

// The groups of the overview.
const (
	groupData    = "data"
	groupRing    = "ring"
	groupBulk    = "bulk"
	groupMeasure = "measure"
	groupOperate = "operate"
)

const rootLong = `chord reads and writes keys on a Chord ring, shows the ring, and measures it.

Any process of the ring will do as --server: chord learns the others from it.

  chordd --dev                      start a ring of five nodes on this machine, in another shell
  chord put hello world             store a value
  chord get hello                   read it
  chord lookup hello --trace        see the way to the nodes that hold it
  chord ring                        see all nodes

Every flag can be set in the environment: --timeout is CHORD_TIMEOUT, --server is CHORD_SERVER
(several with commas between).

Exit codes: 0 ok, 1 other failure, 2 usage or input that cannot work, 3 not found, 4 condition not
met (nothing was changed), 5 unavailable (nothing was changed), 6 timeout or outcome unknown,
7 permission, 8 too few replicas answered, 9 unhealthy (status --check, ring --check),
130 interrupted. With -o json, errors are JSON on stderr too:
{"error":{"code","message","hint","attempted","retryable"}}.`

// newRoot returns the command tree over an app.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           program,
		Short:         "Read, write, look into and measure a Chord ring",
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
			return a.globals.check()
		},
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(cli.FlagError)
	root.AddGroup(
		&cobra.Group{ID: groupData, Title: "Data:"},
		&cobra.Group{ID: groupRing, Title: "Ring:"},
		&cobra.Group{ID: groupBulk, Title: "Bulk:"},
		&cobra.Group{ID: groupMeasure, Title: "Measure:"},
		&cobra.Group{ID: groupOperate, Title: "Operate:"},
	)
	addGlobalFlags(root, &a.globals)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupData, newPut(a), newGet(a), newDel(a), newWatch(a), newCas(a), newIncr(a), newDecr(a), newAppend(a), newPrepend(a), newTouch(a), newTTL(a))
	add(groupRing, newLookup(a), newRing(a), newStatus(a))
	add(groupBulk, newMGet(a), newMPut(a), newMDel(a), newImport(a), newExport(a))
	add(groupMeasure, newBench(a))
	add(groupOperate, newRepair(a), newBackup(a), newGCChunks(a), newDrain(a), newLeave(a), newVersion(a))
	root.SetHelpCommandGroupID(groupOperate)
	root.SetCompletionCommandGroupID(groupOperate)
	return root
}

func addGlobalFlags(root *cobra.Command, g *globals) {
	f := root.PersistentFlags()
	f.SortFlags = false
	f.StringSliceVarP(&g.servers, "server", "s", []string{"127.0.0.1:7400"}, "`host:port` of a process of the ring; repeat it for more")
	f.StringVar(&g.admin, "admin", "", "`host:port` of a process's admin listener (default: asked of --server)")
	f.StringVarP(&g.output, "output", "o", "text", "`format` of what is printed: text or json")
	f.DurationVar(&g.timeout, "timeout", 5*time.Second, "how long an operation may take")
	f.StringVar(&g.consistency, "consistency", "quorum", "replicas that must answer: one, quorum or all")
	f.BoolVarP(&g.quiet, "quiet", "q", false, "print results and errors only")
	f.BoolVar(&g.noColor, "no-color", false, "no colors (also: NO_COLOR)")
	f.BoolVar(&g.noProgress, "no-progress", false, "no progress bar")
	cli.CompleteWith(root, "output", "text", "json")
	cli.CompleteWith(root, "consistency", "one", "quorum", "all")
}
