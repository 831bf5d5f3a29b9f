package sim

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// Gossip is what processes hear about each other, as rpc/gossip tells them of the members of its memberlist: a model of when each of them hears, for gossip among
// so many, not the protocol itself. It is SWIM's (Das, Gupta, Motivala, DSN 2002) with memberlist's figures: a crash is noticed by a probe, objected to
// by nobody, and then spreads as an epidemic, which misses some, the more the less often each passes news on; a newcomer and a leave spread at once. A newcomer gets the whole list. Probes tell how far the others are. Each side of a partition (Net.Partition) takes
// the other for dead, and when it is over somebody finds out who looks for those lost, which spreads. Blocks, mutes, loss and pauses hinder nobody.
type Gossip struct {
	On         bool
	Probe      time.Duration // between two probes by a process; a process is probed that often on average
	Suspicion  int           // times Probe and the decimal logarithm of the number of processes: how long a suspect may object
	Spread     time.Duration // between two messages with news
	Fanout     int           // processes to which each goes
	News       int           // changes that one message has room for
	Retransmit int           // times the decimal logarithm of the number of processes, rounded up: how often each passes a change on
	Rejoin     time.Duration // between two looks by a process for those whom gossip has lost
	Missed     float64       // share of the news that misses a process when a partition is over
	Sync       time.Duration // within which it learns of it all the same

	Wrong  float64       // probability that with a change somebody else, who is well, is said to be dead too
	Object time.Duration // after which everybody hears that that was wrong
	Late   float64       // share of what is heard that is heard LateBy later
	LateBy time.Duration
}

// DefaultGossip returns the figures of rpc/gossip.DefaultConfig, memberlist and chordd, where no report is wrong or late.
func DefaultGossip() Gossip { return PacedGossip(time.Second) }

// PacedGossip is DefaultGossip at the pace of rpc/gossip.PacedConfig.
func PacedGossip(pace time.Duration) Gossip {
	g := Gossip{Probe: pace, Suspicion: 1, Spread: pace / 2, Fanout: 3, News: 10, Retransmit: 4, Rejoin: time.Minute, Missed: 0.15, Sync: 30 * pace, Object: 5 * pace}
	switch {
	case pace >= 20*time.Second:
		g.Retransmit = 1
	case pace >= 2*time.Second:
		g.Retransmit = 2
	}
	return g
}

// Detection draws how long after a crash the first of those among n members who probe takes it for certain.
func (g Gossip) Detection(n, probers int, r *Rand) time.Duration {
	probed := time.Duration(rand.New(r).ExpFloat64() * float64(g.Probe) * float64(n) / float64(max(probers, 1)))
	objects := float64(g.Suspicion) * max(1, math.Log10(float64(max(n, 1))))
	return probed + g.Probe + time.Duration(objects*float64(g.Probe))
}

// Reach draws how long one of so many changes that come together takes to one of n other processes: logistic growth of those who know, each of whom tells Fanout
// others every Spread, not all at the same time, as much as a message has room for.
func (g Gossip) Reach(n, changes int, r *Rand) time.Duration {
	const edge = 1e-3 // the very first and last are drawn from a curve that has no end
	u := min(max(r.Float64(), edge), 1-edge)
	rounds := math.Log(float64(max(n, 1))*u/(1-u)) / float64(g.Fanout)
	crowd := max(1, float64(changes)/float64(g.Fanout*g.News))
	return time.Duration(max(rounds, 0) * crowd * float64(g.Spread))
}

// Reunion draws how long after the end of a partition the first of n processes looks for those it has lost.
func (g Gossip) Reunion(n int, r *Rand) time.Duration {
	return time.Duration(rand.New(r).ExpFloat64() * float64(g.Rejoin) / float64(max(n, 1)))
}

