package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// clockWatch compares the wall clock, by which versions are given, with those of other processes. Versions of a clock that is ahead would be refused by the other replicas and
// keep their keys from being written until their time has come; those of a clock that is behind lose to older writes.
//
// Between two comparisons a jump shows in the difference to the monotonic clock: then nothing is written before the next one, which follows at once.
type clockWatch struct {
	now  func() time.Time
	most time.Duration // that two clocks may differ by

	began, wall time.Time // the same time, by the monotonic clock and by now
	asked       chan struct{}
	state       atomic.Pointer[clockState]
}

// clockState is what a comparison has shown.
type clockState struct {
	drift    time.Duration // of the wall clock against the monotonic one, then
	err      error         // why the clock is not to be trusted
	compared bool          // with others, if there are any
}

const (
	clockInterval  = time.Minute // between two comparisons that find nothing
	clockSuspicion = time.Second // between two when something is wrong, or nobody has answered yet
	clockPeers     = 4           // processes that are asked
)

func newClockWatch(now func() time.Time, most time.Duration) *clockWatch {
	w := &clockWatch{now: now, most: most, began: time.Now(), wall: now().Round(0), asked: make(chan struct{}, 1)}
	w.state.Store(new(clockState)) // until the first comparison it is right unless it jumps
	return w
}

// check returns why a time is not to be trusted; it never waits.
func (w *clockWatch) check(now time.Time) error {
	s := w.state.Load()
	if s.err != nil {
		return s.err
	}
	if jump := w.drift(now) - s.drift; jump.Abs() > w.most/2 {
		select {
		case w.asked <- struct{}{}:
		default: // it is going to be compared anyway
		}
		return fmt.Errorf("the clock has jumped by %v and is being compared with others", jump.Round(time.Millisecond))
	}
	return nil
}

func (w *clockWatch) drift(now time.Time) time.Duration {
	return now.Round(0).Sub(w.wall) - time.Since(w.began)
}

// compare judges the clock by how far ahead those of others are. It is right if it agrees with the majority, itself included.
func (w *clockWatch) compare(ahead []time.Duration) {
	s := &clockState{drift: w.drift(w.now()), compared: true}
	agree := 1
	var off time.Duration
	for _, d := range ahead {
		if d.Abs() <= w.most {
			agree++
		} else {
			off = d
		}
	}
	if 2*agree <= len(ahead)+1 {
		s.err = fmt.Errorf("of %d other clocks %d differ by more than %v, one by %v", len(ahead), len(ahead)+1-agree, w.most, off.Round(time.Millisecond))
	}
	w.state.Store(s)
}

// watchClock compares the clock, until ctx ends.
func (p *process) watchClock(ctx context.Context) {
	for {
		wait := clockInterval
		switch s := p.clock.state.Load(); {
		case s.err != nil:
			p.complaints.do("clock", func() {
				p.log.Error().Err(s.err).Msg("refusing writes: set the clocks of this machine and its peers by NTP")
			})
			wait = clockSuspicion
		case !s.compared:
			wait = clockSuspicion
		}
		select {
		case <-time.After(wait):
		case <-p.clock.asked:
		case <-ctx.Done():
			return
		}
		p.compareClock(ctx, p.core.Status().Known)
	}
}

// compareClock asks processes for their time. Without an answer, a clock that has not jumped is as good as before.
func (p *process) compareClock(ctx context.Context, addrs []string) {
	addrs = slices.Clone(addrs)
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	addrs = addrs[:min(clockPeers, len(addrs))]
	ahead := make([]time.Duration, len(addrs))
	errs := make([]error, len(addrs))
	var asking sync.WaitGroup
	for i, addr := range addrs {
		asking.Go(func() { ahead[i], errs[i] = p.aheadOf(ctx, addr) })
	}
	asking.Wait()
	var answers []time.Duration
	for i := range addrs {
		if errs[i] == nil {
			answers = append(answers, ahead[i])
		}
	}
	if len(answers) > 0 || len(addrs) == 0 {
		p.clock.compare(answers)
	}
}

var errSelf = errors.New("it is this process")

// aheadOf returns how far the clock of another process is ahead of the own one.
func (p *process) aheadOf(ctx context.Context, addr string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	began := time.Now()
	h, err := p.peers.Hello(ctx, addr)
	took := time.Since(began)
	switch {
	case err != nil:
		return 0, err
	case h.Process.Process == p.local.Identity.Process:
		return 0, errSelf
	}
	return offset(h.Clock.Sub(p.clock.now().Round(0)), took, p.clock.most), nil
}

// offset returns how far a clock is ahead that was so far ahead at the end of a call, when it had been read at some time of it: in the middle, most likely. Of an answer that took longer
// than two clocks may differ it returns what the difference is at least: a clock that is off by an hour shows even on a machine that is overloaded.
func offset(atEnd, took, most time.Duration) time.Duration {
	if took <= most {
		return atEnd + took/2
	}
	return max(atEnd, min(atEnd+took, 0))
}
