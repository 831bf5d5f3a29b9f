package sim_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/sim"
)

// largeOptions are those of a large ring that is left alone: maintenance every 30 s, as in the literature, and lookups.
func largeOptions() sim.Options {
	o := sim.DefaultOptions()
	o.Config.StabilizeInterval = 30 * time.Second
	o.Config.FixFingersInterval = 30 * time.Second
	o.Config.SettleDelay = 30 * time.Second
	o.Config.HealInterval = 10 * time.Minute
	o.Config.SweepInterval = 10 * time.Minute
	o.Config.RepairInterval = 10 * time.Minute
	return o
}

// lookups has every host look up a random identifier, once in an interval on average.
func lookups(w *sim.World, every time.Duration) (failed *int) {
	failed = new(int)
	r := w.Rand("lookups")
	var next func()
	next = func() {
		id := ring.ID{byte(r.Uint64()), byte(r.Uint64()), byte(r.Uint64())}
		h := w.Host(r.IntN(len(w.Hosts())))
		h.Go(func() {
			if _, err := h.Process().Lookup(context.Background(), id); err != nil {
				*failed++
			}
		})
		w.At(w.Now()+time.Duration(r.Float64()*2*float64(every)/float64(len(w.Hosts()))), next)
	}
	w.Go(next)
	return failed
}

// BenchmarkEvents measures the steps per second in a ring of 10,000 nodes.
func BenchmarkEvents(b *testing.B) {
	w := newRing(b, 10_000, largeOptions())
	failed := lookups(w, time.Minute)
	run(b, w, 10*time.Second) // the stacks of the tasks are grown
	before := w.Stats().Steps
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		if err := w.RunFor(10 * time.Millisecond); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(w.Stats().Steps-before)/b.Elapsed().Seconds(), "steps/s")
	if *failed > 0 {
		b.Errorf("%d lookups failed in a ring without faults", *failed)
	}
}

// BenchmarkMemory measures what a node of a ring of 100,000 takes.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		before := heap()
		w := newRing(b, 100_000, largeOptions())
		lookups(w, time.Minute)
		run(b, w, 5*time.Second)
		b.ReportMetric(float64(heap()-before)/float64(len(w.Hosts())), "bytes/node")
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
		runtime.KeepAlive(w)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// BenchmarkTask measures a task that is started and waits once, by either kind.
func BenchmarkTask(b *testing.B) {
	for _, kind := range []sim.TaskKind{sim.Coroutines, sim.Goroutines} {
		b.Run([...]string{"coroutine", "goroutine"}[kind], func(b *testing.B) {
			o := sim.DefaultOptions()
			o.Tasks = kind
			w := newWorld(b, o)
			b.ReportAllocs()
			for b.Loop() {
				w.Go(func() { w.Sleep(time.Millisecond) })
				if err := w.RunFor(time.Second); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
