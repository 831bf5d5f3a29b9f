package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/sim"
	"github.com/chordkv/chord/sim/experiment"
)

const seedsLong = `Run a scenario with many seeds, one world to a core, and look for one in which a check fails. Without
SCENARIO it is standard-faults: 50 processes, crashes, restarts, loss, partitions, puts and gets.

The seeds are fresh ones unless --first says otherwise. For each seed that fails, a scenario file is
written that shows it again: "chordsim replay FILE". Of the first one, a smaller scenario is looked for
that the same check fails: shorter, with fewer nodes and faults. The exit code is then 9.`

// standardScenario is what seeds runs without SCENARIO.
const standardScenario = "standard-faults"

// verifyUsage explains --verify-wire.
const verifyUsage = "`share` of the messages, 0 to 1, that pass through their protobuf form"

type seedsFlags struct {
	scenario scenarioFlags
	count    int
	first    uint64
	most     int
	verify   float64
	shrink   int
	swarm    bool
	out      string
}

func newSeeds(a *app) *cobra.Command {
	var f seedsFlags
	cmd := &cobra.Command{
		Use:   "seeds [SCENARIO]",
		Short: "Look for a seed that breaks a promise",
		Long:  seedsLong,
		Example: `  chordsim seeds --count 1000
  chordsim seeds my.yaml --first 1 --count 20 --swarm
  chordsim seeds --count 100 --verify-wire 0.1`,
		ValidArgsFunction: completeScenarios,
		Args:              cli.Args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.plan(cmd, args)
			if err != nil {
				return err
			}
			return a.seeds(cmd.Context(), s, f)
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.IntVar(&f.count, "count", 100, "how many seeds")
	fl.Uint64Var(&f.first, "first", 0, "the first of them; the others follow (default: a random one)")
	fl.IntVar(&f.most, "most", 3, "end when so many seeds have failed")
	fl.BoolVar(&f.swarm, "swarm", false, "draw the rates of churn, faults and workload from each seed too, and leave some of them out")
	fl.Float64Var(&f.verify, "verify-wire", 0, verifyUsage)
	fl.IntVar(&f.shrink, "shrink", 200, "most `runs` to make the scenario of the first seed that fails smaller; 0: do not")
	f.scenario.add(cmd, "change any field of the scenario, `PATH=VALUE` such as network.loss=0.01 or churn[0].joins=2; may be repeated")
	fl.StringVar(&f.out, "out", defaultOut, "`directory` for the scenarios of the seeds that fail")
	return cmd
}

// plan returns the scenario and completes the flags.
func (f *seedsFlags) plan(cmd *cobra.Command, args []string) (sim.Scenario, error) {
	switch {
	case f.count < 1:
		return sim.Scenario{}, cli.Usagef("--count %d: want at least 1", f.count)
	case f.shrink < 0:
		return sim.Scenario{}, cli.Usagef("--shrink %d: want at least 0", f.shrink)
	case f.most < 1:
		return sim.Scenario{}, cli.Usagef("--most %d: want at least 1", f.most)
	case !(f.verify >= 0 && f.verify <= 1):
		return sim.Scenario{}, cli.Usagef("--verify-wire %v: want 0 to 1", f.verify)
	}
	if !cmd.Flags().Changed("first") {
		f.first = uint64(rand.Uint32())
	}
	name := standardScenario
	if len(args) > 0 {
		name = args[0]
	}
	s, err := readScenario(name)
	if err != nil {
		return s, err
	}
	s, _, err = f.scenario.apply(cmd, s, true)
	return s, err
}

// seedResult is what became of one seed.
type seedResult struct {
	Seed      uint64 `json:"seed"`
	Header    string `json:"header"` // what was run, on one line
	Violation string `json:"violation,omitempty"`
	Events    uint64 `json:"events"`
	Checksum  string `json:"checksum"`
	Scenario  string `json:"scenario,omitempty"` // file that shows the violation again
	Smaller   string `json:"smaller,omitempty"`  // file of a smaller scenario that the same check fails

	err error // the violation
}

// errEnough ends a search that has found what it was for.
var errEnough = errors.New("enough seeds have failed")

// findings collects what became of the seeds.
type findings struct {
	mu     sync.Mutex
	most   int
	done   int
	events uint64
	failed []seedResult
}

// add returns errEnough when so many seeds have failed that the search is over.
func (f *findings) add(r seedResult) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done++
	f.events += r.Events
	if r.Violation != "" {
		f.failed = append(f.failed, r)
	}
	if len(f.failed) >= f.most {
		return errEnough
	}
	return nil
}

func (f *findings) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.failed)
}

