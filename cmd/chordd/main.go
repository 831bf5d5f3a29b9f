package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
)

// gcPercent lets the heap grow to five times what is live before it is collected, unless GOGC says otherwise. Most of what a small heap
// holds at any moment is messages; collecting them at every doubling took a quarter of the CPU under load. GOMEMLIMIT still bounds it.
const gcPercent = 400

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	// The channel takes both signals of an impatient user.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	os.Exit(run(context.Background(), surroundings{
		args: os.Args[1:], environ: os.Environ(), stdout: os.Stdout, stderr: os.Stderr, signals: signals,
	}))
}

// surroundings is what the program gets from outside, so that tests can be the outside.
type surroundings struct {
	args           []string
	environ        []string
	stdout, stderr io.Writer
	signals        <-chan os.Signal // asks to stop; the second, to stop now
}

// run executes a command line and returns the exit code.
func run(ctx context.Context, s surroundings) int {
	cmd := newRootCommand(s)
	cmd.SetArgs(s.args)
	cmd.SetOut(s.stdout)
	cmd.SetErr(s.stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return cli.ExitOK
	}
	f := explain(err)
	f.Print(s.stderr, "chordd", false, cli.Style{})
	return f.Exit
}

// explain turns any error into a failure, with what to do about it.
func explain(err error) *cli.Failure {
	if f := cli.AsFailure(err); f != nil {
		return f
	}
	f := &cli.Failure{Exit: cli.ExitOther, Message: strings.TrimRight(err.Error(), "\n"), Err: err}
	var config *configError
	switch {
	case errors.As(err, &config):
		f.Exit, f.Hint = cli.ExitUsage, `Run "chordd config" with the same settings to see where each comes from.`
	case errors.Is(err, errInterrupted):
		f.Exit = cli.ExitInterrupted
	}
	return f
}

// newRootCommand returns chordd with its subcommands. Without one it serves.
func newRootCommand(sur surroundings) *cobra.Command {
	s := newSettings()
	root := &cobra.Command{
		Use:   "chordd",
		Short: "A process of a Chord ring: it stores its share of the keys and serves clients",
		Long: `chordd is one process of a Chord ring, a peer-to-peer key-value store. All processes are equal; each stores its share of the keys.

Every setting is a flag, an environment variable (CHORDD_UPPER_SNAKE, lists separated by commas) or a key in the YAML file that --config
names; a flag beats the environment, which beats the file. "chordd config" shows what results.`,
		Example: `  chordd --dev                                              # a ring of five to try things out, in memory
  chordd                                                    # a ring of one, in ./chord-data
  chordd --listen 127.0.0.1:7410 --admin 127.0.0.1:7412 \
         --data ./data2 --join 127.0.0.1:7400               # one more process for it`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return cli.UnknownCommand(cmd, args[0])
			}
			return nil
		},
		SilenceErrors: true, SilenceUsage: true,
		Version: version().String(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.load(sur.environ); err != nil {
				return err
			}
			if s.cfg.Dev {
				return runDev(cmd.Context(), s, sur)
			}
			return runServe(cmd.Context(), s, sur)
		},
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(cli.FlagError)
	root.Flags().SortFlags = false
	root.Flags().AddFlagSet(s.flags)
	registerCompletions(root, s.flags)
	root.AddCommand(newConfigCommand(s, sur), newInspectCommand(sur), newRestoreCommand(sur), newVersionCommand(sur))
	return root
}
