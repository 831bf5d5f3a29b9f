//go:build !race

package ring

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// correct are the properties that make a ring work; the others are means to them.
var correct = []Property{AtLeastOneRing, AtMostOneRing, OrderedRing, ConnectedAppendages}

// TestExhaustive visits every state that joins, failures and stabilizations can reach from an ideal ring of r+1 members while the
// failure assumptions of [Zave] section III hold, and finds no property broken.
//
// The literal protocol of [Zave] and the operations of State agree state for state once State's two deviations are taken back:
// lists padded, and no rejoin behind a list whose head still names the joining node (a node that comes back under its old
// identifier; [Zave]'s precondition between(m, j, succ) refuses it until m has noticed the death). With the deviations there are more states, because
// lists of different lengths are different states and because such a rejoin is one more event, and they are as correct.
func TestExhaustive(t *testing.T) {
	zave := shipped{padded: true, strict: true}
	for _, tt := range []struct {
		n, r   int
		rules  rules
		states int
		long   bool // more than a few seconds
	}{
		{5, 2, literal{}, 5_296, false},
		{6, 2, literal{}, 781_184, true},
		{5, 3, literal{}, 116, false},
		{6, 3, literal{}, 37_071, false},
		{5, 2, zave, 5_296, false},
		{6, 2, zave, 781_184, false},
		{5, 3, zave, 116, false},
		{6, 3, zave, 37_071, false},
		{5, 1, shipped{}, 311, false},
		{5, 2, shipped{}, 40_006, false},
		{6, 2, shipped{}, 7_775_374, true},
		{5, 3, shipped{}, 4_016, false},
		{6, 3, shipped{}, 2_484_462, true},
	} {
		t.Run(fmt.Sprintf("%T/n=%d,r=%d,states=%d", tt.rules, tt.n, tt.r, tt.states), func(t *testing.T) {
			if tt.long && os.Getenv("CHORD_EXHAUSTIVE") == "" {
				t.Skip("takes up to a minute: set CHORD_EXHAUSTIVE=1")
			}
			if testing.Short() && tt.states > 50_000 {
				t.Skip("not with -short")
			}
			t.Parallel()
			s := search{n: tt.n, r: tt.r, rules: tt.rules, members: firstMembers(tt.r + 1), f1: true, f2: true, reuse: true}
			// With lists of one entry no member of the ring may ever fail, so the rotations of the first ring are out of reach.
			s.rotate = tt.r > 1
			mustHold(t, &s)
			if got, want := s.total, tt.states; got != want {
				t.Errorf("got %d states (%d but for rotation), want %d", got, len(s.states), want)
			}
		})
	}
}

// TestRotation checks the reduction of TestExhaustive: without it, the states number the same.
func TestRotation(t *testing.T) {
	for _, rules := range []rules{shipped{}, shipped{padded: true}, literal{}} {
		s := search{n: 5, r: 2, rules: rules, members: firstMembers(3), f1: true, f2: true, reuse: true}
		mustHold(t, &s)
		reduced := s
		reduced.states, reduced.from, reduced.by, reduced.total, reduced.rotate = nil, nil, nil, 0, true
		mustHold(t, &reduced)
		if got, want := reduced.total, s.total; got != want {
			t.Errorf("%+v: got %d states by rotation, want %d", rules, got, want)
		}
		if len(reduced.states) >= len(s.states) {
			t.Errorf("%+v: the reduction leaves %d states of %d", rules, len(reduced.states), len(s.states))
		}
	}
}

// TestFromOneNode: a ring may also grow from one node. It cannot have r+1 principals then, but as long as the failure assumptions hold
// from the start, which lets no principal fail before there are more, it always works.
func TestFromOneNode(t *testing.T) {
	for _, tt := range []struct {
		n, r, states int
		long         bool
	}{{4, 1, 252, false}, {4, 2, 1_987, false}, {4, 3, 2_886, false}, {5, 2, 342_540, true}, {5, 3, 1_202_906, true}} {
		t.Run(fmt.Sprintf("n=%d,r=%d", tt.n, tt.r), func(t *testing.T) {
			if tt.long && os.Getenv("CHORD_EXHAUSTIVE") == "" {
				t.Skip("takes up to a minute: set CHORD_EXHAUSTIVE=1")
			}
			t.Parallel()
			s := search{
				n: tt.n, r: tt.r, rules: shipped{}, members: []int{0}, f1: true, f2: true, reuse: true, rotate: true,
				watch: append([]Property{NoDuplicates, OrderedSuccessorLists}, correct...),
			}
			mustHold(t, &s)
			if got, want := len(s.states), tt.states; got != want {
				t.Errorf("got %d states, want %d", got, want)
			}
		})
	}
}

