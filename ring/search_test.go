//go:build !race

package ring

import (
	"fmt"
	"math/bits"
	"slices"
)

// The race detector, which would make the searches take minutes, has nothing to find in them: each runs on one goroutine.

// search visits every state that the events join, fail and stabilize (with rectify, at once) can reach from the ideal ring of the
// given members, breadth first, and evaluates all properties of CheckRing in each.
type search struct {
	n, r    int
	rules   rules
	members []int      // of the initial ring
	f1, f2  bool       // the failure assumptions of [Zave] section III are respected
	reuse   bool       // a failed node's identifier may join again
	watch   []Property // look only for these; nil means for all
	rotate  bool       // take states that are rotations of each other for one: no operation can tell them apart

	total  int      // states; with rotate, counting all the rotations
	turned []uint16 // by a node's word: the word after adding 1 to every pointer
	keys   map[key]struct{}
	states []key
	from   []int32 // the state before it
	by     []event // and what happened
}

type event struct {
	kind    byte // 'j'oin, 'f'ail, 's'tabilize, 'c'heck predecessor
	node, m int8
}

func (e event) String() string {
	switch e.kind {
	case 'j':
		return fmt.Sprintf("join %d via %d", e.node, e.m)
	case 'f':
		return fmt.Sprintf("fail %d", e.node)
	case 's':
		return fmt.Sprintf("stabilize %d", e.node)
	}
	return fmt.Sprintf("check-predecessor %d", e.node)
}

// key encodes a world of up to 7 identifiers and lists of up to 4: three bits for each pointer, 7 for none, and the identifiers
// used before in the last word.
type key [8]uint16

const isMember = 1 << 15

func (w *world) key(reuse bool) (k key) {
	for i := range w.nodes {
		if !reuse && w.used[i] {
			k[7] |= 1 << i
		}
		if !w.live[i] {
			continue
		}
		s := &w.nodes[i]
		k[i] = isMember
		for p := range 5 {
			entry := uint16(7)
			switch {
			case p == 0 && !s.pred.IsZero():
				entry = uint16(s.pred.ID[0])
			case p > 0 && p <= len(s.succs):
				entry = uint16(s.succs[p-1].ID[0])
			}
			k[i] |= entry << (3 * p)
		}
	}
	return k
}

// decode is the inverse of key; lists are laid into buf, at most 4 each.
func (w *world) decode(k key, buf *[28]Ref) {
	for i := range w.nodes {
		w.live[i], w.used[i] = k[i]&isMember != 0, k[7]>>i&1 != 0
		if !w.live[i] {
			w.nodes[i] = State{}
			continue
		}
		s := State{self: point(i), r: w.r}
		if p := k[i] & 7; p != 7 {
			s.pred = point(int(p))
		}
		list := buf[4*i : 4*i : 4*i+4]
		for p := 1; p < 5; p++ {
			if e := k[i] >> (3 * p) & 7; e != 7 {
				list = append(list, point(int(e)))
			}
		}
		s.succs = slices.Clip(list)
		w.nodes[i] = s
	}
}

// run returns the properties broken in the first state that breaks one, nil if none does. The state is the last of
// search.states then.
func (s *search) run() []Broken {
	base, next := newWorld(s.n, s.r, s.rules, s.members...), newWorld(s.n, s.r, s.rules)
	s.keys = make(map[key]struct{})
	s.turned = make([]uint16, 1<<16)
	for word := range s.turned {
		s.turned[word] = s.turn(uint16(word))
	}
	s.add(base.key(s.reuse), -1, event{})
	var buf [28]Ref
	for at := 0; at < len(s.states); at++ {
		base.decode(s.states[at], &buf)
		broken := CheckRing(base.views(), s.r)
		if s.watch != nil {
			broken = slices.DeleteFunc(broken, func(b Broken) bool { return !slices.Contains(s.watch, b.Property) })
		}
		if len(broken) > 0 {
			s.states = s.states[:at+1]
			return broken
		}
		for _, e := range s.events(base) {
			base.copyTo(next)
			if next.apply(e) {
				s.add(next.key(s.reuse), int32(at), e)
			}
		}
	}
	return nil
}

