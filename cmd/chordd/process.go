package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"google.golang.org/grpc"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

// process is a whole Chord process: its listeners, its data, the protocol, and the services over it.
type process struct {
	cfg        Config
	log        zerolog.Logger
	started    time.Time
	complaints throttle
	changed    chan struct{} // wakes remember
	touched    time.Time     // when the data directory last heard that the process is alive; of writeDown

	listener net.Listener  // for nodes and clients
	admin    net.Listener  // nil without
	chatter  *chatter      // gossip; nil without
	resolver *net.Resolver // of the sources of --join; nil: the machine's

	dir     *store.Dir // nil in memory
	records node.Store

	local  *rpc.Local
	peers  *rpc.Peers
	live   *node.Live
	clock  *clockWatch
	core   *node.Process
	server *rpc.Server

	adminGRPC *grpc.Server
	adminHTTP *http.Server

	serving sync.WaitGroup // the goroutines that accept connections
	failed  chan error     // why the process cannot go on
	left    chan struct{}  // closed when the process has left the ring because an operator asked

	leftOnce   sync.Once
	leave      sync.Once // in leaveRing
	leaveErr   error
	handedOver atomic.Bool                     // others have what the process held: it has left the ring
	life       atomic.Pointer[context.Context] // of run: ends when the process begins to stop
	ending     context.Context                 // ends with release
	end        context.CancelFunc
}

// startProcess binds the addresses, opens the data and answers calls. The process is not a member of a ring yet: it says hello, and
// refuses everything else with node.ErrNotReady. Nothing on disk changes unless the addresses are free. over says that it has to do without the records that it has.
func startProcess(cfg Config, log zerolog.Logger, over bool) (_ *process, err error) {
	p := &process{
		cfg: cfg, log: log, started: time.Now(), live: node.NewLive(),
		changed: make(chan struct{}, 1), failed: make(chan error, 1), left: make(chan struct{}),
	}
	p.ending, p.end = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, p.release())
		}
	}()
	if p.listener, err = listen(flagListen, cfg.Listen); err != nil {
		return nil, err
	}
	if cfg.hasAdmin() {
		if p.admin, err = listen(flagAdmin, cfg.Admin); err != nil {
			return nil, err
		}
	}
	if err = p.listenGossip(); err != nil {
		return nil, err
	}
	identity, err := p.openData(over)
	if err != nil {
		return nil, err
	}
	return p, p.wire(identity)
}

// openData opens the store and returns who the process is. If it starts over, the records that are there are moved away.
func (p *process) openData(over bool) (node.Identity, error) {
	if p.cfg.Store == storeMemory {
		identity := node.Identity{VNodes: p.cfg.VNodes, Incarnation: 1}
		_, _ = rand.Read(identity.Process[:]) // never fails
		p.records = store.NewMemory()
		return identity, nil
	}
	sync, err := store.ParseSyncMode(p.cfg.Sync)
	if err != nil {
		return node.Identity{}, err
	}
	p.dir, err = store.OpenDir(p.cfg.Data, store.DirOptions{VNodes: p.cfg.VNodes, Random: rand.Reader, Now: time.Now})
	if err != nil {
		return node.Identity{}, err
	}
	if over {
		path, err := p.dir.SetAside(time.Now())
		if err != nil {
			return node.Identity{}, fmt.Errorf("move the records away: %w", err)
		}
		p.log.Warn().Str("records", path).Msg("started over: the old records are moved away and may be removed; the others send this process its share")
	}
	opts := store.DefaultPebbleOptions()
	opts.ScrubInterval = p.cfg.ScrubEvery
	opts.Sync = sync
	opts.Log = p.log.With().Str("part", "store").Logger()
	opts.Fatal = p.fail
	opts.FS = diskFS()
	records, err := store.OpenPebble(p.dir.RecordsPath(), opts)
	if err != nil {
		return node.Identity{}, err
	}
	p.records = records
	return p.dir.Identity(), nil
}

