package ring

import (
	"fmt"
	"math"
)

// Arc is the half-open stretch (After, Through] of the circle, clockwise. A node owns the arc that follows its predecessor
// and ends with itself. An arc whose ends are equal is the whole circle; there is no empty arc.
type Arc struct {
	After, Through ID
}

// FullArc is the whole circle, in the order of the identifiers from 0 up.
func FullArc() Arc {
	last := ID{}.Prev()
	return Arc{After: last, Through: last}
}

// IsFull reports whether the arc is the whole circle.
func (a Arc) IsFull() bool { return a.After == a.Through }

// Contains reports whether x lies in the arc.
func (a Arc) Contains(x ID) bool { return x == a.Through || Between(a.After, x, a.Through) }

// Share returns the part of the circle that the arc covers, 0 < share <= 1.
func (a Arc) Share() float64 {
	if a.IsFull() {
		return 1
	}
	d := Distance(a.After, a.Through)
	hi, mid, lo := d.words()
	return math.Ldexp(float64(hi), -64) + math.Ldexp(float64(mid), -128) + math.Ldexp(float64(lo), -160)
}

// Overlap returns the parts of the arc that lie in another one, clockwise from its start: none, one or two.
func (a Arc) Overlap(b Arc) []Arc {
	switch {
	case b.IsFull():
		return []Arc{a}
	case a.IsFull():
		return []Arc{b}
	}
	// As distances from where a begins, a is (0, length] and b is (from, to], which may go round past 0.
	from, to, length := Distance(a.After, b.After), Distance(a.After, b.Through), Distance(a.After, a.Through)
	shorter := func(x, y ID) ID {
		if x.Compare(y) < 0 {
			return x
		}
		return y
	}
	round := from.Compare(to) > 0
	var parts []Arc
	if round && !to.IsZero() {
		parts = append(parts, Arc{After: a.After, Through: a.After.Add(shorter(to, length))})
	}
	if from.Compare(length) < 0 {
		end := length
		if !round {
			end = shorter(to, length)
		}
		parts = append(parts, Arc{After: b.After, Through: a.After.Add(end)})
	}
	return parts
}

// Split cuts the arc at the boundaries of a fixed tree over the circle, whose nodes have 2^bits children each, bits being 2 or 4: a block of the
// tree is cut into its children, any other arc at the multiples of the largest block that is smaller than the arc. Two
// nodes that split the same arc get the same parts, and all parts but the first and the last are blocks of the tree, for
// which a store can keep digests. An arc of one identifier is returned as it is.
func (a Arc) Split(bits int) []Arc {
	size := Distance(a.After, a.Through) // 0 means 2^160
	length := size.Prev().bitLen()       // the smallest k with size <= 2^k
	if length == 0 {
		return []Arc{a}
	}
	k := (length - 1) / bits * bits
	block := PowerOfTwo(k)
	parts := make([]Arc, 0, 1<<bits+1)
	after := a.After
	for {
		// The next boundary is the last identifier of the block that holds after + 1.
		cut := after.Next().floor(k).Add(block).Prev()
		if !Between(after, cut, a.Through) {
			return append(parts, Arc{After: after, Through: a.Through})
		}
		parts = append(parts, Arc{After: after, Through: cut})
		after = cut
	}
}

// String shows the arc with shortened identifiers.
func (a Arc) String() string { return fmt.Sprintf("(%s, %s]", a.After.Short(), a.Through.Short()) }
