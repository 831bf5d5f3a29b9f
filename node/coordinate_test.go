package node

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// A coordinate crosses the wire in 40 bits with what it can say.
func TestCoordinateIsPacked(t *testing.T) {
	for _, p := range []position{
		{err: 1},
		{x: 1, y: -1, height: 3, err: 1. / errorMax},
		{x: -axisMax, y: axisMax, height: heightMax, err: 1},
	} {
		c := p.coordinate()
		if got := c.position(); got != p || c >= 1<<peerBits || c.IsZero() {
			t.Errorf("%+v comes back as %+v, by %#x", p, got, uint64(c))
		}
	}
	if c := (position{x: 1e9, y: math.Inf(-1), height: 1e9, err: 1e-9}).coordinate(); c.position() != (position{axisMax, -axisMax, heightMax, 1. / errorMax}) {
		t.Errorf("what is out of bounds becomes %+v", c.position())
	}
	a, b := position{x: 60, height: 10, err: 1}.coordinate(), position{y: -80, height: 20, err: 1}.coordinate()
	if got, want := a.RoundTrip(b), 65*time.Millisecond; got != want || b.RoundTrip(a) != want {
		t.Errorf("the round trip is %v one way and %v the other, want %v", got, b.RoundTrip(a), want)
	}
}

// Whatever others claim, a position stays finite and within bounds, and one claim moves it by half a round trip at most when the other seems too far, by a quarter of what is
// missing when it seems too near.
func TestCoordinateWithstandsClaims(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	p := newcomer
	for range 100_000 {
		claim := Coordinate(rng.Uint64() & (1<<peerBits - 1))
		if claim.IsZero() {
			continue
		}
		rtt := time.Duration(rng.Int64N(int64(time.Second)))
		before := p
		p = p.observe(rtt, claim, rng.Uint64())
		moved := math.Hypot(p.x-before.x, p.y-before.y) * float64(coordinateUnit)
		if limit := max(rtt, time.Millisecond)/2 + coordinateUnit; moved > float64(limit) {
			t.Fatalf("a round trip of %v to %+v moves %+v to %+v", rtt, claim.position(), before, p)
		}
		inside := math.Abs(p.x) <= axisMax && math.Abs(p.y) <= axisMax && p.height >= minHeight && p.height <= heightMax && p.err > 0 && p.err <= 1
		if !inside { // nor is anything that is no number
			t.Fatalf("%+v after a claim to be at %+v", p, claim.position())
		}
	}
}

// Two processes at the same place come apart, in whatever direction.
func TestCoordinatesComeApart(t *testing.T) {
	a, b := newcomer, newcomer
	for i := range uint64(100) {
		a = a.observe(100*time.Millisecond, b.coordinate(), i)
		b = b.observe(100*time.Millisecond, a.coordinate(), i)
	}
	if got := a.coordinate().RoundTrip(b.coordinate()); (got - 100*time.Millisecond).Abs() > 5*time.Millisecond {
		t.Errorf("they are %v apart, want 100 ms: %+v and %+v", got, a, b)
	}
}

// What a process says of itself counts more than what others say of it, of whom the most exact does; nothing drives it out of a full table but another such.
func TestSightings(t *testing.T) {
	var seen places
	at := func(x, err float64) Coordinate { return position{x: x, err: err}.coordinate() }
	seen.hear(newSighting("a", at(1, 0.4)))
	seen.hear(newSighting("a", at(2, 0.6)))
	if got := seen.of("a"); got != at(1, 0.4) {
		t.Errorf("a is at %+v, want the more exact", got.position())
	}
	seen.see(newSighting("a", at(3, 0.8)))
	if got := seen.of("a"); got != at(3, 0.8) {
		t.Errorf("a is at %+v, want what it says itself", got.position())
	}
	if got := seen.of("b"); !got.IsZero() {
		t.Errorf("b is at %+v, want none", got.position())
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for range 100_000 {
		seen.hear(Sighting(rng.Uint64()>>1 | 1<<63 | 1))
	}
	if n := len(*seen.table.Load()); n > mostPeerRows || seen.of("a") != at(3, 0.8) {
		t.Errorf("a table of %d rows, a is at %+v", n, seen.of("a").position())
	}
	seen.see(newSighting("c", at(4, 0.1)))
	if got := seen.of("c"); got != at(4, 0.1) {
		t.Errorf("c is at %+v in a full table, want what it says itself", got.position())
	}
}