func (a *app) seeds(ctx context.Context, s sim.Scenario, f seedsFlags) error {
	progress, found := &experiment.Progress{}, &findings{most: f.most}
	bar := a.startProgress("seeds", "events", func() cli.Gauge {
		g := gaugeOf(progress)
		if n := found.count(); n > 0 {
			g.Suffix = fmt.Sprintf(", %d failed", n)
		}
		return g
	})
	_, err := experiment.Points(ctx, experiment.Params{Workers: a.globals.workers}, progress, "seed", f.count,
		func(ctx context.Context, i int, at *experiment.Point) (seedResult, error) {
			r, err := runSeed(ctx, f.scenarioOf(s, f.first+uint64(i)), at, withWire(f.verify))
			if err != nil {
				return r, err
			}
			return r, found.add(r)
		})
	bar.Stop()
	if werr := a.keepFailed(ctx, s, f, found); werr != nil {
		return werr
	}
	if perr := a.showSeeds(s, f, found); perr != nil {
		return perr
	}
	switch {
	case errors.Is(err, context.Canceled):
		return &interrupted{left: fmt.Sprintf("%s of %s were run", cli.GroupDigits(int64(found.done)), plural(f.count, "seed"))}
	case err != nil && !errors.Is(err, errEnough):
		return err
	case len(found.failed) > 0:
		first := found.failed[0]
		return violated(fmt.Sprintf("seed %d", first.Seed), errors.New(firstLine(first.Violation)), f.again(cmp.Or(first.Smaller, first.Scenario))...)
	}
	return nil
}

// again returns the arguments of the replay of a file.
func (f *seedsFlags) again(file string) []string {
	if f.verify == 0 {
		return []string{file}
	}
	return []string{file, "--verify-wire", strconv.FormatFloat(f.verify, 'g', -1, 64)}
}

// keepFailed writes the scenarios of the seeds that failed, and a smaller one of the first.
func (a *app) keepFailed(ctx context.Context, s sim.Scenario, f seedsFlags, found *findings) (err error) {
	slices.SortFunc(found.failed, func(a, b seedResult) int { return cmp.Compare(a.Seed, b.Seed) })
	for i := range found.failed {
		r := &found.failed[i]
		if r.Scenario, err = writeSeed(f.out, f.scenarioOf(s, r.Seed), ""); err != nil {
			return err
		}
	}
	if len(found.failed) == 0 || f.shrink == 0 {
		return nil
	}
	r := &found.failed[0]
	s = f.scenarioOf(s, r.Seed)
	smaller := a.shrinkSeed(ctx, s, r.err, f.shrink)
	if reflect.DeepEqual(smaller, s) {
		return nil
	}
	r.Smaller, err = writeSeed(f.out, smaller, "-small")
	return err
}

// shrinkSeed looks for a smaller scenario with a progress line. The end of ctx ends only the search.
func (a *app) shrinkSeed(ctx context.Context, s sim.Scenario, found error, runs int) sim.Scenario {
	var stats atomic.Pointer[sim.ShrinkStats]
	stats.Store(&sim.ShrinkStats{Scenario: s})
	bar := a.startProgress("shrink", "runs", func() cli.Gauge {
		now := stats.Load()
		where := fmt.Sprintf("%s processes, %v", cli.GroupDigits(int64(now.Scenario.Nodes)), now.Scenario.Duration)
		return cli.Gauge{Done: float64(now.Runs) / float64(runs), Where: where, Count: int64(now.Runs)}
	})
	defer bar.Stop()
	smaller, _, _ := sim.Shrink(ctx, s, found, runs, func(now sim.ShrinkStats) { stats.Store(&now) })
	return smaller
}

// scenarioOf returns what is run with a seed.
func (f *seedsFlags) scenarioOf(s sim.Scenario, seed uint64) sim.Scenario {
	if f.swarm {
		return sim.Swarm(s, seed)
	}
	s.Seed = seed
	return s
}

// runSeed runs a scenario. What a check finds is part of the result.
func runSeed(ctx context.Context, s sim.Scenario, at *experiment.Point, prepare func(*sim.Options)) (seedResult, error) {
	res, err := experiment.Simulate(ctx, s, at, prepare)
	switch {
	case ctx.Err() != nil:
		return seedResult{}, context.Cause(ctx)
	case res == nil:
		return seedResult{}, err
	}
	r := seedResult{Seed: s.Seed, Header: s.Header(), Events: res.Stats.Steps, Checksum: fmt.Sprintf("%016x", res.Checksum)}
	if err != nil {
		r.Violation, r.err = err.Error(), err
	}
	return r, nil
}

// writeSeed writes a scenario as a file, whose name has its seed and a suffix.
func writeSeed(dir string, s sim.Scenario, suffix string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, fmt.Sprintf("%s-seed-%d%s.yaml", s.Name, s.Seed, suffix))
	return path, os.WriteFile(path, s.YAML(), 0o644)
}

// seedsJSON is what seeds prints with -o json.
type seedsJSON struct {
	Scenario string       `json:"scenario"`
	First    uint64       `json:"first"`
	Count    int          `json:"count"`
	Done     int          `json:"done"`
	Events   uint64       `json:"events"`
	Failed   []seedResult `json:"failed"`
}

func (a *app) showSeeds(s sim.Scenario, f seedsFlags, found *findings) error {
	if a.json() {
		return a.printJSON(seedsJSON{s.Name, f.first, f.count, found.done, found.events, append([]seedResult{}, found.failed...)})
	}
	for _, r := range found.failed {
		a.printf("%s\n  %s\n  %s\n", r.Header, firstLine(r.Violation), replayLine(f.again(r.Scenario)))
		if r.Smaller != "" {
			a.printf("  %s\n", replayLine(f.again(r.Smaller)))
		}
	}
	a.printf("%s: %s from %d on, %d failed, %s events\n", s.Name, plural(found.done, "seed"), f.first, len(found.failed),
		cli.GroupDigits(int64(found.events)))
	return nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
