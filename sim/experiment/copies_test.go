package experiment

import (
	"math"
	"testing"
	"time"
)

// hourly is a trace of exponential times, of which those who are there take up three quarters.
func hourly(seats int, permanent float64, duration time.Duration) departures {
	return departures{Seats: seats, Up: 3 * time.Hour, Down: time.Hour, Shape: 1, Permanent: permanent, Duration: duration}
}

// TestTrace: a trace has the rates that it is to have, each seat goes and comes in turn, and a seed gives it again.
func TestTrace(t *testing.T) {
	for name, shape := range shapes {
		d := hourly(400, 0.1, 1000*time.Hour)
		d.Shape = shape
		present, changes := d.trace(1)
		up, gone, lost, last := 0, 0, 0, time.Duration(0)
		for _, p := range present {
			if p {
				up++
			}
		}
		now := append([]bool(nil), present...)
		for _, c := range changes {
			if c.At < last || c.At >= d.Duration || now[c.Seat] == c.Up || c.Up && c.Lost {
				t.Fatalf("%s: %+v after %v, and the seat is taken: %v", name, c, last, now[c.Seat])
			}
			now[c.Seat], last = c.Up, c.At
			if !c.Up {
				gone++
			}
			if c.Lost {
				lost++
			}
		}
		if want := 400 * 1000 / 4; math.Abs(float64(gone-want)) > 0.1*float64(want) {
			t.Errorf("%s: %d departures, want about %d", name, gone, want)
		}
		if share := float64(lost) / float64(gone); math.Abs(share-0.1) > 0.01 {
			t.Errorf("%s: a share of %v for good, want 0.1", name, share)
		}
		if up < 260 || up > 340 {
			t.Errorf("%s: %d of 400 are there at first, want about 300", name, up)
		}
	}
}

// TestReplay: what the rules cost can be told without them where departures are all alike.
func TestReplay(t *testing.T) {
	const n, keys = 3, 2000
	d := hourly(60, 0, 200*time.Hour)
	present, changes := d.trace(1)
	if got := (policy{N: n, Foreknowing: true}).replay(present, changes, keys, 1); got != (replayed{}) {
		t.Errorf("the oracle, nothing lost for good: got %+v, want nothing", got)
	}
	if got := (policy{N: n, Placed: true, Delay: 1e6 * time.Hour}).replay(present, changes, keys, 1); got.Lost != 0 || got.Made > keys {
		t.Errorf("places, endless patience, nothing lost for good: got %+v, want the copies of those who were away at first", got)
	}
	// A key has N holders in the mean, each of whom goes every three hours.
	want := float64(n*keys) * 200 / 3
	if got := (policy{N: n, Placed: true}).replay(present, changes, keys, 1); got.Lost != 0 || math.Abs(float64(got.Made)-want) > 0.1*want {
		t.Errorf("places, no patience: got %+v, want %.0f copies", got, want)
	}

	// All departures are for good: every rule makes a copy for each one, and places one more for the newcomer.
	d.Permanent = 1
	present, changes = d.trace(1)
	for _, c := range []struct {
		p    policy
		want float64
	}{
		{policy{N: n, Foreknowing: true}, want},
		{policy{N: n}, want},
		{policy{N: n, Foreknowing: true, Placed: true}, 2 * want},
		{policy{N: n, Placed: true}, 2 * want},
	} {
		if got := c.p.replay(present, changes, keys, 1); got.Lost != 0 || math.Abs(float64(got.Made)-c.want) > 0.1*c.want {
			t.Errorf("%+v, all for good: got %+v, want %.0f copies", c.p, got, c.want)
		}
	}
	// Nobody makes copies in time.
	if got := (policy{N: n, Delay: 1e6 * time.Hour}).replay(present, changes, keys, 1); got.Lost != keys || got.Made != 0 {
		t.Errorf("no repair, all for good: got %+v, want all %d keys lost", got, keys)
	}
}

// TestBirthDeath: the process agrees with what can be computed by hand.
func TestBirthDeath(t *testing.T) {
	// Without repair and return, each of N copies is gone for good with 1 - e^-t.
	b := birthDeath{N: 3, Leave: 1, Permanent: 1, Repair: 1e-9}
	if got, want := b.over(0.5).Lost, math.Pow(1-math.Exp(-0.5), 3); math.Abs(got-want) > 0.05*want {
		t.Errorf("no repair: lost with %v, want %v", got, want)
	}
	// Two copies and fast repair: 2 * leave^2 / repair a second.
	b = birthDeath{N: 2, Leave: 0.01, Permanent: 1, Repair: 10}
	if got, want := b.over(1000).Lost, 1-math.Exp(-1000*2*0.01*0.01/10); math.Abs(got-want) > 0.05*want {
		t.Errorf("fast repair: lost with %v, want %v", got, want)
	}
	// Nothing is for good and nothing is repaired: all are away as often as each is, to the power of N.
	b = birthDeath{N: 2, Leave: 1, Return: 3, Repair: 1e-9}
	if got := b.over(1000); math.Abs(got.Hidden-1.0/16) > 0.003 || got.Lost != 0 {
		t.Errorf("no repair, all come back: got %+v, want hidden 1/16", got)
	}
}
