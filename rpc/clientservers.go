package rpc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// A server that did not answer is left alone for a time that doubles with every failure in a row, unless nobody else is left.
const (
	minShun = 500 * time.Millisecond
	maxShun = 10 * time.Second
)

// server is a process that the client knows: one connection, opened by the first call, and one gathered stream of operations.
type server struct {
	addr       string
	configured bool
	conn       *grpc.ClientConn
	ops        *kvGatherer

	users    atomic.Int64 // calls under way; far below 0 once the server has been forgotten
	failures atomic.Int32 // in a row
	shunned  atomic.Int64 // until this time, in nanoseconds since 1970
}

// acquire keeps the connection open until release; it reports false if it has been closed.
func (s *server) acquire() bool {
	if s.users.Add(1) > 0 {
		return true
	}
	s.users.Add(-1)
	return false
}

func (s *server) release() { s.users.Add(-1) }

// retire marks the server as forgotten; it reports false if it is in use.
func (s *server) retire() bool { return s.users.CompareAndSwap(0, -1<<62) }

func (s *server) failed(now time.Time) {
	n := min(s.failures.Add(1)-1, 16)
	s.shunned.Store(now.Add(min(minShun<<n, maxShun)).UnixNano())
}

func (s *server) answered() {
	if s.failures.Load() != 0 {
		s.failures.Store(0)
		s.shunned.Store(0)
	}
}

func (s *server) shun(now time.Time) bool {
	until := s.shunned.Load()
	return until != 0 && now.UnixNano() < until
}

func (s *server) close() error {
	s.ops.close()
	return s.conn.Close()
}

// serverPool is every server that the client knows: those that it was configured with, for good, and those that it learned from the
// ring, bounded. Readers use a snapshot without a lock.
type serverPool struct {
	max  int // learned servers
	dial []grpc.DialOption
	snap atomic.Pointer[serverList]

	mu     sync.Mutex // serializes changes
	closed bool
}

// serverList is an immutable snapshot.
type serverList struct {
	all        []*server // the configured ones first
	configured int
	byAddr     map[string]*server
}

func newServerPool(cfg ClientConfig) (*serverPool, error) {
	p := &serverPool{max: cfg.MaxServers, dial: append(dialOptions(insecure.NewCredentials(), maxClientMessage), cfg.DialOptions...)}
	p.snap.Store(&serverList{byAddr: map[string]*server{}})
	for _, addr := range cfg.Servers {
		if err := p.add(addr, true); err != nil {
			return nil, errors.Join(fmt.Errorf("server %q: %w", addr, err), p.close())
		}
	}
	return p, nil
}

// maxClientMessage bounds an answer: a full batch, or one value of any size that a ring may allow.
const maxClientMessage = 64 << 20

// get returns a known server, or nil.
func (p *serverPool) get(addr string) *server { return p.snap.Load().byAddr[addr] }

// learn makes a server known. A full pool forgets one that nobody uses for it, failed ones first; if all are in use, or the address
// cannot be dialed, learn returns nil.
func (p *serverPool) learn(addr string) *server {
	if s := p.get(addr); s != nil || addr == "" {
		return s
	}
	if p.add(addr, false) != nil {
		return nil
	}
	return p.get(addr)
}

func (p *serverPool) add(addr string, configured bool) error {
	conn, err := grpc.NewClient(addr, p.dial...) // connects with the first call
	if err != nil {
		return err
	}
	useless := p.insert(&server{addr: addr, configured: configured, conn: conn, ops: newKVGatherer(addr, conn, nil)})
	if useless != nil {
		return useless.close()
	}
	return nil
}

// insert puts a server into the pool. It returns what has to be closed for that: a server that had to give way, or s itself if it is
// known already or finds no room.
func (p *serverPool) insert(s *server) (useless *server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.snap.Load()
	if old.byAddr[s.addr] != nil || p.closed {
		return s
	}
	next := &serverList{all: slices.Clone(old.all), configured: old.configured, byAddr: make(map[string]*server, len(old.all)+1)}
	if s.configured {
		next.configured++
	} else if len(next.all)-next.configured >= p.max {
		i := next.victim()
		if i < 0 {
			return s
		}
		useless = next.all[i]
		next.all = slices.Delete(next.all, i, i+1)
	}
	next.all = append(next.all, s)
	for _, s := range next.all {
		next.byAddr[s.addr] = s
	}
	p.snap.Store(next)
	return useless
}

// victim retires a learned server that nobody uses, one that failed if there is one, and returns its index, or -1.
func (l *serverList) victim() int {
	learned := l.all[l.configured:]
	start := rand.IntN(len(learned))
	for _, failed := range [2]bool{true, false} {
		for k := range learned {
			i := (start + k) % len(learned)
			if s := learned[i]; (s.failures.Load() > 0) == failed && s.retire() {
				return l.configured + i
			}
		}
	}
	return -1
}

// pick chooses the server through which to enter the ring: a configured one before a learned one, one that works before one that
// failed lately, one that was not tried before one that was; a random one among equals.
func (p *serverPool) pick(tried []string) *server {
	list := p.snap.Load()
	now := time.Now()
	var best *server
	bestRank := 4
	for _, class := range [2][]*server{list.all[:list.configured], list.all[list.configured:]} {
		if len(class) == 0 {
			continue
		}
		start := rand.IntN(len(class))
		for k := range class {
			s := class[(start+k)%len(class)]
			rank := 0
			if s.shun(now) {
				rank++
			}
			if slices.Contains(tried, s.addr) {
				rank += 2
			}
			if rank < bestRank {
				best, bestRank = s, rank
			}
			if rank == 0 {
				return s
			}
		}
	}
	return best
}

// some returns up to n servers, those that work before those that failed lately, the configured ones first.
func (p *serverPool) some(n int) []*server {
	now := time.Now()
	servers := slices.Clone(p.snap.Load().all)
	slices.SortStableFunc(servers, func(a, b *server) int {
		switch x, y := a.shun(now), b.shun(now); {
		case x == y:
			return 0
		case y:
			return -1
		}
		return +1
	})
	return servers[:min(n, len(servers))]
}

// close ends every call and closes every connection.
func (p *serverPool) close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	var errs []error
	for _, s := range p.snap.Load().all {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}