// Return draws how long it takes then until one of n processes hears that one of so many is not dead. That one first has to hear itself what is said, by news or
// by a probe, and to object; of so much news some is missed, until the next exchange of everything.
func (g Gossip) Return(n, changes int, r *Rand) time.Duration {
	told := time.Duration(rand.New(r).ExpFloat64() * float64(g.Probe))
	took := g.Reach(n, changes, r) + told + g.Reach(n, changes, r)
	if r.chance(g.Missed) {
		took += time.Duration(r.Float64() * float64(g.Sync))
	}
	return took
}

// Misses returns the share of n members whom a change never reaches as news: the final size of an epidemic where each who knows tells so many others, Fanout different ones
// at a time. They hear of it by an exchange of everything.
func (g Gossip) Misses(n int) float64 {
	others := float64(n - 1)
	if others <= float64(g.Fanout) {
		return 0
	}
	spared := math.Pow(1-float64(g.Fanout)/others, float64(g.passes(n))/float64(g.Fanout)) // the probability that one who knows does not tell a given other
	misses := 0.
	for range 50 { // it converges, the slower the closer passes is to one
		misses = math.Pow(spared, others*(1-misses))
	}
	return misses
}

// passes returns how often each of n members passes a change on.
func (g Gossip) passes(n int) int { return g.Retransmit * int(math.Ceil(math.Log10(float64(n+1)))) }

// problems returns what is wrong with the figures, by the names that a scenario has for them.
func (g Gossip) problems() []Problem {
	var v validator
	v.duration("probe", g.Probe, time.Millisecond)
	v.count("suspicion", g.Suspicion, 1, 1000)
	v.duration("spread", g.Spread, time.Millisecond)
	v.count("fanout", g.Fanout, 1, 1000)
	v.count("news", g.News, 1, 1000)
	v.count("retransmit", g.Retransmit, 1, 1000)
	v.duration("rejoin", g.Rejoin, time.Millisecond)
	v.fraction("missed", g.Missed)
	v.duration("sync", g.Sync, 0)
	v.fraction("wrong", g.Wrong)
	v.duration("object", g.Object, 0)
	v.fraction("late", g.Late)
	v.duration("late-by", g.LateBy, 0)
	return v.problems
}

// gossiping is the gossip of a world.
type gossiping struct {
	Gossip
	w      *World
	rand   Rand
	ways   Rand              // of the latency of probes
	talks  Rand              // who exchanges everything with whom, and when
	misses Rand              // whom news misses
	alive  []*member         // by what has been noticed, by identifier of the first node
	latest map[int32]*member // by number of the host

	groups []int32 // by host, as in Net, when members last heard of partitions
	parted bool    // the network's have changed since
}

// member is a process from its joining the ring to its end.
type member struct {
	host  *Host
	nodes []ring.Ref
	up    bool

	missed []func() // have it told what news has not, when it exchanges everything with somebody
}

func (g *gossiping) init(w *World) {
	g.Gossip, g.w, g.rand = w.options.Gossip, w, stream(w.options.Seed, "gossip", 0)
	g.ways = stream(w.options.Seed, "probes", 0)
	g.talks = stream(w.options.Seed, "exchanges", 0)
	g.misses = stream(w.options.Seed, "misses", 0)
	g.latest = make(map[int32]*member)
}

// place returns where a member, or the one that the same process was before, is among those alive, or would be.
func (g *gossiping) place(m *member) (at int, found bool) {
	return slices.BinarySearchFunc(g.alive, m.nodes[0].ID, func(m *member, id ring.ID) int { return m.nodes[0].ID.Compare(id) })
}

// joined is called when the process of a host has become a member of the ring.
func (g *gossiping) joined(h *Host) {
	if !g.On {
		return
	}
	m := &member{host: h, nodes: h.process.Nodes(), up: true}
	g.latest[h.number] = m
	if at, found := g.place(m); found {
		g.alive[at] = m
	} else {
		g.alive = slices.Insert(g.alive, at, m)
	}
	g.introduce(m, slices.Clone(g.alive))
	g.probe(m, g.ways.IntN(len(g.alive)))
	g.exchange(m)
	if o := g.alive[g.talks.IntN(len(g.alive))]; o.up {
		h.process.HearSightings(o.host.process.Sightings(true))
	}
	g.tell(m, 0, (*node.Process).HearAlive, m.isUp)
	g.alarm(m)
}

