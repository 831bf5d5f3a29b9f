package experiment

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// What the papers predict, as functions, so that a table can show the prediction beside the measurement. Nothing here knows the protocol's
// code: the experiments compare two computations that share only the definition of the ring.

// pathLength is the expected number of calls of a lookup in an ideal ring of n nodes whose successor lists have r entries, the call
// to the owner included: [ToN] section V-D, 1/2 log2 n - 1/2 log2 r + 1. It is the limit for n much greater than r.
func pathLength(n, r int) float64 {
	return pathLengthAfterFailures(n, r, 0)
}

// pathLengthAfterFailures is pathLength when each node has failed with probability p since the tables were right. A node then halves the
// distance less surely: with probability p the best finger is dead and the next one is half as long, so that a hop divides the
// distance by d = 2 - p in the sense of the paper's argument.
//
// Deviation: [ToN] prints d = log2((1-p/2)/(1-p)) = 1.7 for p = 1/2, which at p = 0 is 0; 2 - p agrees with the figures of its table II.
func pathLengthAfterFailures(n, r int, p float64) float64 {
	return math.Log2(float64(n)/float64(r))/(2*math.Log2(2-p)) + 1
}

// timeouts is the expected number of calls to dead nodes of a lookup that made the given number of calls to live ones, when a
// fraction p of the nodes is dead: of m calls m p end so, and path = m (1 - p) [ToN, section V-D].
func timeouts(path, p float64) float64 { return path * p / (1 - p) }

// loadQuantile is the q-quantile of the number of keys at a process, when there are mean keys a process and each has v nodes at random
// places: the arcs of v nodes add up to a gamma distribution with shape v, and keys fall on them as a Poisson process, so the number is
// negative binomial. Exact in the limit of many processes.
func loadQuantile(q, mean float64, v int) int {
	shape := float64(v)
	ratio := mean / (mean + shape)
	term := math.Exp(shape * math.Log(1-ratio)) // P(0 keys)
	sum, k := term, 0
	for sum < q {
		term *= ratio * (float64(k) + shape) / float64(k+1)
		k++
		sum += term
	}
	return k
}

// expectedMaxLoad is the expected greatest number of keys at one of n processes with one node each: the longest of n arcs is the n-th
// harmonic number of mean arcs long.
func expectedMaxLoad(n int, mean float64) float64 {
	var h float64
	for i := 1; i <= n; i++ {
		h += 1 / float64(i)
	}
	return h * mean
}

// pathModel is Chord's greedy routing over n random points of a circle of 2^64 places, with nothing of the protocol: the experiment
// path-length is right if the shipped code agrees with it. It exists because the closed form is a limit that small rings miss by more than the
// 3 % that the experiment allows, and because it has no distribution.
type pathModel struct {
	points []uint64 // clockwise
	r      int      // length of the successor list
}

func newPathModel(n, r int, rng *rand.Rand) *pathModel {
	m := &pathModel{points: make([]uint64, n), r: r}
	for i := range m.points {
		m.points[i] = rng.Uint64()
	}
	slices.Sort(m.points)
	return m
}

// owner returns the position of the first point from x on.
func (m *pathModel) owner(x uint64) int {
	i, _ := slices.BinarySearch(m.points, x)
	return i % len(m.points)
}

// hops returns how many calls a lookup of x makes that begins at point i: one for each node between them that it passes, and one to the
// owner; none if i is the owner.
func (m *pathModel) hops(i int, x uint64) int {
	n := len(m.points)
	owner := m.owner(x)
	if owner == i {
		return 0
	}
	calls := 1
	for (owner-i+n)%n > m.r { // the list of i does not cover x
		i = m.closestPreceding(i, x)
		calls++
	}
	return calls
}

// closestPreceding returns the best entry of i's tables before x: the longest finger that does not overshoot, or the end of the
// successor list, which does not reach x.
func (m *pathModel) closestPreceding(i int, x uint64) int {
	self, best := m.points[i], (i+m.r)%len(m.points)
	for k := bits.Len64(x-self) - 1; k >= 0; k-- {
		f := m.owner(self + 1<<k)
		if length := m.points[f] - self; length != 0 && length < x-self {
			if length > m.points[best]-self {
				best = f
			}
			break
		}
	}
	return best
}

// sample returns how many of the given number of random lookups from random points made 0, 1, 2 ... calls.
func (m *pathModel) sample(lookups int, rng *rand.Rand) Counts {
	var calls Counts
	for range lookups {
		calls.Add(m.hops(rng.IntN(len(m.points)), rng.Uint64()))
	}
	return calls
}
