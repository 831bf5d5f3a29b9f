package sim_test

import (
	"testing"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/sim"
)

// TestZones: while zones fail as a whole and come back, nothing that was acknowledged is lost, and in the end every record is on three processes, in three
// zones.
func TestZones(t *testing.T) {
	singleThreaded(t)
	s := parse(t, `
name: zones
nodes: 40
groups: 4
zones: true
vnodes: 2
duration: 6m
heal: 5m
churn:
  - {kind: groups, interval: 1m, off: {mean: 30s}}
workload:
  - {op: put, rate: 5, keys: 200, preload: 30s}
  - {op: get, rate: 5, keys: 200}
checks: {every: 10s, data: true}
`)
	var world *sim.World
	res := runScenario(t, s, sim.Observer{Start: func(w *sim.World) { world = w }})
	if res.Totals.Crashes < s.Nodes/s.Groups {
		t.Fatalf("%d processes crashed, want those of a zone at least", res.Totals.Crashes)
	}
	zones := map[string]map[int]bool{}
	for _, h := range world.Hosts() {
		list, err := h.Store().List(ring.FullArc(), node.Cursor{}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if zones[string(e.Key)] == nil {
				zones[string(e.Key)] = map[int]bool{}
			}
			zones[string(e.Key)][h.Number()%s.Groups] = true
		}
	}
	if len(zones) != 200 {
		t.Errorf("%d keys are stored, want 200", len(zones))
	}
	for key, in := range zones {
		if len(in) != s.Node.Replicas {
			t.Errorf("%q is in %d zones, want %d", key, len(in), s.Node.Replicas)
		}
	}
}
