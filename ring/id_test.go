package ring_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"

	"github.com/chordkv/chord/ring"
)

func TestHash(t *testing.T) {
	for _, key := range []string{"", "a", "user:4711", strings.Repeat("k", 1024)} {
		sum := sha256.Sum256([]byte(key))
		if got, want := ring.Hash([]byte(key)).String(), hex.EncodeToString(sum[:])[:40]; got != want {
			t.Errorf("Hash(%q): got %s, want %s", key, got, want)
		}
	}
	// printf %s hello | sha256sum | cut -c1-40
	if got, want := ring.Hash([]byte("hello")).String(), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestParseID(t *testing.T) {
	id := ring.Hash([]byte("x"))
	got, err := ring.ParseID(id.String())
	if err != nil || got != id {
		t.Errorf("got %s, %v, want %s", got, err, id)
	}
	if got, want := id.String()[:8], id.Short(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, s := range []string{"", "00", id.String()[1:], id.String() + "0", strings.Repeat("g", 40), strings.Repeat("ä", 20)} {
		if got, err := ring.ParseID(s); err == nil || got != (ring.ID{}) {
			t.Errorf("ParseID(%q): got %s, %v, want an error", s, got, err)
		}
	}
}

func TestIsZero(t *testing.T) {
	if got := (ring.ID{}).IsZero(); !got {
		t.Error("0 is not zero")
	}
	for k := range ring.Bits {
		if ring.PowerOfTwo(k).IsZero() {
			t.Errorf("2^%d is zero", k)
		}
	}
}

// FuzzArithmetic compares with math/big modulo 2^160 and with bytes.Compare.
func FuzzArithmetic(f *testing.F) {
	ones, top := bytes.Repeat([]byte{0xff}, 20), append([]byte{0x80}, make([]byte, 19)...)
	carry := append(make([]byte, 15), 1, 0, 0, 0, 0) // 2^32: the lowest bit of the middle word
	for _, a := range [][]byte{make([]byte, 20), ones, top, carry, []byte("abcdefghijklmnopqrst")} {
		for _, b := range [][]byte{make([]byte, 20), ones, top, carry, append(make([]byte, 19), 1)} {
			f.Add(a, b)
		}
	}
	modulus := new(big.Int).Lsh(big.NewInt(1), ring.Bits)
	number := func(id ring.ID) *big.Int { return new(big.Int).SetBytes(id[:]) }
	reduce := func(x *big.Int) (id ring.ID) {
		x.Mod(x, modulus).FillBytes(id[:])
		return id
	}
	f.Fuzz(func(t *testing.T, x, y []byte) {
		var a, b ring.ID
		copy(a[:], x)
		copy(b[:], y)
		if got, want := a.Add(b), reduce(new(big.Int).Add(number(a), number(b))); got != want {
			t.Errorf("%s + %s: got %s, want %s", a, b, got, want)
		}
		if got, want := ring.Distance(a, b), reduce(new(big.Int).Sub(number(b), number(a))); got != want {
			t.Errorf("Distance(%s, %s): got %s, want %s", a, b, got, want)
		}
		if got, want := a.Prev(), reduce(new(big.Int).Sub(number(a), big.NewInt(1))); got != want {
			t.Errorf("%s - 1: got %s, want %s", a, got, want)
		}
		if got, want := a.Next(), reduce(new(big.Int).Add(number(a), big.NewInt(1))); got != want {
			t.Errorf("%s + 1: got %s, want %s", a, got, want)
		}
		if got, want := a.Compare(b), bytes.Compare(a[:], b[:]); got != want {
			t.Errorf("Compare(%s, %s): got %d, want %d", a, b, got, want)
		}
		if got, want := a.Less(b), bytes.Compare(a[:], b[:]) < 0; got != want {
			t.Errorf("%s < %s: got %v, want %v", a, b, got, want)
		}
		// x is between a and b if and only if it is nearer to a than b is; the whole circle lies between a and a.
		c := ring.Hash(append(a[:], b[:]...))
		near, far := ring.Distance(a, c), ring.Distance(a, b)
		if got, want := ring.Between(a, c, b), c != a && (a == b || near.Less(far)); got != want {
			t.Errorf("Between(%s, %s, %s): got %v, want %v", a, c, b, got, want)
		}
	})
}

func TestPowerOfTwo(t *testing.T) {
	id := ring.ID{}.Next()
	for k := range ring.Bits {
		if got, want := ring.PowerOfTwo(k), id; got != want {
			t.Fatalf("2^%d: got %s, want %s", k, got, want)
		}
		id = id.Add(id)
	}
	if !id.IsZero() {
		t.Errorf("2^160: got %s, want 0", id)
	}
}
