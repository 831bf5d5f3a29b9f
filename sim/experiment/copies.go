package experiment

import (
	"slices"
	"time"

	"github.com/chordkv/chord/sim"
)

// policy is a way to keep N copies of every key while processes come and go. replay executes it on keys, disks and a trace, and nothing else: no network, no
// code of the node. What the shipped code costs is compared with it.
type policy struct {
	N int
	// Delay is how long after a departure the copies are made that it makes necessary, if who went is not back by then.
	Delay time.Duration
	// Foreknowing: only departures for good count: the oracle of Chun et al., NSDI 2006.
	Foreknowing bool
	// Placed: copies belong on the first N processes clockwise from the key, as in Chord: who comes gets those of his arc, and what is elsewhere is
	// dropped. Otherwise a copy stays wherever it is and counts again when it is back: with Delay 0 that is Carbonite.
	Placed bool
}

// replayed is what came of a policy.
type replayed struct {
	Made int // copies
	Lost int // keys of which no disk is left
}

// replay executes the policy for so many keys over a trace.
func (p policy) replay(present []bool, changes []change, keys int, seed uint64) replayed {
	c := &copying{
		policy: p, r: sim.NewRand(seed, "replay", 0), up: slices.Clone(present), counts: slices.Clone(present), absence: make([]int, len(present)),
		place: make([]uint64, len(present)), keys: make([]uint64, keys), holders: make([][]int32, keys), held: make([][]int32, len(present)),
	}
	for seat := range c.place {
		c.settle(seat)
	}
	for k := range c.keys {
		c.keys[k] = c.r.Uint64()
	}
	slices.Sort(c.keys)
	for k := range c.keys {
		for _, seat := range c.next(c.keys[k], p.N, c.counts) {
			c.store(k, seat)
		}
	}
	for _, ch := range changes {
		c.checkUntil(ch.At)
		if ch.Up {
			c.comes(ch.Seat)
		} else {
			c.goes(ch)
		}
	}
	for k := range c.holders {
		if len(c.holders[k]) == 0 {
			c.out.Lost++
		}
	}
	return c.out
}

// copying is a replay under way.
type copying struct {
	policy
	r   *sim.Rand
	out replayed

	up      []bool   // by seat
	counts  []bool   // by seat: its copies are relied on
	absence []int    // by seat: how often it was left
	place   []uint64 // by seat: where on the ring it is
	order   []int32  // seats, clockwise

	keys    []uint64  // places, clockwise
	holders [][]int32 // by key: seats whose disks have it
	held    [][]int32 // by seat: keys that its disk had at some time

	checks []check // in the order in which they are due, as the departures were
}

// settle gives a seat a new place on the ring.
func (c *copying) settle(seat int) {
	if i := slices.Index(c.order, int32(seat)); i >= 0 {
		c.order = slices.Delete(c.order, i, i+1)
	}
	c.place[seat] = c.r.Uint64()
	c.order = slices.Insert(c.order, c.from(c.place[seat]), int32(seat))
}

// from returns the index in order of the first seat from a place on.
func (c *copying) from(place uint64) int {
	i, _ := slices.BinarySearchFunc(c.order, place, func(s int32, at uint64) int {
		if c.place[s] < at {
			return -1
		}
		return +1
	})
	return i
}

// next returns the first n of the seats clockwise from a place of which among holds, fewer if there are not so many.
func (c *copying) next(place uint64, n int, among []bool) (seats []int) {
	first := c.from(place)
	for i := range c.order {
		if s := int(c.order[(first+i)%len(c.order)]); among[s] {
			if seats = append(seats, s); len(seats) == n {
				break
			}
		}
	}
	return seats
}

func (c *copying) store(k, seat int) {
	c.holders[k] = append(c.holders[k], int32(seat))
	c.held[seat] = append(c.held[seat], int32(k))
}

