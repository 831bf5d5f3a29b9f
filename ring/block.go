package ring

import (
	"encoding/binary"
	"math/bits"
)

// maxBlockDepth is the depth of the smallest blocks that have a number.
const maxBlockDepth = 62

// Block returns the number of an arc that is a block of the binary tree over the circle: a one, and behind it the bits that the identifiers in
// the arc begin with. So the circle is 1, its halves are 2 and 3. ok is false for any other arc, and for blocks of less than 2^98 identifiers, in
// which two keys will hardly ever meet. Numbers are a short way to name the parts of Split.
func (a Arc) Block() (number uint64, ok bool) {
	first, last := a.After.Next(), a.Through
	if first.floor(Bits-64) != first || last.Next().floor(Bits-64) != last.Next() {
		return 0, false
	}
	from, to := binary.BigEndian.Uint64(first[:8]), binary.BigEndian.Uint64(last[:8])
	rest := from ^ to // has the bits that the block leaves open
	depth := 64 - bits.Len64(rest)
	if rest&(rest+1) != 0 || from&rest != 0 || depth > maxBlockDepth {
		return 0, false
	}
	return 1<<depth | from>>(64-depth), true
}

// BlockArc returns the arc of a block by its number; ok is false if there is no such block.
func BlockArc(number uint64) (a Arc, ok bool) {
	depth := bits.Len64(number) - 1
	if depth < 0 || depth > maxBlockDepth {
		return Arc{}, false
	}
	first, last := ID{}, ID{}.Prev()
	prefix := number << (64 - depth) // the one in front falls out
	binary.BigEndian.PutUint64(first[:8], prefix)
	binary.BigEndian.PutUint64(last[:8], prefix|(1<<(64-depth)-1))
	return Arc{After: first.Prev(), Through: last}, true
}
