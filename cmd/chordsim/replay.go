package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/sim"
)

const replayLong = `Run what "chordsim explore" or "chordsim seeds" has found: the script of one schedule of a drill, or the
scenario of a seed. The exit code is 9 if a check fails again, and 0 if it does not any more.`

func newReplay(a *app) *cobra.Command {
	wire := 0.0
	cmd := &cobra.Command{
		Use:   "replay FILE",
		Short: "Run again what explore or seeds has found",
		Long:  replayLong,
		Example: `  chordsim replay chordsim-out/standard-faults-seed-4711.yaml
  chordsim replay chordsim-out/two-joins-sections.drill`,
		Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !(wire >= 0 && wire <= 1) {
				return cli.Usagef("--verify-wire %v: want 0 to 1", wire)
			}
			return a.replay(cmd.Context(), args[0], wire)
		},
	}
	cmd.Flags().Float64Var(&wire, "verify-wire", 0, verifyUsage)
	return cmd
}

// replayedJSON is what replay prints with -o json, if no check fails.
type replayedJSON struct {
	File     string `json:"file"`
	Name     string `json:"name"`
	Kind     string `json:"kind"` // drill or scenario
	Events   uint64 `json:"events,omitempty"`
	Checksum string `json:"checksum,omitempty"`
}

func (a *app) replay(ctx context.Context, file string, wire float64) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return cli.Usagef("no file %s", file)
	}
	if err != nil {
		return err
	}
	if isDrill(text) {
		return a.replayDrill(file, string(text))
	}
	s, err := sim.ParseScenario(file, text)
	if err != nil {
		return err
	}
	res, err := a.simulate(ctx, s, withWire(wire))
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	done := replayedJSON{File: file, Name: s.Name, Kind: "scenario", Events: res.Stats.Steps, Checksum: fmt.Sprintf("%016x", res.Checksum)}
	return a.held(done)
}

// isDrill tells a script from a scenario by its first word.
func isDrill(text []byte) bool {
	for line := range bytes.Lines(text) {
		line, _, _ = bytes.Cut(line, []byte("#"))
		if words := bytes.Fields(line); len(words) > 0 {
			return string(words[0]) == "drill"
		}
	}
	return false
}

func (a *app) replayDrill(file, text string) error {
	d, err := parseDrill(file, text)
	if err != nil {
		return err
	}
	if err := d.Run(); err != nil {
		return fmt.Errorf("%s: %w", d.Name, err)
	}
	return a.held(replayedJSON{File: file, Name: d.Name, Kind: "drill"})
}

// parseDrill reads the text of a drill.
func parseDrill(file, text string) (*sim.Drill, error) {
	d, err := sim.ParseDrill(text)
	if err != nil {
		return nil, cli.Usagef("%s: %v", file, err)
	}
	return d, nil
}

// held says that no check failed.
func (a *app) held(r replayedJSON) error {
	if a.json() {
		return a.printJSON(r)
	}
	if r.Checksum != "" {
		a.printf("%s: all checks held, checksum %s\n", r.Name, r.Checksum)
	} else {
		a.printf("%s: all checks held\n", r.Name)
	}
	return nil
}
