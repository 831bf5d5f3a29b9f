package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/sim"
	"github.com/chordkv/chord/sim/experiment"
)

const benchLong = `Measure the simulator: events per second and bytes of memory per node, over the sizes of a ring. Each ring
is maintained every 30 seconds, as in the papers, with one lookup a second for every 100 nodes. One world
runs at a time, on one core; a million nodes take minutes and some GiB.`

type benchFlags struct {
	nodes    []int
	duration time.Duration
	seed     uint64
}

func newBench(a *app) *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure the simulator: events per second, bytes per node",
		Long:  benchLong,
		Example: `  chordsim bench
  chordsim bench --nodes 10000 --duration 5m --cpuprofile cpu.prof
  chordsim bench --nodes 1000000 -o json`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(f.nodes) == 0 || slices.Min(f.nodes) < 1 {
				return cli.Usagef("--nodes: want at least one size, each at least 1")
			}
			if f.duration <= 0 {
				return cli.Usagef("--duration %v: want more than 0", f.duration)
			}
			return a.bench(cmd.Context(), f)
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.IntSliceVar(&f.nodes, "nodes", []int{1_000, 10_000, 100_000, 1_000_000}, "`sizes` of the ring, with commas between")
	fl.DurationVar(&f.duration, "duration", time.Minute, "virtual time to simulate")
	fl.Uint64Var(&f.seed, "seed", 1, "root of all chance")
	return cmd
}

// benched is one line of the benchmark.
type benched struct {
	Nodes           int     `json:"nodes"`
	Events          uint64  `json:"events"`
	EventsPerSecond float64 `json:"events_per_second"`
	BytesPerNode    float64 `json:"bytes_per_node"`
	SetupNS         int64   `json:"setup_ns"`
	RunNS           int64   `json:"run_ns"`
	SystemBytes     uint64  `json:"system_bytes"`
	MeanHops        float64 `json:"mean_hops"`
	Checksum        string  `json:"checksum"`
}

func (a *app) bench(ctx context.Context, f benchFlags) error {
	t := &experiment.Table{
		Name: "bench", Title: fmt.Sprintf("The simulator, %v of virtual time, seed %d, %s", f.duration, f.seed, a.build.Go),
		Columns: []experiment.Column{
			{Name: "nodes"},
			{Name: "events"},
			{Name: "speed", Unit: "events/s"},
			{Name: "memory", Unit: "B/node"},
			{Name: "setup", Unit: "s", Digits: 2},
			{Name: "run", Unit: "s", Digits: 2},
			{Name: "from system", Unit: "MiB"},
			{Name: "mean path", Unit: "calls", Digits: 2},
			{Name: "checksum"},
		},
	}
	for _, n := range f.nodes {
		b, err := a.benchOne(ctx, n, f)
		if err != nil {
			if len(t.Rows) > 0 && !a.json() {
				a.printTable(t)
			}
			if errors.Is(err, context.Canceled) {
				return &interrupted{left: fmt.Sprintf("%s before %s nodes", plural(len(t.Rows), "size"), cli.GroupDigits(int64(n)))}
			}
			return fmt.Errorf("bench of %d nodes: %w", n, err)
		}
		if a.json() {
			if err := a.printJSON(b); err != nil {
				return err
			}
		}
		t.Add(b.Nodes, b.Events, b.EventsPerSecond, b.BytesPerNode, time.Duration(b.SetupNS), time.Duration(b.RunNS), b.SystemBytes>>20,
			b.MeanHops, b.Checksum)
	}
	if !a.json() {
		a.printTable(t)
	}
	return nil
}

func (a *app) benchOne(ctx context.Context, nodes int, f benchFlags) (benched, error) {
	s, err := readScenario("")
	if err != nil {
		return benched{}, err
	}
	s, err = experiment.With(s, fmt.Sprintf("nodes=%d", nodes), "duration="+f.duration.String(), "series="+f.duration.String(),
		fmt.Sprintf("seed=%d", f.seed), fmt.Sprintf("workload[0].rate=%g", float64(nodes)/100))
	if err != nil {
		return benched{}, err
	}
	a.spareHeap(s)
	before := heap()
	b := benched{Nodes: nodes}
	progress := &experiment.Progress{}
	progress.Expect(1)
	at := progress.Begin("", s.Duration)
	bar := a.startProgress(cli.GroupDigits(int64(nodes))+" nodes", "events", func() cli.Gauge { return gaugeOf(progress) })
	defer bar.Stop()
	var began, started, last time.Time
	began = time.Now()
	res, err := sim.Run(ctx, s, sim.Observer{
		Start: func(*sim.World) { started = time.Now() },
		Tick:  func(now time.Duration, stats sim.Stats) { at.At(now, stats.Steps) },
		Row: func(sim.Row) { // one, at the end, with everything still there
			last = time.Now()
			b.BytesPerNode = (float64(heap()) - float64(before)) / float64(nodes)
		},
	})
	if err != nil {
		return b, err
	}
	b.Events, b.MeanHops, b.Checksum = res.Stats.Steps, res.Totals.Lookups.Hops.Mean(), fmt.Sprintf("%016x", res.Checksum)
	b.SetupNS, b.RunNS = started.Sub(began).Nanoseconds(), last.Sub(started).Nanoseconds()
	b.EventsPerSecond = float64(b.Events) / last.Sub(started).Seconds()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.SystemBytes = m.Sys - m.HeapReleased
	return b, nil
}

// heap returns the bytes that are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
