package node

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// write decides writes as the owner of their keys: it gives each its version, stores the records here and at the other replicas, and answers each
// when W of them, itself among them, have it durably.
//
// A plain write, a put or delete without a condition, is stored everywhere in parallel. No lock is needed for plain writes of one key that come
// together: the clock gives each its own version, every replica keeps the newest,
// and a write that finds a newer one of this process's own in place has simply been overwritten. Conditional operations, and plain writes of a key that has seen
// one, go by the own store first: see order.
//
// A replica may have a newer version of another origin: this node became the owner a moment ago and its clock is behind, or
// it is cut off and somebody else is owner too. Then that write came before this one as far as anyone can tell, and this one gets a
// version above it. Since both need W replicas, and the versions of a key are totally ordered, the last one acknowledged stays.
func (b *batch) write() {
	p := b.p
	if p.clock.catchUp(p.ctx) != nil {
		b.refuse(ErrNotReady)
		return
	}
	for i := range b.ops {
		b.ops[i].n.deciding.Add(1)
	}
	defer func() {
		for i := range b.ops {
			b.ops[i].n.deciding.Add(-1)
		}
	}()
	need, err := p.replicasFor(b.ops[0].Level, p.cfg.WriteQuorum, b.group)
	if err == nil {
		err = p.outvoted(need)
	}
	if err == nil {
		err = p.store.Writable()
	}
	if err != nil {
		b.refuse(err)
		return
	}
	if mutantAckEarly.on() {
		need--
	}
	b.hearHeirs()
	writes := make([]write, len(b.ops))
	now := p.rt.Now()
	for i := range writes {
		writes[i].owned, writes[i].asked = &b.ops[i], now
	}
	writes = b.order(b.each(writes, (*write).begin))
	for attempt := 1; len(writes) > 0; attempt++ {
		b.replicate(writes, need)
		writes = slices.DeleteFunc(writes, func(w write) bool { return w.enough && w.newer.IsZero() })
		writes = b.order(b.each(writes, func(w *write) error { return w.again(need, attempt) }))
	}
}

// write is a write on its way.
type write struct {
	*owned
	record   Record
	was      Record  // what the record takes the place of; of a plain write
	above    Version // of another process, which overtook an earlier round; the record's must be above
	known    bool    // the request has taken effect before: the record is of that time, or a later one
	answer   outcome
	replaced []byte // the manifest that the record takes the place of
	enough   bool   // the round is over: as many have it as are needed
	round

	entered   bool      // the lane of the key, as a plain write
	fenced    bool      // the same lane
	ordered   bool      // it goes by the own store first
	placed    bool      // it is there
	denied    bool      // its condition did not hold, but maybe that was decided on an old version
	chain     int       // it is the so manieth of its key in one round of place
	consulted bool      // others were asked what they have of the key
	elsewhere Version   // that the request was given by another owner before, zero if nobody knows of it
	asked     time.Time // when the heir of the node was asked last whether it has taken over, if it had to be
	doubt     bool      // too few have answered: there may be a History that is not known
}

// each runs f for each write, and answers those for which it fails. It returns the others, in the same place.
func (b *batch) each(writes []write, f func(w *write) error) []write {
	kept := writes[:0]
	for i := range writes {
		if err := f(&writes[i]); err != nil {
			b.settle(writes[i].owned, Result{}, err)
		} else {
			kept = append(kept, writes[i])
		}
	}
	b.flush()
	return kept
}

// begin makes the record, or finds that the write has to go by the own store first.
func (w *write) begin() error {
	if err := w.mayDecide(); err != nil {
		return err
	}
	w.entered = !w.Conditional() && w.lane().enter()
	latest, err := w.latest(false)
	if err == nil && w.consulted {
		err = w.mayDecide() // that has taken a while
	}
	if err == nil && w.entered && latest.History == "" && !w.doubt {
		if err = w.make(latest); err == nil {
			return nil
		}
	}
	w.leave()
	w.ordered, w.placed = true, false
	if err == nil && w.consulted {
		err = w.n.p.keep(latest)
	}
	return err
}

// make makes the record of a plain write.
func (w *write) make(latest Record) error {
	w.record = Record{Key: w.Key, Tombstone: w.Kind == OpDelete, Request: w.Request}
	if !w.record.Tombstone {
		w.record.Value = w.Value
	}
	found := w.n.p.lapsed(latest)
	w.was, w.answer.Existed = latest, found.exists()
	if w.record.Version, w.known = w.given(latest); w.known {
		w.answer.Version, w.record.Expires = w.record.Version, w.expiry(w.record.Version)
		w.remember(w.record.Version)
		return nil
	}
	if err := w.version(latest.Version); err != nil {
		return err
	}
	w.claim()
	w.record.Expires = w.expiry(w.record.Version)
	return nil
}

