package sim

import (
	"math"
	"time"
)

// Space is a Latency by place, the 3-d space of [ToN] section V-F: hosts are points drawn uniformly from a cube, and a message takes a time in proportion
// to the straight line between two of them. It is the same for every message between the two, symmetric, and obeys the triangle inequality.
type Space struct {
	seed  uint64
	side  float64 // of the cube, in nanoseconds
	hosts []point // of those asked for so far; each follows from seed and number alone
}

// point is a point of the unit cube.
type point [3]float64

// cubeDistance is the mean distance between two random points of a unit cube (Robbins' constant).
const cubeDistance = 0.661707

// NewSpace returns the model with the hosts where the seed puts them, in a cube of such a size that a message takes the given time in the mean.
func NewSpace(seed uint64, mean time.Duration) *Space {
	return &Space{seed: seed, side: float64(mean) / cubeDistance}
}

// OneWay implements Latency.
func (s *Space) OneWay(from, to int, _ *Rand) time.Duration {
	for len(s.hosts) <= max(from, to) {
		r := NewRand(s.seed, "space", len(s.hosts))
		s.hosts = append(s.hosts, point{r.Float64(), r.Float64(), r.Float64()})
	}
	a, b := &s.hosts[from], &s.hosts[to]
	x, y, z := a[0]-b[0], a[1]-b[1], a[2]-b[2]
	return time.Duration(s.side * math.Sqrt(x*x+y*y+z*z))
}
