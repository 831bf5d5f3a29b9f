package main

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
)

func TestBench(t *testing.T) {
	for _, work := range []string{"put", "get", "mixed", "lookup"} {
		w := newWorld()
		hdr := filepath.Join(t.TempDir(), "out.hgrm")
		out := w.must(t, "bench", work, "--duration", "200ms", "--warmup", "50ms", "--keys", "500", "--clients", "8", "-o", "json", "--hdr", hdr)
		var got loadJSON
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatalf("%s: %v\n%s", work, err, out)
		}
		if got.Operations == 0 || got.OpsPerSecond <= 0 || got.Failed != 0 {
			t.Errorf("%s: got %d operations, %.0f/s, %d failed", work, got.Operations, got.OpsPerSecond, got.Failed)
		}
		kinds := map[string][]string{"put": {"put"}, "get": {"get"}, "mixed": {"get", "put"}, "lookup": {"lookup"}}[work]
		if len(got.ByOperation) != len(kinds) {
			t.Errorf("%s: got operations %v, want %v", work, got.ByOperation, kinds)
		}
		for _, kind := range kinds {
			ns := got.ByOperation[kind].LatencyNS
			if ns["p50"] <= 0 || ns["p50"] > ns["p99"] || ns["p99"] > ns["max"] {
				t.Errorf("%s: %s: latencies %v are not in order", work, kind, ns)
			}
		}
		if text := readText(t, hdr); !strings.Contains(text, "Percentile") {
			t.Errorf("%s: --hdr wrote %q", work, text)
		}
		w.must(t, "bench", work, "--duration", "50ms", "--warmup", "0s", "--keys", "50", "--dist", "zipf")
	}
}

func TestBenchCountsErrorsByKind(t *testing.T) {
	w := newWorld()
	w.ring.fail = func(_ node.Op, n int) error {
		if n%2 == 0 {
			return node.ErrUnreachable
		}
		return nil
	}
	code := w.chord(t, "bench", "get", "--duration", "1s", "--warmup", "0s", "--preload=false", "--clients", "4", "-o", "json")
	if code != cli.ExitOther {
		t.Errorf("exit code: got %d, want %d", code, cli.ExitOther)
	}
	var got loadJSON
	if err := json.Unmarshal(w.out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Errors["UNAVAILABLE"] == 0 || got.Errors["NOT_FOUND"] == 0 || got.Failed != got.Errors["UNAVAILABLE"]+got.Errors["NOT_FOUND"] {
		t.Errorf("got errors %v, %d in all", got.Errors, got.Failed)
	}
}

// TestBenchInterrupted: Ctrl-C prints what there is.
func TestBenchInterrupted(t *testing.T) {
	w := newWorld()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, context.Canceled)
	defer cancel()
	if got, want := w.run(ctx, []string{"bench", "put", "--duration", "1h", "--warmup", "0s"}), cli.ExitInterrupted; got != want {
		t.Errorf("exit code: got %d, want %d\n%s", got, want, w.err.String())
	}
	if got, want := w.out.String(), " ops/s, "; !strings.Contains(got, want) {
		t.Errorf("got %q, want %q in it", got, want)
	}
}

// TestBenchPreload: get finds all of its keys.
func TestBenchPreload(t *testing.T) {
	w := newWorld()
	w.must(t, "bench", "get", "--duration", "50ms", "--warmup", "0s", "--keys", "300", "--size", "17")
	if got, want := len(w.ring.records), 300; got != want {
		t.Errorf("keys: got %d, want %d", got, want)
	}
	for key, r := range w.ring.records {
		if len(r.Value) != 17 {
			t.Fatalf("%s: got %d bytes, want 17", key, len(r.Value))
		}
	}
	w.ring.fail = func(_ node.Op, n int) error { return errors.New("broken") }
	if got, want := w.chord(t, "bench", "get", "--duration", "50ms"), cli.ExitOther; got != want {
		t.Errorf("preload that fails: exit code: got %d, want %d", got, want)
	}
}

// stallingRing answers at once, but not before a time.
type stallingRing struct {
	fakeRing
	until time.Time
}

func (s *stallingRing) Do(context.Context, node.Op) (node.Result, error) {
	time.Sleep(time.Until(s.until))
	return node.Result{Found: true}, nil
}

