package sim_test

import (
	"reflect"
	"testing"

	"github.com/chordkv/chord/sim"
)

func standard(t testing.TB) sim.Scenario {
	t.Helper()
	s, err := sim.ReadScenario("scenarios/standard-faults.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every seed draws a valid scenario, whose text is the same scenario, and always the same one; what is drawn differs.
func TestSwarm(t *testing.T) {
	base := standard(t)
	text := string(base.YAML())
	headers := make(map[string]bool)
	kinds := make(map[string]int)
	const seeds = 300
	for seed := range uint64(seeds) {
		s := sim.Swarm(base, seed)
		if err := s.Validate(); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, s.YAML())
		}
		if again := sim.Swarm(base, seed); !reflect.DeepEqual(again, s) {
			t.Fatalf("seed %d draws different scenarios:\n%s\n%s", seed, s.Header(), again.Header())
		}
		read, err := sim.ParseScenario("swarm.yaml", s.YAML())
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if got, want := read.Header(), s.Header(); got != want {
			t.Errorf("seed %d: its text reads as\n%s, want\n%s", seed, got, want)
		}
		headers[s.Header()] = true
		for _, f := range s.Faults {
			kinds[f.Kind]++
		}
	}
	if len(headers) != seeds {
		t.Errorf("%d seeds draw %d scenarios", seeds, len(headers))
	}
	for _, f := range base.Faults {
		if n := kinds[f.Kind]; n == 0 {
			t.Errorf("no seed has a fault of kind %s", f.Kind)
		}
	}
	if got := string(base.YAML()); got != text {
		t.Errorf("the scenario that was drawn from has changed:\n%s", got)
	}
}
