package store

import (
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// compactions lets Pebble run as many compactions at once as it allows itself. Its own scheduler does the same, but looks ten times a second whether more are allowed,
// which is most of what wakes an idle process; here, as that number follows from flushes and compactions alone, their ends are soon enough.
//
// Pebble calls TrySchedule and UpdateGetAllowedWithoutPermission with its lock held, which Schedule and GetWaitingCompaction take.
type compactions struct {
	db pebble.DBForCompaction

	granting sync.Mutex // one task grants at a time
	helpers  sync.WaitGroup

	mu      sync.Mutex
	running int
	closed  bool
}

var (
	_ pebble.CompactionScheduler   = (*compactions)(nil)
	_ pebble.CompactionGrantHandle = (*compactions)(nil)
)

// Register implements pebble.CompactionScheduler; it is called before anything else.
func (c *compactions) Register(_ int, db pebble.DBForCompaction) { c.db = db }

// Unregister returns when nothing is asked of the database any more.
func (c *compactions) Unregister() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.helpers.Wait()
	c.granting.Lock() // a compaction that has ended may still be looking for the next
	defer c.granting.Unlock()
}

// TrySchedule permits a compaction, or refuses: then it is granted later.
func (c *compactions) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.room() {
		return false, nil
	}
	c.running++
	return true, c
}

// room reports whether another compaction may run; mu is held.
func (c *compactions) room() bool { return !c.closed && c.running < c.db.GetAllowedWithoutPermission() }

// UpdateGetAllowedWithoutPermission is called after a flush.
func (c *compactions) UpdateGetAllowedWithoutPermission() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.room() {
		c.helpers.Go(c.grant)
	}
}

// Done is called at the end of each compaction.
func (c *compactions) Done() {
	c.mu.Lock()
	c.running--
	c.mu.Unlock()
	c.grant()
}

// grant starts compactions that were refused before, as many as may run now.
func (c *compactions) grant() {
	c.granting.Lock()
	defer c.granting.Unlock()
	for {
		c.mu.Lock()
		room := c.room()
		c.mu.Unlock()
		if !room {
			return
		}
		if waiting, _ := c.db.GetWaitingCompaction(); !waiting || !c.db.Schedule(c) {
			return
		}
		c.mu.Lock()
		c.running++
		c.mu.Unlock()
	}
}

// Started implements pebble.CompactionGrantHandle, as do the following, which have nothing to do: compactions are not slowed down.
func (c *compactions) Started() {}

// MeasureCPU implements pebble.CompactionGrantHandle.
func (c *compactions) MeasureCPU(pebble.CompactionGoroutineKind) {}

// CumulativeStats implements pebble.CompactionGrantHandle.
func (c *compactions) CumulativeStats(pebble.CompactionGrantHandleStats) {}
