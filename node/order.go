package node

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/chordkv/chord/ring"
)

// The own store of a key's owner is where conditional operations are put in order. The owner reads what is there, decides, and puts the new record in the place of just
// that version; if another write came between, it decides anew. Only then do the other replicas get the record. So from the first conditional operation on, the versions
// of a key that its owner gives are a chain, in which each was decided on knowing the one before and inherits its History.
//
// What breaks the chain comes from other processes, while it is not settled who owns the key. Before it decides, an owner whose arc is not settled asks whoever may have been
// a replica, and needs R answers. If a replica turns out to have a newer version of another owner later on, the decision is void. See
// docs/decisions/0009-conditional-operations.md.

// order gets the writes that go by the own store first there. It answers those that fail or change nothing, and returns the others.
func (b *batch) order(writes []write) []write {
	var open []*write
	for i := range writes {
		if w := &writes[i]; w.ordered && !w.placed {
			open = append(open, w)
		}
	}
	if len(open) == 0 {
		return writes
	}
	// Bound: each time around another write of the key has come between, or deny has found a newer version elsewhere, which it does MaxAttempts times at most.
	for attempt := 1; len(open) > 0; attempt++ {
		open = b.place(open, attempt)
	}
	b.flush()
	return slices.DeleteFunc(writes, func(w write) bool { return w.ordered && !w.placed })
}

// place decides writes on what is in the own store, puts the records there, and returns those that have to be decided anew.
func (b *batch) place(open []*write, attempt int) (again []*write) {
	made := make(map[string]*write, len(open)) // in this round, the last of a key
	var placing []*write
	var records []Record
	var stored []Version
	for _, w := range open {
		var latest Record
		var err error
		before := made[string(w.Key)]
		switch {
		case before == nil:
			latest, err = w.own()
		case before.chain == maxOutcomes: // or an outcome would be forgotten before it is given
			again = append(again, w)
			continue
		default:
			latest, w.chain = before.record, before.chain+1
		}
		if err != nil {
			b.end(w, err)
			continue
		}
		switch err = w.decide(latest); {
		case before != nil && (err != nil || w.known):
			again = append(again, w) // when it is certain that what was decided on is there
		case err != nil:
			if b.deny(w, err, attempt) {
				again = append(again, w)
			}
		case w.known:
			w.placed = true
			w.unfence()
		default:
			if before == nil {
				w.chain = 1
			}
			made[string(w.Key)] = w
			placing, records, stored = append(placing, w), append(records, w.record), append(stored, latest.Version)
		}
	}
	if len(placing) == 0 {
		return again
	}
	done, err := b.p.replace(records, stored)
	for i, w := range placing {
		switch {
		case err != nil:
			b.end(w, err)
		case done[i] && !w.owns():
			b.end(w, fmt.Errorf("%w: the key went to another owner, who may not have seen this", ErrUnknown))
		case done[i]:
			w.placed = true
			w.remember(w.record.Version)
			w.unfence()
		default:
			again = append(again, w)
		}
	}
	return again
}

// own returns the record of the key in the own store.
func (w *write) own() (Record, error) {
	latest, _, err := w.n.p.store.Get(w.Key)
	if err != nil && !(w.consulted && errors.Is(err, ErrCorrupt)) { // nobody had it, or it would have been replaced
		return Record{}, err
	}
	if latest.History != "" || !w.Conditional() || w.fenced {
		return latest, nil
	}
	if err := w.fence(); err != nil {
		return Record{}, err
	}
	return w.own()
}

// owns reports whether the node still owns the key. Whoever takes over asks it for what it has after it has given up the arc: what was stored before that, the new owner sees, and
// what was stored later may be decided twice.
func (w *write) owns() bool {
	s := w.n.snap.Load()
	return s == w.s || s.serving && s.arc.Contains(ring.Hash(w.Key))
}

// end answers a write with an error.
func (b *batch) end(w *write, err error) {
	w.unfence()
	b.settle(w.owned, Result{}, err)
}

