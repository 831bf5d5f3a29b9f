package experiment

import "slices"

// birthDeath is what theory says of the copies of one key: a birth-death process, as in Chun et al., NSDI 2006, section 3, and Ramabhadran and
// Pasquale, INFOCOM 2006, with copies that are away for a time beside those that are lost. All times are exponential and independent.
//
// A state is (up, away): copies on disks that can be reached, and copies on disks that will come back. Of N copies wanted the missing ones are made by
// those that are up, each after 1/Repair in the mean; a copy that comes back to N others is dropped.
type birthDeath struct {
	N         int     // copies wanted
	Leave     float64 // departures of a process per second
	Permanent float64 // share of them that are for good
	Return    float64 // per second of an absent one
	Repair    float64 // per second of a missing copy
}

// fate is what becomes of a key.
type fate struct {
	Lost   float64 // probability that no copy is left, on any disk
	Hidden float64 // share of the time in which no copy is up, but some will be
}

// over returns what becomes within so many seconds of a key that has N copies up at first.
//
// It goes in steps so short that in one of them nearly nothing happens, whatever the state: the error is a percent or two.
func (b birthDeath) over(seconds float64) (f fate) {
	most := 3 * b.N // absent copies that are told apart; more are as good as that many
	at := func(up, away int) int { return up*(most+1) + away }
	fastest := float64(b.N+most)*(b.Leave+b.Return) + float64(b.N)*b.Repair
	steps := max(1, int(16*fastest*seconds))
	dt := seconds / float64(steps)
	p := make([]float64, (b.N+1)*(most+1))
	p[at(b.N, 0)] = 1
	next := slices.Clone(p)
	for range steps {
		copy(next, p)
		for up := range b.N + 1 {
			for away := range most + 1 {
				here := p[at(up, away)]
				if here == 0 {
					continue
				}
				move := func(rate float64, up2, away2 int) {
					flow := here * rate * dt
					next[at(up, away)] -= flow
					next[at(up2, away2)] += flow
				}
				if up > 0 {
					move(float64(up)*b.Leave*b.Permanent, up-1, away)
					move(float64(up)*b.Leave*(1-b.Permanent), up-1, min(most, away+1))
					if missing := b.N - up; missing > 0 {
						move(float64(missing)*b.Repair, up+1, away)
					}
				} else if away > 0 {
					f.Hidden += here * dt / seconds
				}
				if away > 0 {
					move(float64(away)*b.Return, min(b.N, up+1), away-1)
				}
			}
		}
		p, next = next, p
	}
	f.Lost = p[at(0, 0)]
	return f
}