func (m *member) isUp() bool { return m.up }

// begin is joined for the processes of a ring that is there at once: all know each other.
func (g *gossiping) begin(hosts []*Host) {
	if !g.On {
		return
	}
	for _, h := range hosts {
		g.latest[h.number] = &member{host: h, nodes: h.process.Nodes(), up: true}
		g.alive = append(g.alive, g.latest[h.number])
	}
	slices.SortFunc(g.alive, func(a, b *member) int { return a.nodes[0].ID.Compare(b.nodes[0].ID) })
	for _, m := range g.alive {
		g.introduce(m, g.alive)
		g.probe(m, g.ways.IntN(len(g.alive)))
		g.exchange(m)
	}
}

// probesAtOnce is how many probes of a member are told of together: nothing hangs on a single one.
const probesAtOnce = 20

// probe tells a member how long its next probes have taken, of one member after the other by identifier from the one that it begins with on.
func (g *gossiping) probe(m *member, from int) {
	hostRuntime{m.host}.AfterFunc(probesAtOnce*g.Probe, func() {
		for range min(probesAtOnce, len(g.alive)) {
			from = (from + 1) % len(g.alive)
			o := g.alive[from]
			if o.up && o != m && g.w.net.Reaches(m.host, o.host) && g.w.net.Reaches(o.host, m.host) {
				if rtt := g.w.net.distance(m.host, o.host, &g.ways) + g.w.net.distance(o.host, m.host, &g.ways); rtt <= g.Probe/2 { // else memberlist asks others to probe, who tell nothing
					m.host.process.HearRoundTrip(o.nodes[0].Addr, rtt, o.host.process.Coordinate())
				}
			}
		}
		g.probe(m, from)
	})
}

// exchange has a member and some other tell each other where the processes are of which they know that, now and then.
func (g *gossiping) exchange(m *member) {
	wait := g.syncInterval(len(g.alive))
	wait = wait/2 + time.Duration(g.talks.Float64()*float64(wait))
	hostRuntime{m.host}.AfterFunc(wait, func() {
		if o := g.alive[g.talks.IntN(len(g.alive))]; o.up && o != m && g.w.net.Reaches(m.host, o.host) && g.w.net.Reaches(o.host, m.host) {
			a, b := m.host.process, o.host.process
			theirs := b.Sightings(false)
			b.HearSightings(a.Sightings(false))
			a.HearSightings(theirs)
			g.catchUp(m)
			g.catchUp(o)
		}
		g.exchange(m)
	})
}

// catchUp has a member told what news has missed it with.
func (g *gossiping) catchUp(m *member) {
	missed := m.missed
	m.missed = nil
	for _, told := range missed {
		told()
	}
}

// syncInterval returns how long it is between two exchanges of everything by one of n members: memberlist makes them rarer in large clusters.
func (g Gossip) syncInterval(n int) time.Duration {
	return g.Sync * time.Duration(max(1, 1+math.Ceil(math.Log2(float64(max(n, 1)))-math.Log2(32))))
}

// introduce gives a newcomer the whole list.
func (g *gossiping) introduce(m *member, others []*member) {
	m.host.Go(func() {
		for _, o := range others {
			if o != m && g.together(m, o) {
				m.host.process.HearAlive(context.Background(), o.nodes)
			}
		}
	})
}

// leaves is called when the process of a host has left the ring, and is about to end.
func (g *gossiping) leaves(h *Host) { g.lost(h, 0, (*node.Process).HearLeft) }

// gone is called when the process of a host ends.
func (g *gossiping) gone(h *Host) {
	g.lost(h, g.Detection(len(g.alive), len(g.alive), &g.rand), (*node.Process).HearDead)
}

