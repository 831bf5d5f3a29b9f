package rpc

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// ScanOptions are the settings of a scan. The zero value of a field means its default.
type ScanOptions struct {
	Level       node.Level            // at which the values are read; node.LevelQuorum
	Page        int                   // keys that are listed at a time; 512, at most 1024
	Concurrency int                   // values that are read at a time, and at most held in memory; 64
	Patience    time.Duration         // without getting on, before the scan fails; 30 s
	Bare        bool                  // leave the values out: they are not read
	Only        func(key []byte) bool // keys that are wanted; all
	Progress    func(done float64)    // called after each page with the part of the arc that is done, 0 to 1
}

func (o ScanOptions) withDefaults() ScanOptions {
	o.Page = min(cmp.Or(o.Page, 512), maxPage)
	o.Concurrency = cmp.Or(o.Concurrency, 64)
	o.Patience = cmp.Or(o.Patience, 30*time.Second)
	if o.Only == nil {
		o.Only = func([]byte) bool { return true }
	}
	if o.Progress == nil {
		o.Progress = func(float64) {}
	}
	return o
}

// Scan hands every key of an arc that has a value to fn, with that and what else a get says, exactly once and in ring order, behind the cursor, while the ring may change. To
// go on after an error, call it again with the cursor of the last key that fn took. Keys that are written or deleted during the scan
// may be seen or not; those that are there all the time are seen. Of a record fn gets key, value, version and whether it is a manifest; it must not keep or change the slices; its error ends the scan and
// is returned as it is.
//
// How: position by position. The keys between here and the end of the owner's arc are listed at all members of the owner's group and
// merged: N-W+1 of them have, together, every acknowledged key. What was listed counts only if the owner still has the same
// neighbors afterwards, for a process drops keys only after it has left their group. Then the values are read as any Get does it.
func (c *Client) Scan(
	ctx context.Context, arc ring.Arc, after node.Cursor, opts ScanOptions, fn func(r node.Record) error,
) error {
	opts = opts.withDefaults()
	s := &scan{c: c, arc: arc, opts: opts, fn: fn, pos: arc.After, start: time.Now()}
	hello, err := c.Hello(ctx)
	if err != nil {
		return s.failed(err)
	}
	s.replicas, s.need = hello.Replicas, hello.Replicas-hello.WriteQuorum+1
	if after.Key != nil {
		id := ring.Hash(after.Key)
		if !arc.Contains(id) {
			return s.failed(fmt.Errorf("%w: the cursor is not in the arc %v", node.ErrInvalid, arc))
		}
		s.after, s.pos = after.Key, id.Prev()
	}
	return s.run(ctx)
}

// scan is a scan under way.
type scan struct {
	c        *Client
	arc      ring.Arc
	opts     ScanOptions
	fn       func(r node.Record) error
	replicas int
	need     int // members of a full group that must list their keys
	start    time.Time

	pos   ring.ID // everything up to here is done; with after set, up to that key, whose place is the next one
	after []byte
	done  bool
	owner ring.View // of the next place; unset if it has to be looked up
}

func (s *scan) run(ctx context.Context) error {
	moved, retries := time.Now(), 0
	for !s.done {
		from := s.after
		err := s.step(ctx)
		if err == nil || !bytes.Equal(from, s.after) {
			moved, retries = time.Now(), 0
		}
		var stop *scanStopped
		switch {
		case err == nil:
			s.opts.Progress(s.progress())
			continue
		case errors.As(err, &stop):
			return stop.err
		case ctx.Err() != nil, s.c.ctx.Err() != nil, errors.Is(err, node.ErrInvalid), time.Since(moved) > s.opts.Patience:
			return s.failed(err)
		}
		// The ring is changing, or somebody died. Look again from here.
		s.owner = ring.View{}
		if s.c.pause(ctx, backoff(s.c.cfg.BackoffMin, s.c.cfg.BackoffMax, retries)) != nil {
			return s.failed(err)
		}
		retries++
	}
	return nil
}

// scanStopped carries the error of the caller's function out.
type scanStopped struct{ err error }

func (e *scanStopped) Error() string { return e.err.Error() }

// step takes one page further.
func (s *scan) step(ctx context.Context) error {
	if s.owner.Self.IsZero() {
		trace, err := s.c.Lookup(ctx, s.pos.Next(), nil)
		if err != nil {
			return err
		}
		if owner := trace.Owner; !owner.Arc().Contains(s.pos.Next()) {
			// The node before it is dead. Somebody else, whom the lists do not know yet, may stand between: it will say so in a moment.
			return fmt.Errorf("%w: %v does not know yet who stands before it", node.ErrNoRoute, owner.Self)
		}
		s.owner = trace.Owner
	}
	piece := s.piece()
	keys, complete, err := s.list(ctx, piece)
	if err != nil {
		return err
	}
	now, err := s.c.askNeighbors(ctx, s.owner.Self)
	if err != nil {
		return err
	}
	if now.Pred != s.owner.Pred || !slices.Equal(s.asked(now), s.asked(s.owner)) {
		return fmt.Errorf("the neighbors of %v changed", s.owner.Self)
	}
	if err := s.deliver(ctx, keys); err != nil {
		return err
	}
	if complete {
		s.pos, s.after, s.owner = piece.Through, nil, ring.View{}
		s.done = piece.Through == s.arc.Through
	}
	return nil
}

