package node

import (
	"context"
	"slices"

	"github.com/chordkv/chord/ring"
)

// A near read is one of a key that another process owns, by a process that has heard of all members and so knows, if that is right, who the replicas are. It asks
// them itself, all at the same time, in place of the owner: that takes one round trip instead of two, one after the other. Nothing of what was heard is believed.
//
// With a quorum, R answers are needed, the owner's among them as always, and the owner has to say that the key is its own, that its arc is settled, and that it has exactly these
// replicas, and nobody may know of a newer owner: so the answers come from those whom it would have asked itself at that moment. If they differ, or anything else is not as it should be, the owner reads, as if
// nobody had asked.
//
// At level one the nearest replica that has a record answers. Nobody vouches for it: it may have missed the last write. But that a key is not there is for its owner to
// say.

// readNear reads a key from its replicas. ok is false if that has come to no result, and the owner has to read.
func (p *Process) readNear(ctx context.Context, op *Op, id ring.ID) (r Result, ok bool) {
	n := nearRead{p: p, key: op.Key, bare: op.Bare}
	n.group, n.heir = p.presumed(id)
	need, err := p.replicasFor(op.Level, p.cfg.ReadQuorum, n.group)
	switch {
	case err != nil || len(n.group) < p.cfg.Replicas || len(n.group) == 1:
		return Result{}, false
	case op.Level == LevelOne:
		ok = n.askOne(ctx)
	case need > 1 && !p.suspected(n.group[0]): // else the owner would be asked alone, or does not answer
		ok = n.askQuorum(ctx, need)
	}
	if !ok {
		return Result{}, false
	}
	return n.result, n.ok
}

// presumed returns the replicas of the keys at id, the owner first, and the owner's heir, as far as what was heard is right; none if somebody is known to be missing there.
func (p *Process) presumed(id ring.ID) (group []ring.Ref, heir ring.Ref) {
	most := 1 + p.cfg.Successors // nodes, among which the owner chooses
	nodes := p.memory.consult(func(r *roster, id ring.ID) []ring.Ref { return r.following(id, most) }, id)
	if len(nodes) == 0 {
		return nil, ring.Ref{}
	}
	for _, n := range p.nodes {
		nodes = append(nodes, n.self)
	}
	slices.SortFunc(nodes, func(a, b ring.Ref) int { return ring.Distance(id, a.ID).Compare(ring.Distance(id, b.ID)) })
	view := ring.View{Self: nodes[0], Succs: nodes[1:min(most, len(nodes))]}
	return view.Group(p.cfg.Replicas), heirOf(view)
}

// groupHash stands for a group of replicas; it is never 0.
func groupHash(group []ring.Ref) uint64 { return max(1, fold(appendRefs(nil, group))) }

// vouch answers a Want that asks whether its group is right: by the arc that the owner has with that group, and the node that is the owner; by nothing if it is not so, or this process is not
// the owner.
func (p *Process) vouch(w *Want, f *Found) *vnode {
	if w.Group == 0 {
		return nil
	}
	n, s := p.owner(ring.Hash(w.Key))
	if n == nil || n.suspended.Load() || (!s.settled || w.Group != groupHash(s.group)) && !mutantVouchBlindly.on() || p.outvoted(len(s.group)) != nil {
		return nil
	}
	f.Owned = s.arc
	return n
}

// nearRead collects what replicas say to a process that does not own the key.
type nearRead struct {
	p      *Process
	key    []byte
	bare   bool       // the value is not wanted
	group  []ring.Ref // presumed
	heir   ring.Ref   // of the owner, presumed
	result Result
	ok     bool // there is a result

	replicas []ring.Ref // to be asked
	wants    []Want     // of each, one
	found    [][]Found  // by each, one
}

// own takes this process out of the replicas and returns its record; mine is false if it is none of them, or cannot read.
func (n *nearRead) own() (r Record, mine bool) {
	at := slices.IndexFunc(n.replicas, func(r ring.Ref) bool { return r.Addr == n.p.addr })
	if at < 0 {
		return Record{}, false
	}
	n.replicas = slices.Delete(n.replicas, at, at+1)
	r, _, err := n.p.stored(n.key)
	return r, err == nil
}

// askOne asks one replica after the other until one answers. It returns what ask does.
func (n *nearRead) askOne(ctx context.Context) (ended bool) {
	n.replicas = slices.Clone(n.group)
	if r, mine := n.own(); mine && !r.Version.IsZero() {
		n.finish(r, 1)
		return true
	}
	n.replicas = n.p.trusted(n.p.nearest(n.replicas))
	n.wants = slices.Repeat([]Want{{Key: n.key}}, len(n.replicas))
	return n.ask(ctx, 1, func(_ int, f *Found) (enough bool) {
		if f != nil && !f.Version.IsZero() {
			n.finish(f.Record, 1)
		}
		return f != nil
	})
}

