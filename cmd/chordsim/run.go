package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/sim"
	"github.com/chordkv/chord/sim/experiment"
)

const runLong = `Run a scenario: a file, or one that comes with the program by its name. Without SCENARIO it is a ring of
1,000 nodes that is maintained every 30 seconds, as in the papers, with lookups from random nodes.

Flags and --set change fields of the scenario; docs/simulation.md explains them all. The same scenario and
seed give the same run, step by step: the checksum says so. The exit code is 9 if a check fails. Ctrl-C
writes what there is.`

type runFlags struct {
	results  resultFlags
	scenario scenarioFlags
	seed     uint64
	wire     bool
}

func newRun(a *app) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [SCENARIO]",
		Short: "Run a scenario",
		Long:  runLong,
		Example: `  chordsim run first
  chordsim run my.yaml --seed 7
  chordsim run --nodes 1000000 --duration 60s
  chordsim run first --set churn[0].crashes=0.5 --set checks.every=10s --set checks.ring=true`,
		ValidArgsFunction: completeScenarios,
		Args:              cli.Args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runScenario(cmd, args, f)
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.Uint64Var(&f.seed, "seed", 0, "root of all chance (default: the scenario's)")
	f.scenario.add(cmd, "change any field of the scenario, `PATH=VALUE` such as network.loss=0.01 or churn[0].joins=2; may be repeated")
	fl.BoolVar(&f.wire, "wire", false, "pass every message through its protobuf form, as on a real network, and count those bytes too")
	f.results.add(cmd, defaultOut+"/NAME-SEED")
	return cmd
}

func (a *app) runScenario(cmd *cobra.Command, args []string, f runFlags) error {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	s, err := readScenario(name)
	if err != nil {
		return err
	}
	s, changed, err := f.scenario.apply(cmd, s, name != "")
	if err != nil {
		return err
	}
	if cmd.Flags().Changed("seed") {
		if s, err = experiment.With(s, "seed="+strconv.FormatUint(f.seed, 10)); err != nil {
			return err
		}
	}
	m := a.describe(cmd, args, runMeta(s, f.wire))
	d, err := a.openDir(f.results.dir(fmt.Sprintf("%s-%d", s.Name, s.Seed), m, !changed && !f.wire), m, f.results.fresh)
	if err != nil {
		return err
	}
	res, failed := a.simulate(cmd.Context(), s, f.prepare())
	if res == nil {
		return failed
	}
	canceled := errors.Is(failed, context.Canceled)
	report := experiment.OfRun(res, failed)
	if err := d.Write(report, !canceled, experiment.File{Name: "scenario.yaml", Data: s.YAML()}); err != nil {
		return errors.Join(failed, err)
	}
	if canceled {
		return ended(failed, d, "The same command runs it from its beginning.")
	}
	if err := a.show(m, d, report, fmt.Sprintf("%016x", res.Checksum)); err != nil {
		return err
	}
	return failed
}

func (f *runFlags) prepare() func(*sim.Options) {
	if f.wire {
		return withWire(1)
	}
	return nil
}

func runMeta(s sim.Scenario, wire bool) experiment.Meta {
	m := experiment.Meta{Kind: experiment.KindRun, Name: s.Name, Title: "Run of " + s.Name, About: s.Description, Seed: s.Seed}
	m.Settings = []experiment.Setting{{Name: "scenario", Value: string(s.YAML()), Doc: "what is run, all that differs from the defaults"}}
	if wire {
		m.Settings = append(m.Settings, experiment.Setting{Name: "wire", Value: "true", Doc: "every message passed through its protobuf form"})
	}
	return m
}

// simulate runs a scenario with a progress bar.
func (a *app) simulate(ctx context.Context, s sim.Scenario, prepare func(*sim.Options)) (*sim.Result, error) {
	a.spareHeap(s)
	progress := &experiment.Progress{}
	progress.Expect(1)
	at := progress.Begin(s.Name, 0)
	bar := a.startProgress(s.Name, "events", func() cli.Gauge { return gaugeOf(progress) })
	defer bar.Stop()
	return experiment.Simulate(ctx, s, at, prepare)
}