// decide makes the record of a write that finds the latest one in its place, or finds that it has done so before.
func (w *write) decide(latest Record) error {
	p := w.n.p
	if mutantHistoryForgotten.on() && latest.Version.Origin != p.clock.origin {
		latest.History = ""
	}
	known, err := w.before(latest)
	if w.known = known; known || err != nil {
		w.record = latest
		return err
	}
	latest = p.lapsed(latest)
	w.record = Record{Key: w.Key, Tombstone: w.Kind == OpDelete, Request: w.Request, History: latest.History, Manifest: w.Kind == OpManifest}
	w.answer = outcome{Request: w.Request, Existed: latest.exists()}
	if err := w.met(&latest); err != nil {
		return err
	}
	if w.record.Value, w.answer.Number, err = w.combine(&latest); err != nil {
		return err
	}
	if n := len(w.record.Value); n > p.cfg.MaxValueBytes {
		return fmt.Errorf("%w: the value would have %d bytes, the limit is %d", ErrInvalid, n, p.cfg.MaxValueBytes)
	}
	if err := w.version(latest.Version); err != nil {
		return err
	}
	if w.record.Expires = w.expiry(w.record.Version); w.keepsExpiry() && !w.record.Tombstone && latest.exists() {
		w.record.Expires = latest.Expires
	}
	if w.doubt {
		w.record.History = w.record.History.doubtful()
	}
	// A manifest was not made without a History, so whatever takes its place goes this way. The same one again, as from an import, does not take its place.
	if latest.Manifest && !(w.record.Manifest && bytes.Equal(w.record.Value, latest.Value)) {
		w.replaced = latest.Value
	}
	if w.Conditional() || latest.History != "" {
		w.record.History = w.record.History.with(w.answer)
	}
	return nil
}

// before reports whether the request has taken effect already, and finds its answer. The error is ErrUnknown if it may have, and nobody knows.
func (w *write) before(latest Record) (known bool, err error) {
	if w.Request == (RequestID{}) || !w.above.IsZero() || mutantRetryAnew.on() {
		return false, nil
	}
	if w.answer, known = latest.History.find(w.Request); known {
		return true, nil
	}
	v, seen := w.n.p.window().find(w.Request)
	if !seen && !w.elsewhere.IsZero() {
		v, seen = w.elsewhere, true
	}
	if !w.Conditional() { // it was overwritten, or it was before the key had a History
		if v, known = w.given(latest); known && !v.Newer(latest.Version) {
			w.answer = outcome{Version: v, Existed: latest.exists()}
			return true, nil
		}
		seen = false
	}
	switch {
	case mutantHistoryForgotten.on():
	case seen && v.IsZero() && !w.denied: // the same message again, after its sender has been told so
		return false, conflict(Earlier, &latest)
	case seen && !v.IsZero(), // a version that is not in the chain was on another, which this one has replaced
		w.Retry && latest.History.lost():
		return false, fmt.Errorf("%w: nobody remembers whether this request took effect before", ErrUnknown)
	}
	return false, nil
}

// met returns an error unless the condition of the operation holds.
func (o *Op) met(latest *Record) error {
	found := latest.exists()
	switch {
	case o.If == IfAbsent && found:
		return conflict(Exists, latest)
	case (o.If == IfPresent || o.If == IfVersion || o.Kind == OpTouch) && !found:
		return conflict(Missing, latest)
	case o.If == IfVersion && latest.Version != o.Version:
		return conflict(Changed, latest)
	}
	return nil
}

// combine returns the value that an operation leaves, and Result.Number.
func (o *Op) combine(latest *Record) (value []byte, number int64, err error) {
	if latest.Manifest && (o.Kind == OpIncrement || o.Kind == OpAppend || o.Kind == OpPrepend || o.Kind == OpTouch) {
		return nil, 0, conflict(Chunked, latest)
	}
	switch o.Kind {
	case OpPut, OpManifest:
		return o.Value, 0, nil
	case OpTouch:
		return latest.Value, 0, nil
	case OpIncrement:
		if number, err = o.add(latest); err != nil {
			return nil, 0, err
		}
		return strconv.AppendInt(nil, number, 10), number, nil
	case OpAppend:
		value = append(append(make([]byte, 0, len(latest.Value)+len(o.Value)), latest.Value...), o.Value...)
	case OpPrepend:
		value = append(append(make([]byte, 0, len(latest.Value)+len(o.Value)), o.Value...), latest.Value...)
	}
	return value, int64(len(value)), nil
}

