package node

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// clock is the hybrid logical clock of a process (Kulkarni et al., "Logical physical clocks", OPODIS 2014): milliseconds of
// the wall clock in the upper 48 bits, a counter in the lower 16, which carries into the milliseconds when it overflows.
//
// It never gives a version at or below one that it has given, whatever the wall clock does, also after a restart: before a version is given, a time at or above it is noted. See
// docs/decisions/0017-persisted-clock.md.
type clock struct {
	rt       Runtime
	origin   uint64
	maxAhead time.Duration
	last     atomic.Uint64             // given or seen
	check    func(now time.Time) error // why the clock is not to be trusted; nil: it always is

	before uint64                     // earlier runs may have given versions up to there
	note   func(upTo time.Time) error // nil: there is no later run
	noted  atomic.Uint64              // versions up to there may be given
	asked  atomic.Uint64              // what note was called with last without anybody waiting for it
}

// noteAhead is how far above a version the time is at most that is noted before it is given. While versions are given, a note is written each half of it; and a process that is back at once after it
// was killed waits for the rest of it before its first write.
const noteAhead = time.Second

func (c *clock) wall() uint64 { return wallOf(c.rt.Now()) }

func wallOf(t time.Time) uint64 { return uint64(t.UnixMilli()) << 16 }

// spanOf is the difference between two versions that are d apart.
func spanOf(d time.Duration) uint64 { return uint64(d.Milliseconds()) << 16 }

// trusted returns nil, or why no versions are given by the clock, which wraps ErrClockSkew.
func (c *clock) trusted(now time.Time) error {
	if c.check != nil {
		if err := c.check(now); err != nil {
			return fmt.Errorf("%w: %w", ErrClockSkew, err)
		}
	}
	// What others gave lies no farther ahead than maxAhead, and what was noted no farther than noteAhead above that.
	if wall, last := wallOf(now), c.last.Load(); last > wall+spanOf(c.maxAhead+noteAhead) {
		return setBack(last, wall)
	}
	return nil
}

func setBack(last, wall uint64) error {
	return fmt.Errorf("%w: the clock was set back: versions up to %v ahead of it were given", ErrClockSkew, ahead(last, wall))
}

// catchUp waits until the wall clock is above what an earlier run has noted, if that takes a moment only: that the process was killed just now is no reason to give versions that lie ahead.
func (c *clock) catchUp(ctx context.Context) error {
	wall := c.wall()
	if c.before < wall || c.before > wall+spanOf(2*noteAhead) {
		return nil
	}
	return c.rt.Sleep(ctx, ahead(c.before, wall)+time.Millisecond)
}

// next returns a version newer than the given one and than every version that the clock has given or seen. It fails with
// ErrClockSkew if that would lie so far ahead that peers would refuse it, or as note does.
func (c *clock) next(after Version) (Version, error) {
	if mutantVersionBelow.on() {
		after = Version{}
	}
	now := c.rt.Now()
	if err := c.trusted(now); err != nil {
		return Version{}, err
	}
	wall := wallOf(now)
	for {
		last := c.last.Load()
		t := max(wall, after.Time+1, last+1)
		switch limit := wall + spanOf(c.maxAhead); {
		case after.Time >= limit:
			return Version{}, fmt.Errorf("%w: the stored version lies %v ahead", ErrClockSkew, ahead(after.Time, wall))
		case t > limit:
			return Version{}, setBack(last, wall)
		}
		if err := c.cover(t); err != nil {
			return Version{}, err
		}
		if c.last.CompareAndSwap(last, t) {
			return Version{Time: t, Origin: c.origin}, nil
		}
	}
}

// cover makes sure that a time at or above a version is noted. Most of the time one is; the next is noted while there is still room below it, so that nobody waits for the disk.
func (c *clock) cover(t uint64) error {
	if c.note == nil {
		return nil
	}
	const half = noteAhead / 2
	upTo := (t/spanOf(half) + 2) * spanOf(half) // the same for all that come together, so that one note does for them
	if t > c.noted.Load() {
		return c.notedUpTo(upTo)
	}
	if asked := c.asked.Load(); asked < upTo && c.asked.CompareAndSwap(asked, upTo) {
		c.rt.Go(func() { _ = c.notedUpTo(upTo) }) // who needs it will find that it has failed
	}
	return nil
}

func (c *clock) notedUpTo(t uint64) error {
	if err := c.note(time.UnixMilli(int64(t >> 16))); err != nil {
		return fmt.Errorf("note the time before a version is given: %w", err)
	}
	raise(&c.noted, t)
	return nil
}

func raise(to *atomic.Uint64, t uint64) {
	for {
		if old := to.Load(); old >= t || to.CompareAndSwap(old, t) {
			return
		}
	}
}

// observe moves the clock past a version that a peer gave. It fails with ErrClockSkew, and does not follow, if the version
// lies more than maxAhead in the future.
func (c *clock) observe(v Version) error {
	for {
		last := c.last.Load()
		if v.Time <= last {
			return nil
		}
		if wall := c.wall(); v.Time > wall+spanOf(c.maxAhead) {
			return fmt.Errorf("%w: by %v", ErrClockSkew, ahead(v.Time, wall))
		}
		if c.last.CompareAndSwap(last, v.Time) {
			return nil
		}
	}
}

func ahead(t, wall uint64) time.Duration {
	return time.Duration(t>>16-wall>>16) * time.Millisecond
}

// CheckClock has the process ask check, with the time, before it gives a version: an error of that fails the write with ErrClockSkew. Call it before Bootstrap or Join.
func (p *Process) CheckClock(check func(now time.Time) error) { p.clock.check = check }

// RecallClock tells a process up to which time earlier runs may have given versions, zero if there was none: it gives none up to then. Before it gives one at a later time, it has that
// noted, durably, for the next run; note is called by many tasks at a time, has nothing to do for a time at or below one that is noted, and may wait. Its error fails the write, of which nothing was applied.
// Call it before Bootstrap or Join.
func (p *Process) RecallClock(upTo time.Time, note func(upTo time.Time) error) {
	p.clock.note = note
	if upTo.IsZero() || mutantClockForgotten.on() || mutantVersionBelow.on() {
		return
	}
	t := wallOf(upTo)
	p.clock.before = t
	p.clock.last.Store(t)
	p.clock.noted.Store(t)
	p.claims.observe(t) // epochs of earlier runs, too, lie below, unless others gave higher ones
}
