package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/sim"
	"github.com/chordkv/chord/sim/experiment"
)

const exploreLong = `Try every schedule of a drill: a few nodes, a few things that happen to them, and all the orders in which
messages, timers and tasks may then come, up to a number of departures from first-in-first-out order. The
code is that of chordd; every check that fits runs after every step. DRILL is a file, or the name of one
that comes with the program; without any it is all of these.

A schedule that breaks a promise is made as small as it gets and written as a script, which "chordsim
replay" executes. The exit code is then 9.`

// The grains of --grain.
const (
	grainDeliveries = "deliveries"
	grainSections   = "sections"
	grainBoth       = "both"
)

type exploreFlags struct {
	departures int
	grain      string
	window     time.Duration
	hold       int
	out        string
}

func newExplore(a *app) *cobra.Command {
	var f exploreFlags
	cmd := &cobra.Command{
		Use:   "explore [DRILL...]",
		Short: "Try every schedule of a few nodes",
		Long:  exploreLong,
		Example: `  chordsim explore
  chordsim explore two-joins --departures 3 --grain sections
  chordsim explore my.drill -o json`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return sim.Drills(), cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return a.explore(cmd.Context(), args, f)
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.IntVar(&f.departures, "departures", 4, "most departures from first-in-first-out order in a schedule")
	fl.StringVar(&f.grain, "grain", grainBoth, "what is one step: deliveries of messages, critical sections of the node's code, or both in turn")
	fl.DurationVar(&f.window, "window", 0, "departures begin within this time after the first action (default 400ms)")
	fl.IntVar(&f.hold, "hold", 0, "most steps of its host that a step is held back for (default 2)")
	fl.StringVar(&f.out, "out", defaultOut, "`directory` for the scripts of what was found")
	cli.CompleteWith(cmd, "grain", grainDeliveries, grainSections, grainBoth)
	return cmd
}

func (f *exploreFlags) check() error {
	switch {
	case f.departures < 0:
		return cli.Usagef("--departures %d: want at least 0", f.departures)
	case f.grain != grainDeliveries && f.grain != grainSections && f.grain != grainBoth:
		return cli.Usagef("--grain %q: want deliveries, sections or both", f.grain)
	case f.window < 0:
		return cli.Usagef("--window %v: want at least 0", f.window)
	case f.hold < 0:
		return cli.Usagef("--hold %d: want at least 0", f.hold)
	}
	return nil
}

// drills returns the drills of the command line, or all that come with the program, at the grains that were asked for.
func (f *exploreFlags) drills(names []string) ([]*sim.Drill, error) {
	if len(names) == 0 {
		names = sim.Drills()
	}
	var list []*sim.Drill
	for _, name := range names {
		d, err := readDrill(name)
		if err != nil {
			return nil, err
		}
		for _, sections := range []bool{false, true} {
			if f.grain == grainBoth || sections == (f.grain == grainSections) {
				grained := *d
				grained.Sections = sections
				list = append(list, &grained)
			}
		}
	}
	return list, nil
}

// readDrill reads a file, or a drill that comes with the program by its bare name.
func readDrill(name string) (*sim.Drill, error) {
	if !strings.ContainsAny(name, `/\.`) {
		if !slices.Contains(sim.Drills(), name) {
			f := cli.Usagef("no drill %q", name)
			f.Hint = fmt.Sprintf("Those that come with the program: %s.", strings.Join(sim.Drills(), ", "))
			if near := cli.Nearest(name, sim.Drills()); near != "" {
				f.Hint = fmt.Sprintf("Did you mean %q? %s", near, f.Hint)
			}
			return nil, f
		}
		return sim.ReadDrill(name)
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Usagef("no drill file %s", name)
	}
	if err != nil {
		return nil, err
	}
	return parseDrill(name, string(text))
}

// exploredJSON is one line of explore with -o json.
type exploredJSON struct {
	Drill      string `json:"drill"`
	Grain      string `json:"grain"`
	Departures int    `json:"departures"`
	Schedules  int    `json:"schedules"`
	States     int    `json:"states"`
	Events     uint64 `json:"events"`
	TookNS     int64  `json:"took_ns"`
	Violation  string `json:"violation,omitempty"`
	Script     string `json:"script,omitempty"` // file that replay takes
}

func (a *app) explore(ctx context.Context, names []string, f exploreFlags) error {
	drills, err := f.drills(names)
	if err != nil {
		return err
	}
	t := &experiment.Table{Name: "explore", Title: fmt.Sprintf("Every schedule with up to %s", plural(f.departures, "departure")), Columns: []experiment.Column{
		{Name: "drill"}, {Name: "grain"}, {Name: "schedules"}, {Name: "states"}, {Name: "events"}, {Name: "time", Unit: "s", Digits: 1}, {Name: "verdict"},
	}}
	var found []*cli.Failure
	for _, d := range drills {
		out, err := a.exploreOne(ctx, d, f)
		if err != nil {
			if len(t.Rows) > 0 && !a.json() {
				a.printTable(t)
			}
			return exploreEnded(err, d, out)
		}
		line := exploredJSON{
			Drill: d.Name, Grain: grainOf(d), Departures: f.departures, Schedules: out.Schedules, States: out.States, Events: out.Steps,
			TookNS: int64(out.Took),
		}
		verdict := experiment.Demand(true, "")
		if out.Found != nil {
			if line.Script, err = writeScript(f.out, out.Found); err != nil {
				return err
			}
			line.Violation, verdict = out.Err.Error(), experiment.Demand(false, "%s", line.Script)
			found = append(found, violated(d.Name, out.Err, line.Script))
		}
		if a.json() {
			if err := a.printJSON(line); err != nil {
				return err
			}
		}
		t.Add(line.Drill, line.Grain, line.Schedules, line.States, line.Events, out.Took, verdict)
	}
	if !a.json() {
		a.printTable(t)
	}
	if len(found) > 0 {
		return found[0]
	}
	return nil
}

// exploreOne explores a drill with a progress line.
func (a *app) exploreOne(ctx context.Context, d *sim.Drill, f exploreFlags) (*sim.Explored, error) {
	var stats atomic.Pointer[sim.ExploreStats]
	stats.Store(&sim.ExploreStats{})
	bar := a.startProgress(d.Name, "schedules", func() cli.Gauge {
		s := stats.Load()
		return cli.Gauge{
			Done: -1, Count: int64(s.Schedules),
			Where:  plural(s.Departures, "departure"),
			Suffix: fmt.Sprintf(", %s states", cli.GroupDigits(int64(s.States))),
		}
	})
	defer bar.Stop()
	return sim.Explore(ctx, d, sim.ExploreOptions{
		Departures: f.departures, MaxHold: f.hold, Window: f.window, Workers: a.globals.workers,
		Progress: func(s sim.ExploreStats) { stats.Store(&s) },
	})
}

func exploreEnded(err error, d *sim.Drill, out *sim.Explored) error {
	if errors.Is(err, context.Canceled) && out != nil {
		return &interrupted{left: fmt.Sprintf("no violation in the first %s of %s", plural(out.Schedules, "schedule"), d.Name)}
	}
	return fmt.Errorf("explore %s: %w", d.Name, err)
}

func grainOf(d *sim.Drill) string {
	if d.Sections {
		return grainSections
	}
	return grainDeliveries
}

// writeScript writes what was found as a file that replay takes.
func writeScript(dir string, d *sim.Drill) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, d.Name+"-"+grainOf(d)+".drill")
	return path, os.WriteFile(path, []byte(d.String()), 0o644)
}

// violated is the error of something that breaks a promise, with the arguments of its replay.
func violated(name string, err error, replay ...string) *cli.Failure {
	f := explain(fmt.Errorf("%s: %w", name, err))
	f.Exit, f.Code = cli.ExitUnhealthy, "CHECK_FAILED"
	return f.WithHint("Replay it: %s", replayLine(replay))
}

func replayLine(args []string) string {
	return experiment.ShellLine(append([]string{"chordsim", "replay"}, args...))
}
