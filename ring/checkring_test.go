package ring_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/chordkv/chord/ring"
)

// literally evaluates the properties as [Zave] writes them, by quantifiers over all members, and returns the broken ones.
func literally(views []ring.View, r int) (broken []ring.Property) {
	is := func(e ring.Ref) bool {
		return slices.ContainsFunc(views, func(v ring.View) bool { return v.Self == e })
	}
	esl := func(v ring.View) []ring.Ref { return append([]ring.Ref{v.Self}, v.Succs...) }
	best := func(v ring.View) (ring.View, bool) {
		if len(v.Succs) == 0 {
			return v, true
		}
		for _, e := range v.Succs {
			if i := slices.IndexFunc(views, func(v ring.View) bool { return v.Self == e }); i >= 0 {
				return views[i], true
			}
		}
		return ring.View{}, false
	}
	reachable := func(v ring.View) (out []ring.View) { // bestSucc+
		for range views {
			next, ok := best(v)
			if !ok {
				break
			}
			out = append(out, next)
			v = next
		}
		return out
	}
	contains := func(set []ring.View, v ring.View) bool {
		return slices.ContainsFunc(set, func(w ring.View) bool { return w.Self == v.Self })
	}
	var inRing, principals []ring.View
	for _, v := range views {
		if contains(reachable(v), v) {
			inRing = append(inRing, v)
		}
		principal := true
		for _, w := range views {
			list := esl(w)
			for i := range list {
				principal = principal && (i == 0 || !ring.Between(list[i-1].ID, v.Self.ID, list[i].ID))
				principal = principal && (list[i].ID != v.Self.ID || list[i].Addr == v.Self.Addr)
			}
		}
		if principal {
			principals = append(principals, v)
		}
	}
	holds := map[ring.Property]bool{
		ring.OneLiveSuccessor: true, ring.SufficientPrincipals: len(principals) >= r+1, ring.NoDuplicates: true,
		ring.OrderedSuccessorLists: true, ring.AtLeastOneRing: len(inRing) > 0, ring.AtMostOneRing: true, ring.OrderedRing: true,
		ring.PrincipalsInRing: true, ring.ConnectedAppendages: true,
	}
	must := func(p ring.Property, ok bool) { holds[p] = holds[p] && ok }
	for _, v := range views {
		must(ring.OneLiveSuccessor, len(v.Succs) == 0 || slices.ContainsFunc(v.Succs, is))
		list := esl(v)
		for i := range list {
			for j := i + 1; j < len(list); j++ {
				must(ring.NoDuplicates, list[i].ID != list[j].ID)
				for k := j + 1; k < len(list); k++ {
					must(ring.OrderedSuccessorLists, ring.Between(list[i].ID, list[j].ID, list[k].ID))
				}
			}
		}
		must(ring.ConnectedAppendages, slices.ContainsFunc(reachable(v), func(w ring.View) bool { return contains(inRing, w) }))
	}
	for _, v := range inRing {
		next, _ := best(v)
		for _, w := range inRing {
			must(ring.AtMostOneRing, contains(reachable(v), w))
			must(ring.OrderedRing, !ring.Between(v.Self.ID, w.Self.ID, next.Self.ID))
		}
	}
	for _, v := range principals {
		must(ring.PrincipalsInRing, contains(inRing, v))
	}
	for _, p := range allProperties {
		if !holds[p] {
			broken = append(broken, p)
		}
	}
	return broken
}

var allProperties = []ring.Property{
	ring.OneLiveSuccessor, ring.SufficientPrincipals, ring.NoDuplicates, ring.OrderedSuccessorLists, ring.AtLeastOneRing,
	ring.AtMostOneRing, ring.OrderedRing, ring.PrincipalsInRing, ring.ConnectedAppendages,
}

// TestCheckRing compares CheckRing with the formulas on random small states, from almost ideal to arbitrary, and sees to it that each
// property was found broken, and found to hold, often.
func TestCheckRing(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	const states = 10_000
	seen := make(map[ring.Property]int)
	for range states {
		views, r := randomViews(rng)
		var got []ring.Property
		for _, b := range ring.CheckRing(views, r) {
			got = append(got, b.Property)
		}
		want := literally(views, r)
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v, r = %d, in\n%v", got, want, r, views)
		}
		for _, p := range want {
			seen[p]++
		}
	}
	for _, p := range allProperties {
		if n := seen[p]; n < states/200 || n > states*199/200 {
			t.Errorf("%s was broken in %d of %d states: nothing is tested", p, n, states)
		}
	}
}

