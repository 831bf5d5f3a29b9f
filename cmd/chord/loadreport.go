package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/chordkv/chord/internal/cli"
)

// errNotFound: the key has no value.
var errNotFound = errors.New("key not found")

// The range of the histograms. Latencies beyond it count as its ends, so that no operation is left out.
const (
	lowestLatency  = time.Microsecond
	highestLatency = 10 * time.Minute
	latencyDigits  = 3
)

// maxShards bounds the memory for histograms (150 kB each when filled); above it, workers share them.
const maxShards = 64

// loadShard collects what some of the workers measured. Its lock is uncontended or nearly so.
type loadShard struct {
	mu     sync.Mutex
	hist   [opKinds]*hdrhistogram.Histogram // of operations that succeeded; nil if there were none
	inTime int64                            // operations that succeeded before the end of the window
	errors map[string]int64                 // failed operations by failure.code
	_      [64]byte                         // the next shard is on another cache line
}

func newShards(clients int) []loadShard { return make([]loadShard, min(clients, maxShards)) }

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(lowestLatency), int64(highestLatency), latencyDigits)
}

func (s *loadShard) record(kind opKind, latency time.Duration, err error, inTime bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if s.errors == nil {
			s.errors = make(map[string]int64)
		}
		s.errors[errorKind(err)]++
		return
	}
	if s.hist[kind] == nil {
		s.hist[kind] = newHistogram()
	}
	// The value is inside the histogram's range, the only cause of an error.
	_ = s.hist[kind].RecordValue(int64(min(max(latency, lowestLatency), highestLatency)))
	if inTime {
		s.inTime++
	}
}

func errorKind(err error) string {
	if errors.Is(err, errNotFound) {
		return "NOT_FOUND"
	}
	return explain(err).Code
}

// loadReport is what a run of the load generator measured.
type loadReport struct {
	cfg     loadConfig
	elapsed time.Duration // of the window
	ops     [opKinds]*hdrhistogram.Histogram
	all     *hdrhistogram.Histogram
	inTime  int64
	errors  map[string]int64
	unsent  int64 // operations that were due but that no worker was free for
}

// report merges the shards.
func (l *loader) report(win window) *loadReport {
	r := &loadReport{cfg: l.cfg, elapsed: max(0, win.to.Sub(win.from)), all: newHistogram(), errors: make(map[string]int64)}
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		for kind, h := range s.hist {
			if h == nil {
				continue
			}
			if r.ops[kind] == nil {
				r.ops[kind] = newHistogram()
			}
			r.ops[kind].Merge(h)
			r.all.Merge(h)
		}
		r.inTime += s.inTime
		for code, n := range s.errors {
			r.errors[code] += n
		}
		s.mu.Unlock()
	}
	return r
}

// counts returns how many operations succeeded and failed so far.
func (l *loader) counts() (ok, failed int64) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		for _, h := range s.hist {
			if h != nil {
				ok += h.TotalCount()
			}
		}
		for _, n := range s.errors {
			failed += n
		}
		s.mu.Unlock()
	}
	return ok, failed
}

func (r *loadReport) failed() (n int64) {
	for _, c := range r.errors {
		n += c
	}
	return n
}

// perSecond is the rate of the operations that succeeded inside the window.
func (r *loadReport) perSecond() float64 {
	if r.elapsed <= 0 {
		return 0
	}
	return float64(r.inTime) / r.elapsed.Seconds()
}

// latencies summarizes a histogram, in nanoseconds.
func latencies(h *hdrhistogram.Histogram) map[string]int64 {
	return map[string]int64{
		"min": h.Min(), "mean": int64(h.Mean()), "p50": h.ValueAtPercentile(50), "p90": h.ValueAtPercentile(90),
		"p99": h.ValueAtPercentile(99), "p999": h.ValueAtPercentile(99.9), "max": h.Max(),
	}
}

// loadJSON is a report for scripts; durations are in nanoseconds.
type loadJSON struct {
	Workload     workload                 `json:"workload"`
	Servers      []string                 `json:"servers"`
	Clients      int                      `json:"clients"`
	ValueBytes   int                      `json:"value_bytes"`
	Keys         int                      `json:"keys"`
	Distribution distribution             `json:"distribution"`
	Consistency  string                   `json:"consistency"`
	Rate         float64                  `json:"rate"`
	Seed         uint64                   `json:"seed"`
	ElapsedNS    int64                    `json:"elapsed_ns"`
	Operations   int64                    `json:"operations"`
	OpsPerSecond float64                  `json:"ops_per_second"`
	Failed       int64                    `json:"failed"`
	Unsent       int64                    `json:"unsent"`
	Errors       map[string]int64         `json:"errors"`
	ByOperation  map[string]operationJSON `json:"by_operation"`
}

