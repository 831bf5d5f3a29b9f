package node_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
	"github.com/chordkv/chord/ring"
)

// cluster is a ring of processes in one program: the shipped node and stores over a network that is a map. It runs in a synctest bubble,
// where time is virtual.
type cluster struct {
	t   *testing.T
	cfg node.Config
	rng *rand.Rand

	mu    sync.Mutex
	procs map[string]*process // by address; those that answer
	fault map[string]error    // what calls to an address end with; errSilent: never answered
	calls int
	moved map[string]int // by address: records that were sent there, or that it has fetched

	peers func(w *wire) node.Peers // what a process has for network in place of w; nil: w
}

type process struct {
	*node.Process
	id    node.Identity
	addr  string
	store node.Store
	rt    *node.Live
	ahead atomic.Int64 // of its clock
}

// wallClock is a Runtime whose clock is wrong.
type wallClock struct {
	*node.Live
	ahead *atomic.Int64
}

func (w wallClock) Now() time.Time { return w.Live.Now().Add(time.Duration(w.ahead.Load())) }

var errSilent = fmt.Errorf("silent")

// inCluster runs f in a bubble of virtual time with a cluster, all of whose processes are stopped at the end.
func inCluster(t *testing.T, seed uint64, cfg node.Config, f func(c *cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{
			t: t, cfg: cfg, rng: rand.New(rand.NewPCG(seed, 0)),
			procs: make(map[string]*process), fault: make(map[string]error), moved: make(map[string]int),
		}
		defer func() {
			for _, p := range c.all() {
				p.Stop()
			}
			for _, p := range c.all() {
				p.rt.Close()
			}
		}()
		f(c)
	})
}

// start makes a process that is not a member yet, with a new identity and a store in memory.
func (c *cluster) start(vnodes int) *process {
	var id node.Identity
	binary.BigEndian.PutUint64(id.Process[:8], c.rng.Uint64())
	binary.BigEndian.PutUint64(id.Process[8:], c.rng.Uint64())
	id.VNodes = vnodes
	return c.restart(id, fmt.Sprintf("10.0.0.%d:7400", len(c.procs)+1), store.NewMemory())
}

// restart makes a process with a given identity and store.
func (c *cluster) restart(id node.Identity, addr string, st node.Store) *process {
	c.t.Helper()
	p := &process{id: id, addr: addr, store: st, rt: node.NewLive()}
	var peers node.Peers = &wire{c: c, from: addr}
	if c.peers != nil {
		peers = c.peers(&wire{c: c, from: addr})
	}
	proc, err := node.New(c.cfg, id, addr, peers, wallClock{p.rt, &p.ahead}, st, node.Events{
		Violation: func(n ring.Ref, err error) { c.t.Errorf("violation at %v: %v", n, err) },
	})
	if err != nil {
		c.t.Fatal(err)
	}
	p.Process = proc
	c.mu.Lock()
	defer c.mu.Unlock()
	c.procs[addr] = p
	delete(c.fault, addr)
	return p
}

// bootstrap starts n processes as one ideal ring.
func (c *cluster) bootstrap(n, vnodes int) []*process {
	c.t.Helper()
	var procs []*process
	for range n {
		procs = append(procs, c.start(vnodes))
	}
	c.assemble(procs)
	return procs
}

// assemble makes one ideal ring of processes that are not members yet.
func (c *cluster) assemble(procs []*process) {
	c.t.Helper()
	var members []ring.Ref
	for _, p := range procs {
		members = append(members, p.Nodes()...)
	}
	all, err := node.NewMembership(members)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, p := range procs {
		if err := p.Bootstrap(all); err != nil {
			c.t.Fatal(err)
		}
	}
}

// join starts a process and joins it through another.
func (c *cluster) join(via *process, vnodes int) *process {
	c.t.Helper()
	p := c.start(vnodes)
	if err := p.Join(c.t.Context(), []string{via.addr}); err != nil {
		c.t.Fatal(err)
	}
	return p
}

// kill stops a process as SIGKILL would: calls to it are refused from now on.
func (c *cluster) kill(p *process) {
	c.setFault(p.addr, fmt.Errorf("%w: connection refused", node.ErrUnreachable))
	p.Stop()
	p.rt.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.procs, p.addr)
}

