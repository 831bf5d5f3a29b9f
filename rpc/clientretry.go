package rpc

import (
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chordkv/chord/node"
)

// remedy is what can be done about an operation whose attempt failed.
type remedy uint8

const (
	giveUp       remedy = iota // the same will not work, ever
	tryLater                   // the same may work, but not within the patience of a single operation
	tryAgain                   // it may work after a back-off, at the same server or another
	tryElsewhere               // it may work at another server
	tryHint                    // the server knows who is the owner
)

// diagnose says what a failed attempt means: whether it may have been applied, and what can be done.
func diagnose(kind node.Kind, err error) (Outcome, remedy) {
	outcome := NotApplied
	if kind != node.OpGet && MaybeApplied(err) && !nothingApplied(err) {
		outcome = OutcomeUnknown
	}
	switch {
	case errors.Is(err, ErrClosed):
		return outcome, giveUp
	case errors.Is(err, ErrNotSent):
		return outcome, tryElsewhere
	case errors.Is(err, node.ErrUnknown):
		return outcome, tryAgain
	case errors.Is(err, node.ErrNotOwner):
		return outcome, tryHint
	case errors.Is(err, node.ErrInvalid), errors.Is(err, node.ErrCondition), errors.Is(err, ErrWrongCluster):
		return outcome, giveUp
	case errors.Is(err, node.ErrStoreFull), errors.Is(err, node.ErrClockSkew), errors.Is(err, node.ErrMinority):
		return outcome, tryLater
	case deadServer(err):
		return outcome, tryElsewhere
	}
	return outcome, tryAgain
}

// nothingApplied reports whether err is the answer of a process that refused an operation before any of it was applied, where the error table
// alone, which serves calls between nodes too, cannot tell: to a client, a process says ErrUnknown as well if anything may
// have been applied (node.Process.Do).
func nothingApplied(err error) bool {
	var remote *RemoteError
	return errors.As(err, &remote) && !errors.Is(err, node.ErrUnknown) &&
		(errors.Is(err, node.ErrStoreFull) || errors.Is(err, node.ErrClockSkew) || errors.Is(err, node.ErrConsistency))
}

// repeatable reports whether an operation may be sent again once the outcome of an attempt is known: a read always, a write if nothing was
// applied, or if its request id makes the owner recognize it.
func repeatable(op node.Op, outcome Outcome) bool {
	return op.Kind == node.OpGet || outcome == NotApplied || op.Request != node.RequestID{}
}

// retryBudget is a token bucket for retries: one token a retry. It starts full, so that a client that makes a single
// request can repeat it.
type retryBudget struct {
	earned atomic.Int64 // thousandths of a token from requests since the last take; kept apart so that no request takes the mutex
	ratio  int64        // thousandths that a request earns
	floor  float64      // thousandths that a second earns
	burst  int64        // thousandths that can be saved up

	mu     sync.Mutex
	tokens int64     // thousandths
	last   time.Time // when a second's share was paid
}

func newRetryBudget(cfg ClientConfig, now time.Time) *retryBudget {
	return &retryBudget{
		ratio: int64(math.Round(cfg.RetryRatio * 1000)), floor: cfg.RetryFloor * 1000, burst: int64(cfg.RetryBurst) * 1000,
		tokens: int64(cfg.RetryBurst) * 1000, last: now,
	}
}

// request counts a new request, which earns its share of a retry.
func (b *retryBudget) request() {
	if b.earned.Load() < b.burst {
		b.earned.Add(b.ratio)
	}
}

// take pays for a retry; it reports false if the budget is used up.
func (b *retryBudget) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens += b.earned.Swap(0)
	if paid := int64(now.Sub(b.last).Seconds() * b.floor); paid > 0 {
		b.tokens += paid
		b.last = now
	}
	b.tokens = min(b.tokens, b.burst)
	if b.tokens < 1000 {
		return false
	}
	b.tokens -= 1000
	return true
}

// backoff returns a random wait before retry number n (from 0): "full jitter", uniform between nothing and a bound that doubles,
// which spreads clients that failed at the same moment best.
func backoff(lo, hi time.Duration, n int) time.Duration {
	bound := hi
	if n < 32 && lo<<n < hi && lo<<n > 0 {
		bound = lo << n
	}
	return rand.N(bound) + 1
}
