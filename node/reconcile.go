package node

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/chordkv/chord/ring"
)

// reconciliation makes this process and a peer agree on the records of an arc. It compares digests, follows what differs down a fixed tree over the
// circle, compares hashes of keys and versions where few are left, and exchanges the records that one side lacks. Equal replicas
// cost one small message each way. It keeps no state on either side and can be started over at any time.
//
// When it returns without an error, every record that this process had in the arc when it began is stored durably at the peer,
// in this version or a newer one: sweep and leave rely on that.
type reconciliation struct {
	p        *Process
	peer     ring.Ref
	pull     bool    // fetch what the peer has newer; otherwise only send
	claims   []Claim // of an owner
	hold     bool    // send nothing to a stand-in: who has it may come back
	held     int     // records that were not sent
	sent     int
	received int
	progress *progress // of what this is a part of; may be nil

	// What is known to differ, and waits to become a batch.
	extra   []Entry   // here, and not there in this version
	unnamed []Unnamed // there, and not here
	hashes  int       // of unnamed
	sends   []Entry
	fetches []Want
}

// errHeld: the peer lacks records that it is not sent yet, because one that has them may come back.
var errHeld = errors.New("copies are not made again yet: who has them may come back")

// reconcile runs a reconciliation. With pull, newer records of the peer are fetched as well.
func (p *Process) reconcile(ctx context.Context, arc ring.Arc, peer ring.Ref, pull bool, g *progress) (r reconciliation, err error) {
	r = reconciliation{p: p, peer: peer, pull: pull, progress: g}
	err = r.perform(ctx, arc)
	return r, err
}

// perform runs it. The error wraps errHeld if that is all that keeps the peer from having everything.
func (r *reconciliation) perform(ctx context.Context, arc ring.Arc) (err error) {
	r.pull = r.pull && !mutantRepairOneWay.on()
	defer r.progress.compared()
	if err = r.run(ctx, arc); err == nil && r.held > 0 {
		err = errHeld
	}
	if err != nil {
		err = fmt.Errorf("reconcile %v with %v: %w", arc, r.peer, err)
	}
	return err
}

func (r *reconciliation) run(ctx context.Context, arc ring.Arc) error {
	theirs, err := r.p.callDigest(ctx, r.peer, []ring.Arc{arc}, r.claims)
	if err != nil {
		return err
	}
	if len(theirs) != 1 {
		return fmt.Errorf("%w: %d summaries for an arc", ErrInvalid, len(theirs))
	}
	ours, err := r.p.store.Digest([]ring.Arc{arc})
	if err != nil {
		return err
	}
	us, them := ours[0], theirs[0]
	r.progress.expect(max(us.Count, them.Count) - min(us.Count, them.Count))
	switch {
	case us == them || us.Count == 0 && !r.pull:
		return nil
	case us.Count/4 > them.Count || them.Count/4 > us.Count && r.pull || us.Count == 0 || them.Count == 0:
		return r.exchange(ctx, arc) // nearly all differ
	}
	open := []ring.Arc{arc}
	// Each turn settles arcs or replaces them with their parts, of which there are no more than 80 levels.
	for len(open) > 0 {
		k := min(len(open), OutlineArcs)
		batch := slices.Clone(open[len(open)-k:])
		if open, err = r.compare(ctx, batch, open[:len(open)-k]); err != nil {
			return err
		}
	}
	return r.settle(ctx)
}

// compare notes what differs in arcs with few records, and appends the parts of the others that differ to open.
func (r *reconciliation) compare(ctx context.Context, arcs, open []ring.Arc) ([]ring.Arc, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	detail := detailFor(len(arcs))
	theirs, err := r.p.callOutline(ctx, r.peer, arcs, detail)
	if err != nil {
		return nil, err
	}
	if len(theirs) != len(arcs) {
		return nil, fmt.Errorf("%w: %d outlines of %d arcs", ErrInvalid, len(theirs), len(arcs))
	}
	var parts []ring.Arc
	var hashes []uint64
	for i, arc := range arcs {
		if !theirs[i].Split {
			if err := r.match(arc, theirs[i].Hashes); err != nil {
				return nil, err
			}
			continue
		}
		split := arc.Split(detail.Bits)
		if len(split) != len(theirs[i].Hashes) || len(split) == 1 { // no store has many records at one identifier
			return nil, fmt.Errorf("%w: %d hashes of %d parts of %v", ErrInvalid, len(theirs[i].Hashes), len(split), arc)
		}
		parts, hashes = append(parts, split...), append(hashes, theirs[i].Hashes...)
	}
	ours, err := r.p.store.Digest(parts)
	if err != nil {
		return nil, err
	}
	for i, part := range parts {
		if us := ours[i]; us.Hash != hashes[i] && (us.Count > 0 || r.pull) {
			open = append(open, part)
		}
	}
	return open, r.settleFull(ctx)
}