type operationJSON struct {
	Count     int64            `json:"count"`
	LatencyNS map[string]int64 `json:"latency_ns"`
}

func (r *loadReport) json(servers []string) loadJSON {
	j := loadJSON{
		Workload: r.cfg.work, Servers: servers, Clients: r.cfg.clients, ValueBytes: r.cfg.size, Keys: r.cfg.keys,
		Distribution: r.cfg.dist, Consistency: r.cfg.level.String(), Rate: r.cfg.rate, Seed: r.cfg.seed,
		ElapsedNS: int64(r.elapsed), Operations: r.all.TotalCount(), OpsPerSecond: r.perSecond(),
		Failed: r.failed(), Unsent: r.unsent, Errors: r.errors, ByOperation: make(map[string]operationJSON),
	}
	for kind, h := range r.ops {
		if h != nil {
			j.ByOperation[opKind(kind).String()] = operationJSON{h.TotalCount(), latencies(h)}
		}
	}
	return j
}

// print writes the report for people.
func (r *loadReport) print(w io.Writer, servers []string) {
	c := r.cfg
	pace := "as fast as answers come"
	if c.rate > 0 {
		pace = fmt.Sprintf("at %s ops/s", cli.GroupDigits(int64(c.rate)))
	}
	fmt.Fprintf(w, "%s: %d clients %s, %s keys %s, %d-byte values, consistency %s, seed %d\n", c.work, c.clients, pace,
		cli.GroupDigits(int64(c.keys)), c.dist, c.size, c.level, c.seed)
	fmt.Fprintf(w, "ring: %s, measured %s after %s of warm-up\n\n", shortList(servers), roundDuration(r.elapsed), roundDuration(c.warmup))
	fmt.Fprintf(w, "%s ops/s, %s operations, %s failed\n", cli.GroupDigits(int64(r.perSecond())), cli.GroupDigits(r.all.TotalCount()), cli.GroupDigits(r.failed()))
	for _, code := range slices.Sorted(maps.Keys(r.errors)) {
		fmt.Fprintf(w, "  %-16s %s\n", code, cli.GroupDigits(r.errors[code]))
	}
	if r.unsent > 0 {
		fmt.Fprintf(w, "%s operations were due but never sent: the ring cannot keep up with --rate, or --clients is too small\n", cli.GroupDigits(r.unsent))
	}
	if r.all.TotalCount() == 0 {
		return
	}
	fmt.Fprintln(w)
	r.printPercentiles(w)
	fmt.Fprintln(w)
	printHistogram(w, r.all)
}

func (r *loadReport) printPercentiles(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "latency\tcount\tmean\tp50\tp90\tp99\tp99.9\tmax\t")
	for kind, h := range r.ops {
		if h == nil {
			continue
		}
		fmt.Fprintf(tw, "%s\t%s\t", opKind(kind), cli.GroupDigits(h.TotalCount()))
		ns := latencies(h)
		for _, name := range []string{"mean", "p50", "p90", "p99", "p999", "max"} {
			fmt.Fprintf(tw, "%s\t", roundDuration(time.Duration(ns[name])))
		}
		fmt.Fprintln(tw)
	}
	tw.Flush()
}

// printHistogram shows how many operations took how long, in steps of 1, 2, 5.
func printHistogram(w io.Writer, h *hdrhistogram.Histogram) {
	type row struct {
		upTo  time.Duration
		count int64
	}
	var rows []row
	bars := h.Distribution()
	for _, limit := range latencySteps() {
		r := row{upTo: limit}
		for len(bars) > 0 && bars[0].From <= int64(limit) {
			r.count += bars[0].Count
			bars = bars[1:]
		}
		if r.count > 0 || len(rows) > 0 {
			rows = append(rows, r)
		}
		if int64(limit) >= h.Max() {
			break
		}
	}
	const width = 40
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, r := range rows {
		share := float64(r.count) / float64(h.TotalCount())
		fmt.Fprintf(tw, "<= %s\t%s\t%.2f%%\t  %s\n", roundDuration(r.upTo), cli.GroupDigits(r.count), 100*share,
			strings.Repeat("█", int(share*width+0.5)))
	}
	tw.Flush()
}

// latencySteps returns 1, 2, 5, 10, ... microseconds up to what covers highestLatency.
func latencySteps() (steps []time.Duration) {
	for decade := lowestLatency; ; decade *= 10 {
		for _, m := range []time.Duration{1, 2, 5} {
			steps = append(steps, m*decade)
			if m*decade >= highestLatency {
				return steps
			}
		}
	}
}