// add returns the sum of an increment.
func (o *Op) add(latest *Record) (int64, error) {
	n := o.Initial
	if latest.exists() {
		var err error
		if n, err = strconv.ParseInt(string(latest.Value), 10, 64); err != nil {
			return 0, conflict(NotNumber, latest)
		}
	}
	if o.Add > 0 && n > math.MaxInt64-o.Add || o.Add < 0 && n < math.MinInt64-o.Add {
		return 0, conflict(Overflow, latest)
	}
	return n + o.Add, nil
}

func conflict(c Conflict, latest *Record) error {
	return &ConditionError{Conflict: c, Found: latest.exists(), Version: latest.Version}
}

// deny answers a write that changes nothing. That its condition does not hold is the answer of a read: what was read must be at so many replicas that no later read can
// miss it. If that brings a newer version to light, deny answers nothing and returns true.
func (b *batch) deny(w *write, err error, attempt int) (again bool) {
	var condition *ConditionError
	if !errors.As(err, &condition) {
		b.end(w, err)
		return false
	}
	w.unfence()
	if len(b.ops) > 1 { // the others do not wait for that
		alone := batch{p: b.p, group: b.group, ops: []owned{*w.owned}, answer: b.answer}
		b.p.rt.Go(alone.run)
		return false
	}
	w.denied = true
	w.remember(Version{})
	newest, readErr := w.confirm(b)
	switch {
	case readErr != nil:
		b.end(w, readErr)
	case newest == condition.Version:
		b.end(w, err)
	case attempt == b.p.cfg.MaxAttempts:
		b.end(w, fmt.Errorf("%w: newer versions from elsewhere %d times", ErrConsistency, attempt))
	default:
		return true
	}
	return false
}

// confirm reads the key at a read quorum and returns its version, which the own store has afterwards.
func (w *write) confirm(b *batch) (Version, error) {
	p := b.p
	need, err := p.replicasFor(w.Level, p.cfg.ReadQuorum, b.group)
	if err != nil {
		return Version{}, err
	}
	var q quorumRead
	q.begin(w.owned, b.group)
	if !q.trusts() {
		q.consult()
	} else if p.await(p.ctx, func(wake func()) { p.askFirst([]*quorumRead{&q}, need, wake) }) != nil {
		return Version{}, ErrNotReady
	}
	if _, err = q.finish(need); err != nil {
		return Version{}, err
	}
	return q.newest.Version, p.keep(q.newest)
}

// void is the end of a conditional operation after another process turned out to have a newer version: somebody else has decided, too, on an older state of the key. The record
// is in the own store, so that somebody may have read it: it cannot be decided anew as if it had never been. But what others decide here next is decided on that version.
func (w *write) void() error {
	newest, err := w.latest(true)
	if err == nil {
		err = w.n.p.keep(newest)
	}
	return fmt.Errorf("%w: another process takes itself for the owner of the key: %w", ErrUnknown, errors.Join(err, ErrConsistency))
}

func (w *write) lane() *lane { return w.n.p.window().lane(w.Key) }

// leave says that a plain write is in the own store, or goes another way.
func (w *write) leave() {
	if w.entered {
		w.entered = false
		w.lane().leave()
	}
}

// leave says that of all plain writes.
func leave(writes []write) {
	for i := range writes {
		writes[i].leave()
	}
}

// fence waits until no plain write of the key is on its way, and keeps others from beginning until unfence.
func (w *write) fence() error {
	l := w.lane()
	l.fences.Add(1)
	w.fenced = true
	if l.plain.Load() == 0 {
		return nil
	}
	ctx, cancel := w.n.p.rt.WithTimeout(w.n.p.ctx, w.n.p.cfg.ReplicaTimeout)
	defer cancel()
	if err := w.n.p.rt.Await(ctx, l.quiet); err != nil {
		return fmt.Errorf("%w: earlier writes are not stored yet: %w", ErrConsistency, err)
	}
	return nil
}

func (w *write) unfence() {
	if w.fenced {
		w.fenced = false
		w.lane().fences.Add(-1)
	}
}
