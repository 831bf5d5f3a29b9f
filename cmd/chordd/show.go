package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/chordkv/chord/internal/cli"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
)

// newConfigCommand returns "chordd config".
func newConfigCommand(s *settings, sur surroundings) *cobra.Command {
	output := "table"
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the effective configuration and where each value comes from",
		Long: `Show the effective configuration and where each value comes from. It takes all flags of chordd, and reports all that is wrong with them.

The YAML form is itself a configuration file: chordd config -o yaml > chord.yaml`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			wrong := s.load(sur.environ)
			for _, w := range s.warnings {
				fmt.Fprintf(sur.stderr, "chordd: warning: %s\n", w)
			}
			if err := s.print(sur.stdout, output); err != nil {
				return fmt.Errorf("print the configuration: %w", err)
			}
			return wrong
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().VarP(newChoice(&output, "table", "json", "yaml"), "output", "o", "format")
	registerCompletions(cmd, cmd.Flags()) // those of s.flags are registered with the root command already
	cmd.Flags().AddFlagSet(s.flags)
	return cmd
}

// print writes the settings with their origins.
func (s *settings) print(w io.Writer, format string) error {
	switch format {
	case "json":
		type setting struct {
			Value  any    `json:"value"`
			Origin string `json:"origin"`
		}
		all := map[string]setting{}
		for _, name := range s.names() {
			all[name] = setting{flagValue(s.flags.Lookup(name)), s.origin(name)}
		}
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(all)
	case "yaml":
		for _, name := range s.names() {
			text, err := yaml.MarshalWithOptions(map[string]any{name: flagValue(s.flags.Lookup(name))}, yaml.Flow(false))
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(w, "# %s\n%s", s.origin(name), text); err != nil {
				return err
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SETTING\tVALUE\tORIGIN")
	for _, name := range s.names() {
		value := s.flags.Lookup(name).Value
		text := value.String()
		if list, ok := value.(pflag.SliceValue); ok {
			text = strings.Join(list.GetSlice(), ",")
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", name, cmp.Or(text, "-"), s.origin(name))
	}
	return t.Flush()
}

// flagValue returns a flag's value as JSON and YAML show it; durations as they are typed.
func flagValue(f *pflag.Flag) any {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return append([]string{}, list.GetSlice()...) // [] rather than null
	}
	text := f.Value.String()
	switch f.Value.Type() {
	case "int":
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
	case "bool":
		return text == "true"
	}
	return text
}

// build is what "chordd version" shows.
type build struct {
	cli.Build
	Platform string `json:"platform"`
	Protocol string `json:"protocol"` // package of the wire protocol
}

// version returns what is known about this program.
func version() build {
	return build{cli.ReadBuild(), runtime.GOOS + "/" + runtime.GOARCH, string(chordv1.File_chord_v1_ring_proto.Package())}
}

// String is one line for people.
func (b build) String() string { return b.Line("chordd", b.Platform, "protocol "+b.Protocol) }

// newVersionCommand returns "chordd version".
func newVersionCommand(sur surroundings) *cobra.Command {
	output := "text"
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show version, commit, Go version and wire protocol",
		Args:  cli.Args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if output == "json" {
				e := json.NewEncoder(sur.stdout)
				e.SetIndent("", "  ")
				return e.Encode(version())
			}
			_, err := fmt.Fprintln(sur.stdout, version())
			return err
		},
	}
	cmd.Flags().VarP(newChoice(&output, "text", "json"), "output", "o", "format")
	registerCompletions(cmd, cmd.Flags())
	return cmd
}
