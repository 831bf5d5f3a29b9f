package node

import (
	"context"
	"fmt"
	"slices"

	"github.com/chordkv/chord/ring"
)

// This file is what other processes ask of this one. Calls about the ring never wait; calls about the store wait for it alone.

// hosted returns one of the own nodes and its snapshot once it has a place in a ring: it may still be joining.
func (p *Process) hosted(node ring.ID) (*vnode, *snapshot, error) {
	n, err := p.node(node)
	if err != nil {
		return nil, nil, err
	}
	s := n.snap.Load()
	if p.phase.Load() == gone || !s.serving && s.view.Pred == s.view.Self {
		return nil, nil, ErrNotReady
	}
	return n, s, nil
}

// Neighbors returns predecessor and successor list of one of the own nodes; nobody may change the list. Errors: ErrNoNode, ErrNotReady.
func (p *Process) Neighbors(node ring.ID) (ring.View, error) {
	_, s, err := p.hosted(node)
	if err != nil {
		return ring.View{}, err
	}
	return s.view, nil
}

// Notify tells one of the own nodes that from may be its predecessor. The claim is verified by a call back on a task of its
// own before it is believed: also if its process did not answer lately, for whoever calls is alive, and if it is not, that is one call in vain. Errors: ErrNoNode, ErrNotReady.
func (p *Process) Notify(node ring.ID, from ring.Ref) error {
	n, s, err := p.hosted(node)
	if err != nil {
		return err
	}
	if from != s.view.Pred && from.ID != n.self.ID && n.offer(from) {
		p.memory.trust(from.Addr)
		p.rt.Go(func() { n.rectify(p.ctx) })
	}
	return nil
}

// Changed tells one of the own nodes that the neighbors of from have changed. If that is its successor, or would be a closer one, it stabilizes at once instead of at the next
// interval. Errors: ErrNoNode, ErrNotReady.
func (p *Process) Changed(node ring.ID, from ring.Ref) error {
	n, s, err := p.hosted(node)
	if err != nil {
		return err
	}
	if succs := s.view.Succs; len(succs) > 0 && (succs[0].ID == from.ID || ring.Between(n.self.ID, from.ID, succs[0].ID)) {
		p.memory.trust(from.Addr) // as by Notify
		n.stabilizeSoon()
	}
	return nil
}

// Route returns the way from one of the own nodes to id, leaving out the nodes in avoid; the zero node stands for whichever of the
// own nodes knows the shortest. Errors: ErrNoNode, ErrNotReady.
func (p *Process) Route(node, id ring.ID, avoid []ring.ID) (ring.Step, error) {
	if node.IsZero() {
		if err := p.present(); err != nil {
			return ring.Step{}, err
		}
		return p.localStep(id, avoid), nil
	}
	n, s, err := p.hosted(node)
	if err != nil {
		return ring.Step{}, err
	}
	if succs := s.view.Succs; len(avoid) > 0 && len(succs) > 0 && slices.Contains(avoid, succs[0].ID) {
		n.stabilizeSoon() // the caller says it is dead: find out
	}
	return n.route(id, avoiding(avoid)), nil
}

func avoiding(ids []ring.ID) func(ring.ID) bool {
	if len(ids) == 0 {
		return nil
	}
	return func(id ring.ID) bool { return slices.Contains(ids, id) }
}

// Apply stores records where they are newer than what is there. It returns, for each, the version stored afterwards. Errors:
// ErrClockSkew or a SupersededError, and nothing was stored; ErrNotReady; those of the store.
func (p *Process) Apply(_ context.Context, records []Record, claims []Claim) ([]Version, error) {
	if p.phase.Load() >= closing {
		return nil, ErrNotReady
	}
	if err := p.reliable(); err != nil {
		return nil, err
	}
	if err := p.heedAbout(claims, records); err != nil {
		return nil, err
	}
	for i := range records {
		if err := p.observe(records[i].Version); err != nil {
			return nil, err
		}
	}
	versions, err := p.apply(records)
	if err != nil {
		return nil, err
	}
	if mutantTombstoneEarly.on() {
		p.forgetDeletes(records)
	}
	for i := range records {
		if r := &records[i]; r.Request != (RequestID{}) {
			p.window().add(r.Request, r.Version)
		}
	}
	return versions, nil
}

