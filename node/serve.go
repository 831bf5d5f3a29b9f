package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chordkv/chord/ring"
)

// Do executes an operation wherever its key is owned: here or, forwarded, elsewhere. A write without a request id gets one, so that
// forwarding it twice is safe.
//
// Errors: ErrInvalid, ErrNotReady, ErrSuperseded, ErrNoRoute, ErrMinority, ErrStoreFull, ErrClockSkew, and a ConditionError: nothing was applied. ErrConsistency: too few replicas
// answered a read, or there are too few for a write, of which nothing was applied unless the error is ErrUnknown as well. ErrUnknown: a
// write may or may not take effect; so it is when ctx ends under a write that was sent.
func (p *Process) Do(ctx context.Context, op Op) (Result, error) {
	if err := p.validate(&op); err != nil {
		return Result{}, err
	}
	if err := p.present(); err != nil {
		return Result{}, err
	}
	if !op.reads() && op.Request == (RequestID{}) {
		binary.BigEndian.PutUint64(op.Request[:8], p.rt.Uint64())
		binary.BigEndian.PutUint64(op.Request[8:], p.rt.Uint64())
	}
	id := ring.Hash(op.Key)
	f := forward{p: p, op: op, walk: walk{p: p, id: id}}
	for attempt := range p.cfg.MaxAttempts {
		if attempt > 0 {
			// The ring is about to close over a dead owner; each round doubles the wait.
			if err := p.rt.Sleep(ctx, p.jitter(20*time.Millisecond<<attempt)); err != nil {
				break
			}
			f.walk = walk{p: p, id: id}
			f.op.Retry = true
		}
		if n, s := p.owner(id); n != nil {
			r, err := n.serve(s, f.op)
			if errors.Is(err, ErrSuperseded) && !errors.Is(err, ErrUnknown) {
				f.last = err
				continue
			}
			return r, f.doubt(err)
		}
		if op.Kind == OpGet && attempt == 0 {
			if r, ok := p.readNear(ctx, &op, id); ok {
				return r, nil
			}
		}
		if r, done, err := f.send(ctx); done {
			return r, err
		}
	}
	return Result{}, f.giveUp(ctx)
}

// Serve executes an operation whose key one of the own nodes owns. Errors: as Do, and a NotOwnerError with a hint.
func (p *Process) Serve(_ context.Context, op Op) (Result, error) {
	n, s, err := p.admit(&op)
	if err != nil {
		return Result{}, err
	}
	return n.serve(s, op)
}

// admit returns the own node that owns the key of an operation, with the snapshot that says so.
func (p *Process) admit(op *Op) (*vnode, *snapshot, error) {
	if err := p.validate(op); err != nil {
		return nil, nil, err
	}
	if p.phase.Load() >= closing {
		return nil, nil, ErrNotReady
	}
	id := ring.Hash(op.Key)
	if n, s := p.owner(id); n != nil {
		return n, s, nil
	}
	if err := p.present(); err != nil {
		return nil, nil, err
	}
	return nil, nil, &NotOwnerError{Hint: p.hint(id)}
}

// hint returns who owns id as far as the own nodes know; zero if none is near.
func (p *Process) hint(id ring.ID) ring.Ref {
	if step := p.localStep(id, nil); step.Covered {
		for _, r := range step.Nodes {
			if r.Addr != p.addr {
				return r
			}
		}
	}
	return ring.Ref{}
}

// validate checks an operation against the limits.
func (p *Process) validate(op *Op) error {
	switch {
	case op.Kind < OpGet || op.Kind > OpTouch:
		return fmt.Errorf("%w: operation %d", ErrInvalid, op.Kind)
	case op.If > IfVersion || op.If != Always && op.reads() || op.If == IfAbsent && op.Kind == OpDelete:
		return fmt.Errorf("%w: a %v %v", ErrInvalid, op.Kind, op.If)
	case op.If == IfVersion && op.Version.IsZero():
		return fmt.Errorf("%w: a %v %v without one", ErrInvalid, op.Kind, op.If)
	case op.Level > LevelAll:
		return fmt.Errorf("%w: consistency level %d", ErrInvalid, op.Level)
	case len(op.Key) == 0:
		return fmt.Errorf("%w: the key is empty", ErrInvalid)
	case len(op.Key) > p.cfg.MaxKeyBytes:
		return fmt.Errorf("%w: the key has %d bytes, the limit is %d", ErrInvalid, len(op.Key), p.cfg.MaxKeyBytes)
	case len(op.Value) > p.cfg.MaxValueBytes:
		return fmt.Errorf("%w: the value has %d bytes, the limit is %d", ErrInvalid, len(op.Value), p.cfg.MaxValueBytes)
	}
	if op.Expiring() || op.Kind == OpTouch {
		return op.CheckExpiry(p.rt.Now())
	}
	return nil
}

