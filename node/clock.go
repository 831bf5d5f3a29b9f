package node

import (
	"fmt"
	"sync/atomic"
	"time"
)

// clock is the hybrid logical clock of a process (Kulkarni et al., "Logical physical clocks", OPODIS 2014): milliseconds of
// the wall clock in the upper 48 bits, a counter in the lower 16, which carries into the milliseconds when it overflows.
type clock struct {
	rt       Runtime
	origin   uint64
	maxAhead time.Duration
	last     atomic.Uint64
	check    func(now time.Time) error // why the clock is not to be trusted; nil: it always is
}

func (c *clock) wall() uint64 { return wallOf(c.rt.Now()) }

func wallOf(t time.Time) uint64 { return uint64(t.UnixMilli()) << 16 }

// trusted returns nil, or why no versions are given by the clock, which wraps ErrClockSkew.
func (c *clock) trusted(now time.Time) error {
	if c.check == nil {
		return nil
	}
	if err := c.check(now); err != nil {
		return fmt.Errorf("%w: %w", ErrClockSkew, err)
	}
	return nil
}

// next returns a version newer than the given one and than every version that the clock has given or seen. It fails with
// ErrClockSkew if after lies so far ahead that peers would refuse what follows it.
func (c *clock) next(after Version) (Version, error) {
	if mutantVersionBelow.on() {
		after = Version{}
	}
	now := c.rt.Now()
	if err := c.trusted(now); err != nil {
		return Version{}, err
	}
	wall := wallOf(now)
	limit := wall + uint64(c.maxAhead.Milliseconds())<<16
	if after.Time > limit {
		return Version{}, fmt.Errorf("%w: the stored version lies %v ahead", ErrClockSkew, ahead(after.Time, wall))
	}
	for {
		last := c.last.Load()
		t := max(wall, after.Time+1)
		// A last value far ahead dates from before the wall clock was set back; peers refuse such versions, so there is nothing to
		// stay ahead of but the key's own version.
		if last <= limit {
			t = max(t, last+1)
		}
		if c.last.CompareAndSwap(last, t) {
			return Version{Time: t, Origin: c.origin}, nil
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
		if wall := c.wall(); v.Time > wall+uint64(c.maxAhead.Milliseconds())<<16 {
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
