package ring

import (
	"fmt"
	"strings"
)

// world is a whole ring over the identifiers 0 to len(nodes)-1, spread so that identifier i is the ID whose first byte is i. An
// event reads and changes it at once, as in [Zave] section IV; time-outs are always right. The scripts and the exhaustive search run
// the same world.
type world struct {
	r     int
	rules rules
	nodes []State
	live  []bool
	used  []bool // was a member at some time
}

// rules are a version of the protocol.
type rules interface {
	// join makes j the state that its node has after it entered the ring before m; it reports false if m is not the node before it.
	join(w *world, j *State, m View) bool
	// stabilize runs at t and returns the node that t then notifies.
	stabilize(w *world, t *State) Ref
	// rectify runs at x after from notified it.
	rectify(w *world, x *State, from Ref)
}

var allPoints = func() (all [256]Ref) {
	for i := range all {
		all[i] = Ref{ID: ID{byte(i)}, Addr: fmt.Sprintf("n%d", i)}
	}
	return all
}()

// point returns the node with identifier i at its first address.
func point(i int) Ref { return allPoints[i] }

func points(is ...int) []Ref {
	refs := make([]Ref, len(is))
	for k, i := range is {
		refs[k] = point(i)
	}
	return refs
}

// newWorld returns the ideal ring of the members, which are ascending.
func newWorld(n, r int, rules rules, members ...int) *world {
	w := &world{r: r, rules: rules, nodes: make([]State, n), live: make([]bool, n), used: make([]bool, n)}
	for _, i := range members {
		s := NewState(point(i), r)
		s.Ideal(points(members...))
		if rules == (ton{}) && len(members) == 1 {
			s.pred, s.succs = Ref{}, []Ref{s.self} // create() of [ToN] Fig. 6
		}
		w.nodes[i], w.live[i], w.used[i] = *s, true, true
	}
	return w
}

// copyTo makes dst equal to w. Lists are never changed in place, so they may be shared; fingers play no part here.
func (w *world) copyTo(dst *world) {
	copy(dst.nodes, w.nodes)
	copy(dst.live, w.live)
	copy(dst.used, w.used)
}

// member returns the state of the node that ref names, nil if a call to it would fail.
func (w *world) member(ref Ref) *State {
	i := int(ref.ID[0])
	if i >= len(w.nodes) || !w.live[i] || w.nodes[i].self != ref {
		return nil
	}
	return &w.nodes[i]
}

// peek is View without a copy.
func peek(s *State) View { return View{Self: s.self, Pred: s.pred, Succs: s.succs} }

func (w *world) views() []View {
	views := make([]View, 0, len(w.nodes))
	for i := range w.nodes {
		if w.live[i] {
			views = append(views, peek(&w.nodes[i]))
		}
	}
	return views
}

// join makes j a member behind the member m; it reports false if m is not the node before it.
func (w *world) join(j Ref, m int) bool {
	i := int(j.ID[0])
	if w.live[i] || !w.live[m] {
		return false
	}
	s := NewState(j, w.r)
	if !w.rules.join(w, s, peek(&w.nodes[m])) {
		return false
	}
	w.nodes[i], w.live[i], w.used[i] = *s, true, true
	return true
}

func (w *world) fail(f int) {
	w.nodes[f], w.live[f] = State{}, false
}

// stabilize runs the rules at t up to and including the notify and what the notified node does about it.
func (w *world) stabilize(t int) {
	self := w.nodes[t].self
	w.notify(w.rules.stabilize(w, &w.nodes[t]), self)
}

// notify delivers from's notification, unless to is dead. A node that is its own successor notifies itself, and so finds out that its
// predecessor is dead.
func (w *world) notify(to, from Ref) {
	if x := w.member(to); x != nil {
		w.rules.rectify(w, x, from)
	}
}

// shipped are the operations of State, in the order in which a node uses them. Each of its two deviations from [Zave] can be taken back.
type shipped struct {
	padded bool // append the artificial entry last + 1 when the first is dropped
	strict bool // refuse the join of a node that still stands at the head of the list of the node before it
}

func (rules shipped) join(_ *world, j *State, m View) bool {
	if rules.strict && len(m.Succs) > 0 && m.Succs[0].ID == j.self.ID {
		return false
	}
	return j.Join(m)
}

func (rules shipped) stabilize(w *world, t *State) Ref {
	succ := t.Successor()
	s1 := w.member(succ)
	if s1 == nil {
		last := t.succs[len(t.succs)-1]
		t.DropSuccessor(succ)
		if rules.padded {
			t.succs = append(t.succs, w.following(last))
		}
		return t.Successor()
	}
	v := peek(s1)
	t.AdoptSuccessor(v)
	if closer, ok := t.Closer(v); ok {
		if p := w.member(closer); p != nil {
			t.AdoptSuccessor(peek(p))
		}
	}
	return t.Successor()
}

