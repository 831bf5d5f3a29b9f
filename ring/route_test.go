package ring

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// ringOf returns the states of an ideal ring.
func ringOf(members []Ref, r int) map[ID]*State {
	nodes := make(map[ID]*State, len(members))
	for _, m := range members {
		s := NewState(m, r)
		s.Ideal(members)
		nodes[m.ID] = s
	}
	return nodes
}

// walk looks x up from a node as an asker does who keeps what failed to himself: it goes to the first node of each step, and back to
// what the steps before offered when there is nothing. It returns the owner and the number of calls to other nodes, that to the owner
// included; ok is false if there is no way.
func walk(nodes map[ID]*State, from *State, x ID, dead map[ID]bool) (owner Ref, calls int, ok bool) {
	avoided := make(map[ID]bool)
	way := []*State{from}
	for len(way) > 0 {
		at := way[len(way)-1]
		step := at.Route(x, func(id ID) bool { return avoided[id] })
		if len(step.Nodes) == 0 {
			avoided[at.self.ID] = true
			way = way[:len(way)-1]
			continue
		}
		next := step.Nodes[0]
		if next != at.self {
			calls++
		}
		switch {
		case dead[next.ID]:
			avoided[next.ID] = true
		case step.Covered:
			return next, calls, true
		default:
			way = append(way, nodes[next.ID])
		}
	}
	return Ref{}, calls, false
}

// TestRoute: from every node of an ideal ring, the greedy walk ends at the successor of the identifier ([ToN] Theorem IV.2), and every
// step comes closer.
func TestRoute(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for _, n := range []int{1, 2, 3, 16, 17, 256} {
		members := randomMembers(rng, n)
		nodes, owner := ringOf(members, 16), successorIn(members)
		for _, from := range members {
			for _, x := range []ID{randomMembers(rng, 1)[0].ID, from.ID, from.ID.Next(), from.ID.Prev(), members[rng.IntN(n)].ID} {
				got, calls, ok := walk(nodes, nodes[from.ID], x, nil)
				if want := owner(x); !ok || got != want {
					t.Fatalf("n=%d: from %s to %s: got %s, want %s", n, from, x, got, want)
				}
				if calls > 12 {
					t.Errorf("n=%d: from %s to %s: got %d calls", n, from, x, calls)
				}
			}
		}
	}
}

// TestRouteSteps: what a single step says of itself is true in any ring: covered nodes start with the owner, others lie strictly between,
// the closest first.
func TestRouteSteps(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	for range 300 {
		members := randomMembers(rng, 1+rng.IntN(100))
		owner := successorIn(members)
		s := NewState(members[rng.IntN(len(members))], 1+rng.IntN(8))
		s.Ideal(members)
		for range 30 {
			x := randomMembers(rng, 1)[0].ID
			step := s.Route(x, nil)
			if step.Covered {
				if got, want := step.Nodes[0], owner(x); got != want {
					t.Fatalf("covered by %s, want %s", got, want)
				}
				continue
			}
			if len(step.Nodes) == 0 || len(step.Nodes) > maxAlternatives {
				t.Fatalf("got %d nodes", len(step.Nodes))
			}
			bound := x
			for _, n := range step.Nodes {
				if !Between(s.self.ID, n.ID, bound) {
					t.Fatalf("%v for %s is not in order behind %s", step.Nodes, x, s.self)
				}
				bound = n.ID
			}
			avoided := step.Nodes[0].ID
			for _, n := range s.Route(x, func(id ID) bool { return id == avoided }).Nodes {
				if n.ID == avoided {
					t.Fatalf("%s is offered although it is to be avoided", n)
				}
			}
		}
	}
}

