package gossip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// Listener is the address where a process gossips: packets over UDP and streams over TCP, on one port. It is memberlist's transport, and
// lets nothing through that is not of the own cluster. Until a Gossip is started on it, it takes nothing at all: it only holds the
// address.
type Listener struct {
	udp     *net.UDPConn
	tcp     *net.TCPListener
	packets chan *memberlist.Packet
	streams chan net.Conn
	traffic Traffic
	tasks   sync.WaitGroup
	stop    chan struct{} // closed by Shutdown

	member atomic.Pointer[membership] // nil until a Gossip is started

	mu    sync.Mutex
	conns map[net.Conn]struct{} // that are open, so that Shutdown ends what waits on them
	ended bool
}

// membership is what the Listener needs to know of the Gossip that uses it.
type membership struct {
	label     string
	advertise netip.AddrPort
	foreign   func(addr, cluster string)
}

var _ memberlist.NodeAwareTransport = (*Listener)(nil)

// Traffic counts what a Listener has sent and received.
type Traffic struct {
	SentBytes, ReceivedBytes atomic.Uint64 // in packets; streams are rare
	Refused                  atomic.Uint64 // packets and streams that are not of the own cluster
}

const (
	maxStreams    = 128             // that others may have open
	greetTimeout  = 2 * time.Second // until the label of a stream has come
	refuseTimeout = time.Second     // for the other side to read why it was refused
	maxPacket     = 64 << 10
	bindAttempts  = 10 // to find a port that is free for both protocols
)

// Listen binds an address, HOST:PORT, for UDP and TCP; port 0 takes one that is free for both. The errors are those of net.Listen.
func Listen(addr string) (*Listener, error) {
	tcpAddr, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, err
	}
	for range bindAttempts {
		l := &Listener{
			packets: make(chan *memberlist.Packet), streams: make(chan net.Conn), stop: make(chan struct{}), conns: map[net.Conn]struct{}{},
		}
		if l.tcp, err = net.ListenTCP("tcp", tcpAddr); err != nil {
			return nil, err
		}
		bound := l.tcp.Addr().(*net.TCPAddr)
		if l.udp, err = net.ListenUDP("udp", &net.UDPAddr{IP: tcpAddr.IP, Port: bound.Port, Zone: tcpAddr.Zone}); err == nil {
			l.tasks.Go(l.receive)
			l.tasks.Go(l.accept)
			return l, nil
		}
		_ = l.tcp.Close() // nothing has happened on it yet
		if tcpAddr.Port != 0 {
			break // else the kernel chose one that somebody else has for UDP
		}
	}
	return nil, err
}

// Addr returns where the Listener listens, HOST:PORT.
func (l *Listener) Addr() string { return l.tcp.Addr().String() }

// Traffic returns the counters.
func (l *Listener) Traffic() *Traffic { return &l.traffic }

// Shutdown implements memberlist.Transport: it closes everything and returns when no goroutine is left. It may be called twice.
func (l *Listener) Shutdown() error {
	for _, conn := range l.end() {
		_ = conn.Close() // whoever waits for it finds out
	}
	_ = l.udp.Close()
	_ = l.tcp.Close()
	l.tasks.Wait()
	return nil
}

// end lets no more streams begin, and returns those that are open.
func (l *Listener) end() []net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.ended = true
		close(l.stop)
	}
	return slices.Collect(maps.Keys(l.conns))
}

// receive takes packets and hands those of the own cluster on.
func (l *Listener) receive() {
	buf := make([]byte, maxPacket)
	for {
		n, from, err := l.udp.ReadFromUDPAddrPort(buf)
		now := time.Now()
		if err != nil {
			if l.pause(err) {
				continue
			}
			return
		}
		l.traffic.ReceivedBytes.Add(uint64(n))
		m := l.member.Load()
		if m == nil || n == 0 {
			continue
		}
		packet, label, err := memberlist.RemoveLabelHeaderFromPacket(append([]byte(nil), buf[:n]...)) // memberlist keeps it
		if err != nil || label != m.label {
			l.refuse(m, from.String(), label)
			continue
		}
		select {
		case l.packets <- &memberlist.Packet{Buf: packet, From: net.UDPAddrFromAddrPort(from), Timestamp: now}:
		case <-l.stop:
			return
		}
	}
}

