package sim

import "iter"

// coroutine is a strand on iter.Pull: the runtime switches stacks without its scheduler.
type coroutine struct {
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
}

func newCoroutine(body func()) *coroutine {
	c := &coroutine{}
	c.next, c.stop = iter.Pull(func(yield func(struct{}) bool) {
		c.yield = yield
		body()
	})
	return c
}

func (c *coroutine) resume()       { c.next() }
func (c *coroutine) suspend() bool { return c.yield(struct{}{}) }
func (c *coroutine) end()          { c.stop() }
