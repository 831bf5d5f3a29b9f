package node

import (
	"math/rand/v2"
	"testing"

	"github.com/chordkv/chord/internal/raced"
	"github.com/chordkv/chord/ring"
)

// point is a place on a circle of 256.
func point(b byte) ring.ID { return ring.ID{b} }

// TestClaims compares what is kept of claims with a table of all places of a small circle.
func TestClaims(t *testing.T) {
	type place struct {
		owner byte
		epoch uint64
	}
	seeds := uint64(300)
	if raced.Enabled {
		seeds = 30
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 1))
		var c claims
		var model [256]place
		for step := range 200 {
			after, owner := byte(rng.Uint32()), byte(rng.UintN(12)*20)
			if rng.UintN(20) == 0 {
				after = owner // all of it
			}
			claim := Claim{ring.Arc{After: point(after), Through: point(owner)}, 1 + rng.Uint64N(40)}
			var want uint64 // of who stands in the way, any of them
			refused, newest := false, true
			for i := range model {
				m := &model[i]
				if !claim.Arc.Contains(point(byte(i))) || m.epoch == 0 {
					continue
				}
				if m.owner != owner && newer(m.epoch, point(m.owner), claim.Epoch, point(owner)) {
					refused, want = true, m.epoch
				}
			}
			got := c.take(claim)
			if refused != (got != 0) || got != 0 && got < claim.Epoch {
				t.Fatalf("seed %d, step %d: %v: got %d, want refused: %v, by %d for one", seed, step, claim, got, refused, want)
			}
			for i := range model {
				m, in := &model[i], claim.Arc.Contains(point(byte(i)))
				if in && !newer(m.epoch, point(m.owner), claim.Epoch, point(owner)) && (m.owner != owner || m.epoch < claim.Epoch) {
					*m = place{owner, claim.Epoch}
				}
				if epoch := c.at(point(byte(i))); epoch != m.epoch {
					t.Fatalf("seed %d, step %d: %v: at %d: got epoch %d, want %d", seed, step, claim, i, epoch, m.epoch)
				}
				newest = newest && (!in || *m == place{owner, claim.Epoch})
			}
			// It may be known without being found at a glance, if a part of it has been claimed by the same owner before.
			if known := c.known(claim); known && !newest {
				t.Fatalf("seed %d, step %d: %v is said to be known", seed, step, claim)
			}
			if !refused && newest && !c.known(claim) && model[after] != (place{owner, claim.Epoch}) {
				t.Fatalf("seed %d, step %d: %v is not known", seed, step, claim)
			}
		}
	}
}

// TestClaimsAreBounded: a process that has heard of very many owners forgets the oldest, and gives epochs above all of them.
func TestClaimsAreBounded(t *testing.T) {
	var c claims
	for i := range uint32(3 * maxSpans) {
		n := i * 2654435761 // spread
		id := ring.ID{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
		c.take(Claim{ring.Arc{After: id.Prev(), Through: id}, uint64(i + 1)})
		if n := len(c.load()); n > maxSpans {
			t.Fatalf("after %d claims: %d spans", i+1, n)
		}
		if got := c.at(id); got != uint64(i+1) {
			t.Fatalf("claim %d: got epoch %d", i+1, got)
		}
	}
	if got := c.next(); got != 3*maxSpans+1 {
		t.Errorf("got epoch %d, want %d", got, 3*maxSpans+1)
	}
}
