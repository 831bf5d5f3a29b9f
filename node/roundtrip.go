package node

import (
	"sync/atomic"
	"time"
)

// roundTrips remembers how long the answers of other processes take: mean and mean deviation, as TCP does [Jacobson 1988], from every call that is
// answered. It bounds how long a call waits: the mean plus four deviations is what Bamboo [Rhea et al. 2004, section 4.3] found necessary under
// churn, where a fixed time-out doubled the latency of lookups.
//
// It is a cache, not a record: a peer has one of a few places by the hash of its address, peers of one hash share an estimate, and a newcomer takes
// the place of another when all of its are taken. So it is small enough for a million processes in one program, and read without a lock.
type roundTrips struct {
	table atomic.Pointer[[]tripRow] // its length is a power of two
}

// tripRow is the places that a peer can have: one cache line of estimates. A table grows when one of its rows is full.
type tripRow [8]atomic.Uint64

// mostTrips is how many rows a table has at most: 32 KB, with places for as many peers as there are in the routing table.
const mostTrips = 512

// estimate is what is known of one peer: 24 bits of the hash of its address, then mean and deviation in 20 bits each, in units of tripUnit. Zero is none.
type estimate uint64

const (
	tripUnit = 4 * time.Microsecond
	tripBits = 20
	tripMask = 1<<tripBits - 1
	tripMax  = tripMask * tripUnit // 4.2 s
)

func newEstimate(hash uint64, mean, dev time.Duration) estimate {
	return estimate(hash<<(2*tripBits) | tripUnits(mean)<<tripBits | tripUnits(dev))
}

func tripUnits(d time.Duration) uint64 { return uint64(min(max(d, 0), tripMax) / tripUnit) }

func (e estimate) hash() uint64        { return uint64(e) >> (2 * tripBits) }
func (e estimate) mean() time.Duration { return time.Duration(e>>tripBits&tripMask) * tripUnit }
func (e estimate) dev() time.Duration  { return time.Duration(e&tripMask) * tripUnit }

// observe returns the estimate after one more round trip.
func (e estimate) observe(rtt time.Duration) estimate {
	off := rtt - e.mean()
	return newEstimate(e.hash(), e.mean()+off/8, e.dev()+(max(off, -off)-e.dev())/4)
}

// tripHash is FNV-1a, scrambled, because addresses that differ in the last character alone hardly differ in its high bits, and cut to 24 bits that are not all zero.
func tripHash(addr string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(addr) {
		h = (h ^ uint64(addr[i])) * 1099511628211
	}
	h = (h ^ h>>32) * 0xbf58476d1ce4e5b9
	return max(h>>40, 1)
}

// findTrip returns the estimate of a peer and its place. If there is none, the place is one that it may take; nil if all are taken.
func findTrip(table []tripRow, hash uint64) (estimate, *atomic.Uint64) {
	var free *atomic.Uint64
	row := rowOf(table, hash)
	for i := range row {
		place := &row[i]
		e := estimate(place.Load())
		if e != 0 && e.hash() == hash {
			return e, place
		}
		if e == 0 && free == nil {
			free = place
		}
	}
	return 0, free
}

// rowOf returns the row of a table that has the places of a peer.
func rowOf(table []tripRow, hash uint64) *tripRow { return &table[hash>>1&uint64(len(table)-1)] }

// of returns the estimate of a peer, zero if there is none.
func (t *roundTrips) of(addr string) estimate {
	table := t.table.Load()
	if table == nil {
		return 0
	}
	e, _ := findTrip(*table, tripHash(addr))
	return e
}

// observe takes note of how long a peer took to answer.
func (t *roundTrips) observe(addr string, rtt time.Duration) { t.note(addr, rtt, true) }

// glimpse is observe for one of very many peers, whoever they are: it takes the place of nobody else.
func (t *roundTrips) glimpse(addr string, rtt time.Duration) { t.note(addr, rtt, false) }

func (t *roundTrips) note(addr string, rtt time.Duration, evicts bool) {
	if rtt < 0 {
		return // the clock was set back
	}
	hash := tripHash(addr)
	e, place := t.place(hash)
	switch {
	case e != 0:
		place.CompareAndSwap(uint64(e), uint64(e.observe(rtt))) // else another call was first: one is enough
		return
	case place == nil && !evicts:
		return
	case place == nil:
		place = &rowOf(*t.table.Load(), hash)[hash>>21&7]
	}
	place.Store(uint64(newEstimate(hash, rtt, rtt/2)))
}

// place is findTrip in the table, which grows if all places of the peer are taken and it may.
func (t *roundTrips) place(hash uint64) (estimate, *atomic.Uint64) {
	// Bound: the table is larger each time around.
	for rows := 1; ; rows *= 2 {
		table := t.sized(rows)
		rows = len(table)
		if e, place := findTrip(table, hash); place != nil || rows >= mostTrips {
			return e, place
		}
	}
}

// sized returns the table, which it grows to at least so many rows.
func (t *roundTrips) sized(rows int) []tripRow {
	// Bound: another task has grown it each time around.
	for {
		old := t.table.Load()
		if old != nil && len(*old) >= rows {
			return *old
		}
		table := make([]tripRow, rows)
		if old != nil {
			for i := range len(*old) * len(tripRow{}) {
				e := (*old)[i/len(tripRow{})][i%len(tripRow{})].Load()
				if _, place := findTrip(table, estimate(e).hash()); e != 0 && place != nil {
					place.Store(e)
				}
			}
		}
		if t.table.CompareAndSwap(old, &table) {
			return table
		}
	}
}
