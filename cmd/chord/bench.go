package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
)

const benchLong = `Generate load and measure latencies. Several servers (-s) are used where given; the client goes
to the owners of the keys directly.

Without --rate every client sends its next operation when the last is answered. With --rate
operations have fixed times, and latency counts from the time an operation was due: a ring that
stalls is charged for everything that had to wait meanwhile, as its users would be.

The keys are bench-00000000 and so on. get and mixed put all keys before they measure, unless
--preload=false. Ctrl-C ends the measurement and prints what it has. The exit code is 1 if any
operation failed.`

type benchFlags struct {
	load    loadConfig
	dist    string
	preload bool
	hdr     string
}

func newBench(a *app) *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench put|get|mixed|lookup",
		Short: "Generate load and measure latencies",
		Long:  benchLong,
		Example: `  chord bench put
  chord bench get --clients 256 --duration 30s
  chord bench mixed --read-share 0.95 --dist zipf
  chord bench put --rate 5000 --hdr put.hgrm -o json`,
		ValidArgs: []string{string(workPut), string(workGet), string(workMixed), string(workLookup)},
		Args:      cli.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.load.work, f.load.dist = workload(args[0]), distribution(f.dist)
			f.load.level = a.globals.level
			if err := f.check(); err != nil {
				return err
			}
			return a.bench(cmd.Context(), f)
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.IntVar(&f.load.clients, "clients", 64, "concurrent clients")
	fl.DurationVar(&f.load.duration, "duration", 10*time.Second, "how long to measure")
	fl.DurationVar(&f.load.warmup, "warmup", 2*time.Second, "how long to run before measuring")
	fl.Float64Var(&f.load.rate, "rate", 0, "operations a second over all clients (0: as fast as answers come)")
	fl.IntVar(&f.load.size, "size", 100, "bytes of a value")
	fl.IntVar(&f.load.keys, "keys", 100_000, "number of keys")
	fl.StringVar(&f.dist, "dist", string(distUniform), "how often each key is used: uniform or zipf")
	fl.Float64Var(&f.load.zipf, "zipf-exponent", 0.99, "of --dist zipf: the key of rank i has a share proportional to 1/i^exponent")
	fl.Float64Var(&f.load.readShare, "read-share", 0.5, "part of the operations of mixed that are gets, 0 to 1")
	fl.BoolVar(&f.preload, "preload", true, "put all keys before get and mixed")
	fl.Uint64Var(&f.load.seed, "seed", 1, "of the choice of keys and values")
	fl.StringVar(&f.hdr, "hdr", "", "write all percentiles to `file` (HdrHistogram's .hgrm, in milliseconds)")
	cli.CompleteWith(cmd, "dist", string(distUniform), string(distZipf))
	return cmd
}

// maxBenchKeys keeps the keys in memory and their names eight digits long.
const maxBenchKeys = 100_000_000

func (f *benchFlags) check() error {
	c := f.load
	switch c.work {
	case workPut, workGet, workMixed, workLookup:
	default:
		return cli.Usagef("bench %q: want put, get, mixed or lookup", c.work)
	}
	switch {
	case c.clients < 1 || c.clients > 1<<16:
		return cli.Usagef("--clients %d: want 1 to %d", c.clients, 1<<16)
	case c.duration <= 0:
		return cli.Usagef("--duration %v: want more than 0", c.duration)
	case c.warmup < 0:
		return cli.Usagef("--warmup %v: want at least 0", c.warmup)
	case !(c.rate >= 0) || math.IsInf(c.rate, 1):
		return cli.Usagef("--rate %v: want at least 0", c.rate)
	case c.size < 0 || c.size > defaultMaxRead:
		return cli.Usagef("--size %d: want 0 to %d", c.size, defaultMaxRead)
	case c.keys < 1 || c.keys > maxBenchKeys:
		return cli.Usagef("--keys %d: want 1 to %d", c.keys, maxBenchKeys)
	case c.dist != distUniform && c.dist != distZipf:
		return cli.Usagef("--dist %q: want uniform or zipf", c.dist)
	case !(c.zipf > 0) || math.IsInf(c.zipf, 1):
		return cli.Usagef("--zipf-exponent %v: want more than 0", c.zipf)
	case !(c.readShare >= 0 && c.readShare <= 1):
		return cli.Usagef("--read-share %v: want 0 to 1", c.readShare)
	}
	return nil
}

func (a *app) bench(ctx context.Context, f benchFlags) error {
	c, err := a.open()
	if err != nil {
		return err
	}
	defer c.Close()
	hello, err := c.Hello(ctx)
	if err != nil {
		return err
	}
	if limit := hello.MaxValueBytes; f.load.size > limit {
		return cli.Usagef("--size %d: the ring takes values of at most %s bytes", f.load.size, cli.GroupDigits(int64(limit)))
	}
	l := newLoader(f.load, c)
	if f.preload && f.load.needsKeys() {
		if err := a.preload(ctx, l); err != nil {
			return fmt.Errorf("preload: %w", err)
		}
	}
	report := a.measure(ctx, l)
	if err := a.reportBench(report, f.hdr); err != nil {
		return err
	}
	switch failed := report.failed(); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case failed > 0:
		return &cli.Failure{
			Exit: cli.ExitOther, Code: "INCOMPLETE", Retryable: true,
			Message: fmt.Sprintf("bench: %s of %s operations failed", cli.GroupDigits(failed), cli.GroupDigits(failed+report.all.TotalCount())),
		}
	}
	return nil
}

func (a *app) preload(ctx context.Context, l *loader) error {
	var done atomic.Int64
	bar := a.startProgress("preload", "keys", func() cli.Gauge {
		n := done.Load()
		return cli.Gauge{Done: float64(n) / float64(len(l.keys)), Count: n}
	})
	defer bar.Stop()
	return l.preload(ctx, &done)
}

func (a *app) measure(ctx context.Context, l *loader) *loadReport {
	start, total := time.Now(), l.cfg.warmup+l.cfg.duration
	bar := a.startProgress(string(l.cfg.work), "operations", func() cli.Gauge {
		ok, failed := l.counts()
		g := cli.Gauge{Done: float64(time.Since(start)) / float64(total), Count: ok}
		if failed > 0 {
			g.Suffix = ", " + cli.GroupDigits(failed) + " failed"
		}
		return g
	})
	defer bar.Stop()
	return l.run(ctx)
}

func (a *app) reportBench(r *loadReport, hdr string) error {
	var err error
	if a.json() {
		err = a.printJSON(r.json(a.globals.servers))
	} else {
		r.print(a.stdout, a.globals.servers)
	}
	if err != nil || hdr == "" {
		return err
	}
	f, err := os.Create(hdr)
	if err != nil {
		return fmt.Errorf("--hdr: %w", err)
	}
	_, err = r.all.PercentilesPrint(f, 5, float64(time.Millisecond))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("--hdr: %w", err)
	}
	return nil
}