func (shipped) rectify(w *world, x *State, from Ref) {
	if !x.AdoptPredecessor(from) && w.member(x.pred) == nil {
		x.ReplacePredecessor(x.pred, from)
	}
}

// following returns the node with the next identifier, whether it is a member or not.
func (w *world) following(r Ref) Ref { return point((int(r.ID[0]) + 1) % len(w.nodes)) }

// literal is the protocol as [Zave] section IV writes it, without State: lists always have r entries and are copied as they are.
type literal struct{}

func (literal) join(_ *world, j *State, m View) bool {
	if !Between(m.Self.ID, j.self.ID, m.Succs[0].ID) {
		return false
	}
	j.succs, j.pred = m.Succs, m.Self
	return true
}

func (literal) stabilize(w *world, t *State) Ref {
	s1 := w.member(t.succs[0])
	if s1 == nil {
		t.succs = append(t.succs[1:len(t.succs):len(t.succs)], w.following(t.succs[len(t.succs)-1]))
		return t.succs[0]
	}
	pred := s1.pred
	t.succs = append([]Ref{s1.self}, s1.succs[:w.r-1]...)
	if Between(t.self.ID, pred.ID, s1.self.ID) {
		if p := w.member(pred); p != nil {
			t.succs = append([]Ref{p.self}, p.succs[:w.r-1]...)
		}
	}
	return t.succs[0]
}

func (literal) rectify(w *world, x *State, from Ref) {
	if Between(x.pred.ID, from.ID, x.self.ID) || w.member(x.pred) == nil {
		x.pred = from
	}
}

// ton is the protocol as [ToN] Figs 5 and 6 and section IV-E.3 publish it; the zero Ref is nil. check_predecessor is an event of its
// own (checkPredecessor).
type ton struct{}

// join finds the successor by a lookup, which gets past failed nodes.
func (ton) join(w *world, j *State, m View) bool {
	if !Between(m.Self.ID, j.self.ID, m.Succs[0].ID) {
		return false
	}
	j.pred, j.succs = Ref{}, []Ref{w.firstLive(m.Succs)}
	return true
}

// stabilize: "if the successor failed, replace it with the first live entry and reconcile the list with it", then Fig. 6.
func (ton) stabilize(w *world, t *State) Ref {
	succ := w.firstLive(t.succs)
	s1 := w.member(succ)
	if s1 == nil {
		return succ
	}
	pred := s1.pred
	t.succs = append([]Ref{s1.self}, s1.succs...)
	if !pred.IsZero() && Between(t.self.ID, pred.ID, s1.self.ID) {
		t.succs = append([]Ref{pred}, t.succs...) // whether it is alive, and what it knows, nobody asks
	}
	t.succs = t.succs[:min(len(t.succs), w.r)]
	return t.succs[0]
}

func (ton) rectify(_ *world, x *State, from Ref) {
	if x.pred.IsZero() || Between(x.pred.ID, from.ID, x.self.ID) {
		x.pred = from
	}
}

// round lets every member stabilize once, in the order of their identifiers or against it.
func (w *world) round(up bool) {
	for i := range w.nodes {
		if !up {
			i = len(w.nodes) - 1 - i
		}
		if w.live[i] {
			w.stabilize(i)
		}
	}
}

// firstLive returns the first live entry of a list, the last if none is.
func (w *world) firstLive(list []Ref) Ref {
	for _, e := range list {
		if w.member(e) != nil {
			return e
		}
	}
	return list[len(list)-1]
}

// checkPredecessor is check_predecessor of [ToN] Fig. 6.
func (w *world) checkPredecessor(x int) {
	if s := &w.nodes[x]; w.member(s.pred) == nil {
		s.pred = Ref{}
	}
}

// String shows every member with its predecessor and list, and how a node at another than its first address is reached.
func (w *world) String() string {
	var b strings.Builder
	for i := range w.nodes {
		if w.live[i] {
			s := &w.nodes[i]
			fmt.Fprintf(&b, "%s: pred %s, succs %s\n", label(s.self), label(s.pred), labels(s.succs))
		}
	}
	return b.String()
}

// label shows a node as its identifier, with the address unless that is its first one.
func label(r Ref) string {
	switch i := int(r.ID[0]); {
	case r.IsZero():
		return "nil"
	case r == point(i):
		return fmt.Sprint(i)
	default:
		return fmt.Sprintf("%d@%s", i, r.Addr)
	}
}

func labels(refs []Ref) string {
	out := make([]string, len(refs))
	for i, r := range refs {
		out[i] = label(r)
	}
	return "[" + strings.Join(out, " ") + "]"
}
