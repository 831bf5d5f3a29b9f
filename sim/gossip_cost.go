package sim

import (
	"math"
)

// GossipCost is what a member of gossip sends, in bytes a second by the model of p2psim: 20 for a message, and 4 for each process that is named in it.
type GossipCost struct {
	Probes    float64 // and the answers to them
	News      float64
	Exchanges float64 // of everything
}

// Total returns the sum.
func (c GossipCost) Total() float64 { return c.Probes + c.News + c.Exchanges }

const (
	coordinateBytes = 5   // with the answer to a probe
	sightingBytes   = 8   // in an exchange
	maxSightings    = 512 // in an exchange with somebody who is no newcomer
)

// Cost returns what gossip among n members costs each, where so many join and die a second. A newcomer is one piece of news, which names him; a death is two, a suspicion and a
// certainty, which name who says so too. Each member passes each on Retransmit times the decimal logarithm of n, with probes and their answers and, while it has any, with
// messages of its own. Probes that others are asked for are left out: there are few.
func (g Gossip) Cost(n int, joins, deaths float64) GossipCost {
	size := float64(n)
	probes := 2 / g.Probe.Seconds() // and answers
	spreads := float64(g.Fanout) / g.Spread.Seconds()
	times := float64(g.Retransmit) * math.Ceil(math.Log10(size+1))
	pending := (joins + 2*deaths) * times / (probes + spreads) // in the mean
	everything := headerBytes + nodeBytes*size
	told := sightingBytes * min(size, maxSightings)
	return GossipCost{
		Probes:    probes * (headerBytes + coordinateBytes/2.),
		News:      spreads*(1-math.Exp(-pending))*headerBytes + (joins+4*deaths)*times*nodeBytes,
		Exchanges: 2*(everything+told)/g.syncInterval(n).Seconds() + joins/size*2*(everything+sightingBytes*size),
	}
}