// accept takes streams and has each looked at by a goroutine of its own.
func (l *Listener) accept() {
	for {
		conn, err := l.tcp.AcceptTCP()
		if err != nil {
			if l.pause(err) {
				continue
			}
			return
		}
		m := l.member.Load()
		tracked := l.track(conn)
		if m == nil || tracked == nil {
			_ = conn.Close() // too early, too late or too many: the other side tries again
			continue
		}
		l.tasks.Go(func() { l.greet(m, tracked) })
	}
}

// pause waits a little after an error of a listening socket, such as too many open files; it reports false if there is no point in going on.
func (l *Listener) pause(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	select {
	case <-time.After(100 * time.Millisecond):
		return true
	case <-l.stop:
		return false
	}
}

// greet hands a stream on if it is of the own cluster. To another one it answers with the own label, which is no answer that memberlist
// knows: see dialed.
func (l *Listener) greet(m *membership, conn *trackedConn) {
	_ = conn.SetDeadline(time.Now().Add(greetTimeout)) // memberlist sets its own
	stream, label, err := memberlist.RemoveLabelHeaderFromStream(conn)
	if err != nil || label != m.label {
		l.refuse(m, conn.RemoteAddr().String(), label)
		if err == nil {
			l.explain(m, conn)
		}
		_ = conn.Close()
		return
	}
	select {
	case l.streams <- stream:
	case <-l.stop:
		_ = conn.Close()
	}
}

// explain tells the other side whom it has reached. What that has sent is read to its end, or the answer would be lost with it.
func (l *Listener) explain(m *membership, conn *trackedConn) {
	_ = conn.SetDeadline(time.Now().Add(refuseTimeout))
	if memberlist.AddLabelHeaderToStream(conn, m.label) == nil && conn.TCPConn.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, 1<<20)) // until it has hung up
	}
}

// refuse counts what is not of the own cluster, and reports it if it is of another one.
func (l *Listener) refuse(m *membership, from, label string) {
	l.traffic.Refused.Add(1)
	if label != "" {
		m.foreign(from, label)
	}
}

// track remembers a stream until it is closed; nil if there are too many, or the Listener is shut down.
func (l *Listener) track(conn *net.TCPConn) *trackedConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || len(l.conns) >= 2*maxStreams { // half of them for those that this process opens
		return nil
	}
	t := &trackedConn{TCPConn: conn, l: l}
	l.conns[t] = struct{}{}
	return t
}

type trackedConn struct {
	*net.TCPConn
	l *Listener
}

// Close implements net.Conn.
func (c *trackedConn) Close() error {
	c.l.mu.Lock()
	delete(c.l.conns, c)
	c.l.mu.Unlock()
	return c.TCPConn.Close()
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (l *Listener) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	a := l.member.Load().advertise
	return net.IP(a.Addr().Unmap().AsSlice()), int(a.Port()), nil
}

// WriteTo implements memberlist.Transport.
func (l *Listener) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return time.Time{}, err
	}
	n, err := l.udp.WriteToUDPAddrPort(b, to)
	l.traffic.SentBytes.Add(uint64(n))
	return time.Now(), err
}

// WriteToAddress implements memberlist.NodeAwareTransport.
func (l *Listener) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return l.WriteTo(b, a.Addr)
}

// PacketCh implements memberlist.Transport.
func (l *Listener) PacketCh() <-chan *memberlist.Packet { return l.packets }

// StreamCh implements memberlist.Transport.
func (l *Listener) StreamCh() <-chan net.Conn { return l.streams }

// DialTimeout implements memberlist.Transport.
func (l *Listener) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	t := l.track(conn.(*net.TCPConn))
	if t == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("gossip with %s: %w", addr, net.ErrClosed)
	}
	return &dialed{trackedConn: t, in: t, addr: addr, m: l.member.Load(), l: l}, nil
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (l *Listener) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return l.DialTimeout(a.Addr, timeout)
}

// dialed is a stream that this process has opened. A process of another cluster answers with its label.
type dialed struct {
	*trackedConn
	in     io.Reader
	addr   string
	m      *membership
	l      *Listener
	greets sync.Once
	err    error
}

// Read implements net.Conn.
func (d *dialed) Read(b []byte) (int, error) {
	d.greets.Do(func() {
		stream, label, err := memberlist.RemoveLabelHeaderFromStream(d.trackedConn)
		switch {
		case err != nil:
			d.err = err
		case label != "":
			d.l.refuse(d.m, d.addr, label)
			d.err = fmt.Errorf("%s belongs to cluster %s, this process to %s", d.addr, label, d.m.label)
		default:
			d.in = stream
		}
	})
	if d.err != nil {
		return 0, d.err
	}
	return d.in.Read(b)
}
