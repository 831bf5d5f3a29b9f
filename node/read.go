package node

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chordkv/chord/ring"
)

// read answers gets as the owner of their keys, each with the newest of R answers, the own store's among them. Replicas that turn out to be
// stale get the newest before the answer goes out, if otherwise a later read could miss it.
//
// While the arc is not settled, a member of the group may not have its records yet, or another process that was a replica until a moment ago
// may have one that the group lacks: so everybody who may have been one is asked, 2N processes, and all answers count.
//
// What the reads of a batch ask in common is what is enough nearly always: just as many replicas as they need. One that needs more goes on by
// itself and holds up no other.
func (b *batch) read() {
	need, err := b.p.replicasFor(b.ops[0].Level, b.p.cfg.ReadQuorum, b.group)
	if err != nil {
		b.refuse(err)
		return
	}
	reads := make([]quorumRead, len(b.ops))
	asking := make([]*quorumRead, 0, len(b.ops))
	for i := range reads {
		q := &reads[i]
		q.begin(&b.ops[i], b.group)
		if need > 1 || q.newest.Version.IsZero() { // else one answer was asked for, and one is there
			asking = append(asking, q)
		}
	}
	finish := func() { b.finish(reads, need) }
	switch {
	case len(asking) == 0:
		finish()
	case asking[0].trusts():
		b.p.askFirst(asking, need, finish)
	default:
		asking[0].consult() // it is alone
		finish()
	}
}

// finish answers the reads that have what they need, and lets the others go on.
func (b *batch) finish(reads []quorumRead, need int) {
	for i := range reads {
		q := &reads[i]
		if len(reads) == 1 || q.complete(need) {
			r, err := q.finish(need)
			b.settle(q.owned, r, err)
			q.hearAgain()
			continue
		}
		b.p.rt.Go(func() {
			alone := batch{answer: b.answer}
			r, err := q.finish(need)
			alone.settle(q.owned, r, err)
			alone.flush()
		})
	}
	b.flush()
}

// quorumRead collects the answers of replicas about one key.
type quorumRead struct {
	*owned
	group      []ring.Ref
	newest     Record
	answers    []answer
	failures   []error
	corrupt    bool    // the own record
	silent     int     // of those who were consulted, if so many that what was acknowledged may be with them alone
	epoch      uint64  // of the newest claim to the key that a replica knows of
	heirSilent bool    // it has not said since the own store was read, or shortly before, that it has not taken over
	hearSoon   bool    // it said so so long ago that the next read will have to ask
	given      Version // that a replica knows the request of a write to have been given
	room       [3]answer
}

type answer struct {
	from    ring.Ref
	version Version
}

// begin looks into the own store.
func (q *quorumRead) begin(o *owned, group []ring.Ref) {
	q.owned, q.group = o, group
	q.answers = q.room[:0]
	own, ok, err := o.n.p.stored(o.Key)
	if err != nil {
		q.corrupt = errors.Is(err, ErrCorrupt)
		q.fail(group[0], err)
		return
	}
	q.add(group[0], own, ok)
}

// trusts reports whether R answers of the group are enough.
func (q *quorumRead) trusts() bool { return q.s.settled || mutantReadNarrow.on() }

// complete reports whether the read can be finished without a wait.
func (q *quorumRead) complete(need int) bool {
	return len(q.answers) >= need && len(q.failures) == 0 && q.epoch <= q.s.epoch && !q.heirSilent &&
		!slices.ContainsFunc(q.answers, func(a answer) bool { return a.version != q.newest.Version })
}

// finish asks more replicas if that is necessary, repairs what is stale, and returns the result.
func (q *quorumRead) finish(need int) (Result, error) {
	p := q.n.p
	if len(q.answers) < need && q.trusts() {
		q.askRest(need)
	}
	if err := q.enough(need); err != nil {
		return Result{}, err
	}
	if need > 1 {
		if err := q.hearHeir(); err != nil {
			return Result{}, err
		}
		if err := q.superseded(); err != nil {
			return Result{}, err
		}
	}
	newest := q.newest
	if newest.Version.IsZero() {
		if err := q.n.deniable(q.s, q.Key, need); err != nil {
			return Result{}, err
		}
	}
	if need > 1 && !mutantReadUnrepaired.on() {
		if err := q.repair(p.cfg.Replicas - p.cfg.ReadQuorum + 1); err != nil {
			return Result{}, err
		}
	}
	if q.corrupt && !newest.Version.IsZero() {
		_ = p.keep(newest) // what fails now is left to the next repair
	}
	newest = p.lapsed(newest)
	r := Result{Acks: len(q.answers)}
	r.show(p, &newest, q.Bare)
	return r, nil
}

