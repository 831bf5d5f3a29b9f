package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/rpc/gossip"
)

const (
	// gossipMinRetry and gossipMaxRetry lie between two attempts to find gossip that is missing.
	gossipMinRetry = 200 * time.Millisecond
	gossipMaxRetry = time.Minute
	// gossipCheck is between two looks for processes that gossip has lost. memberlist forgets who was away for long.
	gossipCheck = 15 * time.Second
	// gossipSeeds is how many processes are asked in one round.
	gossipSeeds = 3
	// gossipLeaveTimeout bounds how long a stop waits until some have heard of it.
	gossipLeaveTimeout = time.Second
)

// chatter is the gossip of a process: nil without.
type chatter struct {
	listener *gossip.Listener

	mu     sync.Mutex
	gossip *gossip.Gossip // nil until the process is a member of a ring
}

// listenGossip binds the address for gossip, if there is to be any.
func (p *process) listenGossip() error {
	addr := p.cfg.gossipAddr()
	if addr == "" {
		return nil
	}
	l, err := gossip.Listen(addr)
	if err != nil {
		return explainListen(flagGossip, addr, err)
	}
	p.chatter = &chatter{listener: l}
	return nil
}

// gossipAddr returns where to gossip, by default at the port after that for nodes; empty if nowhere.
func (c Config) gossipAddr() string {
	switch c.Gossip {
	case off:
		return ""
	case "":
		return shiftPort(c.Listen, gossipPortOffset) // any free one if that is
	}
	return c.Gossip
}

// gossipAdvertise returns where others reach the process's gossip.
func (p *process) gossipAdvertise() string {
	switch {
	case p.chatter == nil:
		return ""
	case p.cfg.GossipAdvertise != "":
		return p.cfg.GossipAdvertise
	}
	bound := p.chatter.listener.Addr()
	if host, _, err := net.SplitHostPort(p.cfg.Advertise); err == nil {
		_, port, _ := net.SplitHostPort(bound)
		return net.JoinHostPort(host, port)
	}
	return bound
}

// keepGossip makes the process a member of the gossip of its cluster, and sees to it that it stays with all others, until ctx ends. It finds
// them as it has found the ring: a process that is known by its address is asked where it gossips.
func (p *process) keepGossip(ctx context.Context) {
	if p.chatter == nil {
		return
	}
	started, retry := time.Now(), gossipMinRetry
	for {
		wait := gossipCheck
		if err := p.joinGossip(ctx); err != nil {
			wait = retry
			retry = min(2*retry, gossipMaxRetry)
			p.complaints.do("gossip", func() {
				p.log.Debug().Err(err).Msg("gossip does not reach all processes that are known; still trying")
			})
		} else {
			retry = gossipMinRetry
		}
		if p.local.Identity.Incarnation > 1 && time.Since(started) < p.gossipReturn() {
			wait = min(wait, time.Second)
		}
		if p.live.Sleep(ctx, wait/2+rand.N(wait)) != nil {
			return
		}
	}
}

// gossipReturn is how long a process that was started again introduces itself over and over: under a new address it is not taken back
// before its old self is known to be dead.
func (p *process) gossipReturn() time.Duration { return 10 * p.cfg.GossipPace }

