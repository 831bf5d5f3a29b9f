package ring_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/chordkv/chord/ring"
)

func randomID(rng *rand.Rand) (id ring.ID) {
	for i := range id {
		id[i] = byte(rng.Uint32())
	}
	return id
}

// smallID is a random identifier of the given number of bits.
func smallID(rng *rand.Rand, bits int) (id ring.ID) {
	for k := range bits {
		if rng.Uint32()&1 == 1 {
			id = id.Add(ring.PowerOfTwo(k))
		}
	}
	return id
}

func TestArcContains(t *testing.T) {
	at := func(i byte) ring.ID { return ring.ID{i} }
	for a := range 16 {
		for b := range 16 {
			arc := ring.Arc{After: at(byte(a)), Through: at(byte(b))}
			for x := range 16 {
				// Walk clockwise from a; the first to come of x and b decides.
				want := false
				for i := 1; i <= 16; i++ {
					p := (a + i) % 16
					if p == x {
						want = true
						break
					}
					if p == b {
						break
					}
				}
				if got := arc.Contains(at(byte(x))); got != want {
					t.Errorf("(%d, %d] contains %d: got %v, want %v", a, b, x, got, want)
				}
			}
			if got, want := arc.IsFull(), a == b; got != want {
				t.Errorf("(%d, %d] is full: got %v, want %v", a, b, got, want)
			}
		}
	}
}

