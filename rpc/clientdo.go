package rpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// maxRedirects bounds how often an operation follows hints without waiting: while the ring changes, two nodes may each take the
// other for the owner.
const maxRedirects = 4

// attempts is an operation with everything that was tried for it.
type attempts struct {
	c        *Client
	op       node.Op
	id       ring.ID // of the key
	start    time.Time
	deadline time.Time

	report    OpError  // of the operation if it fails
	hint      string   // address of the owner according to the last answer
	tried     []string // servers that failed in this round through all of them
	fresh     bool     // the next server was not tried in this round: no reason to wait long
	heard     bool     // in this round some server answered, or may have seen the operation
	silent    int      // rounds in a row in which none did
	redirects int
	retries   int // that had to wait
}

// run makes attempts until one succeeds or there is no point in another.
func (a *attempts) run(ctx context.Context) (node.Result, error) {
	a.c.budget.request()
	a.id = ring.Hash(a.op.Key)
	for {
		s, entry := a.target()
		result, err := a.attempt(ctx, s, entry)
		if err == nil {
			return result, nil
		}
		a.report.attempt(s.addr)
		outcome, remedy := diagnose(a.op.Kind, err)
		a.report.Outcome = max(a.report.Outcome, outcome)
		a.heard = a.heard || !errors.Is(err, ErrNotSent)
		switch {
		case ctx.Err() != nil:
			return node.Result{}, a.failed(err, true)
		case a.c.ctx.Err() != nil:
			return node.Result{}, a.failed(fmt.Errorf("%w: %w", ErrClosed, err), false)
		case remedy == giveUp || remedy == tryLater || !repeatable(a.op, outcome):
			return node.Result{}, a.failed(err, remedy != giveUp)
		}
		a.op.Retry = a.op.Retry || outcome == OutcomeUnknown
		if remedy == tryHint && a.follow(entry, err) {
			continue
		}
		if remedy == tryElsewhere && !a.turnAway(s) {
			return node.Result{}, a.failed(err, true)
		}
		if stop := a.wait(ctx, err); stop != nil {
			return node.Result{}, a.failed(stop, !errors.Is(stop, ErrClosed))
		}
	}
}

// target chooses whom to send the operation to: the server that the last answer named; else the owner, if it is known and works,
// directly: then entry is not nil; else any server.
func (a *attempts) target() (s *server, entry *ownedArc) {
	if a.hint != "" {
		s = a.c.servers.learn(a.hint)
		a.hint = ""
		if a.worthTrying(s) {
			// Not as a direct operation: its answer then says what else is owned there, and it even works if the hint is wrong.
			return s, nil
		}
	}
	if entry = a.c.table.lookup(a.id); entry != nil {
		if s = a.c.servers.learn(entry.owner.Addr); a.worthTrying(s) {
			return s, entry
		}
	}
	return a.c.servers.pick(a.tried), nil
}

func (a *attempts) worthTrying(s *server) bool {
	return s != nil && !s.shun(time.Now()) && !slices.Contains(a.tried, s.addr)
}

// attempt sends the operation and learns from the answer.
func (a *attempts) attempt(ctx context.Context, s *server, entry *ownedArc) (node.Result, error) {
	deadline := a.deadline
	if repeatable(a.op, OutcomeUnknown) {
		if d := time.Now().Add(a.c.cfg.AttemptTimeout); d.Before(deadline) {
			deadline = d
		}
	}
	result, err := a.c.send(ctx, s, a.op, entry != nil, deadline)
	switch {
	case err != nil:
		return node.Result{}, err
	case entry != nil:
		result.Owner, result.Arc = entry.owner, entry.arc
	case result.Owner.Addr != "" && result.Owner.ID == result.Arc.Through && result.Arc.Contains(a.id):
		a.c.servers.learn(result.Owner.Addr)
		a.c.table.learn(result.Owner, result.Arc)
	}
	return result, nil
}

// follow turns to the server that a NotOwnerError names. It reports false if that has to wait: the ring is changing.
func (a *attempts) follow(entry *ownedArc, err error) bool {
	if entry != nil {
		a.c.table.forget(entry)
	}
	var notOwner *node.NotOwnerError
	if a.redirects == maxRedirects || !errors.As(err, &notOwner) {
		return false
	}
	a.redirects++
	a.hint = notOwner.Hint.Addr
	return a.hint != "" || entry != nil // without a hint, any server will find the owner
}

// turnAway leaves a server out of this round. It reports false if all have been tried often enough and none was even reached.
func (a *attempts) turnAway(s *server) bool {
	a.tried = append(a.tried, s.addr)
	if a.fresh = !slices.Contains(a.tried, a.c.servers.pick(a.tried).addr); a.fresh {
		return true
	}
	a.silent++
	if a.heard {
		a.silent = 0
	}
	a.tried, a.heard = a.tried[:0], false
	return a.silent < enterRounds
}

// wait is the pause before a repetition, as long as the back-off says and until the budget allows it. The error says why there will be none.
func (a *attempts) wait(ctx context.Context, cause error) error {
	for {
		n := a.retries
		if a.fresh {
			n, a.fresh = 0, false
		} else {
			a.retries++
		}
		d := backoff(a.c.cfg.BackoffMin, a.c.cfg.BackoffMax, n)
		if time.Until(a.deadline) <= d {
			return fmt.Errorf("%w after the last attempt: %w", context.DeadlineExceeded, cause)
		}
		if err := a.c.pause(ctx, d); err != nil {
			return fmt.Errorf("%w: %w", err, cause)
		}
		if a.c.budget.take(time.Now()) {
			return nil
		}
		cause = outOfBudget(cause)
	}
}

// ErrRetryBudget says that an operation was not repeated because too many of the client's operations were failing at the time.
var ErrRetryBudget = errors.New("retry budget used up")

func outOfBudget(cause error) error {
	if errors.Is(cause, ErrRetryBudget) {
		return cause
	}
	return fmt.Errorf("%w: %w", ErrRetryBudget, cause)
}

// failed makes the error of the operation.
func (a *attempts) failed(err error, retryable bool) error {
	e := a.report
	e.Op = fmt.Sprintf("%v %s", a.op.Kind, quoteKey(a.op.Key))
	e.Write = a.op.Kind != node.OpGet
	e.Elapsed = time.Since(a.start)
	e.Retryable, e.Err = retryable, err
	return &e
}

// neverSent makes the error of an operation that did not even begin because no server answered to a Hello.
func (a *attempts) neverSent(err error) error {
	var hello *OpError
	if errors.As(err, &hello) {
		a.report.Attempted, a.report.Attempts = hello.Attempted, hello.Attempts
		return a.failed(hello.Err, hello.Retryable)
	}
	return a.failed(err, true)
}

const maxShownKey = 64 // bytes of a key in an error text

func quoteKey(key []byte) string {
	if len(key) > maxShownKey {
		return fmt.Sprintf("%q...", key[:maxShownKey])
	}
	return fmt.Sprintf("%q", key)
}
