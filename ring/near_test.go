package ring

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Where all tolls are the same, or nobody knows any, the way is that of greedy routing.
func TestRouteNearWithoutDifferences(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	for range 200 {
		members := randomMembers(rng, 1+rng.IntN(200))
		s := NewState(members[rng.IntN(len(members))], 1+rng.IntN(8))
		s.SpaceFingers(2 << rng.IntN(4))
		s.Ideal(members)
		for _, toll := range []float64{0, 7} {
			x := randomMembers(rng, 1)[0].ID
			got, want := s.RouteNear(x, nil, func(Ref) float64 { return toll }), s.Route(x, nil)
			if got.Covered != want.Covered || !slices.Equal(got.Nodes, want.Nodes) {
				t.Fatalf("tolls %v: got %v, want %v", toll, got, want)
			}
		}
	}
}

// place gives each of some nodes a point on a line, and returns the tolls of one of them.
func place(rng *rand.Rand, members []Ref) (tolls func(from ID) Toll) {
	at := make(map[ID]float64, len(members))
	for _, m := range members {
		at[m.ID] = rng.Float64()
	}
	return func(from ID) Toll {
		return func(to Ref) float64 { return math.Abs(at[from]-at[to.ID]) + 1e-9 }
	}
}

// Whatever the tolls are, each step names nodes that come closer, none that is to be avoided, and the way over the first of each ends at the owner.
func TestRouteNearEnds(t *testing.T) {
	rng := rand.New(rand.NewPCG(23, 24))
	for _, base := range []int{2, 16} {
		members := randomMembers(rng, 500)
		nodes, owner, tolls := ringOf(members, 4), successorIn(members), place(rng, members)
		for _, s := range nodes {
			s.SpaceFingers(base)
			s.Ideal(members)
		}
		for range 2000 {
			at, x := nodes[members[rng.IntN(len(members))].ID], randomMembers(rng, 1)[0].ID
			for calls := 0; ; calls++ {
				if calls == 64 {
					t.Fatalf("base %d: %d calls and no end", base, calls)
				}
				step := at.RouteNear(x, nil, tolls(at.self.ID))
				if step.Covered {
					if got, want := step.Nodes[0], owner(x); got != want {
						t.Fatalf("base %d: ends at %v, want %v", base, got, want)
					}
					break
				}
				first := step.Nodes[0]
				for i, n := range step.Nodes {
					if !Between(at.self.ID, n.ID, x) || slices.Contains(step.Nodes[:i], n) {
						t.Fatalf("from %v to %v: got %v", at.self, x, step.Nodes)
					}
				}
				around := at.RouteNear(x, func(id ID) bool { return id == first.ID }, tolls(at.self.ID))
				if slices.Contains(around.Nodes, first) || len(step.Nodes) > 1 && around.Nodes[0] != step.Nodes[1] {
					t.Fatalf("%v is to be avoided: got %v after %v", first, around.Nodes, step.Nodes)
				}
				at = nodes[first.ID]
			}
		}
	}
}

// Ways by toll cost less than greedy ones, and take few calls more.
func TestRouteNearIsCheaper(t *testing.T) {
	rng := rand.New(rand.NewPCG(25, 26))
	members := randomMembers(rng, 2000)
	nodes, tolls := ringOf(members, 16), place(rng, members)
	var cost, calls [2]float64 // greedy, by toll
	for range 3000 {
		from, x := members[rng.IntN(len(members))].ID, randomMembers(rng, 1)[0].ID
		for i := range cost {
			for at := nodes[from]; ; {
				toll := tolls(at.self.ID)
				step := at.Route(x, nil)
				if i == 1 {
					step = at.RouteNear(x, nil, toll)
				}
				cost[i] += toll(step.Nodes[0])
				calls[i]++
				if step.Covered {
					break
				}
				at = nodes[step.Nodes[0].ID]
			}
		}
	}
	t.Logf("by toll: %.2f of the cost, %.2f of the calls", cost[1]/cost[0], calls[1]/calls[0])
	if cost[1] > 0.7*cost[0] || calls[1] > 1.35*calls[0] {
		t.Errorf("got %.2f of the cost and %.2f of the calls of greedy routing, want at most 0.7 and 1.35", cost[1]/cost[0], calls[1]/calls[0])
	}
}
