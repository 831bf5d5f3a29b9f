//go:build mutants

package sim_test

import (
	"errors"
	"os"
	"strconv"
	"testing"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/sim"
)

// mutant is a safeguard that is taken away, or two that guard the same, and what must notice: the search of a drill, or the standard fault
// scenario with a seed. To find a seed for a new one, set CHORD_MUTANT_SEEDS to how many to try.
type mutant struct {
	ring, node string
	drill      string // or
	seed       uint64
	check      string
}

func (m mutant) name() string {
	switch {
	case m.ring == "":
		return m.node
	case m.node == "":
		return m.ring
	}
	return m.ring + "+" + m.node
}

// Each safeguard is there because something goes wrong without it, and a check notices. adopt-any, drop-any and join-anywhere are guarded twice: a
// node runs one round of stabilization at a time, and looks for its place until nobody stands between, so that both have to go.
var mutants = []mutant{
	{ring: "adopt-bare", drill: "join-before-crash", check: sim.CheckHeal},
	{ring: "predecessor-any", drill: "join-behind-crash", check: sim.CheckSuccession},
	{ring: "predecessor-unset", drill: "join-before-crash", check: sim.CheckLocalState},
	{ring: "predecessor-kept", drill: "join-before-crash", check: sim.CheckHeal},
	{ring: "adopt-any", node: "rounds-overlap", drill: "join-before-crash", check: sim.CheckSuccession},
	{ring: "drop-any", node: "rounds-overlap", drill: "join-before-crash", check: sim.CheckSuccession},
	{ring: "join-anywhere", node: "join-far", drill: "join-among-six", check: string(ring.SufficientPrincipals)},
	{node: "adopt-unasked", drill: "join-before-crash", check: sim.CheckHeal},
}

// take takes the safeguards of a mutant away until the test ends.
func (m mutant) take(t *testing.T) {
	t.Helper()
	ring.SetMutant(m.ring)
	node.SetMutant(m.node)
	t.Cleanup(func() {
		ring.SetMutant("")
		node.SetMutant("")
	})
}

func TestMutants(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name(), func(t *testing.T) {
			m.take(t)
			var err error
			if m.drill != "" {
				err = m.search(t)
			} else {
				_, err = sim.Run(t.Context(), sim.Swarm(standard(t), m.seed), sim.Observer{})
			}
			var v *sim.Violation
			if !errors.As(err, &v) || v.Check != m.check {
				t.Errorf("got %v, want a violation of %s", err, m.check)
			}
		})
	}
}

// search explores the drill of a mutant at both grains.
func (m mutant) search(t *testing.T) error {
	for _, d := range grains(t, m.drill) {
		if out := explore(t, d, sim.ExploreOptions{Departures: 2}); out.Found != nil {
			t.Logf("%d schedules, then\n%s%v", out.Schedules, out.Found, out.Err)
			return out.Err
		}
	}
	return nil
}

// The table leaves no safeguard of the ring out. Most of those of package node concern data and need a seed each; they have no row yet.
func TestMutantsAreComplete(t *testing.T) {
	have := make(map[string]bool)
	for _, m := range mutants {
		have["ring "+m.ring] = true
	}
	for _, name := range ring.Mutants() {
		if !have["ring "+name] {
			t.Errorf("ring: %s is in no row", name)
		}
	}
}

// TestFindSeeds looks for seeds for the table.
func TestFindSeeds(t *testing.T) {
	count, err := strconv.ParseUint(os.Getenv("CHORD_MUTANT_SEEDS"), 10, 64)
	if err != nil {
		t.Skip("looks for what a seed finds: set CHORD_MUTANT_SEEDS to how many to try, CHORD_MUTANT to the safeguard of node")
	}
	m := mutant{node: os.Getenv("CHORD_MUTANT")}
	m.take(t)
	for seed := range count {
		s := sim.Swarm(standard(t), seed+1)
		if _, err := sim.Run(t.Context(), s, sim.Observer{}); err != nil {
			t.Fatalf("%s\n%v", s.Header(), err)
		}
		t.Logf("seed %d: nothing", s.Seed)
	}
}
