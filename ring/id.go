package ring

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
)

// Bits is the length of an identifier: the m of [ToN].
const Bits = 160

// ID is a place on the identifier circle modulo 2^160, most significant byte first.
type ID [Bits / 8]byte

// Hash returns the place of a key: the first 20 bytes of its SHA-256, so that
// `printf %s KEY | sha256sum | cut -c1-40` prints the same.
func Hash(key []byte) ID {
	sum := sha256.Sum256(key)
	return ID(sum[:len(ID{})])
}

// ParseID reads the 40 hexadecimal digits that String writes.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2*len(id) {
		return ID{}, fmt.Errorf("ring: id %q: want %d hexadecimal digits, got %d bytes", s, 2*len(id), len(s))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("ring: id %q: %w", s, err)
	}
	return id, nil
}

// String returns all 40 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Short returns the first 8 hexadecimal digits, enough to tell the nodes of any real ring apart.
func (id ID) Short() string { return hex.EncodeToString(id[:4]) }

// IsZero reports whether id is the identifier 0, which messages use for "no node".
func (id ID) IsZero() bool { return id == ID{} }

// words returns the identifier as three numbers, most significant first; the last has 32 bits.
func (id *ID) words() (hi, mid, lo uint64) {
	return binary.BigEndian.Uint64(id[0:8]), binary.BigEndian.Uint64(id[8:16]), uint64(binary.BigEndian.Uint32(id[16:20]))
}

func fromWords(hi, mid, lo uint64) (id ID) {
	binary.BigEndian.PutUint64(id[0:8], hi)
	binary.BigEndian.PutUint64(id[8:16], mid)
	binary.BigEndian.PutUint32(id[16:20], uint32(lo))
	return id
}

// Compare orders identifiers as numbers: -1, 0 or +1.
func (id ID) Compare(other ID) int {
	a, b, c := id.words()
	x, y, z := other.words()
	switch {
	case a != x:
		return order(a < x)
	case b != y:
		return order(b < y)
	case c != z:
		return order(c < z)
	}
	return 0
}

func order(less bool) int {
	if less {
		return -1
	}
	return +1
}

// Less reports id < other as numbers.
func (id ID) Less(other ID) bool {
	// The first words of two places on a ring almost always differ.
	if a, b := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(other[:8]); a != b {
		return a < b
	}
	return id.Compare(other) < 0
}

// Between reports whether x lies strictly inside the arc from a clockwise to b. The arc from a to a is the whole circle but
// a itself, so Between(a, x, a) holds for every x other than a [Zave, module "identifiers"].
func Between(a, x, b ID) bool {
	ah, xh, bh := binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(x[:8]), binary.BigEndian.Uint64(b[:8])
	if ah == xh || xh == bh || ah == bh {
		return betweenTied(a, x, b)
	}
	// The first words decide: x is nearer to a, clockwise, than b is. Written this way it has no branch to guess wrong, and
	// takes half the time of the definition.
	return xh-ah < bh-ah
}

// betweenTied is Between by its definition.
func betweenTied(a, x, b ID) bool {
	if a.Less(b) {
		return a.Less(x) && x.Less(b)
	}
	return a.Less(x) || x.Less(b)
}

// Distance returns how far b lies clockwise of a: b - a modulo 2^160.
func Distance(a, b ID) ID {
	ah, am, al := a.words()
	bh, bm, bl := b.words()
	lo := (bl - al) & (1<<32 - 1)
	borrow := uint64(0)
	if bl < al {
		borrow = 1
	}
	mid, borrow := bits.Sub64(bm, am, borrow)
	hi, _ := bits.Sub64(bh, ah, borrow)
	return fromWords(hi, mid, lo)
}

// Add returns a + b modulo 2^160.
func (id ID) Add(b ID) ID {
	ah, am, al := id.words()
	bh, bm, bl := b.words()
	lo := al + bl
	mid, carry := bits.Add64(am, bm, lo>>32)
	hi, _ := bits.Add64(ah, bh, carry)
	return fromWords(hi, mid, lo&(1<<32-1))
}

// PowerOfTwo returns 2^k, for 0 <= k < Bits.
func PowerOfTwo(k int) (id ID) {
	id[len(id)-1-k/8] = 1 << (k % 8)
	return id
}

// floor clears the k lowest bits, at most Bits - 1.
func (id ID) floor(k int) ID {
	clear(id[len(id)-k/8:])
	id[len(id)-1-k/8] &^= 1<<(k%8) - 1
	return id
}

// Next returns id + 1 modulo 2^160.
func (id ID) Next() ID { return id.Add(PowerOfTwo(0)) }

// Prev returns id - 1 modulo 2^160.
func (id ID) Prev() ID { return Distance(PowerOfTwo(0), id) }

// float returns the identifier as a number.
func (id ID) float() float64 {
	hi, mid, lo := id.words()
	return (float64(hi)*(1<<64)+float64(mid))*(1<<32) + float64(lo)
}

// bitLen returns the position of the highest set bit plus one; 0 for the identifier 0.
func (id ID) bitLen() int {
	hi, mid, lo := id.words()
	switch {
	case hi != 0:
		return 96 + bits.Len64(hi)
	case mid != 0:
		return 32 + bits.Len64(mid)
	}
	return bits.Len64(lo)
}
