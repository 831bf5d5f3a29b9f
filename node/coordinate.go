package node

import (
	"math"
	"time"
)

// Network coordinates: Vivaldi with a height [Dabek, Cox, Kaashoek, Morris, SIGCOMM 2004]. A process is a point of a plane, and a height above it, the way to the core of the
// network; the round trip between two is about the distance of their points plus both heights. Each moves a little whenever it learns how far somebody is whose
// coordinate it has, toward where that would be right. So the place of a process tells how far it is from those who have never called it.

// Coordinate is the place of a process and how wrong it may be, in 40 bits: 13 each for the two axes, and 10 for the height, in units of half a millisecond of round
// trip, and 4 for the error, in fifteenths of a round trip. A Coordinate whose error is 0 is none. Whatever the other bits are is a place within some seconds:
// there is nothing else for others to claim.
type Coordinate uint64

const (
	coordinateUnit = time.Millisecond / 2
	axisBits       = 13
	heightBits     = 10
	errorBits      = 4
	axisMax        = 1<<(axisBits-1) - 1
	heightMax      = 1<<heightBits - 1
	errorMax       = 1<<errorBits - 1
)

// The constants of [Vivaldi, section 3]: how much of an error one round trip corrects, and of the estimate of the error.
const (
	vivaldiMove  = 0.25
	vivaldiLearn = 0.25
)

// position is a Coordinate as Vivaldi computes with it: in units, and the error as a share.
type position struct{ x, y, height, err float64 }

// newcomer is where a process begins: nowhere in particular.
var newcomer = position{err: 1}

// coordinate rounds a position.
func (p position) coordinate() Coordinate {
	axis := func(v float64) uint64 {
		return uint64(int64(math.RoundToEven(min(max(v, -axisMax), axisMax)))) & (1<<axisBits - 1)
	}
	height := uint64(math.RoundToEven(min(p.height, heightMax)))
	share := uint64(math.RoundToEven(min(max(p.err*errorMax, 1), errorMax)))
	return Coordinate(axis(p.x)<<(axisBits+heightBits+errorBits) | axis(p.y)<<(heightBits+errorBits) | height<<errorBits | share)
}

// position is the reverse of coordinate.
func (c Coordinate) position() position {
	axis := func(shift int) float64 { return float64(int64(c) << (64 - axisBits - shift) >> (64 - axisBits)) }
	return position{
		x: axis(axisBits + heightBits + errorBits), y: axis(heightBits + errorBits),
		height: float64(c >> errorBits & heightMax), err: float64(c&errorMax) / errorMax,
	}
}

// IsZero reports whether it is none.
func (c Coordinate) IsZero() bool { return c&errorMax == 0 }

// Error returns how wrong round trips that it predicts are, as a share, as far as is known: from next to 0 to 1.
func (c Coordinate) Error() float64 { return float64(c&errorMax) / errorMax }

// RoundTrip predicts the round trip between two processes.
func (c Coordinate) RoundTrip(to Coordinate) time.Duration {
	apart, _, _ := c.position().span(to.position())
	return time.Duration(apart * float64(coordinateUnit))
}

// span returns how far two positions are apart, and the vector from the second to the first in the plane.
func (p position) span(to position) (apart, dx, dy float64) {
	dx, dy = p.x-to.x, p.y-to.y
	return math.Sqrt(float64(dx*dx)+float64(dy*dy)) + p.height + to.height, dx, dy
}

// observe returns where the position is after a round trip to another. direction is any number, from which follows where to go if both are at the same place.
//
// The conversions to float64 keep a compiler from rounding a product and a sum at once, which only some machines do: the same seed gives the same run on all of them.
//
// Deviations: round trips below a millisecond count as one, which is what coordinates can tell; and whoever is said to be much farther away than he has shown to be draws no
// harder than if he were three times as far, so that a false coordinate moves others by half a round trip at most.
func (p position) observe(rtt time.Duration, to Coordinate, direction uint64) position {
	trip := max(float64(rtt)/float64(coordinateUnit), 2)
	other := to.position()
	apart, dx, dy := p.span(other)
	weight := p.err / (p.err + other.err)
	wrong := min(math.Abs(apart-trip)/trip, 1)
	p.err += float64((wrong - p.err) * vivaldiLearn * weight)
	force := vivaldiMove * weight * max(trip-apart, -2*trip)
	if dx == 0 && dy == 0 {
		dy, dx = math.Sincos(float64(direction%360) * math.Pi / 180)
		apart++
	}
	p.x = min(max(p.x+float64(force*dx)/apart, -axisMax), axisMax)
	p.y = min(max(p.y+float64(force*dy)/apart, -axisMax), axisMax)
	p.height = min(max(p.height+float64(force*(p.height+other.height))/apart, minHeight), heightMax)
	return p
}

// minHeight is positive, because a height of 0 would stay 0.
const minHeight = 0.2