// wire connects the parts and starts to serve.
func (p *process) wire(identity node.Identity) (err error) {
	registry := newRegistry()
	metrics := rpc.NewMetrics()
	identity.Zone = ring.ZoneOf(p.cfg.Zone)
	p.local = &rpc.Local{Identity: identity, Addr: p.cfg.Advertise, Version: version().Version, Config: p.cfg.nodeConfig()}
	if p.local.Addr == "" {
		p.local.Addr = p.listener.Addr().String()
	}
	if p.admin != nil {
		p.local.AdminAddr = p.admin.Addr().String()
	}
	p.local.GossipAddr = p.gossipAdvertise()
	runtime := newRuntime(p.live)
	p.local.Now, p.clock = runtime.Now, newClockWatch(runtime.Now, p.local.Config.MaxClockAhead)
	if p.dir != nil {
		if id, ok := p.dir.Cluster(); ok {
			p.local.SetCluster(id)
		}
	}
	p.peers = rpc.NewPeers(p.local, rpc.WithPeerMetrics(metrics), rpc.WithConnectionLost(p.connectionLost))
	events := nodeEvents(p.log, newNodeMetrics(registry), p.neighborsChanged)
	events.Stale = p.fail
	p.core, err = node.New(p.local.Config, identity, p.local.Addr, faultyPeers(p.peers), runtime, faultyStore(p.records), events)
	if err != nil {
		return err
	}
	p.core.CheckClock(p.clock.check)
	if p.dir != nil {
		p.core.Recall(p.dir.Peers())
		p.core.RecallContact(p.dir.Contact())
		p.core.RecallClock(p.dir.Clock(), p.dir.NoteClock)
	}
	p.server = rpc.NewServer(p.local, p.core, rpc.ServerOptions{Logger: p.log, Metrics: metrics, Go: p.live.Go})
	registry.MustRegister(metrics, &statusCollector{status: p.core.Status, draining: p.server.Draining})
	if records, ok := p.records.(*store.Pebble); ok {
		registry.MustRegister(&pebbleCollector{records.Metrics})
	}
	if p.chatter != nil {
		registry.MustRegister(p.chatter)
	}
	p.serve(func() error { return p.server.Serve(p.listener) })
	if p.admin != nil {
		p.serveAdmin(registry)
	}
	return nil
}

// connectionLost has the ring look after a process that may have died, unless this one stops: then the others may be stopping, too.
func (p *process) connectionLost(addr string) {
	if life := p.life.Load(); life == nil || (*life).Err() == nil {
		p.core.HearLost(addr)
	}
}

func (p *process) serveAdmin(registry *prometheus.Registry) {
	p.adminGRPC = grpc.NewServer()
	options := rpc.AdminOptions{Started: p.started, Store: p.cfg.Store, Leave: p.leaveForOperator}
	if records, ok := p.records.(*store.Pebble); ok {
		options.Backup = func(_ context.Context, dir string) error { return p.dir.Backup(records, dir, time.Now()) }
	}
	if p.chatter != nil {
		options.Zone, options.Zones = p.cfg.Zone, p.chatter.zones
	}
	p.server.RegisterAdmin(p.adminGRPC, options)
	p.adminHTTP = newAdminServer(p.adminGRPC, registry, p.readiness, p.local.Addr)
	p.serve(func() error {
		if err := p.adminHTTP.Serve(p.admin); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("admin: %w", err)
		}
		return nil
	})
}

// serve runs a server; that it ends with an error ends the process.
func (p *process) serve(f func() error) {
	p.serving.Go(func() {
		if err := f(); err != nil {
			p.fail(err)
		}
	})
}

// fail makes run return err. The first one wins.
func (p *process) fail(err error) {
	select {
	case p.failed <- err:
	default:
	}
}

func (p *process) readiness() readiness {
	return assess(p.core.Status(), p.cfg.WriteQuorum, p.server.Draining())
}

// logReady is the one line that says everything is up, whatever the log level.
func (p *process) logReady() {
	log := p.log.Level(zerolog.InfoLevel)
	e := log.Info().Str("listen", p.listener.Addr().String()).Str("advertise", p.local.Addr)
	if p.admin != nil {
		e = e.Str("admin", "http://"+p.admin.Addr().String()+"/")
	}
	if p.local.GossipAddr != "" {
		e = e.Str("gossip", p.local.GossipAddr)
	}
	cluster, _ := p.local.Cluster()
	e = e.Stringer("cluster", cluster).Stringer("process", p.local.Identity).Uint64("incarnation", p.local.Identity.Incarnation).
		Int("vnodes", p.local.Identity.VNodes).Str("store", p.cfg.Store)
	if p.dir != nil {
		e = e.Str("data", p.cfg.Data)
	}
	e.Msg("ready")
	if n := smallestGroup(p.core.Status()); n < p.cfg.WriteQuorum || n < p.cfg.ReadQuorum {
		p.log.Warn().Int("processes", n).Int("write_quorum", p.cfg.WriteQuorum).Int("read_quorum", p.cfg.ReadQuorum).
			Msg("too few processes to serve clients yet: start more of them with --join " + p.local.Addr)
	}
}
