package sim

import (
	"math"
)

// GossipCost is what a member of gossip sends, in bytes a second by the model of p2psim: 20 for a message, and 4 for each process that is named in it.
type GossipCost struct {
	Probes    float64 // and the answers to them
	News      float64
	Exchanges float64 // of everything
	Sightings float64 // with these: where others are
}

// Total returns the sum.
func (c GossipCost) Total() float64 { return c.Probes + c.News + c.Exchanges + c.Sightings }

const (
	coordinateBytes = 5   // with the answer to a probe
	sightingBytes   = 8   // in an exchange
	maxSightings    = 512 // in an exchange with somebody who is no newcomer
	lingers         = 30  // times Probe: how long memberlist remembers the dead, and then until it has probed everybody once more
)

// Cost returns what gossip among n members costs each, where so many join and die a second. A newcomer is one piece of news, which names him; a death is two, a suspicion and a
// certainty, which name who says so too. Each member passes each on Retransmit times the decimal logarithm of all that it knows, the dead that it remembers among them, or as often as
// messages have room for, with probes and their answers and, while it has any, with messages of its own. In exchanges go the members and those dead. A newcomer is introduced to one
// member. Probes that others are asked for are left out: there are few.
func (g Gossip) Cost(n int, joins, deaths float64) GossipCost {
	size := float64(n)
	dead := deaths * (lingers + size/2) * g.Probe.Seconds()
	known := int(math.Round(size + dead))
	probes := 2 / g.Probe.Seconds() // and answers
	spreads := float64(g.Fanout) / g.Spread.Seconds()
	news := joins + 2*deaths
	times := float64(g.passes(known))
	if news > 0 {
		times = min(times, float64(g.News)*(probes+spreads)/news)
	}
	pending := news * times / (probes + spreads) // in the mean
	everything := headerBytes + nodeBytes*(size+dead)
	exchanges := g.exchanges(known, deaths/size)
	return GossipCost{
		Probes:    probes * (headerBytes + coordinateBytes/2.),
		News:      spreads*(1-math.Exp(-pending))*headerBytes + (joins+4*deaths)*times*nodeBytes,
		Exchanges: 2*everything*exchanges + joins/size*(headerBytes+nodeBytes+everything),
		Sightings: sightingBytes * (2*min(size, maxSightings)*exchanges + joins),
	}
}

// exchanges returns how often a second a member exchanges everything that knows so many and dies with a probability a second: memberlist's first time is after Sync at random and one
// interval, which many do not live to see.
func (g Gossip) exchanges(known int, mortality float64) float64 {
	interval, stagger := g.syncInterval(known).Seconds(), g.Sync.Seconds()
	if mortality*interval < 1e-6 {
		return 1 / interval
	}
	return -math.Expm1(-mortality*stagger) / stagger / math.Expm1(mortality*interval)
}
