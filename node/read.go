package node

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/chordkv/chord/ring"
)

// read answers a get as the owner of its key with the newest of R answers, the own store's among them. Replicas that turn out to be
// stale get the newest before the answer goes out, if otherwise a later read could miss it.
//
// While the arc is not settled, a member of the group may not have its records yet, or another process that was a replica until a moment ago
// may have one that the group lacks: so everybody who may have been one is asked, 2N processes, and all answers count.
func (n *vnode) read(s *snapshot, op Op) (Result, error) {
	p := n.p
	need, err := p.replicasFor(op.Level, p.cfg.ReadQuorum, s)
	if err != nil {
		return Result{}, err
	}
	q := quorumRead{p: p, key: op.Key}
	own, ok, ownErr := p.store.Get(op.Key)
	if ownErr == nil {
		q.add(n.self, own, ok)
	} else {
		q.failures = append(q.failures, fmt.Errorf("replica %v: %w", n.self, ownErr))
	}
	switch {
	case need == 1 && ok && ownErr == nil: // one answer was asked for, and one is there
	case s.settled || mutantReadNarrow.on():
		q.askUntil(p.trusted(p.nearest(s.group[1:])), need)
	default:
		q.consult(s)
	}
	if len(q.answers) < need {
		return Result{}, fmt.Errorf("%w: %d of %d answered: %w", ErrConsistency, len(q.answers), need, errors.Join(q.failures...))
	}
	newest := q.newest
	if newest.Version.IsZero() && len(s.group) < p.cfg.Replicas && !p.memory.complete() && !mutantDenyEarly.on() {
		// The ring starts again process by process: those that have the key may not be back yet.
		return Result{}, fmt.Errorf("%w: not found by %d processes, but not all that were members before are back", ErrConsistency, len(q.answers))
	}
	if need > 1 && !mutantReadUnrepaired.on() {
		q.repair(s.group, p.cfg.Replicas-p.cfg.ReadQuorum+1)
	}
	if errors.Is(ownErr, ErrCorrupt) && !newest.Version.IsZero() {
		_, _ = p.store.Apply([]Record{newest}) // what fails now is left to the next repair
	}
	r := Result{Version: newest.Version, Acks: len(q.answers)}
	if r.Found = !newest.Version.IsZero() && !newest.Tombstone; r.Found {
		r.Value = newest.Value
	}
	return r, nil
}

// quorumRead collects the answers of replicas about one key.
type quorumRead struct {
	p        *Process
	key      []byte
	newest   Record
	answers  []answer
	failures []error
}

type answer struct {
	from    ring.Ref
	version Version
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

// askUntil asks just as many replicas as are needed, the first ones, and when one fails or hesitates, all the others.
func (q *quorumRead) askUntil(replicas []ring.Ref, need int) {
	missing := need - len(q.answers)
	if missing <= 0 {
		return
	}
	first := min(missing, len(replicas))
	q.ask(replicas[:first], q.p.hasten(replicas[:first]))
	if missing = need - len(q.answers); missing <= 0 {
		return
	}
	var rest []ring.Ref
	for _, r := range replicas {
		if !q.answered(r) {
			rest = append(rest, r)
		}
	}
	q.askEnough(rest, &q.p.patient, missing)
}

func (q *quorumRead) answered(r ring.Ref) bool {
	for _, a := range q.answers {
		if a.from == r {
			return true
		}
	}
	return false
}

// consult asks everybody who may have been a replica while the arc is not settled.
func (q *quorumRead) consult(s *snapshot) {
	q.ask(slices.DeleteFunc(s.view.Candidates(q.p.cfg.Replicas)[1:], q.p.suspected), &q.p.patient)
}

// ask asks replicas and waits for all.
func (q *quorumRead) ask(replicas []ring.Ref, by *deadlines) {
	q.askEnough(replicas, by, len(replicas))
}

// askEnough asks replicas at once and waits for so many answers.
func (q *quorumRead) askEnough(replicas []ring.Ref, by *deadlines, enough int) {
	wants := []Want{{Key: q.key, Have: q.newest.Version}}
	have := q.newest
	found := make([]Found, len(replicas))
	q.p.rt.Gather(len(replicas), func(i int) error {
		f, err := q.p.fetchFrom(replicas[i], wants, by)
		if err == nil && (len(f) != 1 || f[0].Record.Key != nil && !bytes.Equal(f[0].Record.Key, q.key)) {
			err = fmt.Errorf("%w: an answer about something else", ErrInvalid)
		}
		if err == nil {
			found[i] = f[0]
		}
		return err
	}, nil, func(i int, err error) bool {
		if err != nil {
			q.failures = append(q.failures, fmt.Errorf("replica %v: %w", replicas[i], err))
			return false
		}
		r := found[i].Record
		if found[i].Version == have.Version {
			r = have
		}
		q.add(replicas[i], r, !found[i].Version.IsZero())
		enough--
		return enough <= 0
	})
}

// repair sends the newest record to the members of the group whose answer was older, and waits until so many are known to have it. A
// replica that cannot take it now is left to the next repair of the arc: the value was read from a live replica and is true.
func (q *quorumRead) repair(group []ring.Ref, holders int) {
	var stale []ring.Ref
	for _, a := range q.answers {
		switch {
		case !slices.Contains(group, a.from):
		case a.version == q.newest.Version:
			holders--
		default:
			stale = append(stale, a.from)
		}
	}
	if len(stale) == 0 {
		return
	}
	records := []Record{q.newest}
	q.p.rt.Gather(len(stale), func(i int) error {
		_, err := q.p.applyAt(stale[i], records)
		return err
	}, nil, func(_ int, err error) bool {
		if err == nil {
			holders--
		}
		return holders <= 0
	})
}
