package rpc_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

// BenchmarkGather measures calls from many goroutines to one peer over loopback: everything but the work of the node itself. The unary
// ones are there to compare.
func BenchmarkGather(b *testing.B) {
	for _, kind := range []string{"apply", "fetch", "do", "unary"} {
		for _, callers := range []int{1, 64, 1024} {
			b.Run(fmt.Sprintf("%s/callers=%d", kind, callers), func(b *testing.B) { benchmarkGather(b, kind, callers) })
		}
	}
}

func benchmarkGather(b *testing.B, kind string, callers int) {
	s := serve(b, &stub{}, rpc.ServerOptions{})
	peers := newPeers(b)
	to := ring.Ref{ID: ring.ID{1}, Addr: s.addr}
	records := []node.Record{record(1)}
	wants := []node.Want{{Key: key(1)}}
	op := node.Op{Kind: node.OpPut, Key: key(1), Value: make([]byte, 100), Request: node.RequestID{1}}
	call := map[string]func(ctx context.Context) error{
		"apply": func(ctx context.Context) error { _, err := peers.Apply(ctx, to, records, nil); return err },
		"fetch": func(ctx context.Context) error { _, err := peers.Fetch(ctx, to, wants); return err },
		"do":    func(ctx context.Context) error { _, err := peers.Do(ctx, to, op); return err },
		"unary": func(ctx context.Context) error { return peers.Notify(ctx, to, to) },
	}[kind]
	if err := call(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime(b)
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(b.Context(), time.Hour) // callers have a deadline
			defer cancel()
			for left.Add(-1) >= 0 {
				if err := call(ctx); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op") // both sides; holds on a busy machine too
}

// cpuTime returns the processor time that this program has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
