package ring_test

import (
	"testing"

	"github.com/chordkv/chord/ring"
)

// Every number names one arc and every arc has at most one number, which is its place in the binary tree.
func TestBlocks(t *testing.T) {
	for number := uint64(1); number < 1<<12; number++ {
		arc, ok := ring.BlockArc(number)
		if !ok {
			t.Fatalf("no block %d", number)
		}
		if got, ok := arc.Block(); !ok || got != number {
			t.Fatalf("block %d is the arc %v, which is the block %d, %v", number, arc, got, ok)
		}
		left, _ := ring.BlockArc(2 * number)
		right, _ := ring.BlockArc(2*number + 1)
		if left.After != arc.After || left.Through != right.After || right.Through != arc.Through {
			t.Fatalf("block %d, %v, has the halves %v and %v", number, arc, left, right)
		}
	}
	if full, _ := ring.BlockArc(1); full != ring.FullArc() {
		t.Errorf("got %v for the circle", full)
	}
	for _, number := range []uint64{0, 1 << 63, 1<<64 - 1} {
		if arc, ok := ring.BlockArc(number); ok {
			t.Errorf("block %d is %v", number, arc)
		}
	}
	deepest, ok := ring.BlockArc(1<<62 | 12345)
	if got, back := deepest.Block(); !ok || !back || got != 1<<62|12345 {
		t.Errorf("got block %d, %v, %v", got, ok, back)
	}
	half, _ := ring.BlockArc(2)
	for name, arc := range map[string]ring.Arc{
		"full from elsewhere": {After: half.Through, Through: half.Through},
		"one more":            {After: half.After, Through: half.Through.Next()},
		"one less":            {After: half.After.Next(), Through: half.Through},
		"across a boundary":   {After: ring.ID{0x3f}.Next().Prev(), Through: ring.ID{0xbf}},
		"three quarters":      {After: half.After, Through: ring.ID{0xc0}.Prev()},
		"the middle":          {After: ring.ID{0x40}.Prev(), Through: ring.ID{0xc0}.Prev()},
		"one identifier":      {After: ring.ID{1}, Through: ring.ID{1}.Next()},
	} {
		if number, ok := arc.Block(); ok {
			t.Errorf("%s: %v is block %d", name, arc, number)
		}
	}
}
