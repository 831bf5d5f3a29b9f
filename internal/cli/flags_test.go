package cli_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
)

// flags are of every type that the commands use.
type flags struct {
	count    int
	seed     uint64
	sizes    []int
	rate     float64
	quiet    bool
	timeout  time.Duration
	servers  []string
	noColors string
}

// newCommand returns the command "prog", with a subcommand "run" that has all the flags.
func newCommand(f *flags, lookupEnv func(string) (string, bool)) *cobra.Command {
	root := &cobra.Command{Use: "prog", SilenceErrors: true, SilenceUsage: true}
	root.SetFlagErrorFunc(cli.FlagError)
	root.SetOut(io.Discard)
	root.Args = cobra.ArbitraryArgs
	root.RunE = func(cmd *cobra.Command, args []string) error { return cli.UnknownCommand(cmd, args[0]) }
	run := &cobra.Command{
		Use: "run WORLD", Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, _ []string) error { return cli.SetFromEnv("prog", cmd.Flags(), lookupEnv) },
	}
	fl := run.Flags()
	fl.IntVar(&f.count, "count", 1, "")
	fl.Uint64Var(&f.seed, "seed", 1, "")
	fl.IntSliceVar(&f.sizes, "sizes", nil, "")
	fl.Float64Var(&f.rate, "rate", 1, "")
	fl.BoolVar(&f.quiet, "quiet", false, "")
	fl.StringSliceVar(&f.servers, "server", nil, "")
	fl.StringVar(&f.noColors, "no-colors", "", "")
	root.PersistentFlags().DurationVar(&f.timeout, "timeout", time.Second, "")
	root.AddCommand(run, &cobra.Command{Use: "report", Run: func(*cobra.Command, []string) {}})
	return root
}

// TestWrongLines: what is wrong, what would be right, and what may have been meant.
func TestWrongLines(t *testing.T) {
	for _, tc := range []struct{ line, message, hint string }{
		{"run w --coutn 5", "run: unknown flag: --coutn", `Did you mean --count? "prog run --help" shows the flags.`},
		{"run w --timout 5s", "run: unknown flag: --timout", `Did you mean --timeout? "prog run --help" shows the flags.`},
		{"run w --frobnicate", "run: unknown flag: --frobnicate", `"prog run --help" shows the flags.`},
		{"run w -Z", "run: unknown shorthand flag: 'Z' in -Z", `"prog run --help" shows the flags.`},
		{"run w --count", "run: flag needs an argument: --count", `"prog run --help" shows the flags.`},
		{"run w --count some", `run: --count "some": want a whole number`, `"prog run --help" shows the flags.`},
		{"run w --seed -1", `run: --seed "-1": want a whole number, at least 0`, `"prog run --help" shows the flags.`},
		{"run w --sizes 1,x", `run: --sizes "1,x": want whole numbers, with commas between`, `"prog run --help" shows the flags.`},
		{"run w --rate x", `run: --rate "x": want a number`, `"prog run --help" shows the flags.`},
		{"run w --quiet=x", `run: --quiet "x": want true or false`, `"prog run --help" shows the flags.`},
		{"run w --timeout 5", `run: --timeout "5": want a duration with its unit, for example 30s or 5m`, `"prog run --help" shows the flags.`},
		{"--timout 5s", "unknown flag: --timout", `Did you mean --timeout? "prog --help" shows the flags.`},
		{"run", "run: accepts 1 arg(s), received 0", "Usage: prog run WORLD [flags]"},
		{"rnu", `unknown command "rnu" for "prog"`, `Did you mean "prog run"? "prog --help" shows the commands.`},
		{"repo", `unknown command "repo" for "prog"`, `Did you mean "prog report"? "prog --help" shows the commands.`},
		{"frob", `unknown command "frob" for "prog"`, `"prog --help" shows the commands.`},
	} {
		root := newCommand(new(flags), func(string) (string, bool) { return "", false })
		root.SetArgs(strings.Fields(tc.line))
		f := cli.AsFailure(root.Execute())
		if f == nil || f.Exit != cli.ExitUsage || f.Code != "USAGE" || f.Message != tc.message || f.Hint != tc.hint {
			t.Errorf("%s: got %+v, want %s, %s", tc.line, f, tc.message, tc.hint)
		}
	}
}

// TestEnvironment: it sets what the command line does not, and an empty variable sets nothing.
func TestEnvironment(t *testing.T) {
	env := map[string]string{
		"PROG_COUNT": "7", "PROG_SEED": "7", "PROG_TIMEOUT": "7s", "PROG_SERVER": "a,b", "PROG_NO_COLORS": "x", "PROG_RATE": "", "PROG_HELP": "true",
	}
	lookupEnv := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	var got flags
	root := newCommand(&got, lookupEnv)
	root.SetArgs([]string{"run", "w", "--count", "3"})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	if got.count != 3 || got.seed != 7 || got.timeout != 7*time.Second || len(got.servers) != 2 || got.noColors != "x" || got.rate != 1 {
		t.Errorf("got %+v", got)
	}
	env["PROG_TIMEOUT"] = "never"
	root = newCommand(&got, lookupEnv)
	root.SetArgs([]string{"run", "w"})
	f := cli.AsFailure(root.Execute())
	if want := `environment: PROG_TIMEOUT="never": want a duration with its unit, for example 30s or 5m`; f == nil || f.Message != want || f.Exit != cli.ExitUsage {
		t.Errorf("got %+v, want %s", f, want)
	}
}
