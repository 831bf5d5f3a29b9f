package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/sim/experiment"
)

const sweepLong = `Run a scenario over a grid: every combination of the values that --set gives, each with every seed, one
world to a core. Means over the seeds come with 95 % confidence intervals.

Points that are finished are kept: after an interruption the same command goes on where it stopped. With
--shard I/N it runs only the points of one of N machines, in a directory of its own below --out; "chordsim
merge" makes of all shards what one machine would have made.`

type sweepFlags struct {
	results  resultFlags
	scenario scenarioFlags
	seeds    string
	shard    string
}

func newSweep(a *app) *cobra.Command {
	var f sweepFlags
	cmd := &cobra.Command{
		Use:   "sweep [SCENARIO] --set PATH=A,B,...",
		Short: "Run a scenario over a grid of settings and seeds",
		Long:  sweepLong,
		Example: `  chordsim sweep --set nodes=100,1000,10000 --seeds 1..5
  chordsim sweep first --set network.loss=0,0.01,0.05 --set churn[0].crashes=0.05,0.5
  chordsim sweep my.yaml --set node.stabilize-interval=1s,10s,60s --seeds 1..20 --shard 0/4 --out /data/parts`,
		ValidArgsFunction: completeScenarios,
		Args:              cli.Args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.sweep(cmd, args, f)
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.StringVar(&f.seeds, "seeds", "1..3", "seeds that each setting runs with, `FIRST..LAST`")
	fl.StringVar(&f.shard, "shard", "", "run only part `I/N` of the points, I from 0 to N-1")
	f.scenario.add(cmd, "a field of the scenario and its values, `PATH=A,B,...`; repeat it for a grid")
	f.results.add(cmd, defaultOut+"/sweep-NAME")
	return cmd
}

func (a *app) sweep(cmd *cobra.Command, args []string, f sweepFlags) error {
	s, usual, err := f.plan(cmd, args)
	if err != nil {
		return err
	}
	m := a.describe(cmd, args, s.Meta())
	if f.shard != "" {
		if m.Shard, err = experiment.ParseShard(f.shard); err != nil {
			return cli.Usagef("--shard %v", err)
		}
	}
	path := f.results.dir("sweep-"+s.Base.Name, m, usual)
	if m.Shard.Of > 0 {
		if f.results.out == "" {
			path += ".shards"
		}
		path = filepath.Join(path, m.Shard.DirName())
	}
	d, err := a.openDir(path, m, f.results.fresh)
	if err != nil {
		return err
	}
	if d.Complete {
		return a.earlier(m, d)
	}
	progress := &experiment.Progress{}
	bar := a.startProgress("sweep", "events", func() cli.Gauge { return gaugeOf(progress) })
	report, err := s.Run(cmd.Context(), d, a.globals.workers, progress, nil)
	bar.Stop()
	if err != nil {
		return ended(fmt.Errorf("sweep: %w", err), d, "The same command goes on where it stopped.")
	}
	if m.Shard.Of > 0 {
		return a.showShard(m, d)
	}
	return a.show(m, d, report, "")
}

// plan makes the grid of the command line. usual says that nothing but the scenario decides it.
func (f *sweepFlags) plan(cmd *cobra.Command, args []string) (s experiment.Sweep, usual bool, err error) {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	if s.Base, err = readScenario(name); err != nil {
		return s, false, err
	}
	for _, text := range f.scenario.set {
		axis, err := experiment.ParseSweeping(text)
		if err != nil {
			return s, false, cli.Usagef("--set %v", err)
		}
		s.Axes = append(s.Axes, axis)
	}
	f.scenario.set = nil
	changed := false
	if s.Base, changed, err = f.scenario.apply(cmd, s.Base, name != ""); err != nil {
		return s, false, err
	}
	if s.First, s.Last, err = experiment.ParseSeeds(f.seeds); err != nil {
		return s, false, cli.Usagef("--seeds %v", err)
	}
	return s, !changed && len(s.Axes) == 0, s.Validate()
}

// showShard says what to do with a shard.
func (a *app) showShard(m experiment.Meta, d *experiment.Dir) error {
	if a.json() {
		return a.printJSON(resultJSON{Kind: m.Kind, Name: m.Name, Seed: m.Seed, Dir: d.Path, Complete: true, Tables: []experiment.TableJSON{}})
	}
	a.printf("shard %s is finished: %s\nwhen all are, join them with\n  chordsim merge %s\n", m.Shard, d.Path, filepath.Dir(d.Path))
	return nil
}
