package gossip

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// TestMain lets nothing of a member outlive it but the probe that memberlist was
// waiting for when it was shut down: nothing calls that off, it ends by itself after
// at most eight probe intervals.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"),
		goleak.IgnoreTopFunction("github.com/hashicorp/memberlist.(*Memberlist).handleIndirectPing.func2")) // both end with the time-out of a probe
}

// patience is how long a condition may take before a test gives up on it.
const patience = 20 * time.Second

// fast is the timing of the tests.
func fast() Config {
	cfg := DefaultConfig()
	cfg.ProbeInterval, cfg.ProbeTimeout, cfg.SpreadInterval = 100*time.Millisecond, 50*time.Millisecond, 20*time.Millisecond
	cfg.SyncInterval, cfg.Cluster = 500*time.Millisecond, "cluster one"
	return cfg
}

// peer is a member under test, and what it was told.
type peer struct {
	*Gossip
	self    Member
	addr    string
	network *network

	mu      sync.Mutex
	dead    map[string]int // by name
	left    map[string]int
	foreign map[string]string
	probed  map[string]time.Duration   // by name: the last round trip
	places  map[string]node.Coordinate // by name: where it said it was
	sighted []node.Sighting
}

// knows says whether the peer believes that a member is alive and is as it says.
func (p *peer) knows(m Member) bool {
	p.watch.mu.Lock()
	defer p.watch.mu.Unlock()
	return p.watch.alive[m.name()] == m
}

// number returns the member with a small number for its process id.
func number(n uint64) Member {
	m := Member{Identity: node.Identity{VNodes: 3, Incarnation: 1, Zone: ring.ZoneOf("zone")}, Zone: "zone", Version: "v1", Addr: fmt.Sprintf("10.0.0.%d:7400", n)}
	binary.BigEndian.PutUint64(m.Identity.Process[8:], n)
	return m
}

// begin starts a member on a free port; it is closed at the end of the test.
func begin(t *testing.T, self Member, change ...func(*Config)) *peer {
	t.Helper()
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return beginOn(t, l, l, l.Addr(), self, zerolog.InfoLevel, change...)
}

// beginOn starts a member with an address that others reach by the transport, and a log from a level on.
func beginOn(t *testing.T, l *Listener, by memberlist.NodeAwareTransport, addr string, self Member, level zerolog.Level, change ...func(*Config)) *peer {
	t.Helper()
	cfg := fast()
	cfg.Self, cfg.Advertise = self, addr
	for _, f := range change {
		f(&cfg)
	}
	p := &peer{self: self, addr: addr, network: &network{NodeAwareTransport: by}, dead: map[string]int{}, left: map[string]int{}, foreign: map[string]string{}, probed: map[string]time.Duration{}, places: map[string]node.Coordinate{}}
	var err error
	p.Gossip, err = start(t.Context(), l, p.network, cfg, Events{
		Dead: func(_ context.Context, m Member) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.dead[m.name()]++
		},
		Left: func(_ context.Context, m Member) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.left[m.name()]++
		},
		Probed: func(m Member, rtt time.Duration, at node.Coordinate) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.probed[m.name()], p.places[m.name()] = rtt, at
		},
		Place:     func() node.Coordinate { return placeOf(self.name()) },
		Sightings: func(bool) []node.Sighting { return []node.Sighting{node.Sighting(placeOf(self.name()))} },
		Sighted: func(s []node.Sighting) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.sighted = append(p.sighted, s...)
		},
		Foreign: func(addr, cluster string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.foreign[addr] = cluster
		},
	}, zerolog.New(zerolog.NewTestWriter(quiet{t})).Level(level))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// quiet is a test whose log ends with it.
type quiet struct{ *testing.T }

func (q quiet) Log(args ...any) {
	if q.Context().Err() == nil {
		q.T.Log(args...)
	}
}

func (p *peer) at() string { return p.addr }

// begins starts n members that all know each other.
func begins(t *testing.T, n int) []*peer {
	t.Helper()
	var peers []*peer
	for i := range n {
		p := begin(t, number(uint64(i+1)))
		if i > 0 {
			if err := p.Join(t.Context(), []string{peers[i-1].at()}); err != nil {
				t.Fatal(err)
			}
		}
		peers = append(peers, p)
	}
	know(t, peers, peers)
	return peers
}

