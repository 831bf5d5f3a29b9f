package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"

	"github.com/chordkv/chord/node"
)

// Config is how a process gossips.
type Config struct {
	Self      Member
	Cluster   string // its id, the same for all members
	Advertise string // HOST:PORT where others reach the Listener

	// ProbeInterval is between two probes of another member, and how long the answer to one may take, from others that are asked to
	// probe it too. A shorter one finds the dead sooner, and costs traffic.
	ProbeInterval time.Duration
	// ProbeTimeout is how long a probe is waited for before others are asked.
	ProbeTimeout time.Duration
	// Suspicion is how many probe intervals, times the decimal logarithm of the number of members, a member that does not answer has to object. It
	// has six times that while only one other suspects it.
	Suspicion int
	// SpreadInterval is between two messages with news. Nothing is sent without news.
	SpreadInterval time.Duration
	// Retransmit times the decimal logarithm of the number of members, rounded up, is how often each passes on what is news to it.
	Retransmit int
	// SyncInterval is between two exchanges of everything with some other member.
	SyncInterval time.Duration
	// Linger is how long a dead member is told so, in case it is not, and remembered.
	Linger time.Duration
}

// DefaultPace is a pace for processes whose clocks are not compared and whose network answers within half a second. A false alarm costs a
// few calls, so a suspect has less time to object than memberlist proposes: twenty processes agree on a dead one after some 5 s.
const DefaultPace = time.Second

// DefaultConfig returns the timing at the default pace.
func DefaultConfig() Config { return PacedConfig(DefaultPace) }

// PacedConfig returns the timing at a pace, the time between two probes, from which all else follows: it takes so many times as long to agree on a dead member, to spread news and to
// exchange everything. News is passed on 4 times the decimal logarithm of the number of members, rounded up, as memberlist proposes; half as often from twice the default pace on, which misses one
// member in three thousand among a thousand, and one in fifty among twenty, until the next exchange of everything; and once for each digit of that number at paces that are only for many members,
// which misses one in fifty among a thousand and one in seventeen among some hundreds.
func PacedConfig(pace time.Duration) Config {
	c := Config{
		ProbeInterval: pace, ProbeTimeout: pace / 2, Suspicion: 1,
		SpreadInterval: pace / 2, Retransmit: 4, SyncInterval: 30 * pace, Linger: 30 * pace,
	}
	switch {
	case pace >= 20*DefaultPace:
		c.Retransmit = 1
	case pace >= 2*DefaultPace:
		c.Retransmit = 2
	}
	return c
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var errs []error
	if _, err := c.Self.meta(); err != nil {
		errs = append(errs, err)
	}
	if len(c.Cluster) == 0 || len(c.Cluster) > memberlist.LabelMaxSize {
		errs = append(errs, fmt.Errorf("cluster: %q, want 1 to %d bytes", c.Cluster, memberlist.LabelMaxSize))
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"probe interval", c.ProbeInterval},
		{"probe timeout", c.ProbeTimeout},
		{"spread interval", c.SpreadInterval},
		{"sync interval", c.SyncInterval},
		{"linger", c.Linger},
	} {
		if d.d <= 0 {
			errs = append(errs, fmt.Errorf("%s: %v, want more than 0", d.name, d.d))
		}
	}
	if c.ProbeTimeout >= c.ProbeInterval {
		errs = append(errs, fmt.Errorf("probe timeout: %v, want less than the probe interval %v", c.ProbeTimeout, c.ProbeInterval))
	}
	if c.Suspicion < 1 {
		errs = append(errs, fmt.Errorf("suspicion: %d, want at least 1", c.Suspicion))
	}
	if c.Retransmit < 1 {
		errs = append(errs, fmt.Errorf("retransmit: %d, want at least 1", c.Retransmit))
	}
	return errors.Join(errs...)
}

// Events are what a Gossip reports. Every field may be nil. Alive, Dead and Left are called on goroutines of their own, of which there is one at a
// time for a member, and may block; ctx ends with the Gossip. If a member changes often, they are called with the newest only.
type Events struct {
	// Alive: a member was heard of, came back, or has other data.
	Alive func(ctx context.Context, m Member)
	// Dead: a member does not answer.
	Dead func(ctx context.Context, m Member)
	// Left: a member has said that it stops (Member.Stops, and Member.Left if it has left the ring).
	Left func(ctx context.Context, m Member)
	// Probed: a member has answered a probe, after so long, and says where it is, zero if it does not. It must not block, nor call the Gossip.
	Probed func(m Member, rtt time.Duration, at node.Coordinate)
	// Place returns where the process is, which those that probe it are told. It must not block, nor call the Gossip.
	Place func() node.Coordinate
	// Sightings returns what is to be told another member of where third ones are, in an exchange of everything. It must not block.
	Sightings func(newcomer bool) []node.Sighting
	// Sighted: another member has told where third ones are. It must not block.
	Sighted func(sightings []node.Sighting)
	// Foreign: a process of another cluster gossips with this one, or is gossiped with. It must not block.
	Foreign func(addr, cluster string)
}

// Gossip is a process's membership in the gossip of its cluster.
type Gossip struct {
	self      Member
	listener  *Listener
	transport memberlist.NodeAwareTransport // the listener, but in a test that cuts the network
	list      *memberlist.Memberlist
	watch     *watch
	cancel    context.CancelFunc
	stopped   sync.Once
}

