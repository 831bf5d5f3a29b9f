package node

import (
	"errors"
	"fmt"
	"slices"

	"github.com/chordkv/chord/ring"
)

// round is one attempt to store a record at its replicas.
type round struct {
	acks     int
	kept     bool    // the own store has taken it
	newer    Version // the newest version of another origin that a replica has in place of the record; zero if none
	skewed   int     // replicas that refused the version as too far ahead
	refused  int     // replicas that refused it for good: because of a newer claim, or for want of room
	failures []error // of all that did not take it
}

// stored is what a replica says of a record that it was sent.
type stored struct {
	version Version // that it has afterwards
	err     error
}

// replicate stores the records at every member of the group at once, the first of which is this process, and answers each write when need of them, this
// one always among them, have its record. Whoever is slower gets it all the same. Replicas that failed to answer lately are left to repair if
// enough others remain. Of a plain write that is known, sent again for a retried request, a newer version counts as an acknowledgement: it took
// effect and was overwritten.
func (b *batch) replicate(writes []write, need int) {
	p, self, others := b.p, b.group[0], b.group[1:]
	if p.memory.suspectCount.Load() > 0 {
		if alive := slices.DeleteFunc(slices.Clone(others), p.suspected); 1+len(alive) >= need {
			others = alive
		}
	}
	records := make([]Record, len(writes)) // a late call reads them when the writes are gone
	claims := make([]Claim, 0, min(len(writes), 8))
	b.began = p.rt.Now()
	for i := range writes {
		records[i] = writes[i].record
		if c := writes[i].s.claim(); !slices.Contains(claims, c) {
			claims = append(claims, c)
		}
	}
	answers := make([]stored, (1+len(others))*len(records)) // the own first
	from := func(replica int) []stored { return answers[replica*len(records):][:len(records)] }
	add := func(replica ring.Ref, answers []stored) (enough bool) {
		enough = true
		for i := range writes {
			if w := &writes[i]; !w.enough {
				b.count(w, replica, answers[i], need)
				enough = enough && w.enough
			}
		}
		b.flush()
		return enough
	}
	p.rt.Gather(len(others), func(i int) error {
		p.applyEach(others[i], records, claims, from(1+i))
		return nil
	}, func() (enough bool) {
		if mutantAckOwnLate.on() {
			p.rt.Go(func() { p.applyEach(self, records, claims, from(0)) })
			leave(writes)
			return false
		}
		p.applyEach(self, records, claims, from(0))
		leave(writes)
		return add(self, from(0))
	}, func(i int, _ error) (enough bool) {
		return add(others[i], from(1+i))
	})
}

// applyEach stores records at a replica and fills in what it says of each. One that it refuses because of a clock or a claim is no reason to fail
// those that came together with it.
func (p *Process) applyEach(to ring.Ref, records []Record, claims []Claim, answers []stored) {
	versions, err := p.applyAt(to, records, claims)
	if err == nil && len(versions) != len(records) {
		err = fmt.Errorf("%w: %d versions for %d records", ErrInvalid, len(versions), len(records))
	}
	if half := len(records) / 2; half > 0 && (errors.Is(err, ErrClockSkew) || errors.Is(err, ErrSuperseded)) {
		p.applyEach(to, records[:half], claimsTo(records[:half], claims), answers[:half])
		p.applyEach(to, records[half:], claimsTo(records[half:], claims), answers[half:])
		return
	}
	for i := range answers {
		if answers[i].err = err; err == nil {
			answers[i].version = versions[i]
		}
	}
}

// count adds the answer of a replica to a write, which is answered itself if it was the last that was missing.
func (b *batch) count(w *write, replica ring.Ref, s stored, need int) {
	overwritten := w.known && !w.Conditional() || s.version.Origin == w.record.Version.Origin || mutantAckOvertaken.on()
	before := w.acks
	w.add(replica, w.record, s.version, s.err, overwritten)
	w.kept = w.kept || w.acks > before && replica == b.group[0]
	if s.err != nil {
		w.n.doubted(w.s, s.err)
	} else if replica.Addr == w.s.heir().Addr { // it would have refused
		w.n.heard(b.began)
	}
	if w.enough = w.acks >= need && (w.kept || mutantAckOwnLate.on()); w.enough && w.newer.IsZero() {
		a := &w.answer
		b.settle(w.owned, Result{Found: a.Existed, Number: a.Number, Version: a.Version, Expires: w.expiry(a.Version), Acks: w.acks, Replaced: w.replaced}, nil)
	}
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
	case errors.Is(err, ErrSuperseded), errors.Is(err, ErrStoreFull):
		o.refused++
	}
	o.failures = append(o.failures, fmt.Errorf("replica %v: %w", from, err))
}
