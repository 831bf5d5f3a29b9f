package store

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chordkv/chord/node"
)

// backlog is a database with compactions to run.
type backlog struct {
	mu      sync.Mutex
	allowed int
	waiting int
	grants  []pebble.CompactionGrantHandle
}

func (b *backlog) GetAllowedWithoutPermission() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.allowed
}

func (b *backlog) GetWaitingCompaction() (bool, pebble.WaitingCompaction) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting > 0, pebble.WaitingCompaction{}
}

func (b *backlog) Schedule(h pebble.CompactionGrantHandle) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting--
	b.grants = append(b.grants, h)
	return true
}

// set changes how many compactions are allowed and how many wait.
func (b *backlog) set(allowed, waiting int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.allowed, b.waiting = allowed, waiting
}

func (b *backlog) granted() []pebble.CompactionGrantHandle {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.grants)
}

func TestCompactionsAreGranted(t *testing.T) {
	b := &backlog{allowed: 1}
	var c compactions
	c.Register(2, b)
	ok, first := c.TrySchedule()
	if !ok {
		t.Fatal("the first compaction is refused")
	}
	if ok, _ := c.TrySchedule(); ok {
		t.Fatal("two compactions run where one is allowed")
	}

	// One that was refused runs when the first has ended, another when more are allowed, a third never.
	b.set(1, 1)
	first.Done()
	if n := len(b.granted()); n != 1 {
		t.Fatalf("%d compactions are granted at the end of another, want 1", n)
	}
	b.set(2, 3)
	c.UpdateGetAllowedWithoutPermission()
	for deadline := time.Now().Add(time.Minute); len(b.granted()) < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is granted when more is allowed")
		}
	}
	if ok, _ := c.TrySchedule(); ok {
		t.Fatal("three compactions run where two are allowed")
	}

	c.Unregister()
	for _, h := range b.granted() {
		h.Done()
	}
	c.UpdateGetAllowedWithoutPermission()
	if ok, _ := c.TrySchedule(); ok || len(b.granted()) != 2 {
		t.Fatal("a compaction is granted after the end")
	}
}

// TestCompactionsKeepUp writes so much that tables pile up, and waits until they are compacted.
func TestCompactionsKeepUp(t *testing.T) {
	opts := DefaultPebbleOptions()
	opts.MemTableBytes = 256 << 10
	opts.Sync = SyncNever
	p, err := OpenPebble(t.TempDir(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for i := range 200 {
		batch := make([]node.Record, 100)
		for j := range batch {
			batch[j] = node.Record{Key: fmt.Append(nil, i, j), Value: make([]byte, 100), Version: node.Version{Time: 1, Origin: 1}}
		}
		if _, err := p.Apply(batch); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.db.Flush(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		m := p.db.Metrics()
		if m.Compact.Count > 2 && m.Compact.NumInProgress == 0 && m.Levels[0].Sublevels < 2 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after a minute: %d compactions, %d in progress, %d sublevels", m.Compact.Count, m.Compact.NumInProgress, m.Levels[0].Sublevels)
		}
	}
}
