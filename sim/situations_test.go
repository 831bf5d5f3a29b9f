package sim_test

import (
	"path/filepath"
	"testing"

	"github.com/chordkv/chord/sim"
)

// The situations that a mutant breaks break nothing in the shipped code, with these seeds neither; the last of each list found a bug when there was one.
func TestSituations(t *testing.T) {
	singleThreaded(t)
	found := map[string]uint64{"clocks-ahead": 61, "joins-abreast": 2, "leaving": 4, "sweeps": 3}
	files, err := filepath.Glob("testdata/mutants/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d files, %v", len(files), err)
	}
	for _, file := range files {
		s, err := sim.ReadScenario(file)
		if err != nil {
			t.Fatal(err)
		}
		seeds := []uint64{11, 12, 13}
		if seed, ok := found[s.Name]; ok {
			seeds = append(seeds, seed)
		}
		for _, s.Seed = range seeds {
			if _, err := sim.Run(t.Context(), s, sim.Observer{}); err != nil {
				t.Errorf("%s, seed %d: %v", s.Name, s.Seed, err)
			}
		}
	}
}
