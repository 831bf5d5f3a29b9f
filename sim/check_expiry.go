package sim

import (
	"fmt"
	"time"

	"github.com/chordkv/chord/node"
)

// lives is what clients know of when values of a key expire.
type lives struct {
	used    bool // somebody has begun a write that says when
	touched bool // or one that says just that
	// ends is when a version expires, in milliseconds since 1970, 0 for never: of those that were acknowledged or read. It is made when the first is used.
	ends map[node.Version]int64
}

// began notes an operation.
func (l *lives) began(op *Operation) {
	if op.TTL > 0 && !l.used {
		l.used, l.ends = true, make(map[node.Version]int64)
	}
	l.touched = l.touched || op.Kind == OpTouch
}

// millis returns the wall clock that all would have if none were wrong.
func millis(t time.Duration) int64 { return epoch.Add(t).UnixMilli() }

// endOf returns when a write that was acknowledged under a version expires, as far as its client can tell: a cas keeps what was there.
func endOf(op *Operation) (end int64, ok bool) {
	switch {
	case op.TTL > 0:
		return op.Result.Version.Millis() + op.TTL.Milliseconds(), true
	case op.Kind == OpPut:
		return 0, true
	}
	return 0, false
}

// checkEnd: whoever says when a value expires is told the same as whoever reads it.
func (c *Checker) checkEnd(k *keyHistory, op *Operation) bool {
	end, ok := endOf(op)
	if !k.lives.used || !ok {
		return true
	}
	if op.TTL > 0 && op.Result.Expires != end {
		c.report(CheckExpiry, fmt.Sprintf("%s of %q with TTL %v was acknowledged with version %v to expire at %d, want %d", op.Kind, op.Key, op.TTL, op.Result.Version,
			op.Result.Expires, end), op.From)
		return false
	}
	return c.sameEnd(k, op, op.Result.Version, end)
}

// sameEnd: a version expires at one time, whoever is asked.
func (c *Checker) sameEnd(k *keyHistory, op *Operation, v node.Version, end int64) bool {
	if known, ok := k.lives.ends[v]; ok && known != end {
		c.report(CheckExpiry, fmt.Sprintf("%s of %q: version %v expires at %d, which was to expire at %d", op.Kind, op.Key, v, end, known), append(c.groupHosts(k), op.From)...)
		return false
	}
	k.lives.ends[v] = end
	return true
}

// checkLife: no value is read later than its time and the clock bound, none is gone before that, and none that does not expire.
func (c *Checker) checkLife(k *keyHistory, op *Operation) bool {
	r := &op.Result
	if !k.lives.used || r.Version.IsZero() {
		return true
	}
	bound := c.cfg.MaxClockAhead.Milliseconds()
	if r.Found {
		if w := k.writes[hashOf(r.Value)]; w != nil && w.kind == OpPut && !k.lives.touched {
			want := int64(0)
			if w.ttl > 0 {
				want = r.Version.Millis() + w.ttl.Milliseconds()
			}
			if !c.sameEnd(k, op, r.Version, want) {
				return false
			}
		}
		if late := millis(op.Begin) - r.Expires; r.Expires != 0 && late > bound {
			c.report(CheckExpiry, fmt.Sprintf("get of %q began at %v and found version %v, which had expired for %d ms", op.Key, op.Begin, r.Version, late),
				append(c.groupHosts(k), op.From)...)
			return false
		}
		return c.sameEnd(k, op, r.Version, r.Expires)
	}
	end, ok := k.lives.ends[r.Version]
	if early := end - millis(op.End); ok && (end == 0 || early > bound) {
		c.report(CheckExpiry, fmt.Sprintf("get of %q ended at %v and found nothing, version %v, which expires at %d, in %d ms", op.Key, op.End, r.Version, end, early),
			append(c.groupHosts(k), op.From)...)
		return false
	}
	return true
}

// gone reports whether what was written is no value now: surely, or maybe by some clock.
func (c *Checker) gone(a *acked) (surely, maybe bool) {
	if a.deleted || a.ends <= 0 {
		return a.deleted, a.deleted || a.ends < 0
	}
	bound, now := c.cfg.MaxClockAhead.Milliseconds(), millis(c.w.Now())
	return now > a.ends+bound, now >= a.ends-bound
}
