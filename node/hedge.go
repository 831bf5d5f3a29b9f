package node

import (
	"context"
	"time"

	"github.com/chordkv/chord/ring"
)

// late returns how long answers of all of these peers are waited for before somebody else is asked too. That should be the 95th percentile [Dean, Barroso:
// The Tail at Scale, CACM 2013]: then one request in twenty is sent twice, and the slowest of many waits no longer than that. An estimate knows no percentiles, but mean and
// mean deviation bound them: of exponentially distributed times 4 % are more than three deviations longer than the mean, of normally distributed ones 1 %, of
// any others a sixth at most, because half of what deviates is longer. At least HedgeDelay more has to pass, because where all answers take equally long a little more
// is nothing unusual.
func (p *Process) late(with []ring.Ref) (d time.Duration) {
	for _, r := range with {
		after := p.cfg.RingTimeout / 2 // of a stranger
		if e := p.trips.of(r.Addr); e != 0 {
			after = e.mean() + max(3*e.dev(), p.cfg.HedgeDelay)
		}
		d = max(d, after)
	}
	return min(d, p.cfg.RingTimeout)
}

// await runs f on a task of its own and waits until it has called wake, or the end of ctx, whose error it returns.
func (p *Process) await(ctx context.Context, f func(wake func())) error {
	return p.rt.Await(ctx, func(wake func()) { p.rt.Go(func() { f(wake) }) })
}

// hedge is Gather for up to n calls that stand for each other: it begins with so many as are needed, the last of them on the caller's task, and begins another as soon as one
// has failed, or whenever patience is at an end. It ends when done says that it is enough, when no call is left that could be waited for, or when patience is at an end and all have
// begun; then, once, it calls then, on whatever task that was found out. Its own return means nothing: the call on the caller's task may be a late one.
func (p *Process) hedge(n, need int, patience time.Duration, call func(i int) error, done func(i int, err error) (enough bool), then func()) {
	if n == 0 || need == 0 {
		then()
		return
	}
	h := hedge{n: n}
	run := func(i int) {
		// Bound: each turn begins another of n calls, or is the last.
		for more := true; more; {
			var over bool
			if i, more, over = h.end(i, call(i), done); over {
				h.disarm()
				then()
			}
		}
	}
	var wait func()
	wait = func() {
		h.arm(p.rt.AfterFunc(patience, func() {
			i, more, over := h.late()
			switch {
			case more:
				wait()
				run(i)
			case over:
				then()
			}
		}))
	}
	wait()
	for range min(n, need) - 1 {
		i := h.begin()
		p.rt.Go(func() { run(i) })
	}
	run(h.begin())
}