func (p *Process) observe(v Version) error {
	err := p.clock.observe(v)
	if err != nil && p.events.ClockAhead != nil {
		p.events.ClockAhead(ahead(v.Time, p.clock.wall()))
	}
	return err
}

// Fetch reads records, one Found for each of the first wants, until Config.BatchBytes are reached. A corrupt record is an error, not an
// absent one: a read quorum must not count it.
func (p *Process) Fetch(_ context.Context, wants []Want) ([]Found, error) {
	if p.phase.Load() == gone {
		return nil, ErrNotReady
	}
	found := make([]Found, 0, len(wants))
	size := 0
	for i := range wants {
		var f Found
		f.Epoch, f.Mine = p.epochAt(ring.Hash(wants[i].Key)) // before the store is read, as by Serve
		owner := p.vouch(&wants[i], &f)
		if wants[i].Request != (RequestID{}) {
			f.Given, _ = p.window().find(wants[i].Request)
		}
		r, ok, err := p.store.Get(wants[i].Key)
		if err != nil {
			return nil, fmt.Errorf("read %q: %w", wants[i].Key, err)
		}
		if ok {
			f.Version = r.Version
			if r.Expires != 0 && r.Tombstone != p.clock.passed(r.Expires) {
				f.Owned = ring.Arc{} // by the own clock it is to be read as something else than it is
			}
			if r.Version != wants[i].Have && !wants[i].Bare {
				f.Record = r
				size += r.size()
			}
		}
		if !ok && owner != nil && owner.bereft(owner.snap.Load(), ring.Hash(wants[i].Key)) {
			f.Owned = ring.Arc{} // that it is not there is not to be believed
		}
		f.Heard = owner != nil && owner.heardSince(p.rt.Now())
		found = append(found, f)
		if size >= p.cfg.BatchBytes {
			break
		}
	}
	return found, nil
}

// Digest summarizes what is stored in each arc. Whoever asks may drop records that are here: so they are pinned for a while. One that
// leaves takes its records with it, and confirms nothing. Errors: ErrNotReady, a SupersededError, those of the store.
func (p *Process) Digest(_ context.Context, arcs []ring.Arc, claims []Claim) ([]Summary, error) {
	if err := p.pin(arcs); err != nil {
		return nil, err
	}
	for _, c := range claims {
		if err := p.heed(c); err != nil {
			return nil, err
		}
	}
	return p.store.Digest(arcs)
}

func (p *Process) pin(arcs []ring.Arc) error {
	if p.phase.Load() >= leaving {
		return ErrNotReady
	}
	if err := p.reliable(); err != nil {
		return err
	}
	now := p.rt.Now()
	for _, a := range arcs {
		p.memory.keep(a, now, now.Add(p.cfg.PinTime))
	}
	return nil
}

// Outline is a Digest in more detail, and pins like one.
func (p *Process) Outline(_ context.Context, arcs []ring.Arc, detail Detail) ([]Outline, error) {
	if err := p.pin(arcs); err != nil {
		return nil, err
	}
	return outline(p.store, arcs, detail)
}

// Name returns the entries of arcs that have given hashes.
func (p *Process) Name(_ context.Context, unnamed []Unnamed) ([]Entry, error) {
	if p.phase.Load() >= leaving {
		return nil, ErrNotReady
	}
	var named []Entry
	for _, u := range unnamed {
		entries, err := p.store.List(u.Arc, Cursor{}, OutlineHashes)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if slices.Contains(u.Hashes, e.Hash) {
				named = append(named, e)
			}
		}
	}
	return named, nil
}

// List returns keys and versions of an arc in ring order behind the cursor, at most limit.
func (p *Process) List(_ context.Context, arc ring.Arc, from Cursor, limit int) ([]Entry, error) {
	if p.phase.Load() == gone {
		return nil, ErrNotReady
	}
	return p.store.List(arc, from, limit)
}