// TestLossOfTheBase takes the failure assumption about the base away (F2: no principal fails unless there are more than r+1). The
// searches find the shortest way to a broken ring; it is the base that the safety of Chord rests on, by any rules.
func TestLossOfTheBase(t *testing.T) {
	for _, tt := range []struct {
		name   string
		search search
		depth  int // 0: no property is broken
		trace  string
		breaks []Property
	}{
		{
			name: "literal, no identifier used twice", search: search{n: 6, r: 2, rules: literal{}, members: []int{0, 2, 4}},
			depth: 10, breaks: []Property{AtMostOneRing, OrderedRing},
			trace: "fail 0, join 3 via 2, stabilize 4, join 5 via 4, stabilize 5, fail 2, stabilize 4, stabilize 3, stabilize 5, fail 4",
		},
		{
			name: "literal", search: search{n: 5, r: 2, rules: literal{}, members: []int{0, 1, 2}, reuse: true},
			depth: 8, breaks: []Property{AtMostOneRing, OrderedRing},
		},
		{
			name: "shipped, no identifier used twice", search: search{n: 6, r: 2, rules: shipped{}, members: []int{0, 2, 4}},
		},
		{
			name: "shipped", search: search{n: 5, r: 2, rules: shipped{}, members: []int{0, 1, 2}, reuse: true},
			depth: 11, breaks: []Property{OrderedRing},
		},
		{
			name: "shipped, from one node", search: search{n: 5, r: 2, rules: shipped{}, members: []int{0}},
			depth: 12, breaks: []Property{OrderedRing},
		},
		{
			name: "published, 4 identifiers", search: search{n: 4, r: 2, rules: ton{}, members: []int{0, 1, 2}, reuse: true},
			depth: 13, breaks: []Property{AtMostOneRing, OrderedRing},
		},
		{
			name: "published, 5 identifiers", search: search{n: 5, r: 2, rules: ton{}, members: []int{0, 1, 2}, reuse: true},
			depth: 12, breaks: []Property{OrderedRing},
		},
		{
			name: "published, from one node, no identifier used twice", search: search{n: 5, r: 2, rules: ton{}, members: []int{0}},
			depth: 16, breaks: []Property{AtMostOneRing, OrderedRing},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := tt.search
			s.f1, s.watch = true, correct
			var got []Property
			for _, b := range s.run() {
				got = append(got, b.Property)
			}
			trace := s.trace()
			if len(got) == 0 {
				trace = nil
			}
			if !slices.Equal(got, tt.breaks) || len(trace) != tt.depth {
				t.Errorf("got %v broken after %d events %v, want %v after %d", got, len(trace), trace, tt.breaks, tt.depth)
			}
			if got := joinEvents(trace); tt.trace != "" && got != tt.trace {
				t.Errorf("got  %s\nwant %s", got, tt.trace)
			}
		})
	}
}

// TestPublishedRules searches the published protocol with the failure assumptions respected. With lists of one entry it loses its only live
// successor to a dead node (the liveness of successor.predecessor is not checked); with longer lists the base saves it too, which
// is why it went unnoticed.
func TestPublishedRules(t *testing.T) {
	s := search{n: 4, r: 1, rules: ton{}, members: []int{0, 1}, f1: true, f2: true, reuse: true}
	broken := s.run()
	if len(broken) == 0 || broken[0].Property != OneLiveSuccessor {
		t.Errorf("r=1: got %v, want OneLiveSuccessor broken", broken)
	}
	if got, want := joinEvents(s.trace()), "join 2 via 1, stabilize 2, fail 2, stabilize 1"; got != want {
		t.Errorf("r=1: got %s, want %s", got, want)
	}
	s = search{n: 5, r: 2, rules: ton{}, members: []int{0, 1, 2}, f1: true, f2: true, reuse: true, rotate: true, watch: correct}
	mustHold(t, &s)
	if got, want := s.total, 55_281; got != want {
		t.Errorf("r=2: got %d states, want %d", got, want)
	}
}

