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
}

func (c *clock) wall() uint64 { return uint64(c.rt.Now().UnixMilli()) << 16 }

// next returns a version newer than the given one and than every version that the clock has given or seen. It fails with
// ErrClockSkew if after lies so far ahead that peers would refuse what follows it.
func (c *clock) next(after Version) (Version, error) {
	if mutantVersionBelow.on() {
		after = Version{}
	}
	wall := c.wall()
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
