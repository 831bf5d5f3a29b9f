package experiment

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/chordkv/chord/sim"
)

// departures is how the processes of a storage system come and go: each is there for a time, goes without a word, and after a time comes back, with
// its disk or, if that is lost for good, as a new one without.
type departures struct {
	Seats     int           // places, each taken by one process or by nobody
	Up, Down  time.Duration // means of the time that a seat is taken, and is not
	Shape     float64       // of both, as Weibull distributions; 1 is exponential
	Permanent float64       // share of the departures that take the disk along
	Duration  time.Duration
}

// change is one event: somebody goes, or comes.
type change struct {
	At   time.Duration
	Seat int
	Up   bool
	Lost bool // of a departure: the disk with it
}

// shapes are the distributions that experiments name: 0.5 is what the sessions of KAD have (Steiner et al., ToN 2009).
var shapes = map[string]float64{"exponential": 1, "weibull": 0.5}

func shapeOf(name string) (float64, error) {
	k, ok := shapes[name]
	if !ok {
		return 0, fmt.Errorf("no distribution %q: there are exponential and weibull", name)
	}
	return k, nil
}

// draw returns a time with the given mean.
func (d departures) draw(mean time.Duration, r *sim.Rand) time.Duration {
	return time.Duration(float64(mean) / math.Gamma(1+1/d.Shape) * math.Pow(-math.Log1p(-r.Float64()), 1/d.Shape))
}

// trace returns which seats are taken at first, and all changes in the order of time. Each seat has its own chance. The process began long
// before, so that it has no beginning that the rest of it is not like.
func (d departures) trace(seed uint64) (present []bool, changes []change) {
	present = make([]bool, d.Seats)
	for seat := range present {
		r := sim.NewRand(seed, "departures", seat)
		up := true
		for t := -20 * (d.Up + d.Down); t < d.Duration; up = !up {
			if t >= 0 {
				changes = append(changes, change{At: t, Seat: seat, Up: up, Lost: !up && r.Float64() < d.Permanent})
			} else {
				present[seat] = up
			}
			if up {
				t += d.draw(d.Up, r)
			} else {
				t += d.draw(d.Down, r)
			}
		}
	}
	slices.SortFunc(changes, func(a, b change) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Seat, b.Seat)) })
	return present, changes
}