// randomViews returns the views of a ring over at most 10 identifiers: an ideal one with random damage, or anything.
func randomViews(rng *rand.Rand) (views []ring.View, r int) {
	space := 1 + rng.IntN(10)
	r = 1 + rng.IntN(4)
	at := func(i int) ring.Ref {
		i = (i%space + space) % space
		return ring.Ref{ID: ring.ID{byte(i * 25)}, Addr: fmt.Sprint("n", i)}
	}
	var members []ring.Ref
	for i := range space {
		if rng.IntN(4) > 0 {
			members = append(members, at(i))
		}
	}
	damage := rng.IntN(5) // 4: anything goes
	for i, m := range members {
		v := ring.View{Self: m, Pred: members[(i+len(members)-1)%len(members)]}
		for k := 1; k <= min(r, len(members)-1); k++ {
			v.Succs = append(v.Succs, members[(i+k)%len(members)])
		}
		if damage == 4 {
			v.Succs = nil
			for range rng.IntN(r + 1) {
				v.Succs = append(v.Succs, at(rng.IntN(space)))
			}
		}
		for range damage % 4 {
			if len(v.Succs) == 0 || rng.IntN(3) > 0 {
				continue
			}
			k := rng.IntN(len(v.Succs))
			switch rng.IntN(4) {
			case 0:
				v.Succs[k] = at(rng.IntN(space))
			case 1:
				v.Succs[k].Addr = "elsewhere"
			case 2:
				v.Succs = slices.Delete(v.Succs, k, k+1)
			case 3:
				v.Succs = v.Succs[:k]
			}
		}
		views = append(views, v)
	}
	rng.Shuffle(len(views), func(i, j int) { views[i], views[j] = views[j], views[i] })
	return views, r
}

func TestCheckRingDistinctMembers(t *testing.T) {
	views := idealViews(5, 2)
	views[3].Self.ID = views[2].Self.ID
	got := ring.CheckRing(views, 2)
	if len(got) != 1 || got[0].Property != ring.DistinctMembers {
		t.Errorf("got %v, want %s", got, ring.DistinctMembers)
	}
	if err := ring.CheckIdeal(views, 2); err == nil {
		t.Error("two members with one identifier are ideal")
	}
}

func TestCheckIdeal(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 17} {
		for _, r := range []int{1, 2, 4, 20} {
			views := idealViews(n, r)
			if err := ring.CheckIdeal(views, r); err != nil {
				t.Errorf("n=%d, r=%d: got %v", n, r, err)
			}
			broken := ring.CheckRing(views, r)
			if enough := n > r; enough != (len(broken) == 0) {
				t.Errorf("n=%d, r=%d: got %v", n, r, broken)
			}
			for i := range views {
				v := views[i]
				other := views[(i+1)%n].Self
				other.Addr = "elsewhere"
				views[i].Pred = other
				wantNotIdeal(t, views, r)
				views[i] = v
				if len(v.Succs) > 0 {
					views[i].Succs = v.Succs[:len(v.Succs)-1]
					wantNotIdeal(t, views, r)
					views[i].Succs = append(slices.Clone(v.Succs[:len(v.Succs)-1]), other)
					wantNotIdeal(t, views, r)
				}
				views[i] = v
			}
		}
	}
}

func wantNotIdeal(t *testing.T, views []ring.View, r int) {
	t.Helper()
	if ring.CheckIdeal(views, r) == nil {
		t.Errorf("got ideal, want a broken pointer found in %v", views)
	}
}

// idealViews returns the views of an ideal ring of n members. Neighbors share the memory of their lists.
func idealViews(n, r int) []ring.View {
	members := make([]ring.Ref, n+min(r, n-1))
	for i := range n {
		members[i] = ring.Ref{ID: ring.Hash(fmt.Appendf(nil, "node %d", i)), Addr: "10.0.0.1:7000"}
	}
	slices.SortFunc(members[:n], func(a, b ring.Ref) int { return a.ID.Compare(b.ID) })
	copy(members[n:], members)
	views := make([]ring.View, n)
	for i := range views {
		views[i] = ring.View{Self: members[i], Pred: members[(i+n-1)%n], Succs: members[i+1 : i+1+min(r, n-1)]}
	}
	return views
}