// piece is the part of the scan's arc from the position to the end of the owner's arc.
func (s *scan) piece() ring.Arc {
	through := s.owner.Self.ID
	// The owner's end is at or behind the next place. It lies behind the end of the scan if that one comes first.
	if s.place(s.arc.Through).Compare(s.place(through)) < 0 || s.place(through).Compare(s.place(s.pos.Next())) < 0 {
		through = s.arc.Through
	}
	return ring.Arc{After: s.pos, Through: through}
}

// place is how far an identifier lies behind the start of the scan: 0 is its first place.
func (s *scan) place(id ring.ID) ring.ID { return ring.Distance(s.arc.After.Next(), id) }

// progress is the part of the arc that is done.
func (s *scan) progress() float64 {
	if s.done {
		return 1
	}
	if s.pos == s.arc.After {
		return 0
	}
	return ring.Arc{After: s.arc.After, Through: s.pos}.Share() / s.arc.Share()
}

// asked are the processes whose keys are listed for an owner: its group, and the next process, because just after a process has joined, the
// last of the group as it was before may hold what has not arrived yet.
func (s *scan) asked(owner ring.View) []ring.Ref { return owner.Group(s.replicas + 1) }

// list merges what the members of the group have in the piece behind the cursor, as far as every one of them was listed. complete says
// that this is the end of the piece.
func (s *scan) list(ctx context.Context, piece ring.Arc) (keys [][]byte, complete bool, err error) {
	members := s.asked(s.owner)
	pages, errs := make([][]node.Entry, len(members)), make([]error, len(members))
	var tasks sync.WaitGroup
	for i, m := range members {
		tasks.Go(func() {
			pages[i], errs[i] = s.c.askList(ctx, m.Addr, piece, node.Cursor{Key: s.after}, s.opts.Page)
		})
	}
	tasks.Wait()
	answered := 0
	for _, err := range errs {
		if err == nil {
			answered++
		}
	}
	// Of a group of N, and whoever stood in it before, each key is on W; a smaller ring has no others.
	if need := max(1, s.need-(s.replicas-len(members))); answered < need {
		return nil, false, fmt.Errorf("%w: %d of %d processes listed their keys, %d needed: %w",
			node.ErrConsistency, answered, len(members), need, errors.Join(errs...))
	}
	keys, complete = s.merge(pages, errs)
	return keys, complete, nil
}

// listed is a key and its place on the ring.
type listed struct {
	id  ring.ID
	key []byte
}

// merge returns the union of the pages up to the first of the places where a page that is not its member's last ends.
func (s *scan) merge(pages [][]node.Entry, errs []error) (keys [][]byte, complete bool) {
	var union []listed
	var horizon *listed
	for i, page := range pages {
		if errs[i] != nil {
			continue
		}
		for _, e := range page {
			union = append(union, listed{ring.Hash(e.Key), e.Key})
		}
		if len(page) >= s.opts.Page {
			last := listed{ring.Hash(page[len(page)-1].Key), page[len(page)-1].Key}
			if horizon == nil || s.compare(last, *horizon) < 0 {
				horizon = &last
			}
		}
	}
	slices.SortFunc(union, s.compare)
	for i, e := range union {
		if horizon != nil && s.compare(e, *horizon) > 0 {
			break
		}
		if i == 0 || !bytes.Equal(e.key, union[i-1].key) {
			keys = append(keys, e.key)
		}
	}
	return keys, horizon == nil
}

// compare orders keys as a scan meets them: by place, and among those on one place as a store does.
func (s *scan) compare(a, b listed) int {
	return cmp.Or(s.place(a.id).Compare(s.place(b.id)), bytes.Compare(a.key, b.key))
}

// deliver reads the values of the keys, several at once, and hands them over in order. The cursor moves with every key.
func (s *scan) deliver(ctx context.Context, keys [][]byte) error {
	ctx, cancel := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	type answer struct {
		node.Result
		err error
	}
	answers := make([]chan answer, len(keys))
	next := 0
	read := func() {
		if next == len(keys) {
			return
		}
		key, to := keys[next], make(chan answer, 1)
		answers[next] = to
		next++
		if !s.opts.Only(key) {
			to <- answer{}
			return
		}
		tasks.Go(func() {
			r, err := s.c.Do(ctx, node.Op{Kind: node.OpGet, Key: key, Level: s.opts.Level, Bare: s.opts.Bare})
			to <- answer{r, err}
		})
	}
	for range s.opts.Concurrency {
		read()
	}
	for i, key := range keys {
		a := <-answers[i]
		if a.err != nil {
			return a.err
		}
		if a.Found {
			if err := s.fn(node.Record{Key: key, Value: a.Value, Version: a.Version, Manifest: a.Manifest, Expires: a.Expires}); err != nil {
				return &scanStopped{err}
			}
		}
		s.after, s.pos = key, ring.Hash(key).Prev()
		read()
	}
	return nil
}

func (s *scan) failed(err error) error {
	e := &OpError{Op: fmt.Sprintf("scan %v", s.arc), Elapsed: time.Since(s.start), Retryable: !errors.Is(err, node.ErrInvalid), Err: err}
	var cause *OpError
	if errors.As(err, &cause) {
		e.Attempted, e.Attempts = cause.Attempted, cause.Attempts
	}
	return e
}
