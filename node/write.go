package node

import (
	"errors"
	"fmt"
	"slices"

	"github.com/chordkv/chord/ring"
)

// write decides a put or delete as the owner of its key: it gives the version, stores the record here and at the other replicas in
// parallel, and answers when W of them, itself among them, have it durably.
//
// No lock is needed for writes of one key that come together: the clock gives each its own version, every replica keeps the newest,
// and a write that finds a newer one of this process's own in place has simply been overwritten.
//
// A replica may have a newer version of another origin: this node became the owner a moment ago and its clock is behind, or
// it is cut off and somebody else is owner too. Then that write came before this one as far as anyone can tell, and this one gets a
// version above it. Since both need W replicas, and the versions of a key are totally ordered, the last one acknowledged stays.
func (n *vnode) write(s *snapshot, op Op) (Result, error) {
	p := n.p
	need, err := p.replicasFor(op.Level, p.cfg.WriteQuorum, s)
	if err != nil {
		return Result{}, err
	}
	if err := p.store.Writable(); err != nil {
		return Result{}, err
	}
	r := Record{Key: op.Key, Tombstone: op.Kind == OpDelete, Request: op.Request}
	if !r.Tombstone {
		r.Value = op.Value
	}
	latest, err := n.latest(s, op.Key)
	if err != nil {
		return Result{}, err
	}
	if mutantAckEarly.on() {
		need--
	}
	stored, existed := latest.Version, !latest.Version.IsZero() && !latest.Tombstone
	known := false
	r.Version, known = p.given(op, latest)
	for range p.cfg.MaxAttempts {
		if !known {
			if r.Version, err = p.clock.next(stored); err != nil {
				return Result{}, err
			}
			if op.Request != (RequestID{}) {
				p.window().add(op.Request, r.Version)
			}
		}
		round := p.replicate(s.group, r, need, known)
		if round.newer.IsZero() {
			return Result{Found: existed, Version: r.Version, Acks: round.acks}, p.verdict(round, r, need)
		}
		stored = round.newer
		if err := p.observe(stored); err != nil {
			return Result{}, fmt.Errorf("%w: %w", ErrUnknown, err)
		}
	}
	return Result{}, fmt.Errorf("%w: overtaken by newer versions from elsewhere %d times", ErrUnknown, p.cfg.MaxAttempts)
}

// latest returns the newest record of a key that its owner can know of; its version is zero if there is none. In an arc that is not settled another process
// may have it, as for a read: a version given without asking could lie below one that was acknowledged, where clocks differ.
func (n *vnode) latest(s *snapshot, key []byte) (Record, error) {
	own, ok, err := n.p.store.Get(key)
	if err != nil && !errors.Is(err, ErrCorrupt) { // what cannot be read is replaced
		return Record{}, err
	}
	q := quorumRead{p: n.p, key: key}
	q.add(n.self, own, ok && err == nil)
	if !s.settled {
		q.consult(s)
	}
	return q.newest, nil
}

// given returns the version that a request already has from an earlier attempt.
func (p *Process) given(op Op, latest Record) (v Version, known bool) {
	if op.Request == (RequestID{}) || mutantRetryAnew.on() {
		return Version{}, false
	}
	if v, known = p.window().find(op.Request); !known && op.Retry && latest.Request == op.Request {
		return latest.Version, true
	}
	return v, known
}

// replicasFor returns how many replicas a level asks for. It fails if the group does not have as many.
func (p *Process) replicasFor(l Level, quorum int, s *snapshot) (int, error) {
	need := quorum
	switch l {
	case LevelOne:
		need = 1
	case LevelAll:
		need = p.cfg.Replicas
	}
	if len(s.group) < need {
		return 0, fmt.Errorf("%w: %d needed, but the ring has %d processes; start more, or ask for less",
			ErrConsistency, need, len(s.group))
	}
	return need, nil
}

// round is one attempt to store a record at its replicas.
type round struct {
	acks     int
	newer    Version // the newest version of another origin that a replica has in place of the record; zero if none
	skewed   int     // replicas that refused the version as too far ahead
	failures []error // of the others that did not take it
}

// replicate stores the record at every member of the group at once, the first of which is this process, and returns when need of them, this one always
// among them, have it. Whoever is slower gets it all the same. Replicas that failed to answer lately are left to repair if enough others
// remain. Of a record that is known, sent again for a retried request, a newer version counts as an acknowledgement: it took effect and was
// overwritten.
func (p *Process) replicate(group []ring.Ref, r Record, need int, known bool) round {
	others := group[1:]
	if p.memory.suspectCount.Load() > 0 {
		if alive := slices.DeleteFunc(slices.Clone(others), p.suspected); 1+len(alive) >= need {
			others = alive
		}
	}
	var out round
	records := []Record{r}
	stored := make([]Version, 1+len(others)) // the own first
	add := func(from ring.Ref, v Version, err error) {
		out.add(from, r, v, err, known || v.Origin == r.Version.Origin || mutantAckOvertaken.on())
	}
	apply := func(to ring.Ref, stored *Version) error {
		versions, err := p.applyAt(to, records)
		if err == nil && len(versions) != 1 {
			err = fmt.Errorf("%w: %d versions for one record", ErrInvalid, len(versions))
		}
		if err == nil {
			*stored = versions[0]
		}
		return err
	}
	p.rt.Gather(len(others), func(i int) error {
		return apply(others[i], &stored[1+i])
	}, func() (enough bool) {
		if mutantAckOwnLate.on() {
			p.rt.Go(func() { _ = apply(group[0], &stored[0]) })
			return false
		}
		err := apply(group[0], &stored[0])
		add(group[0], stored[0], err)
		return out.acks >= need
	}, func(i int, err error) (enough bool) {
		add(others[i], stored[1+i], err)
		return out.acks >= need
	})
	return out
}

// add counts the answer of one replica, which has version v afterwards.
func (o *round) add(from ring.Ref, r Record, v Version, err error, overwritten bool) {
	switch {
	case err == nil && (v == r.Version || v.Newer(r.Version) && overwritten):
		o.acks++
		return
	case err == nil && v.Newer(r.Version):
		if v.Newer(o.newer) {
			o.newer = v
		}
		return
	case err == nil:
		err = fmt.Errorf("%w: it has version %v after it was sent %v", ErrInvalid, v, r.Version)
	case errors.Is(err, ErrClockSkew):
		o.skewed++
	}
	o.failures = append(o.failures, fmt.Errorf("replica %v: %w", from, err))
}

// verdict returns the error of a write that ended with the given round; nil if enough replicas have it.
func (p *Process) verdict(o round, r Record, need int) error {
	switch {
	case o.acks >= need:
		return nil
	case o.acks <= 1 && o.skewed > 0:
		// The clock of this process runs ahead: only its own store took the version. Take it back.
		if _, err := p.store.Drop([]Entry{{Key: r.Key, Version: r.Version}}); err != nil {
			return fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		return errors.Join(o.failures...)
	}
	return fmt.Errorf("%w: %w: %d of %d have it: %w", ErrUnknown, ErrConsistency, o.acks, need, errors.Join(o.failures...))
}
