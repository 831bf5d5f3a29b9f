package node

import "time"

// A Sighting is where a process is said to be: 24 bits of the hash of its address, and a Coordinate. It is what processes tell each other of third ones, so that each
// knows how far most others are long before it has called or probed them. Like all hearsay it is never believed: who is asked first depends on it, not what counts.
type Sighting uint64

func newSighting(addr string, at Coordinate) Sighting {
	return Sighting(peerHash(addr)<<peerBits | uint64(at))
}

func (s Sighting) hash() uint64   { return uint64(s) >> peerBits }
func (s Sighting) at() Coordinate { return Coordinate(s & (1<<peerBits - 1)) }

// places has a sighting of each of many processes.
type places struct{ peerTable }

// see takes in what a process says of itself.
func (t *places) see(s Sighting) {
	_, place := t.place(s.hash())
	if place == nil {
		place = t.taken(s.hash())
	}
	place.Store(uint64(s))
}

// hear takes in what another says of it, unless what is known is more exact; it drives nobody out.
func (t *places) hear(s Sighting) {
	word, place := t.place(s.hash())
	if place != nil && (word == 0 || s.at().Error() <= Sighting(word).at().Error()) {
		place.CompareAndSwap(word, uint64(s)) // else another task was first: one is enough
	}
}

// of returns where a process is, zero if nobody has said.
func (t *places) of(addr string) Coordinate {
	if t.table.Load() == nil {
		return 0
	}
	return Sighting(t.find(peerHash(addr))).at()
}

// Coordinate returns where the process is: somewhere, with an error of 1, before it has learned how far others are.
func (p *Process) Coordinate() Coordinate {
	return max(Coordinate(p.memory.place.Load()), newcomer.coordinate())
}

// maxSightings is how many are told to a member at a time: among a thousand they come to one byte in forty of what gossip tells it then.
const maxSightings = 512

// Sightings returns what the process can tell another of where third ones are: all that it knows if that is a newcomer, else a part, another each time.
func (p *Process) Sightings(newcomer bool) (sightings []Sighting) {
	table := p.places.table.Load()
	if table == nil {
		return nil
	}
	rows, first := uint64(len(*table)), p.rt.Uint64()
	for i := range rows {
		row := &(*table)[(first+i)%rows]
		for j := range row {
			if s := Sighting(row[j].Load()); s != 0 {
				sightings = append(sightings, s)
			}
		}
		if !newcomer && len(sightings) >= maxSightings {
			return sightings[:maxSightings]
		}
	}
	return sightings
}

// HearSightings takes in what another process tells of where third ones are.
func (p *Process) HearSightings(sightings []Sighting) {
	for _, s := range sightings {
		if s.hash() != 0 && !s.at().IsZero() {
			p.places.hear(s)
		}
	}
}

// tolerable is the error up to which a coordinate says something. One that begins anew has 1, one among others that are at rest about 0.15.
const tolerable = 0.4

// guess returns about how long the round trip to a process takes that has never been measured, 0 if nobody can tell.
func (p *Process) guess(addr string) time.Duration {
	own, at := Coordinate(p.memory.place.Load()), p.places.of(addr)
	if own.IsZero() || at.IsZero() || own.Error() > tolerable || at.Error() > tolerable {
		return 0
	}
	return max(own.RoundTrip(at), coordinateUnit)
}
