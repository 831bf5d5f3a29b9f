package rpc

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chordkv/chord/ring"
)

func tableID(b byte) ring.ID { return ring.ID{b} }

// The table against a list that is searched from the last entry to the first, on a circle of 16 places.
func TestArcTableAgainstAModel(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		table := newArcTable(1000)
		var model []*ownedArc
		for step := range 60 {
			arc := ring.Arc{After: tableID(byte(chance.IntN(16))), Through: tableID(byte(chance.IntN(16)))}
			owner := ring.Ref{ID: arc.Through, Addr: fmt.Sprintf("s%d", chance.IntN(3))}
			switch chance.IntN(8) {
			case 0:
				table.forgetServer(owner.Addr)
				model = slices.DeleteFunc(model, func(a *ownedArc) bool { return a.owner.Addr == owner.Addr })
			case 1:
				if a := table.lookup(arc.After); a != nil {
					table.forget(a)
					model = slices.DeleteFunc(model, func(b *ownedArc) bool { return *a == *b })
				}
			default:
				table.learn(owner, arc)
				overlaps := func(a *ownedArc) bool {
					for b := range byte(16) {
						if id := tableID(b); a.arc.Contains(id) && arc.Contains(id) {
							return true
						}
					}
					return false
				}
				model = append(slices.DeleteFunc(model, overlaps), &ownedArc{owner, arc})
			}
			for b := range byte(16) {
				id := tableID(b)
				i := slices.IndexFunc(model, func(a *ownedArc) bool { return a.arc.Contains(id) })
				switch got := table.lookup(id); {
				case i < 0 && got != nil:
					t.Fatalf("step %d: lookup %v: got %v, want nothing", step, id.Short(), *got)
				case i >= 0 && (got == nil || *got != *model[i]):
					t.Fatalf("step %d: lookup %v: got %v, want %v", step, id.Short(), got, *model[i])
				}
			}
		}
	}
}

func TestArcTableIsBounded(t *testing.T) {
	table := newArcTable(10)
	for b := range byte(100) {
		table.learn(ring.Ref{ID: tableID(b + 1)}, ring.Arc{After: tableID(b), Through: tableID(b + 1)})
		if a := table.lookup(tableID(b + 1)); a == nil {
			t.Fatalf("arc %d, just learned, is not there", b)
		}
	}
	if got := len(*table.snap.Load()); got != 10 {
		t.Errorf("arcs: got %d, want 10", got)
	}
}

// An entry that was replaced in the meantime is not forgotten with the one that proved wrong.
func TestArcTableForgetIsCompareAndSet(t *testing.T) {
	table := newArcTable(10)
	arc := ring.Arc{After: tableID(1), Through: tableID(2)}
	table.learn(ring.Ref{ID: tableID(2), Addr: "old"}, arc)
	old := table.lookup(tableID(2))
	table.learn(ring.Ref{ID: tableID(2), Addr: "new"}, arc)
	table.forget(old)
	if got := table.lookup(tableID(2)); got == nil || got.owner.Addr != "new" {
		t.Errorf("got %v, want the new owner", got)
	}
}

func TestArcTableConcurrently(t *testing.T) {
	table := newArcTable(64)
	var tasks sync.WaitGroup
	for g := range 8 {
		tasks.Go(func() {
			chance := rand.New(rand.NewPCG(uint64(g), 0))
			for range 2000 {
				a, b := tableID(byte(chance.Uint32())), tableID(byte(chance.Uint32()))
				table.learn(ring.Ref{ID: b, Addr: "x"}, ring.Arc{After: a, Through: b})
				if e := table.lookup(a); e != nil {
					if !e.arc.Contains(a) {
						t.Errorf("lookup %v: got %v", a.Short(), e.arc)
					}
					table.forget(e)
				}
			}
		})
	}
	tasks.Wait()
}

