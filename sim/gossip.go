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
// by nobody, and then spreads as an epidemic; a newcomer and a leave spread at once. A newcomer gets the whole list. The model knows no partitions, and a
// process that is paused misses nothing.
type Gossip struct {
	On        bool
	Probe     time.Duration // between two probes by a process; a process is probed that often on average
	Suspicion int           // times Probe and the decimal logarithm of the number of processes: how long a suspect may object
	Spread    time.Duration // between two messages with news
	Fanout    int           // processes to which each goes

	Wrong  float64       // probability that with a change somebody else, who is well, is said to be dead too
	Object time.Duration // after which everybody hears that that was wrong
	Late   float64       // share of what is heard that is heard LateBy later
	LateBy time.Duration
}

// DefaultGossip returns the figures of rpc/gossip.DefaultConfig and memberlist, where no report is wrong or late.
func DefaultGossip() Gossip {
	return Gossip{Probe: 400 * time.Millisecond, Suspicion: 3, Spread: 200 * time.Millisecond, Fanout: 3, Object: 5 * time.Second}
}

// Detection draws how long after a crash the first of n other processes takes it for certain.
func (g Gossip) Detection(n int, r *Rand) time.Duration {
	probed := time.Duration(rand.New(r).ExpFloat64() * float64(g.Probe))
	objects := float64(g.Suspicion) * max(1, math.Log10(float64(max(n, 1))))
	return probed + g.Probe + time.Duration(objects*float64(g.Probe))
}

// Reach draws how long news takes to one of n other processes: logistic growth of those who know, each of whom tells Fanout others every Spread, not all at
// the same time.
func (g Gossip) Reach(n int, r *Rand) time.Duration {
	const edge = 1e-3 // the very first and last are drawn from a curve that has no end
	u := min(max(r.Float64(), edge), 1-edge)
	rounds := math.Log(float64(max(n, 1))*u/(1-u)) / float64(g.Fanout)
	return time.Duration(max(rounds, 0) * float64(g.Spread))
}

// problems returns what is wrong with the figures, by the names that a scenario has for them.
func (g Gossip) problems() []Problem {
	var v validator
	v.duration("probe", g.Probe, time.Millisecond)
	v.count("suspicion", g.Suspicion, 1, 1000)
	v.duration("spread", g.Spread, time.Millisecond)
	v.count("fanout", g.Fanout, 1, 1000)
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
	alive  []*member         // by what has been noticed, by identifier of the first node
	latest map[int32]*member // by number of the host
}

// member is a process from its joining the ring to its end.
type member struct {
	host  *Host
	nodes []ring.Ref
	up    bool
}

func (g *gossiping) init(w *World) {
	g.Gossip, g.w, g.rand = w.options.Gossip, w, stream(w.options.Seed, "gossip", 0)
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
	g.tell(m, 0, (*node.Process).HearAlive, func() bool { return m.up })
	g.alarm(m)
}

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
	}
}

// introduce gives a newcomer the whole list.
func (g *gossiping) introduce(m *member, others []*member) {
	m.host.Go(func() {
		for _, o := range others {
			if o != m {
				m.host.process.HearAlive(context.Background(), o.nodes)
			}
		}
	})
}

// leaves is called when the process of a host has left the ring, and is about to end.
func (g *gossiping) leaves(h *Host) { g.lost(h, 0) }

// gone is called when the process of a host ends.
func (g *gossiping) gone(h *Host) { g.lost(h, g.Detection(len(g.alive), &g.rand)) }

// lost has everybody hear that a member is no more, from some time on. What comes first counts.
func (g *gossiping) lost(h *Host, noticed time.Duration) {
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
	g.tell(m, noticed, (*node.Process).HearDead, func() bool {
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
	isUp := func() bool { return m.up }
	g.tell(m, 0, (*node.Process).HearDead, isUp)
	g.tell(m, g.Object, (*node.Process).HearAlive, isUp)
}

// tell has each of the others hear something about a member, each at its time, if it still holds then.
func (g *gossiping) tell(m *member, noticed time.Duration, hear func(p *node.Process, ctx context.Context, nodes []ring.Ref), holds func() bool) {
	for _, o := range g.alive {
		if o == m || !o.up {
			continue
		}
		after := noticed + g.Reach(len(g.alive), &g.rand)
		if g.rand.chance(g.Late) {
			after += g.LateBy
		}
		hostRuntime{o.host}.AfterFunc(after, func() {
			if holds() {
				hear(o.host.process, context.Background(), m.nodes)
			}
		})
	}
}
