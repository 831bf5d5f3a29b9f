package node

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// An estimate follows mean and mean deviation of what it observes [Jacobson 1988], within what its eighths and quarters allow.
func TestEstimateFollows(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, mean := range []time.Duration{200 * time.Microsecond, 5 * time.Millisecond, 140 * time.Millisecond, time.Second} {
		var trips roundTrips
		for range 2000 {
			trips.observe("a", mean/2+time.Duration(rng.Int64N(int64(mean)))) // uniform: its mean deviation is a quarter of its width
		}
		e := trips.of("a")
		if d := (e.mean() - mean).Abs(); d > mean/4 {
			t.Errorf("round trips around %v: mean %v", mean, e.mean())
		}
		if d := (e.dev() - mean/4).Abs(); d > mean/6 {
			t.Errorf("round trips around %v: deviation %v, want about %v", mean, e.dev(), mean/4)
		}
	}
}

// A peer that has become slower is believed within some calls.
func TestEstimateAdapts(t *testing.T) {
	var trips roundTrips
	for range 100 {
		trips.observe("a", 10*time.Millisecond)
	}
	if e := trips.of("a"); e.mean()+4*e.dev() > 11*time.Millisecond {
		t.Errorf("steady 10 ms: mean %v, deviation %v", e.mean(), e.dev())
	}
	for range 5 {
		trips.observe("a", 100*time.Millisecond)
	}
	if e := trips.of("a"); e.mean()+4*e.dev() < 100*time.Millisecond {
		t.Errorf("after five of 100 ms: mean %v, deviation %v", e.mean(), e.dev())
	}
}

// The table keeps the peers of a ring of hundreds, and stays bounded with tens of thousands.
func TestRoundTripsAreBounded(t *testing.T) {
	var trips roundTrips
	if trips.of("nobody") != 0 {
		t.Error("an estimate of nobody")
	}
	addr := func(i int) string { return fmt.Sprintf("10.0.%d.%d:7400", i/250, i%250) }
	for i := range 200 {
		trips.observe(addr(i), time.Duration(i+1)*time.Millisecond)
	}
	kept := 0
	for i := range 200 {
		if e := trips.of(addr(i)); e.mean().Round(time.Millisecond) == time.Duration(i+1)*time.Millisecond {
			kept++
		}
	}
	if kept < 190 {
		t.Errorf("%d of 200 peers are remembered", kept)
	}
	for i := range 50_000 {
		trips.observe(addr(i), time.Millisecond)
	}
	if n := len(*trips.table.Load()); n > mostPeerRows {
		t.Errorf("a table of %d rows", n)
	}
	if e := trips.of(addr(49_999)); e.mean() != time.Millisecond {
		t.Errorf("the last peer has %v", e.mean())
	}
}

// A glimpse of a peer counts as any other answer, but drives nobody out of a full table.
func TestGlimpse(t *testing.T) {
	var trips roundTrips
	trips.glimpse("a", 10*time.Millisecond)
	trips.observe("b", 10*time.Millisecond)
	for range 50 {
		trips.glimpse("b", 30*time.Millisecond)
	}
	trips.glimpse("c", -time.Second)
	if a, b, c := trips.of("a").mean(), trips.of("b").mean(), trips.of("c"); a != 10*time.Millisecond || b < 29*time.Millisecond || c != 0 {
		t.Errorf("got %v, %v and %v", a, b, c)
	}
	for i := range 100_000 {
		trips.glimpse(fmt.Sprintf("10.0.%d.%d:7400", i/250, i%250), time.Second)
	}
	for addr, want := range map[string]time.Duration{"a": 10 * time.Millisecond, "b": trips.of("b").mean()} {
		if got := trips.of(addr).mean(); got != want {
			t.Errorf("%s has %v, want %v", addr, got, want)
		}
	}
	if n := len(*trips.table.Load()); n > mostPeerRows {
		t.Errorf("a table of %d rows", n)
	}
}

func BenchmarkObserveRoundTrip(b *testing.B) {
	var trips roundTrips
	b.ReportAllocs()
	for b.Loop() {
		trips.observe("127.0.0.1:7400", 100*time.Microsecond)
	}
}

// TestPeerHash: addresses that differ in a digit, as those of processes on one machine and of simulated hosts do, do not share an estimate.
func TestPeerHash(t *testing.T) {
	for _, form := range []string{"n%d", "127.0.0.1:%d", "10.0.0.%d:7400"} {
		seen := make(map[uint64]string)
		for i := range 1000 {
			addr := fmt.Sprintf(form, i)
			h := peerHash(addr)
			if other, ok := seen[h]; ok {
				t.Errorf("%s and %s have the same hash", addr, other)
			}
			seen[h] = addr
		}
	}
}