// askQuorum asks the owner, its heir, and the nearest others, R replicas in all. It returns what ask does.
func (n *nearRead) askQuorum(ctx context.Context, need int) (ended bool) {
	n.replicas = slices.Clone(n.group[1:])
	newest, mine := n.own()
	answers, vouched := 0, false
	heard := n.heir.Addr == n.p.addr // that the heir has not taken over: else this process would have known that the key is its own
	var epoch, since uint64          // the newest that is known, and the owner's
	if mine {
		answers = 1
		epoch, _ = n.p.epochAt(ring.Hash(n.key))
	}
	first := n.line(need - answers)
	n.wantOnce(first, mine)
	return n.ask(ctx, first, func(i int, f *Found) (enough bool) {
		owner, heir, counts := i == 0, n.replicas[i].Addr == n.heir.Addr, n.counts(i)
		switch {
		case f == nil:
			return owner
		case owner && f.Owned.Through != n.group[0].ID || heir && f.Mine || counts && answers > 0 && f.Version != newest.Version:
			return true
		case owner:
			vouched = true
			since = f.Epoch
			n.result.Owner, n.result.Arc = n.group[0], f.Owned
		}
		epoch = max(epoch, f.Epoch)
		heard = heard || heir || owner && f.Heard
		if counts {
			if answers++; answers == 1 || f.Record.Key != nil {
				newest = f.Record
				newest.Version = f.Version
			}
		}
		if enough = vouched && heard && answers >= need; enough && epoch <= since {
			n.finish(newest, answers)
		}
		return enough
	})
}

// line puts those who may be asked in order: the owner, its heir unless that is suspected or slow, and the others, the nearest first. The heir is a replica, too, unless it is in the zone of the
// owner. It returns how many are to be asked first to have so many answers of replicas.
func (n *nearRead) line(answers int) (first int) {
	n.replicas = append(n.group[:1:1], n.p.trusted(n.p.nearest(n.replicas))...)
	if n.heir.Addr == n.p.addr || n.p.suspected(n.heir) || n.p.slower(n.heir, n.group[0], 4) { // the owner may have heard from it; else its own read takes three round trips
		return answers
	}
	others := slices.DeleteFunc(n.replicas[1:], func(r ring.Ref) bool { return r.Addr == n.heir.Addr })
	n.replicas = slices.Insert(n.replicas[:1+len(others)], 1, n.heir)
	if !n.counts(1) {
		return answers + 1
	}
	return max(answers, 2)
}

// counts reports whether whoever is at a place of the line is a replica.
func (n *nearRead) counts(i int) bool {
	return slices.ContainsFunc(n.group, func(r ring.Ref) bool { return r.Addr == n.replicas[i].Addr })
}

// wantOnce asks the nearest replica of those that are to be asked first for the record, and so whoever takes the place of one; the others for the version alone, as all if the record is
// here already. The owner, at the head, has to say whether the group is right.
func (n *nearRead) wantOnce(first int, here bool) {
	nearest := 0
	for i := 1; i < min(first, len(n.replicas)); i++ {
		if n.counts(i) && n.p.distance(n.replicas[i]) < n.p.distance(n.replicas[nearest]) {
			nearest = i
		}
	}
	n.wants = make([]Want, len(n.replicas))
	for i := range n.wants {
		n.wants[i] = Want{Key: n.key, Bare: here || i < first && i != nearest}
	}
	n.wants[0].Group = groupHash(n.group)
}

// ask asks so many of the replicas, and others if these fail or hesitate. done gets what each has, nil for nothing. If ctx ends before that is over, ended is false, and n is
// not to be looked at any more.
func (n *nearRead) ask(ctx context.Context, first int, done func(i int, f *Found) (enough bool)) (ended bool) {
	ask := func(i int) (err error) {
		n.found[i], err = n.p.fetchFrom(n.replicas[i], n.wants[i:i+1])
		return err
	}
	hear := func(i int, err error) (enough bool) {
		if err != nil {
			return done(i, nil)
		}
		return done(i, &n.found[i][0])
	}
	n.found = make([][]Found, len(n.replicas))
	patience := n.p.late(n.replicas[:min(first, len(n.replicas))])
	return nil == n.p.await(ctx, func(wake func()) { n.p.hedge(len(n.replicas), first, patience, ask, hear, wake) })
}

// finish makes the result, unless the record is missing, because nobody who was asked for it has answered, or has a time to expire that is over by the own clock, and
// its value: whether it is there is for the owner to say. An owner who has taken the value out and vouches for it has done so when the time was over by all clocks.
func (n *nearRead) finish(r Record, answers int) {
	if !r.Version.IsZero() && r.Key == nil || n.p.early(&r) || n.p.lapsed(r).Tombstone != r.Tombstone {
		return
	}
	n.ok, n.result.Acks = true, answers
	n.result.show(n.p, &r, n.bare)
}
