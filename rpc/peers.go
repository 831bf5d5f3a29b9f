package rpc

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/chordkv/chord/node"
)

// maxConns bounds the connections to other processes. It is far more than a process keeps up: ring neighbors, fingers, replicas. When they
// are that many, those without a call are closed at once.
const maxConns = 4096

// Peers makes the calls of a process to others: one connection an address, opened by the first call, closed when it has not been used for
// a while. Calls about the ring are unary; those about records and operations are gathered. It is safe for concurrent use.
type Peers struct {
	local   *Local
	creds   credentials.TransportCredentials
	metrics *Metrics
	idle    time.Duration
	dial    []grpc.DialOption
	lost    func(addr string)
	views   viewCache
	stop    chan struct{}
	tasks   sync.WaitGroup

	mu     sync.Mutex // nothing is dialed or called under it
	closed bool
	byAddr map[string]*remote
}

var _ node.Peers = (*Peers)(nil)

// remote is another process.
type remote struct {
	addr     string
	conn     *grpc.ClientConn
	replica  *replicaGatherer
	ops      *kvGatherer
	watching sync.WaitGroup
	calls    atomic.Int64 // under way; changes from 0 only under Peers.mu
	lastUsed atomic.Int64 // nanoseconds since 1970
}

// PeersOption changes how NewPeers makes connections.
type PeersOption func(*Peers)

// WithPeerCredentials makes connections with transport security. Without it they are plaintext.
func WithPeerCredentials(creds credentials.TransportCredentials) PeersOption {
	return func(p *Peers) { p.creds = creds }
}

// WithPeerMetrics counts what is sent and received.
func WithPeerMetrics(m *Metrics) PeersOption {
	return func(p *Peers) { p.metrics = m }
}

// WithIdleTimeout sets how long a connection stays open without a call. The default is a minute.
func WithIdleTimeout(d time.Duration) PeersOption {
	return func(p *Peers) { p.idle = d }
}

// WithConnectionLost calls lost when a connection to another process breaks that neither side has closed for want of use. It must not block.
func WithConnectionLost(lost func(addr string)) PeersOption {
	return func(p *Peers) { p.lost = lost }
}

// NewPeers returns Peers without a connection. Close them.
func NewPeers(local *Local, opts ...PeersOption) *Peers {
	p := &Peers{
		local: local, creds: insecure.NewCredentials(), idle: time.Minute,
		stop: make(chan struct{}), byAddr: make(map[string]*remote),
	}
	for _, opt := range opts {
		opt(p)
	}
	p.dial = append(dialOptions(p.creds, messageLimit(local.Config)),
		grpc.WithUnaryInterceptor(p.markUnary), grpc.WithStreamInterceptor(p.markStream))
	if p.metrics != nil {
		p.dial = append(p.dial, grpc.WithStatsHandler(p.metrics.traffic("peer")))
	}
	p.tasks.Go(p.closeIdle)
	return p
}

func (p *Peers) markUnary(
	ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	return invoker(p.local.mark(ctx), method, req, reply, conn, opts...)
}

func (p *Peers) markStream(
	ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return streamer(p.local.mark(ctx), desc, conn, method, opts...)
}

// acquire returns the process at addr, which is not closed until it is released.
func (p *Peers) acquire(addr string) (*remote, error) {
	if r, err := p.lookup(addr, nil); r != nil || err != nil {
		return r, err
	}
	if p.full() {
		for _, r := range p.takeIdle(time.Now()) {
			r.close()
		}
	}
	fresh, err := p.newRemote(addr)
	if err != nil {
		return nil, unreachable(addr, err.Error(), false)
	}
	r, err := p.lookup(addr, fresh)
	if r != fresh {
		fresh.close() // someone else was faster, or the peers are closed
	}
	return r, err
}

// lookup finds the process at addr, or makes it known as fresh unless that is nil.
func (p *Peers) lookup(addr string, fresh *remote) (*remote, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, closedError(addr, false)
	}
	r := p.byAddr[addr]
	if r == nil {
		if r = fresh; r == nil {
			return nil, nil
		}
		if len(p.byAddr) >= maxConns {
			return nil, unreachable(addr, "too many connections", false)
		}
		p.byAddr[addr] = r
	}
	r.calls.Add(1)
	return r, nil
}

func (p *Peers) full() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.byAddr) >= maxConns
}

func (p *Peers) newRemote(addr string) (*remote, error) {
	conn, err := grpc.NewClient("passthrough:///"+addr, p.dial...) // connects with the first call
	if err != nil {
		return nil, err
	}
	r := &remote{
		addr: addr, conn: conn,
		replica: newReplicaGatherer(addr, conn, p.metrics.batches("ReplicaService", "sent")),
		ops:     newKVGatherer(addr, conn, p.metrics.batches("KVService", "sent")),
	}
	if p.lost != nil {
		r.watching.Go(func() { r.watch(p.lost) })
	}
	return r, nil
}

// watch reports each time that the connection breaks, until it is closed.
func (r *remote) watch(lost func(addr string)) {
	for was := connectivity.Idle; was != connectivity.Shutdown; {
		r.conn.WaitForStateChange(context.Background(), was) // for ever, but for close
		is := r.conn.GetState()
		if was == connectivity.Ready && is != connectivity.Ready && is != connectivity.Shutdown {
			lost(r.addr)
		}
		was = is
	}
}

func (r *remote) release() {
	r.lastUsed.Store(time.Now().UnixNano())
	r.calls.Add(-1)
}

// close ends all calls and returns when no goroutine is left.
func (r *remote) close() {
	r.replica.close()
	r.ops.close()
	_ = r.conn.Close() // its only error is that it was closed before
	r.watching.Wait()
}

// closeIdle closes, until the peers are closed, the connections that are not used any more: most of all those to processes that are
// gone, which gRPC would go on dialing for ever.
func (p *Peers) closeIdle() {
	tick := time.NewTicker(max(p.idle/4, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			for _, r := range p.takeIdle(now.Add(-p.idle)) {
				r.close()
			}
		case <-p.stop:
			return
		}
	}
}

func (p *Peers) takeIdle(since time.Time) (idle []*remote) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for addr, r := range p.byAddr {
		if r.calls.Load() == 0 && r.lastUsed.Load() < since.UnixNano() {
			delete(p.byAddr, addr)
			idle = append(idle, r)
		}
	}
	return idle
}

// Close ends every call with ErrClosed and closes every connection. It returns when no goroutine is left.
func (p *Peers) Close() {
	p.mu.Lock()
	closed := p.closed
	p.closed = true
	all := p.byAddr
	p.byAddr = nil
	p.mu.Unlock()
	if !closed {
		close(p.stop)
	}
	p.tasks.Wait()
	for _, r := range all {
		r.close()
	}
}

// stopped reports whether Close has been called.
func (p *Peers) stopped() bool {
	select {
	case <-p.stop:
		return true
	default:
		return false
	}
}

// withDeadline gives a call that has no deadline one.
func withDeadline(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}