// streamTimeout bounds what others can make an exchange last.
const streamTimeout = 2 * time.Second

// Start makes the process a member, known to nobody yet, on a listener that nobody else uses. The host of Config.Advertise is resolved, which
// is why it takes a context.
func Start(ctx context.Context, l *Listener, cfg Config, events Events, log zerolog.Logger) (*Gossip, error) {
	return start(ctx, l, l, cfg, events, log)
}

func start(ctx context.Context, l *Listener, t memberlist.NodeAwareTransport, cfg Config, events Events, log zerolog.Logger) (*Gossip, error) {
	cfg.Self.Version = cfg.Self.Version[:min(len(cfg.Self.Version), maxVersionBytes)] // only to look at
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	meta, err := cfg.Self.meta()
	if err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	advertise, err := resolve(ctx, cfg.Advertise)
	if err != nil {
		return nil, fmt.Errorf("gossip: advertise %s: %w", cfg.Advertise, err)
	}
	if events.Foreign == nil {
		events.Foreign = func(string, string) {}
	}
	g := &Gossip{self: cfg.Self, listener: l, transport: t}
	telling, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	g.watch = newWatch(telling, cfg.Self, meta, events)
	l.member.Store(&membership{label: cfg.Cluster, advertise: advertise, foreign: events.Foreign})
	if g.list, err = memberlist.Create(g.settings(cfg, log)); err != nil {
		l.member.Store(nil)
		cancel()
		return nil, fmt.Errorf("gossip: %w", err)
	}
	return g, nil
}

// settings translates a Config into memberlist's words.
func (g *Gossip) settings(cfg Config, log zerolog.Logger) *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.Name, c.Label, c.Transport = cfg.Self.name(), cfg.Cluster, g.transport
	c.SkipInboundLabelCheck = true // the Listener has checked it, and taken it off
	c.Delegate, c.Events, c.Alive, c.Conflict, c.Ping = g.watch, g.watch, g.watch, g.watch, g.watch
	c.Logger = newLog(log, g.listener.stop)
	c.EnableCompression = false // messages are small
	c.ProbeInterval, c.ProbeTimeout, c.SuspicionMult = cfg.ProbeInterval, cfg.ProbeTimeout, cfg.Suspicion
	c.GossipInterval, c.PushPullInterval, c.GossipToTheDeadTime = cfg.SpreadInterval, cfg.SyncInterval, cfg.Linger
	c.RetransmitMult = cfg.Retransmit
	c.TCPTimeout = streamTimeout
	// A process is its id, not its address: as soon as the old address is known to be dead, the new one is taken.
	c.DeadNodeReclaimTime = time.Nanosecond
	return c
}

// Join introduces the process to the members at the addresses, HOST:PORT, and to all that these know. It blocks for an exchange with each. It
// returns nil if one of them answered as a member of the cluster, else what went wrong with each.
func (g *Gossip) Join(ctx context.Context, addrs []string) error {
	var errs []error
	joined := false
	for _, addr := range addrs {
		at, err := resolve(ctx, addr)
		if err == nil {
			_, err = g.list.Join([]string{at.String()})
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("gossip with %s: %w", addr, err))
		}
		joined = joined || err == nil
	}
	if joined {
		return nil
	}
	return errors.Join(errs...)
}

// resolve returns an address whose host is no name any more. memberlist would look names up in a way of its own.
func resolve(ctx context.Context, addr string) (netip.AddrPort, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", portText)
	if err != nil {
		return netip.AddrPort{}, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(ips[0].Unmap(), uint16(port)), nil
}

// Members returns the processes that are alive as far as this one knows, by process id, itself among them.
func (g *Gossip) Members() []Member { return g.watch.members() }

// Counts returns the counters of what gossip has said.
func (g *Gossip) Counts() *Counts { return &g.watch.counts }

// HealthScore is 0 while probes are answered in time, and grows to 7 while this process, rather than those that it probes, seems to be slow. It
// then gives the others more time.
func (g *Gossip) HealthScore() int { return g.list.GetHealthScore() }

// Leave tells the others that the process stops, and whether it has left the ring or may come back with what it has, so that they need not find out, nor take it for one that has
// died. It returns when some have been told, or after the timeout.
//
// memberlist's own word for that has the same effect on its events as a death: so the process says it first in what it says of itself.
func (g *Gossip) Leave(left bool, timeout time.Duration) error {
	self := g.self
	self.Stops, self.Left = true, left
	meta, err := self.meta()
	if err != nil {
		return fmt.Errorf("gossip: leave: %w", err)
	}
	g.watch.say(meta)
	if err := errors.Join(g.list.UpdateNode(timeout/2), g.list.Leave(timeout/2)); err != nil {
		return fmt.Errorf("gossip: leave: %w", err)
	}
	return nil
}

// Close ends everything, the Listener too; the others miss the process unless it has left. Events are not called any more when it returns.
func (g *Gossip) Close() {
	g.stopped.Do(func() {
		_ = g.list.Shutdown() // the Listener's never fails, and there is no other error
		g.cancel()
		g.watch.close()
	})
}