// match notes what differs in an arc, of which the peer has records with these hashes.
func (r *reconciliation) match(arc ring.Arc, theirs []uint64) error {
	theirs = slices.Sorted(slices.Values(theirs))
	met := make([]bool, len(theirs))
	ours := pager{limit: r.p.cfg.BatchRecords, page: func(from Cursor, limit int) ([]Entry, error) {
		return r.p.store.List(arc, from, limit)
	}}
	for ours.fill() && !ours.done() {
		e := ours.pop()
		if i, ok := slices.BinarySearch(theirs, e.Hash); ok {
			met[i] = true
		} else {
			r.extra = append(r.extra, e)
		}
	}
	if !r.pull {
		return ours.err
	}
	var strange []uint64
	for i, h := range theirs {
		if !met[i] {
			strange = append(strange, h)
		}
	}
	if len(strange) > 0 {
		r.unnamed = append(r.unnamed, Unnamed{arc, strange})
		r.hashes += len(strange)
	}
	return ours.err
}

// settleFull is settle as soon as there is enough for a batch.
func (r *reconciliation) settleFull(ctx context.Context) error {
	if len(r.extra)+r.hashes < r.p.cfg.BatchRecords {
		return nil
	}
	return r.settle(ctx)
}

// settle asks for the names of what the peer has, and exchanges what is newer on one side.
func (r *reconciliation) settle(ctx context.Context) error {
	newest := make(map[string]Version) // of the peer
	for len(r.unnamed) > 0 {
		n := firstHashes(r.unnamed)
		named, err := r.p.callName(ctx, r.peer, r.unnamed[:n])
		if err != nil {
			return err
		}
		r.unnamed = r.unnamed[n:]
		for _, e := range named {
			newest[string(e.Key)] = e.Version
			have, err := r.p.store.Version(e.Key)
			if err != nil {
				return err
			}
			if e.Version.Newer(have) {
				r.fetches = append(r.fetches, Want{Key: e.Key})
			}
		}
	}
	for _, e := range r.extra {
		if e.Version.Newer(newest[string(e.Key)]) {
			r.sends = append(r.sends, e)
		}
	}
	r.unnamed, r.hashes, r.extra = nil, 0, r.extra[:0]
	r.progress.expect(uint64(len(r.sends) + len(r.fetches)))
	return r.transfer(ctx, 1)
}

// firstHashes returns how many of the unnamed fit into a call, at least one.
func firstHashes(unnamed []Unnamed) int {
	hashes := 0
	for n, u := range unnamed {
		if hashes += len(u.Hashes); n > 0 && (hashes > OutlineHashes || n == OutlineArcs) {
			return n
		}
	}
	return len(unnamed)
}

// transfer sends and fetches what is known to differ, if there are at least so many records for one way.
func (r *reconciliation) transfer(ctx context.Context, enough int) error {
	if r.hold {
		r.held += len(r.sends)
		r.sends = r.sends[:0]
	}
	if len(r.sends) >= enough {
		if err := r.send(ctx, r.sends); err != nil {
			return err
		}
		r.sends = r.sends[:0]
	}
	if len(r.fetches) >= enough {
		if err := r.fetch(ctx, r.fetches); err != nil {
			return err
		}
		r.fetches = r.fetches[:0]
	}
	return nil
}