// know waits until all of peers know exactly the others, and what these say of themselves.
func know(t *testing.T, peers, others []*peer) {
	t.Helper()
	var want []Member
	for _, p := range others {
		want = append(want, p.self)
	}
	slices.SortFunc(want, func(a, b Member) int { return strings.Compare(a.name(), b.name()) })
	for _, p := range peers {
		eventually(t, func() error {
			if got := p.Members(); !slices.Equal(got, want) {
				return fmt.Errorf("%s knows %+v, want %+v", p.self.Addr, got, want)
			}
			return nil
		})
	}
}

func eventually(t *testing.T, check func() error) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Since(began) > patience {
			t.Fatal(err)
		}
	}
}

// Members that join through one another all find all; one that dies is found by each of the others, and they are told.
func TestMembersFindEachOther(t *testing.T) {
	peers := begins(t, 8)
	killed := peers[3]
	killed.Close()
	rest := slices.Delete(slices.Clone(peers), 3, 4)
	know(t, rest, rest)
	for _, p := range rest {
		eventually(t, func() error {
			p.mu.Lock()
			defer p.mu.Unlock()
			if got := p.dead[killed.self.name()]; got != 1 || len(p.dead) != 1 {
				return fmt.Errorf("%s was told of the deaths %v, want one of %s", p.self.Addr, p.dead, killed.self.name())
			}
			return nil
		})
	}
}

// Who leaves need not be found dead, and is not said to be.
func TestLeave(t *testing.T) {
	peers := begins(t, 4)
	never := func(c *Config) { c.ProbeInterval, c.ProbeTimeout = time.Hour, time.Minute }
	leaver := begin(t, number(9), never)
	if err := leaver.Join(t.Context(), []string{peers[0].at()}); err != nil {
		t.Fatal(err)
	}
	know(t, peers, append(peers, leaver))
	if err := leaver.Leave(true, patience); err != nil {
		t.Error(err)
	}
	know(t, peers, peers) // while it still answers probes
	for _, p := range peers {
		eventually(t, func() error {
			p.mu.Lock()
			defer p.mu.Unlock()
			if got := p.left[leaver.self.name()]; got != 1 || len(p.left) != 1 || len(p.dead) != 0 {
				return fmt.Errorf("%s was told that %v left and %v died, want that %s left", p.self.Addr, p.left, p.dead, leaver.self.name())
			}
			return nil
		})
	}
}

// A process that crashes and comes back under another address at once is taken back as soon as it asks again after its old self is known to
// be dead, and with what it says now.
func TestNewAddress(t *testing.T) {
	peers := begins(t, 5)
	peers[4].Close()
	self := peers[4].self
	self.Addr, self.Identity.Incarnation = "10.0.0.55:7400", 2
	again := begin(t, self)
	rest := peers[:4]
	eventually(t, func() error {
		if err := again.Join(t.Context(), []string{rest[0].at()}); err != nil {
			return err
		}
		for _, p := range rest {
			if !p.knows(self) {
				return fmt.Errorf("%s knows %+v, want %+v among them", p.self.Addr, p.Members(), self)
			}
		}
		return nil
	})
	know(t, append(rest, again), append(rest, again))
}

// Two clusters do not merge, and both sides are told with whom they had to do.
func TestTwoClusters(t *testing.T) {
	one := begin(t, number(1))
	other := begin(t, number(2), func(c *Config) { c.Cluster = "cluster two" })
	err := one.Join(t.Context(), []string{other.at()})
	for _, part := range []string{other.at(), "cluster one", "cluster two"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v, want %q in it", err, part)
		}
	}
	heard := func(p *peer, cluster string) {
		eventually(t, func() error {
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, c := range p.foreign {
				if c == cluster {
					return nil
				}
			}
			return fmt.Errorf("%s heard of %v, want %s", p.self.Addr, p.foreign, cluster)
		})
	}
	heard(one, "cluster two")
	heard(other, "cluster one")
	know(t, []*peer{one}, []*peer{one})
	know(t, []*peer{other}, []*peer{other})
}

