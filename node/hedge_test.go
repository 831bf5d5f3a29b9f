package node

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/chordkv/chord/ring"
)

// TestLate: of the answers of a peer about one in twenty is late, whatever distribution they have, and none where all take equally long; a stranger has half
// of RingTimeout, and nobody is waited for longer than RingTimeout.
func TestLate(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const mean = 80 * time.Millisecond
	for name, d := range map[string]struct {
		draw     func() float64 // in units of the mean
		min, max float64
	}{
		"exponential":   {rng.ExpFloat64, 0.02, 0.08},
		"two messages":  {func() float64 { return (rng.ExpFloat64() + rng.ExpFloat64()) / 2 }, 0.01, 0.07},
		"normal":        {func() float64 { return 1 + rng.NormFloat64()/4 }, 0.003, 0.05},
		"uniform":       {func() float64 { return 2 * rng.Float64() }, 0, 0.02},
		"one in twenty": {func() float64 { return 1 + 9*float64(rng.IntN(20)/19) }, 0.03, 0.06},
		"constant":      {func() float64 { return 1 }, 0, 0},
	} {
		cfg := DefaultConfig()
		cfg.RingTimeout = time.Hour
		p := &Process{cfg: &cfg}
		peer := []ring.Ref{{Addr: "a"}}
		if got, want := p.late(peer), cfg.RingTimeout/2; got != want {
			t.Errorf("a stranger has %v, want %v", got, want)
		}
		const calls = 20_000
		late := 0
		for i := range calls {
			rtt := time.Duration(max(0, d.draw()) * float64(mean))
			if i > 0 && rtt > p.late(peer) {
				late++
			}
			p.trips.observe("a", rtt)
		}
		if share := float64(late) / calls; share < d.min || share > d.max {
			t.Errorf("%s: %.1f %% of the answers are late, want %.1f to %.1f", name, 100*share, 100*d.min, 100*d.max)
		}
		cfg.RingTimeout = mean / 2
		if got := p.late(peer); got != cfg.RingTimeout {
			t.Errorf("%s: waits for %v, want no more than %v", name, got, cfg.RingTimeout)
		}
	}
}