// A process that cannot be reached loses all its arcs at once, not one failed operation after the other.
func TestClientForgetsTheArcsOfADeadServer(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := lis.Addr().String()
	_ = lis.Close()
	c, err := NewClient(DefaultClientConfig(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for b := range byte(8) {
		c.table.learn(ring.Ref{ID: tableID(2*b + 1), Addr: addr}, ring.Arc{After: tableID(2 * b), Through: tableID(2*b + 1)})
	}
	if _, err := c.askNeighbors(t.Context(), ring.Ref{ID: tableID(1), Addr: addr}); err == nil {
		t.Fatal("somebody answered")
	}
	if got := len(*c.table.snap.Load()); got != 0 {
		t.Errorf("arcs: got %d, want none", got)
	}
}

func TestRetryBudget(t *testing.T) {
	cfg := DefaultClientConfig("localhost:7400")
	cfg.RetryRatio, cfg.RetryFloor, cfg.RetryBurst = 0.1, 2, 3
	now := time.Unix(0, 0)
	b := newRetryBudget(cfg, now)
	taken := func() (n int) {
		for b.take(now) {
			n++
		}
		return n
	}
	if got := taken(); got != 3 {
		t.Errorf("retries of a fresh client: got %d, want the burst of 3", got)
	}
	for range 19 {
		b.request()
	}
	if got := taken(); got != 1 {
		t.Errorf("retries that 19 requests earn: got %d, want 1", got)
	}
	b.request()
	if got := taken(); got != 1 {
		t.Errorf("retries that the 20th request earns: got %d, want 1", got)
	}
	now = now.Add(time.Second)
	if got := taken(); got != 2 {
		t.Errorf("retries that a second earns: got %d, want 2", got)
	}
	now = now.Add(time.Hour)
	for range 1000 {
		b.request()
	}
	if got := taken(); got != 3 {
		t.Errorf("retries saved up in an hour: got %d, want the burst of 3", got)
	}
}

func TestBackoff(t *testing.T) {
	const lo, hi = 10 * time.Millisecond, 500 * time.Millisecond
	for _, tt := range []struct {
		n     int
		bound time.Duration
	}{{0, lo}, {1, 2 * lo}, {5, 32 * lo}, {6, hi}, {40, hi}, {100, hi}} {
		var longest, sum time.Duration
		const draws = 10000
		for range draws {
			d := backoff(lo, hi, tt.n)
			longest = max(longest, d)
			sum += d
		}
		if longest > tt.bound || longest < tt.bound*9/10 {
			t.Errorf("retry %d: longest wait %v, want up to %v", tt.n, longest, tt.bound)
		}
		if mean := sum / draws; mean < tt.bound*4/10 || mean > tt.bound*6/10 {
			t.Errorf("retry %d: mean wait %v, want half of %v", tt.n, mean, tt.bound)
		}
	}
}

func TestServerPoolForgetsOnlyWhatIsNotInUse(t *testing.T) {
	cfg := DefaultClientConfig("configured:1")
	cfg.MaxServers = 2
	p, err := newServerPool(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.close() }()
	a, b := p.learn("a:1"), p.learn("b:1")
	if !a.acquire() || !b.acquire() {
		t.Fatal("fresh servers cannot be used")
	}
	if s := p.learn("c:1"); s != nil {
		t.Errorf("learned %s while all others are in use", s.addr)
	}
	b.release()
	if s := p.learn("c:1"); s == nil {
		t.Error("an idle server did not give way")
	}
	if p.get("a:1") == nil || p.get("b:1") != nil || p.get("configured:1") == nil {
		t.Errorf("known: got %v, want a, c and the configured one", p.snap.Load().byAddr)
	}
	if b.acquire() {
		t.Error("a forgotten server can still be used")
	}
	a.release()
	a.failed(time.Now())
	if s := p.learn("d:1"); s == nil || p.get("a:1") != nil {
		t.Error("the server that failed did not give way first")
	}
}

func TestServerPoolPick(t *testing.T) {
	p, err := newServerPool(DefaultClientConfig("c1:1", "c2:1"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.close() }()
	p.learn("l1:1")
	for _, tt := range []struct {
		failed, tried []string
		want          []string
	}{
		{nil, nil, []string{"c1:1", "c2:1"}},
		{nil, []string{"c1:1"}, []string{"c2:1"}},
		{[]string{"c1:1"}, nil, []string{"c2:1"}},
		{[]string{"c1:1"}, []string{"c2:1"}, []string{"l1:1"}},
		{[]string{"c1:1"}, []string{"c2:1", "l1:1"}, []string{"c1:1"}},
		{[]string{"c1:1", "c2:1", "l1:1"}, nil, []string{"c1:1", "c2:1"}},
		{nil, []string{"c1:1", "c2:1", "l1:1"}, []string{"c1:1", "c2:1"}},
	} {
		for _, addr := range []string{"c1:1", "c2:1", "l1:1"} {
			p.get(addr).answered()
			if slices.Contains(tt.failed, addr) {
				p.get(addr).failed(time.Now())
			}
		}
		for range 20 {
			if got := p.pick(tt.tried).addr; !slices.Contains(tt.want, got) {
				t.Errorf("failed %v, tried %v: picked %s, want one of %v", tt.failed, tt.tried, got, tt.want)
			}
		}
	}
}
