package sim

import (
	"context"
	"math"
	"time"
)

// forever is the deadline of what has none.
const forever = time.Duration(math.MaxInt64)

// timeout is a context that ends at a virtual time. It has no timer: whoever asks for its error compares the clock.
type timeout struct {
	context.Context // the parent
	w               *World
	deadline        time.Duration // virtual time; that of the parent if it is earlier
	err             error
}

// withTimeout returns a context that ends d from now.
func (w *World) withTimeout(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	deadline := deadlineOf(parent, w)
	if d := max(d, 0); d < deadline-w.now {
		deadline = w.now + d
	}
	c := &timeout{Context: parent, w: w, deadline: deadline}
	return c, c.cancel
}

// deadlineOf returns the virtual time at which a context ends.
func deadlineOf(ctx context.Context, w *World) time.Duration {
	if c, ok := ctx.(*timeout); ok {
		return c.deadline
	}
	if t, ok := ctx.Deadline(); ok {
		return t.Sub(epoch)
	}
	return forever
}

// Err returns what ended the context, nil if nothing has.
func (c *timeout) Err() error {
	if c.err == nil {
		if c.err = c.Context.Err(); c.err == nil && c.w.now >= c.deadline {
			c.err = context.DeadlineExceeded
		}
	}
	return c.err
}

func (c *timeout) cancel() {
	if c.Err() == nil {
		c.err = context.Canceled
	}
}

// Deadline returns the deadline by the world's clock, not by that of any host.
func (c *timeout) Deadline() (time.Time, bool) { return epoch.Add(c.deadline), c.deadline != forever }

// Done panics: waiting on a channel would stop the whole world.
func (c *timeout) Done() <-chan struct{} {
	panic("sim: Context.Done: under virtual time a context is asked for its Err (rule 10)")
}