// Nothing that a stranger sends changes who is a member: garbage, what is cut off or too large, what has another label, members that do not say
// who they are, and one that claims to be another.
func TestStrangers(t *testing.T) {
	peers := begins(t, 4)
	victim := peers[0]
	sent := sendGarbage(t, victim)
	eventually(t, func() error {
		if got := victim.listener.Traffic().Refused.Load(); got < sent {
			return fmt.Errorf("%d packets refused, want %d", got, sent)
		}
		return nil
	})
	mute := strings.Repeat("ab", 16)
	for _, s := range []stranger{
		{name: "no process id"},
		{name: strings.Repeat("AB", 16), meta: mustMeta(t, number(7))},
		{name: mute},
		{name: mute, meta: []byte{metaFormat}},
		{name: mute, meta: []byte{99, 1, 1}},
		{name: mute, meta: mustMeta(t, number(7))[:5]},
		{name: mute, meta: append([]byte{metaFormat, 0}, mustMeta(t, number(7))[2:]...)},
		{name: peers[1].self.name(), meta: mustMeta(t, number(66))},
		{name: victim.self.name(), meta: mustMeta(t, number(66))},
	} {
		s.intrude(t, victim)
	}
	late := begin(t, number(8)) // what the strangers have sent was taken in before this one is known
	if err := late.Join(t.Context(), []string{victim.at()}); err != nil {
		t.Fatal(err)
	}
	all := append(peers, late)
	know(t, all, all)
	for _, p := range peers {
		if len(p.dead) != 0 {
			t.Errorf("%s was told of the deaths %v", p.self.Addr, p.dead)
		}
	}
}

// sendGarbage sends what is no gossip of the cluster, and returns how many packets the Listener has to refuse.
func sendGarbage(t *testing.T, to *peer) (refused uint64) {
	t.Helper()
	for _, network := range []string{"udp", "tcp"} {
		for _, text := range []string{
			"\x00", "garbage", "\xf4", "\xf4\x00", "\xf4\xff too short a label", "\xf4\x0bcluster two\x00", strings.Repeat("\xf4", 9000),
		} {
			refused++
			sendRaw(t, network, to.at(), text)
		}
		for _, text := range []string{ // with the right label
			"", "\xff", "\x00", "\x07\xff", "\x04\x84\xa4Addr", "\x06\xff\xff\xff", "\x09\xc1", "\x08\x01\x00\x00\x00", "\x0c\x00\x00\x00\x00\x04",
			strings.Repeat("\x07", 8000), "\x06" + strings.Repeat("\x93", 8000),
		} {
			sendRaw(t, network, to.at(), "\xf4\x0b"+"cluster one"+text)
		}
	}
	return refused
}

func sendRaw(t *testing.T, network, addr, text string) {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(text)) // the other side may hang up at once
}

func mustMeta(t *testing.T, m Member) []byte {
	t.Helper()
	b, err := m.meta()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// stranger is a real memberlist with the right label that tells nonsense.
type stranger struct {
	memberlist.Delegate
	name string
	meta []byte
}

func (s stranger) NodeMeta(int) []byte               { return s.meta }
func (s stranger) NotifyMsg([]byte)                  {}
func (s stranger) GetBroadcasts(int, int) [][]byte   { return nil }
func (s stranger) LocalState(bool) []byte            { return nil }
func (s stranger) MergeRemoteState(_ []byte, _ bool) {}

// intrude joins the cluster as the stranger, and goes away.
func (s stranger) intrude(t *testing.T, victim *peer) {
	t.Helper()
	c := memberlist.DefaultLANConfig()
	c.Name, c.Label, c.Delegate, c.BindAddr, c.BindPort = s.name, "cluster one", s, "127.0.0.1", 0
	c.ProbeInterval, c.ProbeTimeout = 100*time.Millisecond, 50*time.Millisecond
	c.Logger = newLog(zerolog.Nop(), nil)
	list, err := memberlist.Create(c)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = list.Join([]string{victim.at()}) // it may be refused
	if err := list.Shutdown(); err != nil {
		t.Error(err)
	}
}

// A forged message that a live member is dead, or has left, is believed until the member objects: at once in the first case, after the next
// exchange of everything in the second.
func TestForgedDeath(t *testing.T) {
	peers := begins(t, 4)
	victim := peers[2].self.name()
	text := func(s string) string { return "\xd9" + string(rune(len(s))) + s } // MessagePack
	for _, f := range []struct{ from, incarnation string }{
		{peers[1].self.name(), "\x7f"},
		{victim, "\xcd\x10\x00"}, // higher than that with which the victim has objected
	} {
		counts := peers[0].Counts()
		gone := func() uint64 { return counts.Dead.Load() + counts.Left.Load() }
		before := gone()
		forged := "\x05\x83" + text("Incarnation") + f.incarnation + text("Node") + text(victim) + text("From") + text(f.from)
		sendRaw(t, "udp", peers[0].at(), "\xf4\x0bcluster one"+forged)
		eventually(t, func() error {
			if gone() == before {
				return fmt.Errorf("the forged message changed nothing: the test proves nothing")
			}
			return nil
		})
		know(t, peers, peers)
	}
}

// network is a transport whose messages to some addresses vanish.
type network struct {
	memberlist.NodeAwareTransport
	cut atomic.Pointer[[]string]
}

// cutOff makes the messages to the peers vanish, and no others.
func (n *network) cutOff(peers []*peer) {
	var addrs []string
	for _, p := range peers {
		addrs = append(addrs, p.at())
	}
	n.cut.Store(&addrs)
}

func (n *network) reaches(addr string) bool {
	cut := n.cut.Load()
	return cut == nil || !slices.Contains(*cut, addr)
}

func (n *network) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	if !n.reaches(to.Addr) {
		return time.Now(), nil
	}
	return n.NodeAwareTransport.WriteToAddress(b, to)
}

