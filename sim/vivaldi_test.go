package sim_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/serf/coordinate"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/sim"
)

// TestVivaldi: coordinates in 40 bits predict round trips as well as those of serf, with eight dimensions and 64 bits in each, from the same probes: the median of the relative error
// is no more than a fifth larger, nor is the 90th percentile. The round trips are those of the Internet-like model with an error of their own for each pair, and those of PlanetLab
// where CHORDSIM_DATA names the directory with the published matrix.
func TestVivaldi(t *testing.T) {
	const processes, probes = 200, 600
	internet := sim.NewInternet(1)
	noise := rand.New(rand.NewPCG(1, 1))
	trips := [processes][processes]time.Duration{}
	for i := range trips {
		for j := range i {
			trips[i][j] = time.Duration(float64(internet.RTT(i, j)) * (0.8 + 0.4*noise.Float64()))
			trips[j][i] = trips[i][j]
		}
	}
	networks := []struct {
		name string
		rtt  func(i, j int) time.Duration
	}{{"internet", func(i, j int) time.Duration { return trips[i][j] }}}
	if dir := os.Getenv("CHORDSIM_DATA"); dir != "" {
		m, err := sim.ReadMatrix(filepath.Join(dir, "planetlab-490-rtt-ms.txt"))
		if err != nil {
			t.Fatal(err)
		}
		networks = append(networks, struct {
			name string
			rtt  func(i, j int) time.Duration
		}{"planetlab", m.RTT})
	}
	for _, network := range networks {
		ours, theirs := probeAll(t, processes, probes, network.rtt)
		for _, percent := range []int{50, 90} {
			got, want := ours[len(ours)*percent/100], theirs[len(theirs)*percent/100]
			t.Logf("%s: relative error of %d %%: %.3f, of serf's %.3f", network.name, percent, got, want)
			if got > 1.2*want {
				t.Errorf("%s: relative error of %d %%: %.3f, of serf's %.3f", network.name, percent, got, want)
			}
		}
	}
}

// probeAll has each of the processes probe others at random, and returns the relative errors of what coordinates say about all pairs, ours and serf's, in order.
func probeAll(t *testing.T, processes, probes int, rtt func(i, j int) time.Duration) (ours, theirs []float64) {
	t.Helper()
	w := newRing(t, processes, sim.DefaultOptions())
	at := func(i int) *node.Process { return w.Host(i).Process() }
	clients := make([]*coordinate.Client, processes)
	for i := range clients {
		var err error
		if clients[i], err = coordinate.NewClient(coordinate.DefaultConfig()); err != nil {
			t.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range probes {
		for i := range processes {
			j := rng.IntN(processes)
			if j == i {
				continue
			}
			at(i).HearRoundTrip(at(j).Addr(), rtt(i, j), at(j).Coordinate())
			if _, err := clients[i].Update(at(j).Addr(), clients[j].GetCoordinate(), rtt(i, j)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range processes {
		for j := range i {
			actual := max(rtt(i, j), time.Millisecond)
			wrong := func(predicted time.Duration) float64 { return float64((predicted - actual).Abs()) / float64(actual) }
			ours = append(ours, wrong(at(i).Coordinate().RoundTrip(at(j).Coordinate())))
			theirs = append(theirs, wrong(clients[i].DistanceTo(clients[j].GetCoordinate())))
		}
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	return ours, theirs
}