// joinGossip introduces the process to some of the processes that it knows and gossip does not.
func (p *process) joinGossip(ctx context.Context) error {
	g, err := p.startGossip(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	lost := p.lostByGossip(ctx, g, now)
	rand.Shuffle(len(lost), func(i, j int) { lost[i], lost[j] = lost[j], lost[i] })
	var errs []error
	for i, addr := range lost[:min(len(lost), gossipSeeds)] {
		if i > 0 && p.shownByGossip(g, now)(addr) {
			continue // the one before has introduced them to each other
		}
		errs = append(errs, p.gossipWith(ctx, g, addr))
	}
	return errors.Join(errs...)
}

// lostByGossip returns the addresses of processes that gossip does not show: those that the ring knows, seeds and remembered ones.
func (p *process) lostByGossip(ctx context.Context, g *gossip.Gossip, now time.Time) []string {
	addrs := append(p.candidates(ctx), p.core.Status().Known...)
	slices.Sort(addrs)
	addrs = slices.Compact(addrs)
	shown := p.shownByGossip(g, now)
	return slices.DeleteFunc(addrs, func(addr string) bool { return addr == p.local.Addr || shown(addr) })
}

// shownByGossip returns a function that reports whether gossip shows the process at an address. A process that has just been started again takes all
// others for lost, because it may be lost itself.
func (p *process) shownByGossip(g *gossip.Gossip, now time.Time) func(addr string) bool {
	members := g.Members()
	if p.local.Identity.Incarnation > 1 && now.Sub(p.started) < p.gossipReturn() {
		members = nil
	}
	return func(addr string) bool {
		return slices.ContainsFunc(members, func(m gossip.Member) bool { return m.Addr == addr })
	}
}

// gossipWith asks the process at an address where it gossips, and introduces this one there.
func (p *process) gossipWith(ctx context.Context, g *gossip.Gossip, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	h, err := p.peers.Hello(ctx, addr)
	if err != nil || h.GossipAddr == "" {
		return err // who does not gossip is no failure
	}
	return g.Join(ctx, []string{h.GossipAddr})
}

// startGossip returns the process's gossip, and starts it the first time. That fails while the name that others reach it by cannot be resolved.
func (p *process) startGossip(ctx context.Context) (*gossip.Gossip, error) {
	if g := p.chatter.running(); g != nil {
		return g, nil
	}
	cluster, _ := p.local.Cluster()
	cfg := gossip.PacedConfig(p.cfg.GossipPace)
	cfg.Cluster, cfg.Advertise = cluster.String(), p.local.GossipAddr
	cfg.Self = gossip.Member{Identity: p.local.Identity, Addr: p.local.Addr, Zone: p.cfg.Zone, Version: p.local.Version}
	g, err := gossip.Start(ctx, p.chatter.listener, cfg, p.gossipEvents(), p.log.With().Str("part", "gossip").Logger())
	if err != nil {
		return nil, err
	}
	p.chatter.mu.Lock()
	defer p.chatter.mu.Unlock()
	p.chatter.gossip = g
	return g, nil
}

// gossipEvents hands what gossip says on to the ring, as hearsay.
func (p *process) gossipEvents() gossip.Events {
	said := func(m gossip.Member) *zerolog.Event {
		return p.log.Debug().Str("peer", m.Addr).Stringer("member", m.Identity).Uint64("incarnation", m.Identity.Incarnation)
	}
	return gossip.Events{
		Alive: func(ctx context.Context, m gossip.Member) {
			said(m).Msg("gossip: a process is alive")
			p.core.HearAlive(ctx, m.Nodes())
		},
		Dead: func(ctx context.Context, m gossip.Member) {
			said(m).Msg("gossip: a process is said to be dead")
			p.core.HearDead(ctx, m.Nodes())
		},
		Left: func(ctx context.Context, m gossip.Member) {
			said(m).Bool("left", m.Left).Msg("gossip: a process says that it stops")
			if m.Left {
				p.core.HearLeft(ctx, m.Nodes())
			} else {
				p.core.HearStopped(ctx, m.Nodes())
			}
		},
		Probed:    func(m gossip.Member, rtt time.Duration, at node.Coordinate) { p.core.HearRoundTrip(m.Addr, rtt, at) },
		Place:     p.core.Coordinate,
		Sightings: p.core.Sightings,
		Sighted:   p.core.HearSightings,
		Foreign: func(addr, cluster string) {
			own, _ := p.local.Cluster()
			p.complaints.do("foreign "+cluster, func() {
				p.log.Error().Str("with", addr).Str("theirs", cluster).Stringer("ours", own).
					Msg("wrong cluster: refused to gossip with a process of another ring; nothing was mixed up. One of the two has an address that " +
						"the other's ring knew before: give it another --gossip address, or correct --join of whoever asks")
			})
		},
	}
}

// zones counts the processes that are alive, by zone.
func (c *chatter) zones() map[string]int {
	zones := map[string]int{}
	if g := c.running(); g != nil {
		for _, m := range g.Members() {
			zones[m.Zone]++
		}
	}
	return zones
}

// running returns the gossip, nil if it has not begun.
func (c *chatter) running() *gossip.Gossip {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gossip
}

// leaveGossip tells the others that this process stops. They ask nevertheless, so it is time for that when it does not answer any more.
func (p *process) leaveGossip() {
	if p.chatter == nil || p.cfg.Dev { // a ring of --dev stops as a whole
		return
	}
	if g := p.chatter.running(); g != nil {
		if err := g.Leave(p.handedOver.Load(), gossipLeaveTimeout); err != nil {
			p.log.Debug().Err(err).Msg("nobody was told by gossip that this process stops")
		}
	}
}

// close ends gossip. What it has said before is worked off.
func (c *chatter) close() {
	if g := c.running(); g != nil {
		g.Close()
	}
	_ = c.listener.Shutdown() // it never fails
}
