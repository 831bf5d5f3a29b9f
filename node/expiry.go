package node

import (
	"context"
	"fmt"
	"time"
)

// A record that expires is, from that time on, a tombstone of its own version: reads and conditions take it as one, on every replica, and the value is taken out of the
// store later, by each process on its own. See docs/decisions/0011-expiry.md.

// Forever is the TTL of what does not expire, for operations that would keep the expiry of the key.
const Forever time.Duration = -1

// MaxTTL is the longest TTL but Forever.
const MaxTTL = 100 * 365 * 24 * time.Hour

// Expiring reports whether the operation says when what it writes expires.
func (o *Op) Expiring() bool { return o.TTL != 0 || o.Expires != 0 }

// keepsExpiry reports whether what the operation writes expires when what it is made from did.
func (o *Op) keepsExpiry() bool { return !o.Expiring() && (o.Kind > OpDelete || o.If == IfVersion) }

// expiry returns when what the operation writes with a version expires, 0 for never, unless it keeps what there is. Version and operation alone decide: whoever
// repeats it finds the same.
func (o *Op) expiry(v Version) int64 {
	if o.TTL > 0 {
		return v.Millis() + int64((o.TTL+time.Millisecond-1)/time.Millisecond)
	}
	return o.Expires
}

// CheckExpiry checks what an operation says of when what it writes expires. The error wraps ErrInvalid.
func (o *Op) CheckExpiry(now time.Time) error {
	switch {
	case o.Kind == OpTouch && !o.Expiring():
		return fmt.Errorf("%w: a touch without a TTL", ErrInvalid)
	case !o.Expiring():
		return nil
	case o.reads() || o.Kind == OpDelete || o.Kind == OpManifest:
		return fmt.Errorf("%w: a %v with a TTL", ErrInvalid, o.Kind)
	case o.TTL != 0 && o.Expires != 0:
		return fmt.Errorf("%w: a TTL and a time to expire", ErrInvalid)
	case o.TTL < Forever || o.Expires < 0:
		return fmt.Errorf("%w: a TTL of %v, want more than 0", ErrInvalid, o.TTL)
	case o.TTL > 0 && o.TTL < time.Millisecond:
		return fmt.Errorf("%w: a TTL of %v, want at least 1ms", ErrInvalid, o.TTL)
	case o.TTL > MaxTTL:
		return fmt.Errorf("%w: a TTL of %v, want at most %v", ErrInvalid, o.TTL, MaxTTL)
	case o.Expires > now.Add(MaxTTL).UnixMilli():
		return fmt.Errorf("%w: expires at %d, more than %v ahead", ErrInvalid, o.Expires, MaxTTL)
	}
	return nil
}

// passed reports whether a time has come, in milliseconds since 1970. If it has, the clock never again says that it has not, unless the wall clock is set back by
// more than maxAhead.
func (c *clock) passed(millis int64) bool {
	wall := c.wall()
	limit := wall + uint64(c.maxAhead.Milliseconds())<<16
	for {
		last := c.last.Load()
		t := wall
		if last <= limit { // as in next
			t = max(t, last)
		}
		if int64(t>>16) < millis {
			return false
		}
		if last == t || c.last.CompareAndSwap(last, t) {
			return true
		}
	}
}

// lapsed returns a record as it is to be read now: as a tombstone if its time is over.
func (p *Process) lapsed(r Record) Record {
	if r.Expires != 0 && !r.Tombstone && p.clock.passed(r.Expires) && !mutantExpiryIgnored.on() {
		r.Tombstone, r.Value = true, nil
	}
	return r
}

// early reports whether the value of a record was taken out by a process whose clock ran far ahead: it is no tombstone yet, and so no answer to anybody.
func (p *Process) early(r *Record) bool {
	return r.Tombstone && r.Expires != 0 && !p.clock.passed(r.Expires)
}

// stored reads the own store. A record without its value before its time is as good as corrupt.
func (p *Process) stored(key []byte) (r Record, ok bool, err error) {
	r, ok, err = p.store.Get(key)
	if err == nil && p.early(&r) {
		return Record{}, false, fmt.Errorf("%w: %q has expired here before its time", ErrCorrupt, key)
	}
	return r, ok, err
}

// keep makes sure that the own store has a record that others have, with its value.
func (p *Process) keep(r Record) error {
	if r.Version.IsZero() {
		return nil
	}
	_, err := p.apply([]Record{r})
	if err == nil && r.Expires != 0 && !r.Tombstone {
		_, err = p.store.Replace([]Record{r}, []Version{r.Version})
	}
	return err
}

// show fills in what a read says of a record.
func (r *Result) show(p *Process, newest *Record, bare bool) {
	r.Version, r.Expires = newest.Version, newest.Expires
	if r.Found = newest.exists(); !r.Found {
		return
	}
	if r.Manifest = newest.Manifest; !bare {
		r.Value = newest.Value
	}
	if r.Expires != 0 {
		r.Left = max(time.Duration(r.Expires-p.rt.Now().UnixMilli()), 1) * time.Millisecond // not 0, as it is there
	}
}

// expire takes the values of expired records out of the store, when their time is over by all clocks within bounds.
func (p *Process) expire(ctx context.Context) {
	before := p.rt.Now().Add(-p.cfg.MaxClockAhead).UnixMilli()
	// Bound: the records of the store whose time is over.
	for ctx.Err() == nil {
		keys, err := p.store.Expire(before, p.cfg.BatchRecords)
		p.stirExpired(keys)
		if len(keys) > 0 && p.events.Expired != nil {
			p.events.Expired(len(keys))
		}
		if err != nil || len(keys) < p.cfg.BatchRecords {
			return
		}
	}
}
