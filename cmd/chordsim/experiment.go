package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/sim/experiment"
)

const experimentLong = `Repeat a figure or table of the papers on the code of chordd, and show theirs beside ours. Without
--quick it has the paper's size, which may take hours; --quick takes seconds and shows the same at a
smaller one.

Finished points are kept, so that an interrupted experiment goes on where it stopped, and one that is
finished is not run again unless --fresh asks for it or the program has changed. The exit code is 9 if a
figure is not as demanded.

"chordsim experiment NAME --params" lists what can be set.`

type experimentFlags struct {
	results resultFlags
	quick   bool
	all     bool
	params  bool
	seed    uint64
	set     []string
}

func newExperiment(a *app) *cobra.Command {
	var f experimentFlags
	cmd := &cobra.Command{
		Use:   "experiment NAME... | --all",
		Short: "Repeat a figure or table of the papers",
		Long:  experimentLong,
		Example: `  chordsim experiment path-length --quick
  chordsim experiment path-length --set nodes=1024,4096
  chordsim experiment churn-ton --params
  chordsim experiment --all --out docs/data`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, e := range experiment.All() {
				names = append(names, cobra.CompletionWithDesc(e.Name, e.Title))
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := f.choose(args)
			if err != nil {
				return err
			}
			if f.params {
				return a.listParams(list, f.quick)
			}
			return a.experiments(cmd, list, f)
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.BoolVar(&f.quick, "quick", false, "a small size, for a first look and for tests")
	fl.Uint64Var(&f.seed, "seed", 1, "root of all chance; experiments with several runs take this seed and those that follow")
	fl.StringArrayVar(&f.set, "set", nil, "change a parameter, `NAME=VALUE` or NAME=VALUE,VALUE,...; may be repeated")
	fl.BoolVar(&f.all, "all", false, "all experiments, one after the other, each in a directory of its name below --out")
	fl.BoolVar(&f.params, "params", false, "list the parameters instead of running")
	f.results.add(cmd, defaultOut+"/NAME-SEED")
	return cmd
}

// choose returns the experiments of the command line.
func (f *experimentFlags) choose(names []string) ([]*experiment.Experiment, error) {
	all := experiment.All()
	switch {
	case f.all && len(names) > 0:
		return nil, cli.Usagef("experiment: give names or --all, not both")
	case f.all:
		return all, nil
	case len(names) == 0:
		return nil, cli.Usagef("experiment: which one? Give a name or --all").WithHint(`"chordsim list experiments" shows them.`)
	case len(names) > 1 && (f.results.out != "" || len(f.set) > 0):
		return nil, cli.Usagef("experiment: --out and --set are for one experiment")
	}
	var known []string
	for _, e := range all {
		known = append(known, e.Name)
	}
	var list []*experiment.Experiment
	for _, name := range names {
		e := experiment.Find(name)
		if e == nil {
			return nil, unknown("experiment", name, known, "chordsim list experiments")
		}
		list = append(list, e)
	}
	return list, nil
}

func (a *app) listParams(list []*experiment.Experiment, quick bool) error {
	for _, e := range list {
		t := &experiment.Table{Name: e.Name, Title: e.Name + ": " + e.Title, Columns: []experiment.Column{
			{Name: "parameter", Doc: "its name"}, {Name: "value", Doc: "without --set"}, {Name: "meaning", Doc: "what it is"},
		}}
		for _, s := range e.Defaults(quick).Settings() {
			t.Add(s.Name, s.Value, s.Doc)
		}
		if a.json() {
			r := &experiment.Report{Tables: []*experiment.Table{t}}
			if err := a.printJSON(r.JSON()[0]); err != nil {
				return err
			}
			continue
		}
		a.printTable(t)
	}
	return nil
}

// experiments runs one after the other. A figure that is not as demanded does not keep the others from running.
func (a *app) experiments(cmd *cobra.Command, list []*experiment.Experiment, f experimentFlags) error {
	var errs []error
	for _, e := range list {
		err := a.experiment(cmd, e, f)
		var missed *cli.Failure
		if err != nil && (!errors.As(err, &missed) || missed.Exit != cli.ExitUnhealthy) {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (a *app) experiment(cmd *cobra.Command, e *experiment.Experiment, f experimentFlags) error {
	p := e.Defaults(f.quick)
	p.Seed, p.Workers = f.seed, a.globals.workers
	for _, s := range f.set {
		name, value, ok := strings.Cut(s, "=")
		if !ok {
			return cli.Usagef("--set %q: want NAME=VALUE", s)
		}
		var err error
		if p, err = p.With(name, value); err != nil {
			return cli.Usagef("--set: %v", err).WithHint("%q lists them.", "chordsim experiment "+e.Name+" --params")
		}
	}
	m := a.describe(cmd, []string{e.Name}, experiment.Meta{
		Kind: experiment.KindExperiment, Name: e.Name, Title: e.Title, Source: e.Source, About: e.About, Seed: p.Seed, Settings: p.Settings(),
	})
	d, err := a.openDir(f.path(e, m), m, f.results.fresh)
	if err != nil {
		return err
	}
	if d.Complete {
		return a.earlier(m, d)
	}
	if p, err = d.Resumable(p); err != nil {
		return err
	}
	r, err := a.runExperiment(cmd.Context(), e, p)
	if r != nil || err == nil || errors.Is(err, context.Canceled) {
		if werr := d.Write(r, err == nil); werr != nil {
			return errors.Join(err, werr)
		}
	}
	if err != nil {
		return ended(fmt.Errorf("%s: %w", e.Name, err), d, "The same command goes on where it stopped.")
	}
	if err := a.show(m, d, r, ""); err != nil {
		return err
	}
	return demanded(e.Name, r)
}

func (f *experimentFlags) path(e *experiment.Experiment, m experiment.Meta) string {
	if f.all && f.results.out != "" {
		return filepath.Join(f.results.out, e.Name)
	}
	name := fmt.Sprintf("%s-%d", e.Name, m.Seed)
	if f.quick {
		name += "-quick"
	}
	return f.results.dir(name, m, len(f.set) == 0)
}

func (a *app) runExperiment(ctx context.Context, e *experiment.Experiment, p experiment.Params) (*experiment.Report, error) {
	progress := &experiment.Progress{}
	bar := a.startProgress(e.Name, "events", func() cli.Gauge { return gaugeOf(progress) })
	defer bar.Stop()
	return e.Run(ctx, p, progress)
}
