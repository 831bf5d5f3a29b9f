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

// hedge is Gather for up to n calls that stand for each other: it begins with so many as are needed, and begins another as soon as one has failed, or whenever patience is
// at an end. When it is so again and no other is left, hedge returns, as it does when ctx ends, or done says that it is enough. Calls that are late count all the same until then; afterwards
// they run to their end unheard.
func (p *Process) hedge(ctx context.Context, n, need int, patience time.Duration, call func(i int) error, done func(i int, err error) (enough bool)) {
	var ended inbox
	begun := 0
	begin := func() {
		i := begun
		begun++
		p.rt.Go(func() { ended.put(i, call(i))() })
	}
	for begun < min(n, need) {
		begin()
	}
	due := p.rt.Now().Add(patience)
	// Bound: each turn takes the result of a call, or begins one, or is the last.
	for open := begun; open > 0; {
		i, err, ok := p.receive(ctx, &ended, due.Sub(p.rt.Now()))
		switch {
		case ok:
			open--
			if done(i, err) {
				return
			}
		case begun == n || ctx.Err() != nil:
			return
		default:
			due = due.Add(patience)
		}
		if begun < n && (!ok || err != nil) {
			begin()
			open++
		}
	}
}

// receive waits for the next result for so long.
func (p *Process) receive(ctx context.Context, from *inbox, wait time.Duration) (i int, err error, ok bool) {
	if i, err, ok = from.take(nil); ok {
		return i, err, true
	}
	ctx, cancel := p.rt.WithTimeout(ctx, wait)
	defer cancel()
	_ = p.rt.Await(ctx, func(wake func()) {
		if i, err, ok = from.take(wake); ok {
			wake()
		}
	})
	if !ok {
		i, err, ok = from.take(nil)
	}
	return i, err, ok
}
