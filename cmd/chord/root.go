package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/chordkv/chord/internal/cli"
)

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

Exit codes: 0 ok, 1 other failure, 2 usage or input that cannot work, 3 not found, 5 unavailable
(nothing was changed), 6 timeout or outcome unknown, 7 permission, 8 too few replicas answered,
9 unhealthy (status --check, ring --check), 130 interrupted. With -o json, errors are JSON on
stderr too: {"error":{"code","message","hint","attempted","retryable"}}.`

// newRoot returns the command tree over an app.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "chord",
		Short:         "Read, write, look into and measure a Chord ring",
		Long:          rootLong,
		SilenceErrors: true, SilenceUsage: true,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := setFromEnv(cmd.Flags(), a.lookupEnv); err != nil {
				return err
			}
			return a.globals.check()
		},
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(flagError)
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
	add(groupData, newPut(a), newGet(a), newDel(a))
	add(groupRing, newLookup(a), newRing(a), newStatus(a))
	add(groupBulk, newImport(a), newExport(a))
	add(groupMeasure, newBench(a))
	add(groupOperate, newDrain(a), newLeave(a), newVersion(a))
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
	completeWith(root, "output", "text", "json")
	completeWith(root, "consistency", "one", "quorum", "all")
}

// completeWith offers values for a flag to the shell.
func completeWith(cmd *cobra.Command, flag string, values ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // no such flag
	}
}

// envName returns the environment variable of a flag.
func envName(flag string) string {
	return "CHORD_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// setFromEnv gives the flags that the command line does not set their values from the environment.
func setFromEnv(flags *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" || err != nil {
			return
		}
		if v, ok := lookup(envName(f.Name)); ok && v != "" {
			if e := flags.Set(f.Name, v); e != nil {
				err = usagef("environment: %s=%q: %v", envName(f.Name), v, errors.Unwrap(e))
			}
		}
	})
	return err
}

// flagError words an error in the flags, with the flag that may have been meant.
func flagError(cmd *cobra.Command, err error) error {
	f := usagef("%s%v", commandPrefix(cmd), err)
	f.hint = fmt.Sprintf("%q shows the flags.", cmd.CommandPath()+" --help")
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
		var names []string
		add := func(f *pflag.Flag) { names = append(names, f.Name) }
		cmd.Flags().VisitAll(add)
		cmd.InheritedFlags().VisitAll(add)
		if near := cli.Nearest(unknown.GetSpecifiedName(), names); near != "" {
			f.hint = fmt.Sprintf("Did you mean --%s? %s", near, f.hint)
		}
	}
	return f
}

// commandPrefix is "put: ", or nothing for the root.
func commandPrefix(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return ""
	}
	return cmd.Name() + ": "
}

// unknownCommand names the command that may have been meant.
func unknownCommand(cmd *cobra.Command, typed string) error {
	f := usagef("unknown command %q for %q", typed, cmd.CommandPath())
	f.hint = fmt.Sprintf("%q shows the commands.", cmd.CommandPath()+" --help")
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(typed); len(near) > 0 {
		f.hint = fmt.Sprintf("Did you mean %q? %s", cmd.CommandPath()+" "+near[0], f.hint)
	}
	return f
}

// args wraps a check of the positional arguments, so that its error counts as usage.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usagef("%s%v", commandPrefix(cmd), err).withHint("Usage: %s", cmd.UseLine())
		}
		return nil
	}
}