func (c *cluster) setFault(addr string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		delete(c.fault, addr)
	} else {
		c.fault[addr] = err
	}
}

// all returns the live processes, by address.
func (c *cluster) all() []*process {
	c.mu.Lock()
	defer c.mu.Unlock()
	var procs []*process
	for _, p := range c.procs {
		procs = append(procs, p)
	}
	slices.SortFunc(procs, func(a, b *process) int { return slices.Compare([]byte(a.addr), []byte(b.addr)) })
	return procs
}

// views returns what all nodes of live processes say of themselves.
func (c *cluster) views() []ring.View {
	var views []ring.View
	for _, p := range c.all() {
		for _, n := range p.Status().Nodes {
			views = append(views, n.View)
		}
	}
	return views
}

// eventually waits in virtual time until f returns nil.
func (c *cluster) eventually(within time.Duration, f func() error) {
	c.t.Helper()
	began := time.Now()
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Since(began) > within {
			c.t.Fatalf("not within %v: %v", within, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// converge waits until the ring is ideal and every arc is settled.
func (c *cluster) converge(within time.Duration) {
	c.t.Helper()
	c.eventually(within, func() error {
		if err := ring.CheckIdeal(c.views(), c.cfg.Successors); err != nil {
			return err
		}
		for _, p := range c.all() {
			for _, n := range p.Status().Nodes {
				if !n.Settled {
					return fmt.Errorf("%v is not settled", n.View.Self)
				}
			}
		}
		return nil
	})
}

// count notes records that arrive somewhere.
func (c *cluster) count(addr string, records int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moved[addr] += records
}

func (c *cluster) clearMoved() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.moved)
}

// copies waits until each key is stored by exactly the processes that should have it.
func (c *cluster) copies(within time.Duration, keys [][]byte) {
	c.t.Helper()
	c.eventually(within, func() error { return c.copied(keys) })
}

// copied returns nil if each key is stored by as many processes as should have it.
func (c *cluster) copied(keys [][]byte) error {
	want := min(c.cfg.Replicas, len(c.all()))
	for _, key := range keys {
		if at := c.with(key); len(at) != want {
			return fmt.Errorf("%q is on %v, want %d processes", key, at, want)
		}
	}
	return nil
}

// with returns the addresses of the live processes that have a key.
func (c *cluster) with(key []byte) (at []string) {
	for _, p := range c.all() {
		if v, err := p.store.Version(key); err == nil && !v.IsZero() {
			at = append(at, p.addr)
		}
	}
	return at
}

func (c *cluster) put(p *process, key, value string) {
	c.t.Helper()
	if _, err := p.Do(c.t.Context(), node.Op{Kind: node.OpPut, Key: []byte(key), Value: []byte(value)}); err != nil {
		c.t.Fatalf("put %q: %v", key, err)
	}
}

func (c *cluster) wantValue(p *process, key, want string) {
	c.t.Helper()
	r, err := p.Do(c.t.Context(), node.Op{Kind: node.OpGet, Key: []byte(key)})
	if err != nil || !r.Found || string(r.Value) != want {
		c.t.Fatalf("get %q: got %q, found %v, error %v; want %q", key, r.Value, r.Found, err, want)
	}
}

// wire is the network as one process sees it.
type wire struct {
	c    *cluster
	from string
}

var _ node.Peers = (*wire)(nil)

// delay is what every call takes, there and back.
const delay = 2 * time.Millisecond

// to returns the process at an address after the delay, or the error that a call to it ends with.
func (w *wire) to(ctx context.Context, to ring.Ref) (*process, error) {
	w.c.mu.Lock()
	w.c.calls++
	p, ok := w.c.procs[to.Addr]
	fault := w.c.fault[to.Addr]
	if fault == nil {
		fault = w.c.fault[w.from+">"+to.Addr]
	}
	w.c.mu.Unlock()
	if fault == errSilent {
		<-ctx.Done()
		return nil, fmt.Errorf("%w: %w", node.ErrUnreachable, ctx.Err())
	}
	time.Sleep(delay)
	switch {
	case fault != nil:
		return nil, fault
	case !ok:
		return nil, fmt.Errorf("%w: connection refused", node.ErrUnreachable)
	}
	return p, ctx.Err()
}

func (w *wire) Neighbors(ctx context.Context, to ring.Ref) (ring.View, error) {
	p, err := w.to(ctx, to)
	if err != nil {
		return ring.View{}, err
	}
	return p.Neighbors(to.ID)
}

func (w *wire) Notify(ctx context.Context, to, from ring.Ref) error {
	p, err := w.to(ctx, to)
	if err != nil {
		return err
	}
	return p.Notify(to.ID, from)
}

func (w *wire) Changed(ctx context.Context, to, from ring.Ref) error {
	p, err := w.to(ctx, to)
	if err != nil {
		return err
	}
	return p.Changed(to.ID, from)
}

func (w *wire) Route(ctx context.Context, to ring.Ref, id ring.ID, avoid []ring.ID) (ring.Step, error) {
	p, err := w.to(ctx, to)
	if err != nil {
		return ring.Step{}, err
	}
	return p.Route(to.ID, id, slices.Clone(avoid))
}

func (w *wire) Forward(ctx context.Context, to ring.Ref, q node.Query) error {
	p, err := w.to(ctx, to)
	if err != nil {
		return err
	}
	q.Hops = slices.Clone(q.Hops)
	return p.Forward(to.ID, q)
}

func (w *wire) Arrived(ctx context.Context, to ring.Ref, a node.Arrival) error {
	p, err := w.to(ctx, to)
	if err != nil {
		return err
	}
	a.Hops = slices.Clone(a.Hops)
	return p.Arrived(a)
}

func (w *wire) Apply(ctx context.Context, to ring.Ref, records []node.Record, claims []node.Claim) ([]node.Version, error) {
	p, err := w.to(ctx, to)
	if err != nil {
		return nil, err
	}
	w.c.count(to.Addr, len(records))
	return p.Apply(ctx, records, claims)
}

func (w *wire) Fetch(ctx context.Context, to ring.Ref, wants []node.Want) ([]node.Found, error) {
	p, err := w.to(ctx, to)
	if err != nil {
		return nil, err
	}
	found, err := p.Fetch(ctx, wants)
	for i := range found {
		if found[i].Record.Key != nil {
			w.c.count(w.from, 1)
		}
	}
	return found, err
}

func (w *wire) Digest(ctx context.Context, to ring.Ref, arcs []ring.Arc, claims []node.Claim) ([]node.Summary, error) {
	p, err := w.to(ctx, to)
	if err != nil {
		return nil, err
	}
	return p.Digest(ctx, arcs, claims)
}

func (w *wire) Outline(ctx context.Context, to ring.Ref, arcs []ring.Arc, detail node.Detail) ([]node.Outline, error) {
	p, err := w.to(ctx, to)
	if err != nil {
		return nil, err
	}
	return p.Outline(ctx, arcs, detail)
}

func (w *wire) Name(ctx context.Context, to ring.Ref, unnamed []node.Unnamed) ([]node.Entry, error) {
	p, err := w.to(ctx, to)
	if err != nil {
		return nil, err
	}
	return p.Name(ctx, unnamed)
}

func (w *wire) List(ctx context.Context, to ring.Ref, arc ring.Arc, from node.Cursor, limit int) ([]node.Entry, error) {
	p, err := w.to(ctx, to)
	if err != nil {
		return nil, err
	}
	return p.List(ctx, arc, from, limit)
}

func (w *wire) Collect(ctx context.Context, to ring.Ref, entries []node.Entry) error {
	p, err := w.to(ctx, to)
	if err != nil {
		return err
	}
	return p.Collect(ctx, entries)
}

func (w *wire) Contact(ctx context.Context, to ring.Ref) (node.Contact, error) {
	p, err := w.to(ctx, to)
	if err != nil {
		return node.Contact{}, err
	}
	return p.Contact(), nil
}

func (w *wire) Do(ctx context.Context, to ring.Ref, op node.Op) (node.Result, error) {
	p, err := w.to(ctx, to)
	if err != nil {
		return node.Result{}, err
	}
	return p.Serve(ctx, op)
}
