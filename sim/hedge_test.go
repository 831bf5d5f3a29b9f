package sim_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/sim"
)

// getThere reads keys at the processes that own them, one after the other but for those of a process, and returns how long each took, sorted.
func getThere(t *testing.T, w *sim.World, gets int, but *sim.Host) (took []time.Duration) {
	t.Helper()
	if err := w.Exec(func() {
		for i := range gets {
			op := node.Op{Kind: node.OpGet, Key: fmt.Appendf(nil, "key-%d", i)}
			for _, h := range w.Hosts() {
				if h == but {
					continue
				}
				begin := w.Now()
				var err error
				if h.Call(func() { _, err = h.Process().Serve(t.Context(), op) }) == nil && err == nil {
					took = append(took, w.Now()-begin)
				}
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	if len(took) < gets*3/4 {
		t.Fatalf("%d of %d gets were answered by an owner", len(took), gets)
	}
	slices.Sort(took)
	return took
}

// TestHedgedReads: where round trips vary as they do in the papers' network, a read by its owner asks a third replica in one case of twenty, and where
// another process has become slow, a read waits for it hardly longer than for the others; where that is the owner's heir, two others are asked one after the other, once a second.
func TestHedgedReads(t *testing.T) {
	const mean = 20 * time.Millisecond // one way
	o := sim.DefaultOptions()
	o.Latency = sim.Exponential(mean)
	w := newRing(t, 16, o)
	getThere(t, w, 1000, nil) // round trips become known
	fetches := func() uint64 { s := w.Stats(); return s.Requests[sim.MethodFetch].Messages }

	const gets = 4000
	before := fetches()
	healthy := getThere(t, w, gets, nil)
	if extra := float64(fetches()-before)/gets - 1; extra <= 0 || extra > 0.06 {
		t.Errorf("%.1f %% of the reads were hedged, want some, and about 5", 100*extra)
	}
	p99 := healthy[gets*99/100]
	t.Logf("healthy: median %v, 99th percentile %v", healthy[gets/2], p99)

	slow := w.Host(3)
	slow.SetSlow(10)
	hit := getThere(t, w, gets, slow)
	late := hit[len(hit)*99/100]
	t.Logf("with a slow process: median %v, 99th percentile %v", hit[len(hit)/2], late)
	if limit := p99 * 13 / 10; late > limit {
		t.Errorf("with a slow process the 99th percentile is %v, want at most %v", late, limit)
	}
}