func (c *copying) goes(ch change) {
	c.up[ch.Seat] = false
	c.absence[ch.Seat]++
	gone := check{at: ch.At + c.Delay, seat: ch.Seat, absence: c.absence[ch.Seat], keys: c.disk(ch.Seat), lost: ch.Lost}
	if ch.Lost {
		for _, k := range gone.keys {
			c.holders[k] = slices.DeleteFunc(c.holders[k], func(s int32) bool { return int(s) == ch.Seat })
		}
		c.held[ch.Seat] = nil
	}
	if ch.Lost || !c.Foreknowing {
		c.checks = append(c.checks, gone)
	}
}

// disk returns the keys of which a seat has a copy.
func (c *copying) disk(seat int) []int32 {
	slices.Sort(c.held[seat])
	c.held[seat] = slices.DeleteFunc(slices.Compact(c.held[seat]), func(k int32) bool { return !slices.Contains(c.holders[k], int32(seat)) })
	return slices.Clone(c.held[seat])
}

func (c *copying) checkUntil(t time.Duration) {
	for len(c.checks) > 0 && c.checks[0].at <= t {
		g := c.checks[0]
		c.checks = c.checks[1:]
		if !g.lost && (c.up[g.seat] || c.absence[g.seat] != g.absence) {
			continue
		}
		if c.absence[g.seat] == g.absence && !c.up[g.seat] {
			c.counts[g.seat] = false
		}
		for _, k := range g.keys {
			c.repair(int(k))
		}
	}
}

func (c *copying) comes(seat int) {
	if c.held[seat] == nil {
		c.settle(seat)
	}
	c.up[seat], c.counts[seat] = true, true
	keys := c.disk(seat)
	if c.Placed {
		keys = append(keys, c.arcs(seat)...)
	}
	for _, k := range keys {
		c.repair(int(k))
	}
}

// arcs returns the keys of which a seat should have a copy: those behind the N-th that counts before it.
func (c *copying) arcs(seat int) (keys []int32) {
	at, left := c.from(c.place[seat]), c.N
	before := c.place[seat]
	for i := 1; i < len(c.order) && left > 0; i++ {
		if s := c.order[(at-i+len(c.order))%len(c.order)]; c.counts[s] {
			before = c.place[s]
			left--
		}
	}
	first, _ := slices.BinarySearch(c.keys, before+1)
	for i := range c.keys {
		k := (first + i) % len(c.keys)
		if c.place[seat]-c.keys[k] >= c.place[seat]-before {
			break
		}
		keys = append(keys, int32(k))
	}
	return keys
}

// repair makes the copies of a key that are missing, if there is one to make them from.
func (c *copying) repair(k int) {
	if !slices.ContainsFunc(c.holders[k], func(s int32) bool { return c.up[s] }) {
		return
	}
	if !c.Placed {
		c.repairAnywhere(k)
		return
	}
	group := c.next(c.keys[k], c.N, c.counts)
	whole := true
	for _, s := range group {
		if has := slices.Contains(c.holders[k], int32(s)); !has && c.up[s] {
			c.store(k, s)
			c.out.Made++
		} else if !has {
			whole = false
		}
	}
	if whole {
		c.holders[k] = slices.DeleteFunc(c.holders[k], func(s int32) bool { return c.up[s] && !slices.Contains(group, int(s)) })
	}
}

func (c *copying) repairAnywhere(k int) {
	relied := 0
	for _, s := range c.holders[k] {
		if c.counts[s] || c.Foreknowing {
			relied++
		}
	}
	for _, s := range c.next(c.keys[k], c.N+len(c.holders[k]), c.up) {
		if relied >= c.N {
			return
		}
		if !slices.Contains(c.holders[k], int32(s)) {
			c.store(k, s)
			c.out.Made++
			relied++
		}
	}
}

// check is due some time after a departure.
type check struct {
	at      time.Duration
	seat    int
	absence int
	keys    []int32
	lost    bool
}