// TestMutants takes one safeguard of State away at a time; the search must notice.
func TestMutants(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rules rules
		n, r  int
		want  Property
	}{
		{"adopt a closer successor without asking it", adoptUnasked{}, 5, 1, OneLiveSuccessor},
		{"adopt a list without the node that it is of", skipFirst{}, 5, 2, SufficientPrincipals},
		{"join behind any member", joinAnywhere{}, 5, 2, SufficientPrincipals},
		{"keep a dead first successor", keepDead{}, 5, 2, Ideal},
		{"rectify only closer", onlyCloser{}, 5, 2, Ideal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := search{n: tt.n, r: tt.r, rules: tt.rules, members: firstMembers(tt.r + 1), f1: true, f2: true, reuse: true, rotate: true}
			if tt.want == Ideal {
				if got := s.run(); got != nil {
					t.Fatalf("got %v, want a loss of progress only", got)
				}
				if s.converges() == nil {
					t.Error("got convergence from every state, want a state that never becomes ideal")
				}
				return
			}
			got := s.run()
			if !slices.ContainsFunc(got, func(b Broken) bool { return b.Property == tt.want }) {
				t.Errorf("got %v broken, want %s among them", got, tt.want)
			}
		})
	}
}

// TestProgress: from every reachable state, rounds in which every member stabilizes once make the ring ideal, and an ideal
// ring does not change [Zave, section VII].
func TestProgress(t *testing.T) {
	for _, tt := range []struct{ n, r int }{{5, 1}, {5, 2}, {5, 3}} {
		t.Run(fmt.Sprintf("n=%d,r=%d", tt.n, tt.r), func(t *testing.T) {
			s := search{n: tt.n, r: tt.r, rules: shipped{}, members: firstMembers(tt.r + 1), f1: true, f2: true, reuse: true, rotate: tt.r > 1}
			mustHold(t, &s)
			if err := s.converges(); err != nil {
				t.Error(err)
			}
		})
	}
}

// converges lets every state that the search has found stabilize, in rounds up and down the identifiers, until it is ideal.
func (s *search) converges() error {
	const rounds = 12
	w := newWorld(s.n, s.r, s.rules)
	var buf [28]Ref
	for _, k := range s.states {
		for _, up := range []bool{true, false} {
			w.decode(k, &buf)
			err := CheckIdeal(w.views(), s.r)
			if err == nil {
				w.round(up)
				if got := w.key(s.reuse); got != k {
					return fmt.Errorf("an ideal ring changed to\n%s", w)
				}
				continue
			}
			for range rounds {
				if w.round(up); CheckIdeal(w.views(), s.r) == nil {
					err = nil
					break
				}
			}
			if err != nil {
				w.decode(k, &buf)
				return fmt.Errorf("not ideal after %d rounds from\n%s", rounds, w)
			}
		}
	}
	return nil
}

// mustHold runs a search that has to find nothing.
func mustHold(t *testing.T, s *search) {
	t.Helper()
	if broken := s.run(); broken != nil {
		t.Fatalf("%v after %s", broken, joinEvents(s.trace()))
	}
}

func firstMembers(n int) []int {
	members := make([]int, n)
	for i := range members {
		members[i] = i
	}
	return members
}

func joinEvents(events []event) string {
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = e.String()
	}
	return strings.Join(out, ", ")
}

// The mutants.

type adoptUnasked struct{ shipped }

func (rules adoptUnasked) stabilize(w *world, t *State) Ref {
	if s1 := w.member(t.Successor()); s1 != nil {
		v := peek(s1)
		t.AdoptSuccessor(v)
		if closer, ok := t.Closer(v); ok {
			t.AdoptSuccessor(View{Self: closer, Succs: append([]Ref{v.Self}, v.Succs...)})
		}
		return t.Successor()
	}
	return rules.shipped.stabilize(w, t)
}

type skipFirst struct{ shipped }

func (skipFirst) stabilize(w *world, t *State) Ref {
	succ := t.Successor()
	s1 := w.member(succ)
	if s1 == nil {
		t.DropSuccessor(succ)
	} else {
		t.succs = t.ordered(s1.succs[0], s1.succs[1:])
	}
	return t.Successor()
}

type joinAnywhere struct{ shipped }

func (joinAnywhere) join(_ *world, j *State, m View) bool {
	j.pred, j.succs = m.Self, m.Succs
	return true
}

type keepDead struct{ shipped }

func (rules keepDead) stabilize(w *world, t *State) Ref {
	if w.member(t.Successor()) == nil {
		return t.Successor()
	}
	return rules.shipped.stabilize(w, t)
}

type onlyCloser struct{ shipped }

func (onlyCloser) rectify(_ *world, x *State, from Ref) { x.AdoptPredecessor(from) }
