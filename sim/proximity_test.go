package sim_test

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/sim"
)

// spaceOptions are those of a world in 3-d space whose nodes choose each finger among s candidates.
func spaceOptions(seed uint64, s int) sim.Options {
	o := sim.DefaultOptions()
	o.Seed, o.Latency = seed, sim.NewSpace(seed, 50*time.Millisecond)
	o.Config.FingerCandidates = s
	return o
}

// tripsOf returns the round trip between two nodes of a world with those options.
func tripsOf(o sim.Options) func(a, b ring.Ref) time.Duration {
	number := func(r ring.Ref) int {
		n, _ := strconv.Atoi(strings.TrimPrefix(r.Addr, "n"))
		return n
	}
	return func(a, b ring.Ref) time.Duration { return 2 * o.Latency.OneWay(number(a), number(b), nil) }
}

// intervalOf returns the k for which a node lies from self + 2^k on, before self + 2^(k+1).
func intervalOf(self, r ring.Ref) int {
	k := ring.Bits - 1
	for ring.Distance(self.ID, r.ID).Less(ring.PowerOfTwo(k)) {
		k--
	}
	return k
}

// wantNearFingers fails unless each finger of each node is, but for a factor, the nearest of the first few nodes of an interval, and each interval beyond the
// successor list that has nodes has one.
func wantNearFingers(t *testing.T, w *sim.World, o sim.Options, factor float64) {
	t.Helper()
	trip := tripsOf(o)
	members := make([]ring.Ref, 0, len(w.Hosts()))
	for _, h := range w.Hosts() {
		members = append(members, h.Process().Nodes()...)
	}
	slices.SortFunc(members, func(a, b ring.Ref) int { return a.ID.Compare(b.ID) })
	chosen := 0
	for _, h := range w.Hosts() {
		n := h.Process().Status().Nodes[0]
		self := n.View.Self
		at := slices.Index(members, self)
		intervals := map[int][]ring.Ref{} // by k, in order
		for i := 1 + len(n.View.Succs); i < len(members); i++ {
			r := members[(at+i)%len(members)]
			if k := intervalOf(self, r); k > intervalOf(self, n.View.Succs[len(n.View.Succs)-1]) && len(intervals[k]) < o.Config.FingerCandidates {
				intervals[k] = append(intervals[k], r)
			}
		}
		for k, candidates := range intervals {
			i := slices.IndexFunc(candidates, func(r ring.Ref) bool { return slices.Contains(n.Fingers, r) })
			if i < 0 {
				t.Errorf("%v has none of %v for a finger in interval %d", self, candidates, k)
				continue
			}
			nearest := slices.MinFunc(candidates, func(a, b ring.Ref) int { return int(trip(self, a) - trip(self, b)) })
			if got, want := trip(self, candidates[i]), trip(self, nearest); float64(got) > factor*float64(want)+float64(time.Millisecond) {
				t.Errorf("interval %d of %v: a finger %v away, want the one %v away", k, self, got, want)
			}
			if candidates[i] != candidates[0] {
				chosen++
			}
		}
	}
	if chosen < len(members) {
		t.Errorf("%d fingers in all are not the first of their intervals", chosen)
	}
}

// [ToN, section V-F]: each finger is the nearest of s candidates: at once where an experiment says what the distances are, and after some passes of
// fix_fingers, which measure them, to within what a finger in use may be farther.
func TestFingersAreNear(t *testing.T) {
	skipIfSlow(t)
	o := spaceOptions(1, 8)
	o.Config.Successors = 7 // a list has the first candidate and so many others
	w := newRing(t, 150, o)
	run(t, w, 10*time.Minute)
	wantNearFingers(t, w, o, 4.0/3)
	told := newRing(t, 150, o)
	if err := told.Acquaint(); err != nil {
		t.Fatal(err)
	}
	wantNearFingers(t, told, o, 1)
}

// The same lookups in the same ring are much faster with near fingers, in both styles, and take few calls more; what fix_fingers finds is as good as what it is to find.
func TestNearFingersAreFaster(t *testing.T) {
	skipIfSlow(t)
	first, near, told := newRing(t, 300, spaceOptions(3, 1)), newRing(t, 300, spaceOptions(3, 16)), newRing(t, 300, spaceOptions(3, 16))
	run(t, near, 5*time.Minute)
	if err := told.Acquaint(); err != nil {
		t.Fatal(err)
	}
	for _, style := range []node.Style{node.Iterative, node.Recursive} {
		var medians [3]time.Duration
		var calls [3]int
		for i, w := range []*sim.World{first, near, told} {
			var took []time.Duration
			lookUp(t, w, style, 1000, func(l node.Lookup, d time.Duration) {
				took = append(took, d)
				calls[i] += len(l.Hops)
			})
			slices.Sort(took)
			medians[i] = took[len(took)/2]
		}
		t.Logf("%v: fingers are the first of their intervals, near as measured, near: medians %v, calls %d", style, medians, calls)
		if medians[1] > medians[0]*3/4 {
			t.Errorf("%v: median %v with near fingers, %v without, want three quarters at most", style, medians[1], medians[0])
		}
		if math.Abs(float64(medians[1])/float64(medians[2])-1) > 0.1 {
			t.Errorf("%v: median %v with measured fingers, %v with those to be found, want the same within a tenth", style, medians[1], medians[2])
		}
		if 4*calls[1] > 5*calls[0] {
			t.Errorf("%v: %d calls with near fingers, %d without, want a quarter more at most", style, calls[1], calls[0])
		}
	}
}

// Wherever fingers are, and whichever way a lookup takes, it ends at the owner, while processes come and go.
func TestLookupsByNearFingers(t *testing.T) {
	singleThreaded(t)
	for _, style := range []string{"iterative", "recursive"} {
		s := parse(t, `
nodes: 60
duration: 4m
heal: 3m
node: {successors: 8, finger-candidates: 16, finger-base: 4}
network: {latency: {model: space}}
churn: [{kind: poisson, joins: 0.1, crashes: 0.1, off: {mean: 20s}}]
workload: [{op: lookup, rate: 20}]
checks: {ring: true, lookups: true, every: 10s}
`)
		s.Workload[0].Style = style
		res := runScenario(t, s, sim.Observer{})
		if l := res.Totals.Lookups; l.Right < 4000 {
			t.Errorf("%s: %d lookups right, %d wrong, %d failed", style, l.Right, l.Wrong, l.Failed)
		}
	}
}

// Where gossip tells of everybody, distances change nothing: a lookup asks the owner.
func TestOneHopIsOneHop(t *testing.T) {
	for _, s := range []int{1, 16} {
		o := spaceOptions(1, s)
		o.Gossip = sim.DefaultGossip()
		o.Gossip.On = true
		w := newRing(t, 100, o)
		run(t, w, 2*time.Minute)
		lookUp(t, w, node.Recursive, 500, func(l node.Lookup, _ time.Duration) {
			if len(l.Hops) > 1 {
				t.Errorf("s = %d: %d calls, want one", s, len(l.Hops))
			}
		})
	}
}