// claim notes the version that the request of a plain write was given now. To give one may have taken a while; if another message of the request was faster, its version counts.
func (w *write) claim() {
	if w.Request == (RequestID{}) || !w.above.IsZero() || mutantRetryAnew.on() {
		w.remember(w.record.Version)
		return
	}
	w.record.Version, w.known = w.n.p.window().claim(w.Request, w.record.Version)
	w.answer.Version = w.record.Version
}

// version gives the record a version above one that is stored. Who was stopped since it asked whether it still owns the key gives none.
func (w *write) version(stored Version) (err error) {
	if w.outdated() {
		return errSuspended
	}
	if w.above.Newer(stored) {
		stored = w.above
	}
	w.record.Version, err = w.n.p.clock.next(stored)
	w.answer.Version = w.record.Version
	return err
}

// remember notes the version that the request was given, zero if its condition did not hold.
func (w *write) remember(v Version) {
	if w.Request != (RequestID{}) {
		w.n.p.window().add(w.Request, v)
	}
}

// again prepares another round after one in which the record was overtaken. Its error is the outcome of the write otherwise.
func (w *write) again(need, attempt int) error {
	p := w.n.p
	switch {
	case w.newer.IsZero():
		return w.verdict(need)
	case attempt == p.cfg.MaxAttempts:
		return fmt.Errorf("%w: overtaken by newer versions from elsewhere %d times", ErrUnknown, attempt)
	}
	if err := p.observe(w.newer); err != nil {
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	if w.Conditional() {
		return w.void()
	}
	w.above, w.round, w.enough = w.newer, round{}, false
	if err := w.begin(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return nil
}

// latest returns the newest record of a key that its owner can know of; its version is zero if there is none. In an arc that is not settled another process
// may have it, as for a read: a version given without asking could lie below one that was acknowledged, where clocks differ. Another may also have what the own
// store cannot read any more, or know a request that is repeated here, or comes here late.
func (w *write) latest(elsewhere bool) (Record, error) {
	p := w.n.p
	own, ok, err := p.stored(w.Key)
	corrupt := errors.Is(err, ErrCorrupt)
	if err != nil && !corrupt {
		return Record{}, err
	}
	q := quorumRead{owned: w.owned}
	if !corrupt {
		q.add(w.n.self, own, ok)
	}
	if !w.s.settled || corrupt || elsewhere || w.Retry {
		q.consult()
		w.consulted, w.doubt, w.elsewhere = true, len(q.answers) < p.cfg.ReadQuorum, q.given
	}
	need, err := p.replicasFor(w.Level, p.cfg.ReadQuorum, w.s.group)
	if !w.Conditional() {
		if need > 1 && q.silent > 0 {
			return Record{}, q.enough(need)
		}
		return q.newest, nil
	}
	if err == nil && w.consulted {
		err = q.enough(need)
	}
	if err == nil && q.newest.Version.IsZero() {
		err = w.n.deniable(w.s, w.Key, need)
	}
	return q.newest, err
}

// given returns the version that the request of a plain write already has from an earlier attempt.
func (w *write) given(latest Record) (v Version, known bool) {
	if w.Request == (RequestID{}) || !w.above.IsZero() || mutantRetryAnew.on() {
		return Version{}, false
	}
	if v, known = w.n.p.window().find(w.Request); known && !v.IsZero() {
		return v, true
	}
	if !w.elsewhere.IsZero() {
		return w.elsewhere, true
	}
	return latest.Version, latest.Request == w.Request
}

// verdict returns the error of a write whose round has ended without enough replicas that have it.
func (w *write) verdict(need int) error {
	failed := errors.Join(w.failures...)
	switch {
	case w.acks <= 1 && w.skewed > 0 && !w.ordered && !w.known:
		// The clock of this process runs ahead: only its own store took the version. Take it back.
		if err := w.takeBack(); err != nil {
			return fmt.Errorf("%w: %w: %w", ErrUnknown, err, failed)
		}
		return failed
	case w.refused > 0 && w.refused == len(w.failures) && w.acks == 0 && !w.placed && !w.known:
		return failed // nobody has it
	}
	return fmt.Errorf("%w: %w: %d of %d have it: %w", ErrUnknown, ErrConsistency, w.acks, need, failed)
}

// takeBack puts what was there before in the place of the record in the own store.
func (w *write) takeBack() error {
	var n int
	var err error
	if v := w.record.Version; w.was.Version.IsZero() {
		n, err = w.n.p.store.Drop([]Entry{{Key: w.Key, Version: v}})
	} else {
		var done []bool
		if done, err = w.n.p.store.Replace([]Record{w.was}, []Version{v}); err == nil && done[0] {
			n = 1
		}
	}
	if err == nil && n == 0 {
		err = errors.New("it was overwritten meanwhile")
	}
	return err
}