// lost has everybody hear that a member is no more, from some time on. What comes first counts.
func (g *gossiping) lost(h *Host, noticed time.Duration, hear hearing) {
	m := g.latest[h.number]
	if m == nil || !m.up {
		return
	}
	m.up = false
	g.w.At(g.w.now+noticed, func() {
		if at, found := g.place(m); found && g.alive[at] == m {
			g.alive = slices.Delete(g.alive, at, at+1)
		}
	})
	g.tell(m, noticed, hear, func() bool {
		now := g.latest[h.number]
		return !now.up || now.nodes[0] != m.nodes[0]
	})
	g.alarm(m)
}

// alarm has somebody else who is well be said to be dead, if chance wants it.
func (g *gossiping) alarm(but *member) {
	if !g.rand.chance(g.Wrong) {
		return
	}
	m := g.alive[g.rand.IntN(len(g.alive))]
	if m == but || !m.up {
		return
	}
	g.tell(m, 0, (*node.Process).HearDead, m.isUp)
	g.tell(m, g.Object, (*node.Process).HearAlive, m.isUp)
}

// hearing is what a member is told of another.
type hearing func(p *node.Process, ctx context.Context, nodes []ring.Ref)

// tell has each of the others that are on its side hear something about a member, each at its time, if it still holds then.
func (g *gossiping) tell(m *member, noticed time.Duration, hear hearing, holds func() bool) {
	n, missed, now := len(g.alive), g.Misses(len(g.alive)), g.w.now
	for _, o := range g.alive {
		if o != m && o.up && g.together(m, o) {
			after := noticed + g.Reach(n, 1, &g.rand)
			if g.misses.chance(missed) {
				o.missed = append(o.missed, func() { g.tellOne(o, m, max(0, now+after-g.w.now), hear, holds) })
				continue
			}
			g.tellOne(o, m, after, hear, holds)
		}
	}
}

func (g *gossiping) tellOne(o, m *member, after time.Duration, hear hearing, holds func() bool) {
	if g.rand.chance(g.Late) {
		after += g.LateBy
	}
	hostRuntime{o.host}.AfterFunc(after, func() {
		if holds() {
			hear(o.host.process, context.Background(), m.nodes)
		}
	})
}

// together reports whether two members were on the same side when it was last looked at.
func (g *gossiping) together(a, b *member) bool { return sameSide(g.groups, a, b) }

// sameSide reports whether two members are in the same of the groups, which are those of Net.
func sameSide(groups []int32, a, b *member) bool {
	return at(groups, a.host.number) == at(groups, b.host.number)
}

// repart is called when the partitions of the network change, maybe host by host.
func (g *gossiping) repart() {
	if g.On && !g.parted {
		g.parted = true
		g.w.At(g.w.now, g.part)
	}
}

// part has members hear of those who are out of their reach since the partitions have changed, or back.
func (g *gossiping) part() {
	before := g.groups
	g.groups, g.parted = slices.Clone(g.w.net.groups), false
	sizes := map[int32]int{} // of the sides
	for _, m := range g.alive {
		sizes[at(g.groups, m.host.number)]++
	}
	n, reunion := len(g.alive), g.Reunion(len(g.alive), &g.rand)
	for _, m := range g.alive {
		noticed := map[int32]time.Duration{} // by each of the other sides
		for _, o := range g.alive {
			if o == m || !m.up || !o.up || sameSide(before, m, o) == g.together(m, o) {
				continue
			}
			if g.together(m, o) {
				g.tellOne(o, m, reunion+g.Return(n, n/2, &g.rand), (*node.Process).HearAlive, func() bool { return m.up && g.together(m, o) })
				continue
			}
			side := at(g.groups, o.host.number)
			if _, ok := noticed[side]; !ok {
				noticed[side] = g.Detection(n, sizes[side], &g.rand)
			}
			g.tellOne(o, m, noticed[side]+g.Reach(sizes[side], n-sizes[side], &g.rand), (*node.Process).HearDead, func() bool { return !g.together(m, o) })
		}
	}
}