func TestArcShare(t *testing.T) {
	zero := ring.ID{}
	for _, tt := range []struct {
		arc  ring.Arc
		want float64
	}{
		{ring.FullArc(), 1},
		{ring.Arc{After: zero, Through: zero}, 1},
		{ring.Arc{After: zero, Through: ring.PowerOfTwo(159)}, 0.5},
		{ring.Arc{After: ring.PowerOfTwo(159), Through: zero}, 0.5},
		{ring.Arc{After: zero, Through: ring.PowerOfTwo(100)}, math.Ldexp(1, -60)},
		{ring.Arc{After: zero, Through: ring.PowerOfTwo(40)}, math.Ldexp(1, -120)},
		{ring.Arc{After: zero, Through: zero.Next()}, math.Ldexp(1, -160)},
	} {
		if got := tt.arc.Share(); got != tt.want {
			t.Errorf("%s: got %g, want %g", tt.arc, got, tt.want)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		a, b := randomID(rng), randomID(rng)
		if got := (ring.Arc{After: a, Through: b}).Share() + (ring.Arc{After: b, Through: a}).Share(); math.Abs(got-1) > 1e-12 {
			t.Errorf("the shares of two arcs that make the circle: got %g, want 1", got)
		}
	}
}

// TestArcSplit checks that the parts tile the arc, that all inner ones are blocks of the tree (2^bits children a node, so of
// 2^(bits k) identifiers, at a multiple of that), and that splitting again and again comes down to single identifiers.
func TestArcSplit(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	arcs := []ring.Arc{ring.FullArc(), {}, {After: ring.PowerOfTwo(7), Through: ring.PowerOfTwo(7)}}
	for range 3000 {
		after := randomID(rng)
		if rng.Uint32()&1 == 0 {
			after = smallID(rng, 12) // an arc that may begin at a block, and wraps when turned round
		}
		through := after.Add(smallID(rng, 1+rng.IntN(160)))
		arcs = append(arcs, ring.Arc{After: after, Through: through}, ring.Arc{After: through, Through: after})
	}
	for _, arc := range arcs {
		checkSplit(t, arc, 2)
		checkSplit(t, arc, 4)
	}
}

func checkSplit(t *testing.T, arc ring.Arc, bits int) {
	t.Helper()
	parts := arc.Split(bits)
	if len(parts) == 1 {
		if got := ring.Distance(arc.After, arc.Through); got != (ring.ID{}).Next() || parts[0] != arc {
			t.Errorf("%v is one part, %v, but has %s identifiers", arc, parts[0], got)
		}
		return
	}
	if len(parts) > 1<<bits+1 || parts[0].After != arc.After || parts[len(parts)-1].Through != arc.Through {
		t.Fatalf("%v: got %d parts from %s to %s", arc, len(parts), parts[0].After, parts[len(parts)-1].Through)
	}
	var total, block ring.ID
	for i, p := range parts {
		size := ring.Distance(p.After, p.Through)
		if size.IsZero() {
			t.Fatalf("%v: part %d is the whole circle", arc, i)
		}
		total = total.Add(size)
		if i > 0 && p.After != parts[i-1].Through {
			t.Fatalf("%v: part %d starts at %s, the one before ends at %s", arc, i, p.After, parts[i-1].Through)
		}
		if inner := i > 0 && i < len(parts)-1; inner {
			if k := exponent(size); k < 0 || k%bits != 0 || !multiple(p.After.Next(), k) {
				t.Fatalf("%v: part %d, (%s, %s], is not a block", arc, i, p.After, p.Through)
			}
			if !block.IsZero() && size != block {
				t.Fatalf("%v: blocks of %s and of %s", arc, block, size)
			}
			block = size
		}
	}
	if want := ring.Distance(arc.After, arc.Through); total != want {
		t.Fatalf("%v: the parts have %s identifiers, want %s", arc, total, want)
	}
}

// exponent returns k if id is 2^k, else -1.
func exponent(id ring.ID) int {
	for k := range ring.Bits {
		if id == ring.PowerOfTwo(k) {
			return k
		}
	}
	return -1
}

// multiple reports whether id is a multiple of 2^k.
func multiple(id ring.ID, k int) bool {
	for i := range k {
		if id[19-i/8]>>(i%8)&1 == 1 {
			return false
		}
	}
	return true
}

// TestSplitBlocks: the full arc splits into 2^bits blocks, each into as many, down to single identifiers.
func TestSplitBlocks(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, bits := range []int{2, 4} {
		arc := ring.FullArc()
		for k := ring.Bits - bits; k >= 0; k -= bits {
			parts := arc.Split(bits)
			if got, want := len(parts), 1<<bits; got != want {
				t.Fatalf("%v: got %d parts, want %d", arc, got, want)
			}
			for _, p := range parts {
				if got, want := ring.Distance(p.After, p.Through), ring.PowerOfTwo(k); got != want {
					t.Fatalf("%v: part of %s identifiers, want %s", arc, got, want)
				}
			}
			arc = parts[rng.IntN(len(parts))]
		}
		if got, want := len(arc.Split(bits)), 1; got != want {
			t.Errorf("one identifier: got %d parts, want %d", got, want)
		}
	}
}

// TestSplitSame: what two nodes split differs at the ends, but the inner parts that both have are the same.
func TestSplitSame(t *testing.T) {
	one := ring.Arc{After: ring.ID{0x13, 0x77}, Through: ring.ID{0x1f, 0x01}}
	other := ring.Arc{After: ring.ID{0x12, 0x11}, Through: ring.ID{0x1e, 0x22}}
	inner := make(map[ring.Arc]bool)
	for _, p := range one.Split(4) {
		inner[p] = true
	}
	shared := 0
	for _, p := range other.Split(4) {
		if inner[p] {
			shared++
		}
	}
	if got, want := shared, 0x1e-0x14; got != want {
		t.Errorf("got %d shared blocks, want %d", got, want)
	}
}

func TestArcOverlap(t *testing.T) {
	at := func(i int) ring.ID { return ring.ID{byte(i)} }
	arc := func(a, b int) ring.Arc { return ring.Arc{After: at(a), Through: at(b)} }
	for i := range 8 * 8 * 8 * 8 {
		a, b := arc(i&7, i>>3&7), arc(i>>6&7, i>>9&7)
		parts := a.Overlap(b)
		if len(parts) > 2 {
			t.Fatalf("%v and %v overlap in %d parts", a, b, len(parts))
		}
		for x := range 8 {
			for _, id := range []ring.ID{at(x), at(x).Next()} {
				in := 0
				for _, p := range parts {
					if p.Contains(id) {
						in++
					}
				}
				if want := a.Contains(id) && b.Contains(id); in > 1 || (in == 1) != want {
					t.Fatalf("%v and %v overlap in %v: %v is in %d of them, want in one: %v", a, b, parts, id, in, want)
				}
			}
		}
	}
}
