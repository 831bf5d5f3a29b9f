package gossip

import (
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"
)

// flight is how long a message through an air takes.
const flight = 5 * time.Millisecond

// air carries the messages of members that are in one bubble of testing/synctest, where sockets would let no time pass, and counts them.
type air struct {
	sent tally

	mu     sync.Mutex
	number int
	ports  map[string]*port // by address
}

// port is the place of a member in an air, and its transport.
type port struct {
	*Listener // without sockets
	air       *air
	addr      string
}

var _ memberlist.NodeAwareTransport = (*port)(nil)

// inAir runs a test of members in the air of a bubble, whose pace is at most the given one. Its end waits for what memberlist leaves behind: the probe of each that is under way.
func inAir(t *testing.T, pace time.Duration, test func(t *testing.T, a *air)) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(10 * pace) })
		test(t, &air{ports: map[string]*port{}})
	})
}

// begin starts a member in the air.
func (a *air) begin(t *testing.T, self Member, change ...func(*Config)) *peer {
	t.Helper()
	p := a.open()
	return beginOn(t, p.Listener, p, p.addr, self, zerolog.WarnLevel, change...)
}

// paced is the Config of a member of the tests' cluster at a pace.
func paced(pace time.Duration) func(*Config) {
	return func(c *Config) {
		self, advertise, cluster := c.Self, c.Advertise, c.Cluster
		*c = PacedConfig(pace)
		c.Self, c.Advertise, c.Cluster = self, advertise, cluster
	}
}

func (a *air) open() *port {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.number++
	p := &port{
		Listener: &Listener{packets: make(chan *memberlist.Packet), streams: make(chan net.Conn), stop: make(chan struct{})},
		air:      a, addr: fmt.Sprintf("10.1.%d.%d:7401", a.number/250, 1+a.number%250),
	}
	a.ports[p.addr] = p
	return p
}

func (a *air) find(addr string) *port {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ports[addr]
}

// Shutdown implements memberlist.Transport.
func (p *port) Shutdown() error {
	p.air.mu.Lock()
	defer p.air.mu.Unlock()
	if p.air.ports[p.addr] == p {
		delete(p.air.ports, p.addr)
		close(p.stop)
	}
	return nil
}

// WriteToAddress implements memberlist.NodeAwareTransport. What is sent to nobody vanishes.
func (p *port) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	p.air.sent.packet(b)
	b = slices.Clone(b)
	time.AfterFunc(flight, func() {
		to := p.air.find(a.Addr)
		if to == nil {
			return
		}
		packet, label, err := memberlist.RemoveLabelHeaderFromPacket(b)
		if m := to.member.Load(); err != nil || m == nil || label != m.label {
			return
		}
		from, err := net.ResolveUDPAddr("udp", p.addr)
		if err != nil {
			panic(err)
		}
		select {
		case to.packets <- &memberlist.Packet{Buf: packet, From: from, Timestamp: time.Now()}:
		case <-to.stop:
		}
	})
	return time.Now(), nil
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (p *port) DialAddressTimeout(a memberlist.Address, _ time.Duration) (net.Conn, error) {
	time.Sleep(flight)
	to := p.air.find(a.Addr)
	if to == nil {
		return nil, fmt.Errorf("dial %s: %w", a.Addr, os.ErrNotExist)
	}
	here, far := net.Pipe()
	there := counted{far, &p.air.sent}
	go func() {
		stream, _, err := memberlist.RemoveLabelHeaderFromStream(there)
		if err != nil {
			_ = there.Close()
			return
		}
		select {
		case to.streams <- stream:
		case <-to.stop:
			_ = there.Close()
		}
	}()
	return counted{here, &p.air.sent}, nil
}

// counted is a stream that counts what is sent on it.
type counted struct {
	net.Conn
	sent *tally
}

// Write implements net.Conn.
func (c counted) Write(b []byte) (int, error) {
	c.sent.stream(b)
	return c.Conn.Write(b)
}