// exchange merges the two lists of an arc, page by page, and sends and fetches what differs.
func (r *reconciliation) exchange(ctx context.Context, arc ring.Arc) error {
	ours := pager{limit: r.p.cfg.BatchRecords, page: func(from Cursor, limit int) ([]Entry, error) {
		return r.p.store.List(arc, from, limit)
	}}
	theirs := pager{limit: r.p.cfg.BatchRecords, page: func(from Cursor, limit int) ([]Entry, error) {
		return r.p.callList(ctx, r.peer, arc, from, limit)
	}}
	// Bound: each turn takes an entry off a list, and both lists end.
	for ours.fill() && theirs.fill() && (!ours.done() || !theirs.done()) {
		var us, them Entry
		switch order := inRingOrder(arc, &ours, &theirs); {
		case order < 0:
			us = ours.pop()
		case order > 0:
			them = theirs.pop()
		default:
			us, them = ours.pop(), theirs.pop()
		}
		switch {
		case us.Version.Newer(them.Version):
			r.sends = append(r.sends, us)
		case them.Version.Newer(us.Version) && r.pull:
			r.fetches = append(r.fetches, Want{Key: them.Key})
		}
		if err := r.transfer(ctx, r.p.cfg.BatchRecords); err != nil {
			return err
		}
	}
	if err := cmp.Or(ours.err, theirs.err); err != nil {
		return err
	}
	return r.transfer(ctx, 1)
}

// send stores records at the peer. It fails if the peer ends up with an older version of any.
func (r *reconciliation) send(ctx context.Context, entries []Entry) error {
	batch := make([]Record, 0, len(entries))
	size := 0
	for i, e := range entries {
		rec, ok, err := r.p.store.Get(e.Key)
		if err != nil {
			return err
		}
		if mutantExpiryLost.on() {
			rec.Expires = 0
		}
		if ok { // else it was dropped meanwhile, after others confirmed it
			batch = append(batch, rec)
			size += rec.size()
		}
		if len(batch) > 0 && (size >= r.p.cfg.BatchBytes || i == len(entries)-1) {
			if err := r.apply(ctx, batch, size); err != nil {
				return err
			}
			batch, size = batch[:0:0], 0
		}
	}
	return nil
}

// apply stores records of so many bytes at the peer.
func (r *reconciliation) apply(ctx context.Context, batch []Record, size int) error {
	t := r.p.takeTurn()
	versions, err := r.p.callApply(ctx, r.peer, batch)
	if err != nil {
		return err
	}
	if len(versions) != len(batch) {
		return fmt.Errorf("%w: %d versions for %d records", ErrInvalid, len(versions), len(batch))
	}
	for i, v := range versions {
		if batch[i].Version.Newer(v) {
			return fmt.Errorf("%w: %q has version %v after it was sent %v", ErrInvalid, batch[i].Key, v, batch[i].Version)
		}
	}
	r.sent += len(batch)
	return r.moved(ctx, t, len(batch), 0, size)
}

// fetch stores records of the peer here. The peer may answer for only the first of the wants.
func (r *reconciliation) fetch(ctx context.Context, wants []Want) error {
	for len(wants) > 0 {
		t := r.p.takeTurn()
		found, err := r.p.callFetch(ctx, r.peer, wants)
		if err != nil {
			return err
		}
		if len(found) == 0 || len(found) > len(wants) {
			return fmt.Errorf("%w: %d records for %d keys", ErrInvalid, len(found), len(wants))
		}
		batch := make([]Record, 0, len(found))
		size := 0
		for i, f := range found {
			if f.Record.Version.IsZero() {
				continue // gone since it was listed, or no newer than ours
			}
			if !bytes.Equal(f.Record.Key, wants[i].Key) {
				return fmt.Errorf("%w: got key %q, asked for %q", ErrInvalid, f.Record.Key, wants[i].Key)
			}
			if err := r.p.observe(f.Record.Version); err != nil {
				return err
			}
			batch = append(batch, f.Record)
			size += f.Record.size()
		}
		if _, err := r.p.apply(batch); err != nil {
			return err
		}
		r.received += len(batch)
		if err := r.moved(ctx, t, 0, len(batch), size); err != nil {
			return err
		}
		wants = wants[len(found):]
	}
	return nil
}

// moved notes what was sent and received in a turn, and rests.
func (r *reconciliation) moved(ctx context.Context, t turn, sent, received, bytes int) error {
	r.progress.add(sent+received, bytes)
	if r.p.events.Moved != nil {
		r.p.events.Moved(r.peer, sent, received, bytes)
	}
	return r.p.rest(ctx, t, bytes)
}
