package sim

import (
	"math"
	"math/rand/v2"
	"time"
)

// Internet is a Latency by coordinates, after Vivaldi (Dabek et al., SIGCOMM 2004): a host is a point of a plane plus a height, the way to
// the core of the network and back to it, and the round trip between two hosts is their distance plus both heights. It is the same for every
// message between the two, symmetric, and obeys the triangle inequality, as real networks only nearly do.
//
// Hosts are around three centers. The figures are fitted so that round trips have the 10th, 50th, 90th and 99th percentiles 31, 140, 290
// and 410 ms, what PlanetLab's 490 hosts measured to within 6 percent.
type Internet struct {
	seed  uint64
	hosts []spot // of those asked for so far; each follows from seed and number alone
}

// spot is where a host is, in milliseconds of round trip.
type spot struct{ x, y, height float32 }

// center is where hosts gather: a share of all, normally distributed.
type center struct{ share, x, y, sigma float64 }

var centers = [...]center{
	{0.448, 0, 0, 13.8},
	{0.271, 127.8, 0, 37.4},
	{0.281, -157.9, 52.6, 56.7},
}

// meanHeight is the mean of the heights, which are exponentially distributed.
const meanHeight = 5.19

// NewInternet returns the model with the hosts where the seed puts them.
func NewInternet(seed uint64) *Internet { return &Internet{seed: seed} }

// OneWay implements Latency.
func (n *Internet) OneWay(from, to int, _ *Rand) time.Duration { return n.RTT(from, to) / 2 }

// RTT returns the round trip between two hosts, given by number.
func (n *Internet) RTT(i, j int) time.Duration {
	for len(n.hosts) <= max(i, j) {
		n.hosts = append(n.hosts, place(NewRand(n.seed, "coordinates", len(n.hosts))))
	}
	a, b := n.hosts[i], n.hosts[j]
	x, y := float64(a.x-b.x), float64(a.y-b.y)
	return time.Duration((math.Sqrt(x*x+y*y) + float64(a.height+b.height)) * float64(time.Millisecond))
}

// place draws where a host is.
func place(r *Rand) spot {
	normal := rand.New(r)
	c, u := centers[len(centers)-1], r.Float64()
	for _, candidate := range centers {
		if u < candidate.share {
			c = candidate
			break
		}
		u -= candidate.share
	}
	return spot{
		x:      float32(c.x + c.sigma*normal.NormFloat64()),
		y:      float32(c.y + c.sigma*normal.NormFloat64()),
		height: float32(meanHeight * normal.ExpFloat64()),
	}
}
