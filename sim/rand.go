package sim

import "math/rand/v2"

// Rand is a stream of random numbers: splitmix64 (Steele, Lea, Flood, OOPSLA 2014), whose whole state is one word, so that a million hosts can
// have one each. It is a rand.Source: rand.New(r) has distributions and shuffles.
type Rand struct{ state uint64 }

var _ rand.Source = (*Rand)(nil)

// NewRand returns a stream from its beginning. Streams that differ in seed, purpose or number are independent of each other, so that
// drawing more for one purpose changes nothing for another.
func NewRand(seed uint64, purpose string, number int) *Rand {
	r := stream(seed, purpose, number)
	return &r
}

// The constants of splitmix64.
const (
	golden = 0x9e3779b97f4a7c15
	mixA   = 0xbf58476d1ce4e5b9
	mixB   = 0x94d049bb133111eb
)

// scramble is the output function of splitmix64, a bijection in which every bit of the input changes half of the output.
func scramble(z uint64) uint64 {
	z = (z ^ z>>30) * mixA
	z = (z ^ z>>27) * mixB
	return z ^ z>>31
}

func stream(seed uint64, purpose string, number int) Rand {
	h := scramble(seed + golden)
	for i := range len(purpose) {
		h = scramble(h ^ uint64(purpose[i]) + golden)
	}
	return Rand{scramble(h ^ (uint64(number)*mixB + golden))}
}

// Uint64 returns a uniformly random number.
func (r *Rand) Uint64() uint64 {
	r.state += golden
	return scramble(r.state)
}

// Float64 returns a uniformly random number in [0, 1).
func (r *Rand) Float64() float64 { return float64(r.Uint64()>>11) / (1 << 53) }

// IntN returns a uniformly random number in [0, n). It panics unless n > 0.
func (r *Rand) IntN(n int) int { return rand.New(r).IntN(n) }

// chance reports true with probability p. It draws nothing if p is 0.
func (r *Rand) chance(p float64) bool { return p > 0 && r.Float64() < p }