// deniable returns an error if a key that none of the replicas has may be elsewhere.
func (n *vnode) deniable(s *snapshot, key []byte, need int) error {
	p := n.p
	if len(s.group) < p.cfg.Replicas && !p.memory.complete() && !mutantDenyEarly.on() {
		// The ring starts again process by process: those that have the key may not be back yet.
		return fmt.Errorf("%w: not found by %d processes, but not all that were members before are back", ErrConsistency, len(s.group))
	}
	if err := p.outvoted(need); err != nil {
		return err // those that have the key may be in the other part
	}
	if need > 1 && n.bereft(s, ring.Hash(key)) {
		return fmt.Errorf("%w: not found, but all %d processes that would have the key are missed, and may come back with it", ErrConsistency, p.cfg.Replicas)
	}
	return nil
}

// superseded returns an error if the node's claim to the key is not the newest: then it may not know who has been told of the last write.
func (q *quorumRead) superseded() error {
	if q.n.suspended.Load() || !q.trusts() && q.n.snap.Load().epoch != q.s.epoch {
		return errSuspended // or those who may have the key are not those that were asked
	}
	if q.epoch <= q.s.epoch || mutantEpochUnchecked.on() {
		return nil
	}
	now := q.n.snap.Load()
	if now.serving && now.arc.Contains(ring.Hash(q.Key)) {
		switch {
		case q.epoch == now.epoch:
			return nil // its own
		case q.epoch > now.epoch:
			q.n.superseded(now, q.epoch)
		}
	}
	return &SupersededError{q.epoch}
}

func (q *quorumRead) add(from ring.Ref, r Record, ok bool) {
	a := answer{from: from}
	if ok {
		a.version = r.Version
		if r.Version.Newer(q.newest.Version) {
			q.newest = r
		}
	}
	q.answers = append(q.answers, a)
}

func (q *quorumRead) fail(from ring.Ref, err error) {
	q.failures = append(q.failures, fmt.Errorf("replica %v: %w", from, err))
}

// askFirst asks just as many replicas as are needed, the nearest ones, stand-ins last, and another whenever one of them fails or hesitates. If all do, that is left to askRest. Then it calls
// then, on whatever task.
func (p *Process) askFirst(reads []*quorumRead, need int, then func()) {
	missing := 0
	for _, q := range reads {
		missing = max(missing, need-len(q.answers))
	}
	if missing == 0 {
		then()
		return
	}
	replicas := p.nearest(reads[0].group[1:])
	if o := reads[0].s.outage; o != nil {
		replicas = last(replicas, o.standsIn)
	}
	if first := reads[0]; !first.n.heardSince(p.rt.Now()) { // the heir has to be asked, or two others
		if heir := first.s.heir(); !p.slower(heir, replicas[0], 2) {
			replicas = last(replicas, func(r ring.Ref) bool { return r.Addr != heir.Addr })
		}
	}
	replicas = p.trusted(replicas)
	a := p.poll(reads, replicas, missing)
	p.hedge(len(replicas), missing, p.late(replicas[:min(missing, len(replicas))]), a.ask, a.add, then)
}

// askRest asks the replicas that have not answered.
func (q *quorumRead) askRest(need int) {
	p := q.n.p
	rest := q.unanswered(q.group[1:])
	a := p.poll([]*quorumRead{q}, rest, need-len(q.answers))
	p.rt.Gather(len(rest), a.ask, nil, a.add)
}

// consult asks everybody who may have been a replica while the arc is not settled. R of them are not enough, for some were none when the key was written last; but as what was acknowledged is
// with W of those who were, fewer than W may be missing.
func (q *quorumRead) consult() {
	p := q.n.p
	may := max(p.cfg.WriteQuorum-1, p.cfg.Replicas-p.cfg.ReadQuorum)
	silent := q.s.view.Candidates(p.cfg.Replicas)[1:]
	for range 2 { // a lost message is no answer
		replicas := slices.DeleteFunc(slices.Clone(silent), p.suspected)
		a := p.poll([]*quorumRead{q}, replicas, len(replicas))
		p.rt.Gather(len(replicas), a.ask, nil, a.add)
		silent = q.unanswered(silent)
		if q.silent = len(silent); q.silent <= may {
			q.silent = 0
			return
		}
	}
}