// serve executes an operation as the owner. It ends by its own deadlines, soon after that of the caller at the latest: a write that was sent to the
// replicas goes on to all of them, whoever waits for it.
func (n *vnode) serve(s *snapshot, op Op) (r Result, err error) {
	b := batch{p: n.p, group: s.group, ops: []owned{{Op: &op, n: n, s: s}}, answer: func(a []Answer) { r, err = a[0].Result, a[0].Err }}
	if !op.reads() {
		b.run() // alone, it is answered before that returns
		return r, err
	}
	var a Answer
	stopped := n.p.await(n.p.ctx, func(wake func()) {
		b.answer = func(answers []Answer) {
			a = answers[0]
			wake()
		}
		b.run()
	})
	if stopped != nil {
		return Result{}, ErrNotReady
	}
	return a.Result, a.Err
}

// forward is an operation on its way to the owner.
type forward struct {
	p     *Process
	op    Op
	walk  walk
	maybe bool // a write was sent to somebody who may have applied it
	last  error
}

// send looks for the owner and hands the operation over. done is false if it has to be tried again, later.
func (f *forward) send(ctx context.Context) (r Result, done bool, err error) {
approaching:
	for ctx.Err() == nil && len(f.walk.hops) < f.p.cfg.MaxHops {
		candidates, err := f.walk.approach(ctx)
		if err != nil {
			f.last = err
			return Result{}, false, nil
		}
		candidates = f.p.trusted(candidates)
		tried := 0
		for i := 0; i < len(candidates) && i < f.p.cfg.MaxHops; i++ {
			c := candidates[i]
			if c.Addr == f.p.addr || slices.Contains(f.walk.dead, c.ID) {
				continue // owner has seen that it is not one of the own
			}
			tried++
			r, err := f.hand(ctx, c)
			var other *NotOwnerError
			switch {
			case err == nil:
				return r, true, nil
			case errors.As(err, &other):
				// Either a node joined before it, or the one before it is dead and it does not know yet.
				if !f.worthAsking(other.Hint, candidates[:i+1]) {
					if f.walk.guess {
						continue approaching
					}
					return Result{}, false, nil
				}
				candidates = slices.Insert(slices.Clone(candidates), i+1, other.Hint)
			case errors.Is(err, ErrUnknown): // for whatever reason: a replica of it may be dead, and say so
				return Result{}, true, err
			case errors.Is(err, ErrSuperseded):
			case dead(err) || ctx.Err() != nil:
				f.maybe = f.maybe || !f.op.reads() && !errors.Is(err, ErrNoNode) && !errors.Is(err, ErrNotReady)
				f.op.Retry = f.op.Retry || f.maybe
			default:
				return Result{}, true, f.doubt(err)
			}
		}
		if tried == 0 {
			return Result{}, false, nil
		}
	}
	return Result{}, false, nil
}

// worthAsking reports whether a hint names somebody new who may be alive.
func (f *forward) worthAsking(hint ring.Ref, asked []ring.Ref) bool {
	return !hint.IsZero() && !slices.Contains(asked, hint) && !slices.Contains(f.walk.dead, hint.ID) && !f.p.suspected(hint)
}

// hand gives the operation to a node that should own its key. The owner may itself wait for a replica that does not answer, so it
// gets longer than that.
func (f *forward) hand(ctx context.Context, to ring.Ref) (r Result, err error) {
	err = f.walk.hop(ctx, to, func() (bool, error) {
		err := f.p.call(ctx, to, f.p.cfg.ReplicaTimeout+f.p.cfg.RingTimeout, func(ctx context.Context) error {
			r, err = f.p.peers.Do(ctx, to, f.op)
			return err
		})
		return true, err
	})
	if err != nil {
		f.last = err
	}
	return r, err
}

// giveUp is the error of an operation that found no owner.
func (f *forward) giveUp(ctx context.Context) error {
	err := f.last
	if err == nil {
		err = ErrNoRoute
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("%w (%w)", err, ctx.Err())
	}
	return fmt.Errorf("%s %q: forward to the owner: %w", f.op.Kind, f.op.Key, f.doubt(err))
}

// doubt turns the error of the last attempt into that of the operation: somebody who was asked before may have applied it.
func (f *forward) doubt(err error) error {
	if err != nil && f.maybe && !errors.Is(err, ErrUnknown) {
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return err
}
