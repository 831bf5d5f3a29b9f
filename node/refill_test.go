package node_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
	"github.com/chordkv/chord/ring"
)

// lossy is a store that has lost records and knows where, though not which.
type lossy struct {
	*store.Memory
	mu   sync.Mutex
	arcs []ring.Arc
}

func (l *lossy) Get(key []byte) (node.Record, bool, error) {
	r, ok, err := l.Memory.Get(key)
	if err == nil && !ok {
		for _, arc := range l.Lost() {
			if arc.Contains(ring.Hash(key)) {
				return r, false, fmt.Errorf("%w: lost", node.ErrCorrupt)
			}
		}
	}
	return r, ok, err
}

func (l *lossy) Lost() []ring.Arc {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.arcs
}

func (l *lossy) Refilled(arc ring.Arc) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.arcs) != 1 || l.arcs[0] != arc {
		return errors.New("never lost")
	}
	l.arcs = nil
	return nil
}

// lose takes every second record away, and tells how many that were.
func (l *lossy) lose(t *testing.T) int {
	entries, err := l.List(ring.FullArc(), node.Cursor{}, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	var lost []node.Entry
	for i := 0; i < len(entries); i += 2 {
		lost = append(lost, entries[i])
	}
	l.mu.Lock()
	l.arcs = []ring.Arc{ring.FullArc()}
	l.mu.Unlock()
	n, err := l.Drop(lost)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// lossy starts a process with such a store.
func (c *cluster) lossy(vnodes int, s *lossy) *process {
	p := c.start(vnodes)
	p.Stop()
	p.rt.Close()
	return c.restart(p.id, p.addr, s)
}

// TestLostRecordsAreRefilled: what a store has lost it gets back at the next sweep, long before the next repair, whoever owns it; until then nobody hears that it does not
// exist. A process that has nobody to ask never says that nothing is missing.
func TestLostRecordsAreRefilled(t *testing.T) {
	cfg := node.DefaultConfig()
	cfg.RepairInterval = time.Hour
	inCluster(t, 111, cfg, func(c *cluster) {
		var procs []*process
		var members []ring.Ref
		for range 5 {
			p := c.lossy(2, &lossy{Memory: store.NewMemory()})
			procs, members = append(procs, p), append(members, p.Nodes()...)
		}
		all, err := node.NewMembership(members)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range procs {
			if err := p.Bootstrap(all); err != nil {
				t.Fatal(err)
			}
		}
		c.converge(time.Minute)
		for i := range 300 {
			c.put(procs[i%5], fmt.Sprint("key ", i), "value")
		}
		time.Sleep(time.Minute)
		victim := procs[2].store.(*lossy)
		want := victim.Stats().Records
		if n := victim.lose(t); n < 50 {
			t.Fatalf("only %d records were lost", n)
		}
		for i := range 300 {
			c.wantValue(procs[2], fmt.Sprint("key ", i), "value")
		}
		c.eventually(2*cfg.SweepInterval, func() error {
			if got := victim.Stats().Records; got != want || len(victim.Lost()) > 0 {
				return fmt.Errorf("%d records of %d, lost %v", got, want, victim.Lost())
			}
			return nil
		})
	})
	inCluster(t, 112, cfg, func(c *cluster) {
		s := &lossy{Memory: store.NewMemory(), arcs: []ring.Arc{ring.FullArc()}}
		p := c.lossy(1, s)
		if err := p.Create(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if len(s.Lost()) == 0 {
			t.Error("refilled by nobody")
		}
	})
}
