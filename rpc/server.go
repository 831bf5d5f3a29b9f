package rpc

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

// Processor is what a Server needs of a node.Process, whose documentation applies.
type Processor interface {
	Ready() bool
	Neighbors(node ring.ID) (ring.View, error)
	Notify(node ring.ID, from ring.Ref) error
	Changed(node ring.ID, from ring.Ref) error
	Route(node, id ring.ID, avoid []ring.ID) (ring.Step, error)
	Forward(node ring.ID, q node.Query) error
	Arrived(a node.Arrival) error
	Apply(ctx context.Context, records []node.Record, claims []node.Claim) ([]node.Version, error)
	Fetch(ctx context.Context, wants []node.Want) ([]node.Found, error)
	Digest(ctx context.Context, arcs []ring.Arc, claims []node.Claim) ([]node.Summary, error)
	Outline(ctx context.Context, arcs []ring.Arc, detail node.Detail) ([]node.Outline, error)
	Name(ctx context.Context, unnamed []node.Unnamed) ([]node.Entry, error)
	List(ctx context.Context, arc ring.Arc, from node.Cursor, limit int) ([]node.Entry, error)
	Collect(ctx context.Context, entries []node.Entry) error
	Contact() node.Contact
	Do(ctx context.Context, op node.Op) (node.Result, error)
	Serve(ctx context.Context, op node.Op) (node.Result, error)
	ServeAll(ctx context.Context, ops []node.Op, answer func([]node.Answer))
	Watch(ctx context.Context, key []byte, after node.Version, tell func(node.Result) error) error
	WatchPrefix(ctx context.Context, prefix []byte, tell func(node.Stored) error) error
	LookupBy(ctx context.Context, style node.Style, id ring.ID) (node.Lookup, error)
	Repair(ctx context.Context, within ring.Arc, report func(node.Repaired)) error
	RepairStatus() node.RepairStatus
	Status() node.Status
}

var _ Processor = (*node.Process)(nil)

// ServerOptions are what a Server can be given. The zero value works.
type ServerOptions struct {
	Logger  zerolog.Logger // of panics and of what ends a Server; the zero value is silent
	Metrics *Metrics       // nil: nothing is counted
	Creds   credentials.TransportCredentials
	Go      func(f func()) // runs f concurrently; nil: on a new goroutine. node.Live.Go keeps goroutines whose stacks have grown

	DefaultTimeout time.Duration // of a call that comes without a deadline; 0: 10 s
	MaxTimeout     time.Duration // that a caller may ask for; 0: a minute
}

// Server takes the calls of other processes and of clients: RingService, ReplicaService, KVService, health and reflection. Before
// it has a process that is ready, everything but Hello is answered with node.ErrNotReady.
type Server struct {
	local    *Local
	opts     ServerOptions
	grpc     *grpc.Server
	proc     atomic.Pointer[Processor]
	draining atomic.Bool
	stopping chan struct{} // closed by GracefulStop and Stop
	once     sync.Once
}

// Limits of what others may open.
const (
	maxStreamsPerConn = 1024
	handshakeTimeout  = 10 * time.Second
	maxConnIdle       = 15 * time.Minute
	probeIdleClient   = time.Minute // after which a silent client is pinged, to find those that vanished
)

// NewServer returns a Server for proc, which may be nil until SetProcess.
func NewServer(local *Local, proc Processor, opts ServerOptions) *Server {
	if opts.DefaultTimeout == 0 {
		opts.DefaultTimeout = 10 * time.Second
	}
	if opts.MaxTimeout == 0 {
		opts.MaxTimeout = time.Minute
	}
	if opts.Creds == nil {
		opts.Creds = insecure.NewCredentials()
	}
	if opts.Go == nil {
		opts.Go = func(f func()) { go f() }
	}
	s := &Server{local: local, opts: opts, stopping: make(chan struct{})}
	s.SetProcess(proc)
	limit := messageLimit(local.Config)
	serverOpts := []grpc.ServerOption{
		grpc.Creds(opts.Creds),
		grpc.ChainUnaryInterceptor(s.unary),
		grpc.ChainStreamInterceptor(s.stream),
		grpc.ForceServerCodecV2(wireCodec{}),
		grpc.MaxRecvMsgSize(limit), grpc.MaxSendMsgSize(limit),
		grpc.MaxConcurrentStreams(maxStreamsPerConn), grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.ConnectionTimeout(handshakeTimeout), grpc.WaitForHandlers(true),
		grpc.StaticStreamWindowSize(streamWindow), grpc.StaticConnWindowSize(connWindow),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveTime / 2, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: maxConnIdle, Time: probeIdleClient, Timeout: keepaliveTimeout,
		}),
	}
	if opts.Metrics != nil {
		serverOpts = append(serverOpts, grpc.StatsHandler(opts.Metrics.traffic("server")))
	}
	s.grpc = grpc.NewServer(serverOpts...)
	chordv1.RegisterRingServiceServer(s.grpc, ringService{s: s})
	chordv1.RegisterReplicaServiceServer(s.grpc, replicaService{s: s})
	chordv1.RegisterKVServiceServer(s.grpc, kvService{s: s})
	healthv1.RegisterHealthServer(s.grpc, healthService{s: s})
	reflection.Register(s.grpc)
	return s
}

// SetProcess sets the process that serves, or takes it away with nil.
func (s *Server) SetProcess(proc Processor) {
	if p, ok := proc.(*node.Process); proc == nil || ok && p == nil {
		s.proc.Store(nil)
		return
	}
	s.proc.Store(&proc)
}

// process returns the process, or ErrNotReady while there is none.
func (s *Server) process() (Processor, error) {
	if p := s.proc.Load(); p != nil {
		return *p, nil
	}
	return nil, node.ErrNotReady
}

// Ready reports whether clients are served: the process is a member of a ring and the server is not draining.
func (s *Server) Ready() bool {
	p, err := s.process()
	return err == nil && p.Ready() && !s.draining.Load()
}

// SetDraining makes the server refuse the operations of clients with node.ErrNotReady, so that they go elsewhere, or serve them
// again. Other processes are served all the time.
func (s *Server) SetDraining(draining bool) { s.draining.Store(draining) }

// Draining reports what SetDraining set.
func (s *Server) Draining() bool { return s.draining.Load() }

// Serve takes connections from lis, which it closes, until the server is stopped; then it returns nil.
func (s *Server) Serve(lis net.Listener) error {
	if err := s.grpc.Serve(lis); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// GracefulStop takes no more calls, lets those that are under way end and returns. If ctx ends first, they are ended.
func (s *Server) GracefulStop(ctx context.Context) {
	s.once.Do(func() { close(s.stopping) }) // ends the streams, which gRPC would wait for
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.grpc.GracefulStop()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.opts.Logger.Warn().Msg("calls were still under way when the time to stop was up")
		s.grpc.Stop()
		<-done
	}
}

// Stop ends all calls and closes all connections at once. When it returns, none of its calls is in the process any more.
func (s *Server) Stop() {
	s.once.Do(func() { close(s.stopping) })
	s.grpc.Stop()
}
