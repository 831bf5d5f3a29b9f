package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// cutting is what happens to the network, by who cannot send to whom.
type cutting struct {
	name string
	cuts func(e *engagement, n *network)
}

var cuttings = []cutting{
	{"full", func(e *engagement, n *network) { n.hold(e, n.between([]int{0, 1}, []int{2, 3, 4})) }},
	{"one-way", func(e *engagement, n *network) { n.hold(e, n.from([]int{e.rng.IntN(5)}, []int{0, 1, 2, 3, 4})) }},
	{"bridge", func(e *engagement, n *network) { n.hold(e, n.between([]int{0, 1}, []int{3, 4})) }},
	{"flapping", func(e *engagement, n *network) {
		for range 6 {
			n.cut(e, n.between([]int{e.rng.IntN(5)}, []int{0, 1, 2, 3, 4}), true)
			time.Sleep(e.between(100*time.Millisecond, 1500*time.Millisecond))
			n.cut(e, n.all(), false)
			time.Sleep(e.between(0, 700*time.Millisecond))
		}
	}},
}

// TestNemesesOfTheNetwork is TestNemeses for cuts of the network between hosts. While it is cut, two processes may take the same key for theirs: what is promised then is what
// docs/guarantees.md says of partitions.
func TestNemesesOfTheNetwork(t *testing.T) {
	needPrograms(t)
	seed := *nemesisSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	for run := range uint64(*nemesisRuns) {
		for _, c := range cuttings {
			t.Run(fmt.Sprintf("%s/%d", c.name, seed+run), func(t *testing.T) {
				t.Parallel()
				n := &network{newHosts(t, 5)}
				ring := make([]*chordd, 5)
				for i := range ring {
					ring[i] = n.newChordd(i, "--vnodes", "2")
				}
				startAll(t, ring)
				waitSettled(t, ring...)
				t.Logf("seed %d", seed+run)
				// Every client is on a host of the larger part, if there is one: the smaller may acknowledge what it cannot keep until gossip has noticed.
				work := startWorkload(t, seed+run, ring, func(i int) *chordd { return ring[2+i%3] })
				cut := nemesis{strike: func(e *engagement) { c.cuts(e, n) }}
				cut.engage(t, seed+run, ring, work)
			})
		}
	}
}

// network is hosts between which single directions can be cut: a host then has a wrong address for another, and what it sends is nobody's.
type network struct{ *hosts }

type direction struct{ from, to int }

func (n *network) from(senders, receivers []int) (cuts []direction) {
	for _, i := range senders {
		for _, j := range receivers {
			if i != j {
				cuts = append(cuts, direction{i, j})
			}
		}
	}
	return cuts
}

func (n *network) between(some, others []int) []direction {
	return append(n.from(some, others), n.from(others, some)...)
}

func (n *network) all() []direction { return n.from([]int{0, 1, 2, 3, 4}, []int{0, 1, 2, 3, 4}) }

func (n *network) cut(e *engagement, cuts []direction, cut bool) {
	e.Helper()
	byHost := make([][]string, 5)
	for _, c := range cuts {
		to := mac(c.to)
		if cut {
			to = mac(98)
		}
		byHost[c.from] = append(byHost[c.from], fmt.Sprintf("neigh replace %s lladdr %s dev eth0 nud permanent", n.addr(c.to), to))
	}
	for i, commands := range byHost {
		if len(commands) == 0 {
			continue
		}
		if err := ip(commands, "-n", n.namespaces()[i]); err != nil {
			e.Fatal(err)
		}
	}
}

// hold cuts for some seconds, less and more than gossip needs to notice.
func (n *network) hold(e *engagement, cuts []direction) {
	n.cut(e, cuts, true)
	time.Sleep(e.between(time.Second, 9*time.Second))
	n.cut(e, cuts, false)
}

// TestNemesisFullDisk is TestNemeses with one process on a file system that another program fills, and frees again.
func TestNemesisFullDisk(t *testing.T) {
	needPrograms(t)
	if os.Geteuid() != 0 {
		t.Skip("mounting a file system needs root")
	}
	seed := *nemesisSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	for run := range uint64(*nemesisRuns) {
		t.Run(fmt.Sprint(seed+run), func(t *testing.T) {
			dir := t.TempDir()
			if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=320m"); err != nil {
				t.Skipf("cannot mount a tmpfs: %v", err)
			}
			t.Cleanup(func() {
				if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
					t.Error(err)
				}
			})
			n := nemesis{exact: true, strike: func(e *engagement) { fillDisk(e, dir) }}
			n.attack(t, seed+run, func() []*chordd {
				ring := make([]*chordd, 5)
				for i := range ring {
					ring[i] = newChordd(t, fmt.Sprint("process ", i), "--vnodes", "2")
				}
				ring[1].data = filepath.Join(dir, "data")
				startAll(t, ring)
				return ring
			})
		})
	}
}

// fillDisk takes all room at once, so that what is being written meets a full disk, and gives it back.
func fillDisk(e *engagement, dir string) {
	for range 2 {
		filler := filepath.Join(dir, "filler")
		f, err := os.Create(filler)
		if err != nil {
			e.Fatal(err)
		}
		for err == nil {
			_, err = f.Write(make([]byte, 1<<20))
		}
		f.Close()
		time.Sleep(e.between(500*time.Millisecond, 3*time.Second))
		if err := os.Remove(filler); err != nil {
			e.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond)
	}
}
