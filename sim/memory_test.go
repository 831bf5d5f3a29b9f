package sim

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/chordkv/chord/internal/raced"
)

// The estimate is near what a run takes, whatever the shape of the processes.
func TestEstimateMemory(t *testing.T) {
	if raced.Enabled {
		t.Skip("the race detector takes memory too")
	}
	for _, shape := range []struct{ nodes, vnodes, successors, candidates int }{{2000, 1, 16, 1}, {2000, 1, 40, 1}, {400, 8, 16, 1}, {2000, 1, 16, 16}} {
		s := DefaultScenario()
		s.Nodes, s.VNodes, s.Node.Successors = shape.nodes, shape.vnodes, shape.successors
		s.Node.FingerCandidates = shape.candidates
		s.Duration, s.Series = 40*time.Second, 40*time.Second
		if shape.candidates > 1 {
			s.Duration, s.Series = 5*time.Minute, 5*time.Minute // they are measured a few at a time
		}
		s.Node.StabilizeInterval, s.Node.FixFingersInterval = 10*time.Second, 10*time.Second
		before := liveHeap()
		var world *World
		var took int
		if _, err := Run(t.Context(), s, Observer{
			Start: func(w *World) { world = w },
			Row:   func(Row) { took = liveHeap() - before },
		}); err != nil {
			t.Fatal(err)
		}
		runtime.KeepAlive(world)
		if got := s.EstimateMemory(); got < took*2/3 || got > took*3/2 {
			t.Errorf("%+v: estimate %d bytes, took %d", shape, got, took)
		}
	}
}

func liveHeap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// More records than fit are refused too, and nothing is where nobody knows how much memory there is.
func TestMemoryProblems(t *testing.T) {
	gib := func(n int) func() (int, bool) { return func() (int, bool) { return n << 30, true } }
	s := DefaultScenario()
	if got := s.memoryProblems(gib(1)); got != nil {
		t.Errorf("100 processes in 1 GiB: got %v, want no problem", got)
	}
	s.Workload = []Workload{{Op: OpPut, Rate: 1, Keys: 1_000_000, ValueBytes: 10_000}}
	if got := s.memoryProblems(gib(16)); len(got) != 1 {
		t.Errorf("30 GB of records in 16 GiB: got %v, want a problem", got)
	}
	if got := s.memoryProblems(gib(64)); got != nil {
		t.Errorf("30 GB of records in 64 GiB: got %v, want no problem", got)
	}
	if got := s.memoryProblems(func() (int, bool) { return 0, false }); got != nil {
		t.Errorf("on a machine that does not tell: got %v, want no problem", got)
	}
}

func TestAvailableMemory(t *testing.T) {
	name := filepath.Join(t.TempDir(), "meminfo")
	if err := os.WriteFile(name, []byte("MemTotal:       24642072 kB\nMemFree:         1000000 kB\nMemAvailable:   22918432 kB\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, ok := meminfo(name, "MemAvailable"); !ok || got != 22918432<<10 {
		t.Errorf("got %d, %v, want %d", got, ok, 22918432<<10)
	}
	if _, ok := meminfo(name, "MemOther"); ok {
		t.Error("a field that is not there was found")
	}
	if _, ok := meminfo(name+"-missing", "MemAvailable"); ok {
		t.Error("a file that is not there was read")
	}
	if got, ok := availableMemory(); runtime.GOOS == "linux" && (!ok || got < 1<<20) {
		t.Errorf("this machine: got %d, %v, want some memory", got, ok)
	}
}