// unanswered returns those of the refs that have not answered.
func (q *quorumRead) unanswered(refs []ring.Ref) []ring.Ref {
	return slices.DeleteFunc(slices.Clone(refs), func(r ring.Ref) bool {
		return slices.ContainsFunc(q.answers, func(a answer) bool { return a.from == r })
	})
}

// enough returns an error if an operation that needs so many answers cannot go by those that there are.
func (q *quorumRead) enough(need int) error {
	switch {
	case len(q.answers) < need:
		return fmt.Errorf("%w: %d of %d answered: %w", ErrConsistency, len(q.answers), need, errors.Join(q.failures...))
	case need > 1 && q.silent > 0 && !mutantReadNarrow.on():
		return fmt.Errorf("%w: %d of those that may have the key did not answer: %w", ErrConsistency, q.silent, errors.Join(q.failures...))
	}
	return nil
}

// poll is a question to replicas about the keys of reads, until so many have answered. A read that is not mentioned in an answer, because that would have
// been too long, has none.
type poll struct {
	p        *Process
	reads    []*quorumRead
	replicas []ring.Ref
	wants    []Want
	found    [][]Found // by replica
	missing  int       // answers
	began    time.Time
}

func (p *Process) poll(reads []*quorumRead, replicas []ring.Ref, enough int) *poll {
	now := p.rt.Now()
	wants := make([]Want, len(reads))
	for i, q := range reads {
		wants[i] = Want{Key: q.Key, Have: q.newest.Version, Request: q.Request}
		q.due(now)
	}
	return &poll{p, reads, replicas, wants, make([][]Found, len(replicas)), enough, now}
}

// ask asks a replica, by number.
func (a *poll) ask(i int) (err error) {
	a.found[i], err = a.p.fetchFrom(a.replicas[i], a.wants)
	return err
}

// add counts the outcome for each of the reads.
func (a *poll) add(i int, err error) (enough bool) {
	for j, q := range a.reads {
		switch {
		case err != nil:
			q.fail(a.replicas[i], err)
		case j < len(a.found[i]):
			f := &a.found[i][j]
			if a.p.early(&f.Record) {
				q.fail(a.replicas[i], fmt.Errorf("%w: it has expired there before its time", ErrCorrupt))
				continue
			}
			q.hear(a.replicas[i], f, a.began)
			if f.Given.Newer(q.given) {
				q.given = f.Given
			}
			if f.Version == a.wants[j].Have {
				f.Record.Version = f.Version // it was left out
			}
			q.add(a.replicas[i], f.Record, !f.Version.IsZero())
		}
	}
	if err == nil {
		a.missing--
	}
	return a.missing <= 0
}

// repair sends the newest record to the members of the group whose answer was older, and waits until so many are known to have it, or a later read could miss what this one returns. If too few of them take it, because
// they are about to leave, say, it goes to those that were not asked. The error is a SupersededError if one refuses it because somebody else owns the key.
func (q *quorumRead) repair(holders int) error {
	var stale []ring.Ref
	for _, a := range q.answers {
		switch {
		case !slices.Contains(q.group, a.from):
		case a.version == q.newest.Version:
			holders--
		default:
			stale = append(stale, a.from)
		}
	}
	if len(stale) == 0 {
		return nil
	}
	p := q.n.p
	records, claims := []Record{q.newest}, []Claim{q.s.claim()}
	var failures []error
	for _, to := range [][]ring.Ref{stale, q.unanswered(q.group)} {
		p.rt.Gather(len(to), func(i int) error {
			_, err := p.applyAt(to[i], records, claims)
			return err
		}, nil, func(i int, err error) (enough bool) {
			if err == nil {
				holders--
			} else {
				q.n.doubted(q.s, err)
				failures = append(failures, fmt.Errorf("replica %v: %w", to[i], err))
			}
			return holders <= 0
		})
		if holders <= 0 {
			return nil
		}
	}
	return fmt.Errorf("%w: %d more replicas would have to take the value that was found, or it could be missed: %w", ErrConsistency, holders, errors.Join(failures...))
}
