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

// mutant is a safeguard that is taken away, or two that guard the same, and what must notice: the search of a drill, or a scenario with a seed or one
// of those that follow, made for the situation that the safeguard is for. With the safeguard in place nothing must be found there.
type mutant struct {
	ring, node string
	drill      string // or
	scenario   string // the name of a file of testdata/mutants, with
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

	{node: "serve-early", scenario: "joins-abreast", seed: 1, check: sim.CheckOwners},
	{node: "avoid-none", scenario: "quick-lookups", seed: 1, check: sim.CheckLookup},
	{node: "heal-never", scenario: "cut", seed: 1, check: sim.CheckHeal},
	{node: "ack-early", scenario: "leaving", seed: 1, check: sim.CheckAck},
	{node: "ack-own-late", scenario: "slow-disk", seed: 1, check: sim.CheckAck},
	{node: "ack-overtaken", scenario: "clocks-behind", seed: 33, check: sim.CheckAck},
	{node: "version-below", scenario: "clocks-set-back", seed: 2, check: sim.CheckOrder},
	{node: "retry-anew", scenario: "repeated", seed: 1, check: sim.CheckOnce},
	{node: "read-narrow", scenario: "joins-abreast", seed: 3, check: sim.CheckDenied},
	{node: "read-unrepaired", scenario: "hot-key", seed: 1, check: sim.CheckSpread},
	{node: "vouch-blindly", scenario: "joins-heard", seed: 2, check: sim.CheckDenied},
	{node: "deny-early", scenario: "gathering", seed: 1, check: sim.CheckDenied},
	{node: "repair-never", scenario: "crashes", seed: 1, check: sim.CheckHeal},
	{node: "repair-one-way", scenario: "restarts", seed: 1, check: sim.CheckHeal},
	{node: "sweep-unconfirmed", scenario: "sweeps", seed: 1, check: sim.CheckCopies},
	{node: "sweep-unpinned", scenario: "sweeps", seed: 36, check: sim.CheckCopies},
	{node: "tombstone-early", scenario: "leaving", seed: 1, check: sim.CheckAck},
	{node: "minority-serves", scenario: "smaller-part", seed: 1, check: sim.CheckMinority},
	{node: "epoch-unchecked", scenario: "pauses", seed: 1, check: sim.CheckEpoch},
	{node: "history-forgotten", scenario: "conditions", seed: 1, check: sim.CheckCount},
	{node: "tombstone-unconfirmed", scenario: "unconfirmed", seed: 1, check: sim.CheckHeal},
	{node: "stale-kept", scenario: "away", seed: 1, check: sim.CheckHeal},
	{node: "expiry-ignored", scenario: "expiry", seed: 1, check: sim.CheckExpiry},
	{node: "expiry-lost", scenario: "expiry", seed: 1, check: sim.CheckExpiry},
	{node: "clock-forgotten", scenario: "clocks-back-at-start", seed: 1, check: sim.CheckClock},
	{node: "leave-bare", scenario: "leaving", seed: 1, check: sim.CheckHandOver},
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
			if m.drill == "" { // nothing is found in the drills, that is a test of its own
				if err := m.run(t); err != nil {
					t.Fatalf("with the safeguard: %v", err)
				}
			}
			m.take(t)
			err := m.run(t)
			// A seed finds what it finds until the code behaves differently. Bound: each mutant is caught within 1,000 seeds.
			for tried := 1; err == nil && m.drill == "" && tried < 1000; tried++ {
				m.seed++
				err = m.run(t)
			}
			var v *sim.Violation
			if !errors.As(err, &v) || v.Check != m.check {
				t.Errorf("got %v, want a violation of %s", err, m.check)
			}
		})
	}
}

// run searches the drill of a mutant, or runs its scenario, and returns what a check finds.
func (m mutant) run(t *testing.T) error {
	if m.drill != "" {
		return m.search(t)
	}
	_, err := sim.Run(t.Context(), m.scene(t), sim.Observer{})
	return err
}

// scene returns the scenario of a mutant, the standard fault scenario for one that has none.
func (m mutant) scene(t *testing.T) sim.Scenario {
	t.Helper()
	if m.scenario == "" {
		return sim.Swarm(standard(t), m.seed)
	}
	s, err := sim.ReadScenario("testdata/mutants/" + m.scenario + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	s.Seed = m.seed
	return s
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

// The table leaves no safeguard out.
func TestMutantsAreComplete(t *testing.T) {
	have := make(map[string]bool)
	for _, m := range mutants {
		have["ring "+m.ring], have["node "+m.node] = true, true
	}
	for _, name := range ring.Mutants() {
		if !have["ring "+name] {
			t.Errorf("ring: %s is in no row", name)
		}
	}
	for _, name := range node.Mutants() {
		if !have["node "+name] {
			t.Errorf("node: %s is in no row", name)
		}
	}
}

// TestFindSeeds looks for seeds for the table: in the swarm of the standard fault scenario, or in one of testdata/mutants. Without a safeguard, it looks for
// what the shipped code does wrong there.
func TestFindSeeds(t *testing.T) {
	count, err := strconv.ParseUint(os.Getenv("CHORD_MUTANT_SEEDS"), 10, 64)
	if err != nil {
		t.Skip("looks for what a seed finds: set CHORD_MUTANT_SEEDS to how many to try, CHORD_MUTANT to the safeguard of node, and CHORD_MUTANT_SCENARIO")
	}
	m := mutant{node: os.Getenv("CHORD_MUTANT"), scenario: os.Getenv("CHORD_MUTANT_SCENARIO")}
	m.take(t)
	for seed := range count {
		m.seed = seed + 1
		s := m.scene(t)
		if _, err := sim.Run(t.Context(), s, sim.Observer{}); err != nil {
			t.Fatalf("%s\n%v", s.Header(), err)
		}
		t.Logf("seed %d: nothing", s.Seed)
	}
}
