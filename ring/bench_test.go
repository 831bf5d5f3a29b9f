package ring_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/chordkv/chord/ring"
)

func BenchmarkBetween(b *testing.B) {
	ids := randomIDs(256)
	b.ReportAllocs()
	inside, i := 0, 0
	for b.Loop() {
		if ring.Between(ids[i&255], ids[(i+1)&255], ids[(i+2)&255]) {
			inside++
		}
		i++
	}
	b.ReportMetric(float64(inside)/float64(b.N), "inside/op") // keeps the calls
}

func BenchmarkHash(b *testing.B) {
	key := fmt.Appendf(nil, "user:%020d", 1)
	b.ReportAllocs()
	for b.Loop() {
		ring.Hash(key)
	}
}

// BenchmarkRoute is one step of a lookup in a ring of 1,000 nodes with lists of 16.
func BenchmarkRoute(b *testing.B) {
	s, ids := benchState(1000, 16), randomIDs(256)
	avoid := func(ring.ID) bool { return false }
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s.Route(ids[i&255], avoid)
		i++
	}
}

func BenchmarkGroup(b *testing.B) {
	views := idealViews(1000, 16)
	for i := range views {
		for k := range views[i].Succs { // lists share memory: every entry gets the address of its rank
			views[i].Succs[k].Addr = fmt.Sprintf("10.0.0.%d:7000", (i+k+1)%7)
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if got := views[i%1000].Group(3); len(got) != 3 {
			b.Fatalf("got %v", got)
		}
		i++
	}
}

// BenchmarkRefresh is the AdoptSuccessor of a stabilization that changes nothing.
func BenchmarkRefresh(b *testing.B) {
	views := idealViews(1000, 16)
	s := ring.NewState(views[0].Self, 16)
	s.Join(views[len(views)-1])
	s.AdoptSuccessor(views[1])
	b.ReportAllocs()
	for b.Loop() {
		s.AdoptSuccessor(views[1])
	}
}

// BenchmarkCheckRing evaluates all named properties over a whole ring, in order of identifiers and not.
func BenchmarkCheckRing(b *testing.B) {
	for _, n := range []int{1000, 1_000_000} {
		if n > 1000 && testing.Short() {
			continue
		}
		views := idealViews(n, 16)
		for _, order := range []string{"sorted", "shuffled"} {
			b.Run(fmt.Sprintf("n=%d/%s", n, order), func(b *testing.B) {
				if order == "shuffled" {
					rng := rand.New(rand.NewPCG(1, 2))
					rng.Shuffle(n, func(i, j int) { views[i], views[j] = views[j], views[i] })
				}
				b.ReportAllocs()
				for b.Loop() {
					if broken := ring.CheckRing(views, 16); broken != nil {
						b.Fatal(broken)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/node")
			})
		}
	}
}

func randomIDs(n int) []ring.ID {
	rng := rand.New(rand.NewPCG(1, 1))
	ids := make([]ring.ID, n)
	for i := range ids {
		ids[i] = randomID(rng)
	}
	return ids
}

func benchState(n, r int) *ring.State {
	views := idealViews(n, r)
	members := make([]ring.Ref, n)
	for i, v := range views {
		members[i] = v.Self
	}
	s := ring.NewState(members[n/3], r)
	s.Ideal(members)
	return s
}

// BenchmarkRouteNear is BenchmarkRoute by toll.
func BenchmarkRouteNear(b *testing.B) {
	s, ids := benchState(1000, 16), randomIDs(256)
	toll := func(r ring.Ref) float64 { return 1 + float64(r.ID[0]) }
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s.RouteNear(ids[i&255], nil, toll)
		i++
	}
}