// TestPacedLoadCountsWaiting: a ring that stalls for a second while 100 operations a second are due is charged for all 100 of them, not
// for the one that was under way. That is the omission of [Tene, How NOT to measure latency].
func TestPacedLoadCountsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := loadConfig{work: workPut, clients: 1, keys: 10, duration: 2 * time.Second, rate: 100, dist: distUniform}
		r := &stallingRing{until: time.Now().Add(time.Second)}
		report := newLoader(cfg, r).run(t.Context())
		if got, want := report.all.TotalCount(), int64(200); got != want {
			t.Errorf("operations: got %d, want %d", got, want)
		}
		// Half of them waited, evenly from 1 s down to nothing: the quartile of all is half a second.
		if got := time.Duration(report.all.ValueAtPercentile(75)); got < 450*time.Millisecond || got > 550*time.Millisecond {
			t.Errorf("p75: got %v, want about 500ms", got)
		}
		if report.unsent != 0 {
			t.Errorf("unsent: got %d, want none", report.unsent)
		}
		// Without a rate, one operation of a second is all that the client notices.
		cfg.rate, r.until = 0, time.Now().Add(time.Second)
		cfg.duration = time.Second
		if got := newLoader(cfg, r).run(t.Context()).all.TotalCount(); got != 1 {
			t.Errorf("closed loop: got %d operations, want 1", got)
		}
	})
}

// TestPacedLoadReportsUnsent: what a ring that never answers in time leaves undone is not hidden.
func TestPacedLoadReportsUnsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := loadConfig{work: workPut, clients: 2, keys: 10, duration: time.Second, rate: 100, dist: distUniform}
		r := &stallingRing{until: time.Now().Add(10 * time.Second)}
		report := newLoader(cfg, r).run(t.Context())
		if got, want := report.unsent, int64(98); got != want {
			t.Errorf("unsent: got %d, want %d", got, want)
		}
		if got := report.perSecond(); got != 0 {
			t.Errorf("ops/s inside the window: got %v, want 0", got)
		}
	})
}

func TestWarmupIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := loadConfig{work: workPut, clients: 1, keys: 10, warmup: time.Second, duration: time.Second, rate: 10, dist: distUniform}
		report := newLoader(cfg, &stallingRing{}).run(t.Context())
		if got, want := report.all.TotalCount(), int64(10); got != want {
			t.Errorf("operations: got %d, want %d", got, want)
		}
	})
}

// TestZipf checks the frequencies of ranks against their shares.
func TestZipf(t *testing.T) {
	for _, s := range []float64{0.5, 0.99, 1, 1.5} {
		const keys, draws = 1000, 100_000
		sum := 0.0
		for i := 1; i <= keys; i++ {
			sum += math.Pow(float64(i), -s)
		}
		p := newPicker(distZipf, keys, s)
		r := rand.New(rand.NewPCG(1, 2))
		var counts [keys]int
		for range draws {
			counts[p.pick(r)]++
		}
		for _, rank := range []int{1, 2, 3, 10, 100} {
			want := draws * math.Pow(float64(rank), -s) / sum
			if got := float64(counts[rank-1]); math.Abs(got-want) > 5*math.Sqrt(want)+1 {
				t.Errorf("s=%v: rank %d was drawn %.0f times, want %.0f", s, rank, got, want)
			}
		}
	}
}

func TestUniformReachesAllKeys(t *testing.T) {
	p, r := newPicker(distUniform, 100, 0), rand.New(rand.NewPCG(1, 2))
	seen := make(map[int]bool)
	for range 5000 {
		seen[p.pick(r)] = true
	}
	if len(seen) != 100 {
		t.Errorf("got %d different keys, want 100", len(seen))
	}
}

func TestBenchKeysAndValues(t *testing.T) {
	keys := benchKeys(1000)
	if got, want := string(keys[42]), "bench-00000042"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := append(keys[0], 'x'); string(keys[1]) != "bench-00000001" || len(got) != 15 {
		t.Errorf("appending to a key reached the next one: %q", keys[1])
	}
	r := rand.New(rand.NewPCG(1, 2))
	pool := newValuePool(100, r)
	a, b := pool.value(r), pool.value(r)
	if len(a) != 100 || len(b) != 100 || string(a) == string(b) {
		t.Errorf("values of %d and %d bytes, equal: %v; want 100 and 100, different", len(a), len(b), string(a) == string(b))
	}
}

// BenchmarkLoadWorker is what an operation costs the load generator itself.
func BenchmarkLoadWorker(b *testing.B) {
	l := newLoader(loadConfig{work: workPut, clients: 1, keys: 100_000, size: 100, dist: distZipf, zipf: 0.99}, &stallingRing{})
	w := loadWorker{loader: l, shard: &l.shards[0], rand: rand.New(rand.NewPCG(1, 2))}
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		kind, err := w.one()
		w.shard.record(kind, time.Since(start), err, true)
	}
}
