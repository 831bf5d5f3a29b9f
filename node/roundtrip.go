package node

import "time"

// roundTrips remembers how long the answers of other processes take: mean and mean deviation, as TCP does [Jacobson 1988], from every call that is
// answered. It bounds how long a call waits: the mean plus four deviations is what Bamboo [Rhea et al. 2004, section 4.3] found necessary under
// churn, where a fixed time-out doubled the latency of lookups. A newcomer takes the place of another when all of its are taken.
type roundTrips struct{ peerTable }

// estimate is what is known of one peer: the hash of its address, then mean and deviation in 20 bits each, in units of tripUnit. Zero is none.
type estimate uint64

const (
	tripUnit = 4 * time.Microsecond
	tripBits = peerBits / 2
	tripMask = 1<<tripBits - 1
	tripMax  = tripMask * tripUnit // 4.2 s
)

func newEstimate(hash uint64, mean, dev time.Duration) estimate {
	return estimate(hash<<peerBits | tripUnits(mean)<<tripBits | tripUnits(dev))
}

func tripUnits(d time.Duration) uint64 { return uint64(min(max(d, 0), tripMax) / tripUnit) }

func (e estimate) hash() uint64        { return uint64(e) >> peerBits }
func (e estimate) mean() time.Duration { return time.Duration(e>>tripBits&tripMask) * tripUnit }
func (e estimate) dev() time.Duration  { return time.Duration(e&tripMask) * tripUnit }

// observe returns the estimate after one more round trip.
func (e estimate) observe(rtt time.Duration) estimate {
	off := rtt - e.mean()
	return newEstimate(e.hash(), e.mean()+off/8, e.dev()+(max(off, -off)-e.dev())/4)
}

// of returns the estimate of a peer, zero if there is none.
func (t *roundTrips) of(addr string) estimate {
	if t.table.Load() == nil {
		return 0
	}
	return estimate(t.find(peerHash(addr)))
}

// observe takes note of how long a peer took to answer.
func (t *roundTrips) observe(addr string, rtt time.Duration) { t.note(addr, rtt, true) }

// glimpse is observe for one of very many peers, whoever they are: it takes the place of nobody else.
func (t *roundTrips) glimpse(addr string, rtt time.Duration) { t.note(addr, rtt, false) }

func (t *roundTrips) note(addr string, rtt time.Duration, evicts bool) {
	if rtt < 0 {
		return // the clock was set back
	}
	hash := peerHash(addr)
	word, place := t.place(hash)
	switch {
	case word != 0:
		place.CompareAndSwap(word, uint64(estimate(word).observe(rtt))) // else another call was first: one is enough
		return
	case place == nil && !evicts:
		return
	case place == nil:
		place = t.taken(hash)
	}
	place.Store(uint64(newEstimate(hash, rtt, rtt/2)))
}