// TestPathLength measures the calls of a lookup. [ToN] section V-C predicts 1/2 log2 N; the successor list of r entries saves the last
// 1/2 log2 r, and the call to the owner is one more.
func TestPathLength(t *testing.T) {
	for _, tt := range []struct{ n, r, rings, lookups int }{{256, 16, 8, 4000}, {1000, 20, 4, 5000}} {
		rng := rand.New(rand.NewPCG(17, 18))
		total, count := 0, 0
		for range tt.rings {
			members := randomMembers(rng, tt.n)
			nodes := ringOf(members, tt.r)
			for range tt.lookups {
				_, calls, _ := walk(nodes, nodes[members[rng.IntN(tt.n)].ID], randomMembers(rng, 1)[0].ID, nil)
				total += calls
				count++
			}
		}
		got := float64(total) / float64(count)
		want := math.Log2(float64(tt.n))/2 - math.Log2(float64(tt.r))/2 + 1
		t.Logf("N=%d, r=%d: %.3f calls a lookup, formula %.3f", tt.n, tt.r, got, want)
		if math.Abs(got-want) > 0.15 {
			t.Errorf("N=%d, r=%d: got %.3f calls, want %.2f +- 0.15", tt.n, tt.r, got, want)
		}
	}
}

// TestRouteFailures: with 30 % of the nodes dead and nothing repaired, a walk that avoids the dead that it meets ends at the first live
// successor, as long as no list is dead as a whole ([ToN] Theorem IV.6).
func TestRouteFailures(t *testing.T) {
	rng := rand.New(rand.NewPCG(19, 20))
	for range 5 {
		members := randomMembers(rng, 256)
		nodes := ringOf(members, 16)
		dead := make(map[ID]bool)
		var alive []Ref
		for _, m := range members {
			if dead[m.ID] = rng.Float64() < 0.3; !dead[m.ID] {
				alive = append(alive, m)
			}
		}
		for _, s := range nodes {
			if !slices.ContainsFunc(s.succs, func(e Ref) bool { return !dead[e.ID] }) {
				t.Fatalf("the list of %s is all dead: choose another seed", s.self)
			}
		}
		owner := successorIn(alive)
		for range 2000 {
			from, x := alive[rng.IntN(len(alive))], randomMembers(rng, 1)[0].ID
			got, _, ok := walk(nodes, nodes[from.ID], x, dead)
			if want := owner(x); !ok || got != want {
				t.Fatalf("from %s to %s: got %s, %v, want %s", from, x, got, ok, want)
			}
		}
	}
}

// TestRouteSmall: rings in the making, where a list is empty or does not reach round.
func TestRouteSmall(t *testing.T) {
	alone := NewState(point(5), 2)
	wantRoute(t, alone, 7, nil, true, "[5]")
	// 9 has notified us, and is not adopted yet.
	alone.AdoptPredecessor(point(9))
	wantRoute(t, alone, 7, nil, true, "[9 5]")
	wantRoute(t, alone, 3, nil, true, "[5]")
	wantRoute(t, alone, 9, nil, true, "[9 5]")
	wantRoute(t, alone, 7, []int{9}, true, "[5]")
	// A newcomer whose list does not reach its predecessor.
	s := NewState(point(5), 2)
	s.Join(view(2, 0, 8))
	wantRoute(t, s, 7, nil, true, "[8]")
	wantRoute(t, s, 100, nil, false, "[8]")
	wantRoute(t, s, 100, []int{8}, false, "[]")
	wantRoute(t, s, 7, []int{8}, false, "[]")
	// All successors are dead, but fingers are left.
	s = ideal(1, 0, 0, 10, 40, 80, 160)
	s.DropSuccessor(point(10))
	wantRoute(t, s, 100, nil, false, "[80 40]")
	wantRoute(t, s, 20, nil, true, "[160 0]")
}

func wantRoute(t *testing.T, s *State, x int, avoid []int, covered bool, nodes string) {
	t.Helper()
	step := s.Route(point(x).ID, func(id ID) bool { return slices.Contains(avoid, int(id[0])) })
	if step.Covered != covered || labels(step.Nodes) != nodes {
		t.Errorf("%s to %d: got %v %s, want %v %s", s.Self(), x, step.Covered, labels(step.Nodes), covered, nodes)
	}
}