func (n *network) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if !n.reaches(to.Addr) {
		time.Sleep(timeout)
		return nil, fmt.Errorf("dial %s: %w", to.Addr, os.ErrDeadlineExceeded)
	}
	return n.NodeAwareTransport.DialAddressTimeout(to, timeout)
}

// TestInventedMembers: somebody who knows the label invents members without end. There are as many as the bound allows, and those who were there before stay.
func TestInventedMembers(t *testing.T) {
	peers := begins(t, 3)
	victim, before := peers[0], len(peers)
	victim.watch.mu.Lock()
	victim.watch.most = before + 5
	victim.watch.mu.Unlock()
	text := func(s string) string { return "\xd9" + string(rune(len(s))) + s } // MessagePack
	for i := range uint64(200) {
		m := number(1000 + i)
		meta := string(mustMeta(t, m))
		alive := "\x04\x86" + text("Incarnation") + "\x01" + text("Node") + text(m.name()) + text("Addr") + "\xa4\x7f\x00\x00\x01" + text("Port") + "\x01" +
			text("Meta") + text(meta) + text("Vsn") + "\xa6\x01\x05\x05\x00\x00\x00"
		sendRaw(t, "udp", victim.at(), "\xf4\x0bcluster one"+alive)
	}
	eventually(t, func() error {
		if got := victim.Counts().Joined.Load(); got < uint64(before-1+5) {
			return fmt.Errorf("%d members have joined: the test proves nothing", got)
		}
		return nil
	})
	if got := victim.list.NumMembers(); got > before+5 {
		t.Errorf("memberlist has %d members, want at most %d", got, before+5)
	}
	eventually(t, func() error { // the invented do not answer
		if got := len(victim.Members()); got != before {
			return fmt.Errorf("%d members, want %d", got, before)
		}
		return nil
	})
	know(t, peers, peers)
}

// placeOf is where a member of the tests says it is: anything.
func placeOf(name string) (c node.Coordinate) {
	for _, octet := range []byte(name[len(name)-5:]) {
		c = c<<8 | node.Coordinate(octet)
	}
	return c
}

// TestProbes: each member learns how far every other is and where it says it is, and not itself, and what others know of third ones.
func TestProbes(t *testing.T) {
	peers := begins(t, 4)
	for _, p := range peers {
		eventually(t, func() error {
			p.mu.Lock()
			defer p.mu.Unlock()
			if len(p.probed) < len(peers)-1 {
				return fmt.Errorf("%s has probed %d of %d members", p.self.name(), len(p.probed), len(peers)-1)
			}
			for name, rtt := range p.probed {
				if name == p.self.name() || rtt <= 0 || rtt > time.Second {
					t.Errorf("%s has probed %s: %v", p.self.name(), name, rtt)
				}
				if got, want := p.places[name], placeOf(name); got != want {
					t.Errorf("%s says to %s that it is at %#x, want %#x", name, p.self.name(), got, want)
				}
			}
			if len(p.sighted) < len(peers)-1 {
				return fmt.Errorf("%s was told %d sightings", p.self.name(), len(p.sighted))
			}
			for _, s := range p.sighted {
				if !slices.ContainsFunc(peers, func(o *peer) bool { return o != p && node.Sighting(placeOf(o.self.name())) == s }) {
					t.Errorf("%s was told the sighting %#x, of nobody", p.self.name(), s)
				}
			}
			return nil
		})
	}
}
