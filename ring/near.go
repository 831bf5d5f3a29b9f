package ring

import "math"

// Greedy routing goes to the closest node before the identifier. That is one of many ways: one over a node a little farther from it may take as many hops
// and much less time, the more so near the end, where a whole successor list is to choose from [Gummadi et al., SIGCOMM 2003: proximity route selection]. Which
// way is best depends on the toll of the first hop, and on how many usual ones follow.

// A Toll is what it takes to go to a node, in any unit; 0 means that nobody knows.
type Toll func(Ref) float64

// patience is how much more than its toll a hop counts that is still to be made: below 1.25, lookups take hardly less time, but more calls.
const patience = 1.25

// way is a next hop, and what all of the way over it takes.
type way struct {
	via  Ref
	cost float64
}

// cheapest returns up to maxAlternatives nodes strictly between self and x, those first over which the way to x takes least: of those that take the same, the
// closest to x.
func (s *State) cheapest(x ID, avoid func(ID) bool, toll Toll) []Ref {
	var room [maxAlternatives]way
	ways, usual, hops := room[:0], s.usualToll(toll), s.hopsOver()
	for _, table := range [2][]Ref{s.fingers, s.succs} {
		for i := len(table) - 1; i >= 0; i-- {
			n := table[i]
			if !Between(s.self.ID, n.ID, x) || avoid != nil && avoid(n.ID) {
				continue
			}
			cost := toll(n)
			if cost == 0 {
				cost = usual
			}
			ways = insertWay(ways, way{n, cost + patience*usual*hops(Distance(n.ID, x))})
		}
	}
	nodes := make([]Ref, len(ways))
	for i := range ways {
		nodes[i] = ways[i].via
	}
	return nodes
}

// insertWay adds a way to others in the order of their costs, as long as there is room, at the expense of the last.
func insertWay(ways []way, w way) []way {
	at := len(ways)
	for at > 0 && w.cost < ways[at-1].cost {
		at--
	}
	if at == cap(ways) {
		return ways
	}
	ways = ways[:min(len(ways)+1, cap(ways))]
	copy(ways[at+1:], ways[at:])
	ways[at] = w
	return ways
}

// usualToll returns the mean toll to the fingers, to the successors if that to no finger is known, and 0 if nothing is.
func (s *State) usualToll(toll Toll) float64 {
	for _, table := range [2][]Ref{s.fingers, s.succs} {
		sum, known := 0.0, 0
		for _, n := range table {
			if t := toll(n); t > 0 {
				sum += t
				known++
			}
		}
		if known > 0 {
			return sum / float64(known)
		}
	}
	return 0
}

// hopsOver returns an estimate of the hops that a lookup makes over a distance, the one to the owner included, if all lists reach as far as this one: one within their
// reach, and (b-1)/b for each digit of base b beyond it [ToN, section IV-E; Li et al., INFOCOM 2005].
func (s *State) hopsOver() func(distance ID) float64 {
	const justBeyond = 1.7 // fitted to greedy routing
	reach := Distance(s.self.ID, s.Reach()).float()
	base, digit := float64(int(2)<<s.extra), float64(1+s.extra)
	perDoubling := (1 - 1/base) / digit
	return func(distance ID) float64 {
		times := distance.float() / reach
		if times <= 1 {
			return 1
		}
		fraction, exponent := math.Frexp(times)
		doublings := float64(exponent) + 2*fraction - 2 // the logarithm, straight between powers of two: it is no better an estimate than that
		return justBeyond + perDoubling*doublings
	}
}