func (s *search) add(k key, from int32, by event) {
	orbit := 1
	if s.rotate {
		k, orbit = s.canonical(k)
	}
	if _, ok := s.keys[k]; ok {
		return
	}
	s.keys[k] = struct{}{}
	s.total += orbit
	s.states, s.from, s.by = append(s.states, k), append(s.from, from), append(s.by, by)
}

// canonical returns the least rotation of a key, and how many different ones there are.
func (s *search) canonical(k key) (least key, orbit int) {
	least = k
	turned := k
	for orbit = 1; ; orbit++ {
		var next key
		for i := range s.n {
			next[(i+1)%s.n] = s.turned[turned[i]]
		}
		if turned = next; turned == k {
			return least, orbit
		}
		if slices.Compare(turned[:], least[:]) < 0 {
			least = turned
		}
	}
}

// turn adds 1 to every pointer of a node's word.
func (s *search) turn(word uint16) uint16 {
	out := word & isMember
	for shift := 0; shift < 15; shift += 3 {
		p := word >> shift & 7
		if p != 7 && word != 0 {
			p = (p + 1) % uint16(s.n)
		}
		out |= p << shift
	}
	return out
}

// events lists what may happen next.
func (s *search) events(w *world) (events []event) {
	_, published := s.rules.(ton)
	principals := w.principals()
	for i := range w.nodes {
		node := int8(i)
		if !w.live[i] {
			if s.reuse || !w.used[i] {
				for m := range w.nodes {
					events = append(events, event{'j', node, int8(m)}) // apply finds out which m is the node before it
				}
			}
			continue
		}
		events = append(events, event{'s', node, 0})
		if published {
			events = append(events, event{'c', node, 0})
		}
		if s.mayFail(w, i, principals) {
			events = append(events, event{'f', node, 0})
		}
	}
	return events
}

func (w *world) apply(e event) bool {
	switch e.kind {
	case 'j':
		return w.join(point(int(e.node)), int(e.m))
	case 'f':
		w.fail(int(e.node))
	case 's':
		w.stabilize(int(e.node))
	case 'c':
		w.checkPredecessor(int(e.node))
	}
	return true
}

// mayFail is the precondition of [Zave, Fail]. F1: no member whose list holds f is left without a live entry. F2: a principal stays if there
// are no more than r+1 of them. The last member never fails.
func (s *search) mayFail(w *world, f int, principals uint) bool {
	members := 0
	for i := range w.nodes {
		if !w.live[i] {
			continue
		}
		members++
		succs := w.nodes[i].succs
		if s.f1 && i != f && slices.Contains(succs, point(f)) &&
			!slices.ContainsFunc(succs, func(e Ref) bool { return e != point(f) && w.member(e) != nil }) {
			return false
		}
	}
	if s.f2 && principals>>f&1 == 1 && bits.OnesCount(principals) <= s.r+1 {
		return false
	}
	return members > 1
}

// principals returns the set of members that no list skips.
func (w *world) principals() (set uint) {
	for i := range w.nodes {
		if w.live[i] {
			set |= 1 << i
		}
	}
	for i := range w.nodes {
		last := i
		for _, e := range w.nodes[i].succs { // none if i is not a member
			b := int(e.ID[0])
			for x := (last + 1) % len(w.nodes); x != b; x = (x + 1) % len(w.nodes) {
				set &^= 1 << x
			}
			last = b
		}
	}
	return set
}

// trace returns the events that lead to the last of the states.
func (s *search) trace() (events []event) {
	for at := int32(len(s.states) - 1); s.from[at] >= 0; at = s.from[at] {
		events = append(events, s.by[at])
	}
	slices.Reverse(events)
	return events
}
