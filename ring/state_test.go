package ring

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// ideal returns the state of self in the ideal ring of the members.
func ideal(r, self int, members ...int) *State {
	s := NewState(point(self), r)
	s.Ideal(points(members...))
	return s
}

func view(self, pred int, succs ...int) View {
	return View{Self: point(self), Pred: point(pred), Succs: points(succs...)}
}

// wantState compares predecessor and list, and runs Check.
func wantState(t *testing.T, s *State, pred int, succs ...int) {
	t.Helper()
	if got, want := label(s.Predecessor())+labels(s.View().Succs), label(point(pred))+labels(points(succs...)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}

func TestIdeal(t *testing.T) {
	wantState(t, ideal(2, 5, 5), 5)
	wantState(t, ideal(2, 5, 5, 9), 9, 9)
	wantState(t, ideal(3, 5, 1, 5, 9), 1, 9, 1)
	wantState(t, ideal(2, 9, 1, 5, 9, 20), 5, 20, 1)
	wantState(t, ideal(1, 20, 1, 5, 9, 20), 9, 1)
	for name, f := range map[string]func(){
		"self is no member": func() { ideal(2, 5, 1, 9) },
		"lists of length 0": func() { NewState(point(1), 0) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: got no panic", name)
				}
			}()
			f()
		}()
	}
}

// TestJoin: between(m, j, m.succ), then the list of m [Zave, Join].
func TestJoin(t *testing.T) {
	for _, tt := range []struct {
		name  string
		m     View
		want  bool
		succs []int
	}{
		{"between", view(2, 0, 8, 9), true, []int{8, 9}},
		{"longer list than ours", view(2, 0, 8, 9, 10, 11), true, []int{8, 9, 10}},
		{"past the successor", view(2, 0, 4, 9), false, nil},
		{"before m", view(6, 0, 8, 9), false, nil},
		{"around zero", view(9, 8, 6, 7), true, []int{6, 7}},
		{"m is alone", view(9, 9), true, []int{9}},
		{"m is alone but for a predecessor", view(9, 3), true, []int{9}},
		{"m still has our own old entry", view(2, 0, 5, 8, 9), true, []int{8, 9}},
		{"m has nothing but our own old entry", view(2, 5, 5), true, []int{2}},
		{"our own entry twice", view(2, 0, 5, 5, 9), false, nil},
		{"our own entry farther on", view(2, 0, 8, 5, 9), true, []int{8}},
		{"m is we", view(5, 0, 8, 9), false, nil},
		{"disordered", view(2, 0, 8, 7, 9), true, []int{8}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := NewState(point(5), 3)
			if got := s.Join(tt.m); got != tt.want {
				t.Fatalf("got %v, want %v", got, tt.want)
			}
			if !tt.want {
				wantState(t, s, 5)
				return
			}
			wantState(t, s, int(tt.m.Self.ID[0]), tt.succs...)
		})
	}
}

// TestJoinAgain: the fingers of an earlier life do not survive within the reach of the new list.
func TestJoinAgain(t *testing.T) {
	s := ideal(1, 0, 0, 10, 40, 80, 160)
	if !s.Join(view(250, 100, 40)) {
		t.Fatal("refused")
	}
	wantState(t, s, 250, 40)
	if got, want := labels(s.Fingers()), "[80 160]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAdoptSuccessor(t *testing.T) {
	moved := view(8, 0, 9)
	moved.Self.Addr = "elsewhere"
	for _, tt := range []struct {
		name string
		v    View
		want bool
		list string
	}{
		{"refresh", view(8, 5, 9, 10), true, "[8 9 10]"},
		{"closer", view(6, 5, 8, 9), true, "[6 8 9]"},
		{"farther", view(9, 8, 10, 11), false, "[8 9]"},
		{"self", view(5, 2, 8, 9), false, "[8 9]"},
		{"before self", view(3, 2, 5, 8), false, "[8 9]"},
		{"comes round", view(8, 2, 9, 2, 5, 8), true, "[8 9 2]"},
		{"comes round past self", view(8, 2, 9, 6), true, "[8 9]"},
		{"itself again", view(8, 2, 8, 9), true, "[8]"},
		{"alone", view(8, 8), true, "[8]"},
		{"at another address", moved, true, "[8@elsewhere 9]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := NewState(point(5), 3)
			if !s.Join(view(2, 0, 8, 9)) {
				t.Fatal("refused")
			}
			before := s.View()
			if got := s.AdoptSuccessor(tt.v); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if got, want := labels(s.View().Succs), tt.list; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if err := s.Check(); err != nil {
				t.Error(err)
			}
			if got, want := labels(before.Succs), "[8 9]"; got != want {
				t.Errorf("the view taken before changed to %s", got)
			}
		})
	}
}

// TestAdoptWhenAlone: a node that was alone does not go on to claim the whole circle once it has a successor.
func TestAdoptWhenAlone(t *testing.T) {
	s := NewState(point(5), 2)
	if !s.AdoptSuccessor(view(8, 2, 2)) {
		t.Fatal("refused")
	}
	wantState(t, s, 2, 8, 2)
	s = NewState(point(5), 2)
	s.AdoptPredecessor(point(3))
	if !s.AdoptSuccessor(view(3, 3)) {
		t.Fatal("refused")
	}
	wantState(t, s, 3, 3)
}

