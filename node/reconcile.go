package node

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/chordkv/chord/ring"
)

// reconciliation makes this process and a peer agree on the records of an arc. It compares digests, splits what differs along a fixed tree
// over the circle, and at the leaves compares keys and versions and exchanges the records that one side lacks. Equal replicas
// cost one small message. It keeps no state on either side and can be started over at any time.
//
// When it returns without an error, every record that this process had in the arc when it began is stored durably at the peer,
// in this version or a newer one: sweep and leave rely on that.
type reconciliation struct {
	p        *Process
	peer     ring.Ref
	pull     bool // fetch what the peer has newer; otherwise only send
	sent     int
	received int
}

// leafRecords is the number of records in an arc up to which their list is exchanged instead of more digests: some 15 kB.
const leafRecords = 256

// digestArcs is how many arcs go into one Digest call.
const digestArcs = 64

// reconcile runs a reconciliation. With pull, newer records of the peer are fetched as well.
func (p *Process) reconcile(ctx context.Context, arc ring.Arc, peer ring.Ref, pull bool) (r reconciliation, err error) {
	r = reconciliation{p: p, peer: peer, pull: pull}
	open := []ring.Arc{arc}
	// Each turn settles arcs or replaces them with their parts, of which there are no more than 40 levels.
	for len(open) > 0 && err == nil {
		k := min(len(open), digestArcs)
		batch := slices.Clone(open[len(open)-k:])
		open = open[:len(open)-k]
		open, err = r.compare(ctx, batch, open)
	}
	if err != nil {
		err = fmt.Errorf("reconcile %v with %v: %w", arc, peer, err)
	}
	return r, err
}

// compare settles the arcs that are equal or small and appends the parts of the others to open.
func (r *reconciliation) compare(ctx context.Context, arcs, open []ring.Arc) ([]ring.Arc, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	theirs, err := r.p.callDigest(ctx, r.peer, arcs)
	if err != nil {
		return nil, err
	}
	if len(theirs) != len(arcs) {
		return nil, fmt.Errorf("%w: %d summaries for %d arcs", ErrInvalid, len(theirs), len(arcs))
	}
	ours, err := r.p.store.Digest(arcs)
	if err != nil {
		return nil, err
	}
	for i, arc := range arcs {
		us, them := ours[i], theirs[i]
		if us == them || us.Count == 0 && !r.pull {
			continue
		}
		parts := arc.Split()
		if us.Count == 0 || them.Count == 0 || max(us.Count, them.Count) <= leafRecords || len(parts) == 1 {
			if err := r.exchange(ctx, arc); err != nil {
				return nil, err
			}
			continue
		}
		open = append(open, parts...)
	}
	return open, nil
}

// exchange merges the two lists of an arc, page by page, and sends and fetches what differs.
func (r *reconciliation) exchange(ctx context.Context, arc ring.Arc) error {
	ours := pager{limit: r.p.cfg.BatchRecords, page: func(from Cursor, limit int) ([]Entry, error) {
		return r.p.store.List(arc, from, limit)
	}}
	theirs := pager{limit: r.p.cfg.BatchRecords, page: func(from Cursor, limit int) ([]Entry, error) {
		return r.p.callList(ctx, r.peer, arc, from, limit)
	}}
	var send []Entry
	var fetch []Want
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
			send = append(send, us)
		case them.Version.Newer(us.Version) && r.pull:
			fetch = append(fetch, Want{Key: them.Key, Have: us.Version})
		}
		if len(send) >= r.p.cfg.BatchRecords {
			if err := r.send(ctx, send); err != nil {
				return err
			}
			send = send[:0]
		}
		if len(fetch) >= r.p.cfg.BatchRecords {
			if err := r.fetch(ctx, fetch); err != nil {
				return err
			}
			fetch = fetch[:0]
		}
	}
	if ours.err != nil {
		return ours.err
	}
	if theirs.err != nil {
		return theirs.err
	}
	if err := r.send(ctx, send); err != nil {
		return err
	}
	return r.fetch(ctx, fetch)
}

// pager reads a list of entries page by page.
type pager struct {
	page    func(from Cursor, limit int) ([]Entry, error)
	limit   int
	entries []Entry
	from    Cursor
	last    bool // there is no page after entries
	err     error
}

// fill makes sure that there is an entry unless the list is at its end; it reports false on an error.
func (g *pager) fill() bool {
	if len(g.entries) > 0 || g.last {
		return true
	}
	if g.entries, g.err = g.page(g.from, g.limit); g.err != nil {
		return false
	}
	g.last = len(g.entries) < g.limit
	if n := len(g.entries); n > 0 {
		g.from = Cursor{Key: g.entries[n-1].Key}
	}
	return true
}

func (g *pager) done() bool { return len(g.entries) == 0 && g.last }

func (g *pager) pop() Entry {
	e := g.entries[0]
	g.entries = g.entries[1:]
	return e
}

// inRingOrder compares the next entries of two lists by their place in the arc, then by key; a list at its end comes last.
func inRingOrder(arc ring.Arc, a, b *pager) int {
	switch {
	case a.done():
		return +1
	case b.done():
		return -1
	}
	x, y := a.entries[0].Key, b.entries[0].Key
	if bytes.Equal(x, y) {
		return 0
	}
	// The place in the arc is the distance behind its start; After itself, possible in the full arc only, comes last.
	start := arc.After.Next()
	if c := ring.Distance(start, ring.Hash(x)).Compare(ring.Distance(start, ring.Hash(y))); c != 0 {
		return c
	}
	return bytes.Compare(x, y)
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
		if ok { // else it was dropped meanwhile, after others confirmed it
			batch = append(batch, rec)
			size += rec.size()
		}
		if len(batch) > 0 && (size >= r.p.cfg.BatchBytes || i == len(entries)-1) {
			if err := r.apply(ctx, batch); err != nil {
				return err
			}
			batch, size = batch[:0:0], 0
		}
	}
	return nil
}

func (r *reconciliation) apply(ctx context.Context, batch []Record) error {
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
	return nil
}

// fetch stores records of the peer here. The peer may answer for only the first of the wants.
func (r *reconciliation) fetch(ctx context.Context, wants []Want) error {
	for len(wants) > 0 {
		found, err := r.p.callFetch(ctx, r.peer, wants)
		if err != nil {
			return err
		}
		if len(found) == 0 || len(found) > len(wants) {
			return fmt.Errorf("%w: %d records for %d keys", ErrInvalid, len(found), len(wants))
		}
		batch := make([]Record, 0, len(found))
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
		}
		if _, err := r.p.store.Apply(batch); err != nil {
			return err
		}
		r.received += len(batch)
		wants = wants[len(found):]
	}
	return nil
}