// TestRefreshAllocates: the refresh that changes nothing, which is what almost all of them do, is free.
func TestRefreshAllocates(t *testing.T) {
	s := ideal(3, 5, 0, 5, 8, 9, 12)
	v := view(8, 5, 9, 12, 0)
	if got := testing.AllocsPerRun(100, func() { s.AdoptSuccessor(v) }); got != 0 {
		t.Errorf("got %g allocations, want 0", got)
	}
	wantState(t, s, 0, 8, 9, 12)
}

func TestCloser(t *testing.T) {
	s := ideal(2, 250, 2, 8, 250)
	for pred, want := range map[int]bool{255: true, 0: true, 1: true, 250: false, 2: false, 8: false, 100: false} {
		got, ok := s.Closer(view(2, pred))
		if ok != want || got != point(pred) {
			t.Errorf("predecessor %d: got %v, %v, want %v", pred, got, ok, want)
		}
	}
	alone := NewState(point(5), 2)
	if _, ok := alone.Closer(alone.View()); ok {
		t.Error("a node that is alone is closer than itself")
	}
	alone.AdoptPredecessor(point(3))
	if got, ok := alone.Closer(alone.View()); !ok || got != point(3) {
		t.Errorf("got %v, %v, want the node that notified the one alone", got, ok)
	}
}

func TestDropSuccessor(t *testing.T) {
	s := ideal(2, 5, 2, 5, 8, 9)
	before := s.View()
	moved := Ref{ID: point(8).ID, Addr: "elsewhere"}
	for _, other := range []Ref{point(9), point(5), moved, {}} {
		if s.DropSuccessor(other) {
			t.Errorf("dropped %s, which is not the first successor", other)
		}
	}
	if !s.DropSuccessor(point(8)) || s.DropSuccessor(point(8)) {
		t.Error("the first successor is dropped once")
	}
	wantState(t, s, 2, 9)
	if !s.DropSuccessor(point(9)) || s.DropSuccessor(point(5)) || s.DropSuccessor(Ref{}) {
		t.Error("the last successor is dropped, and then nothing")
	}
	wantState(t, s, 2)
	if got, want := labels(before.Succs), "[8 9]"; got != want {
		t.Errorf("the view taken before changed to %s", got)
	}
	if got, want := s.Successor(), point(5); got != want {
		t.Errorf("got %s, want the node itself", got)
	}
}

// TestRectify is [Zave, Rectify] as two compare-and-set steps.
func TestRectify(t *testing.T) {
	s := ideal(2, 5, 2, 5, 8)
	for _, p := range []int{2, 1, 5, 8, 9} {
		if s.AdoptPredecessor(point(p)) {
			t.Errorf("adopted %d, which is not closer than 2", p)
		}
	}
	if !s.AdoptPredecessor(point(4)) {
		t.Error("refused the closer 4")
	}
	if s.ReplacePredecessor(point(2), point(1)) {
		t.Error("replaced 2, which is not the predecessor any more")
	}
	if s.ReplacePredecessor(point(4), point(4)) {
		t.Error("replaced a node by itself")
	}
	if s.ReplacePredecessor(point(4), point(5)) {
		t.Error("a node with successors became its own predecessor")
	}
	if !s.ReplacePredecessor(point(4), point(1)) {
		t.Error("refused to replace the dead 4")
	}
	wantState(t, s, 1, 8, 2)
	moved := Ref{ID: point(1).ID, Addr: "elsewhere"}
	if s.AdoptPredecessor(moved) {
		t.Error("a node at another address is not closer")
	}
	if !s.ReplacePredecessor(point(1), moved) {
		t.Error("refused the new address of a node that is dead at the old one")
	}
	s.DropSuccessor(point(8))
	s.DropSuccessor(point(2))
	if !s.ReplacePredecessor(moved, point(5)) {
		t.Error("refused that a node without successors is alone")
	}
	wantState(t, s, 5)
}

// TestHostileViews feeds random views into every operation: whatever they say, Check holds, and the lists are what a slow reading of
// the rule would make them.
func TestHostileViews(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for range 2000 {
		s := NewState(point(rng.IntN(256)), 1+rng.IntN(4))
		for range 40 {
			v := View{Self: point(rng.IntN(256)), Pred: point(rng.IntN(256))}
			for range rng.IntN(7) {
				v.Succs = append(v.Succs, point(rng.IntN(256)))
			}
			if rng.IntN(2) == 0 { // often plausible
				slices.SortFunc(v.Succs, func(a, b Ref) int { return Distance(v.Self.ID, a.ID).Compare(Distance(v.Self.ID, b.ID)) })
			}
			switch rng.IntN(6) {
			case 0:
				s.Join(v)
			case 1, 2:
				if s.AdoptSuccessor(v) {
					wantList(t, s, v)
				}
			case 3:
				s.DropSuccessor(s.Successor())
			case 4:
				s.AdoptPredecessor(v.Self)
			case 5:
				s.ReplacePredecessor(s.Predecessor(), v.Self)
			}
			if behind := s.Reach(); rng.IntN(3) == 0 {
				s.SetFinger(behind, v.Self)
			} else {
				s.SetFinger(v.Pred.ID, v.Self)
			}
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// wantList: by distance from self, the list grows strictly, as long as v goes on and r allows.
func wantList(t *testing.T, s *State, v View) {
	t.Helper()
	want := []Ref{v.Self}
	for _, e := range v.Succs {
		if len(want) == s.r || Distance(s.self.ID, e.ID).Compare(Distance(s.self.ID, want[len(want)-1].ID)) <= 0 {
			break
		}
		want = append(want, e)
	}
	if got := s.View().Succs; !slices.Equal(got, want) {
		t.Errorf("%s adopted %v: got %s, want %s", s.Self(), v, labels(got), labels(want))
	}
}
