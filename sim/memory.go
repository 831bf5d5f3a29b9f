package sim

import (
	"bufio"
	"os"
	"strconv"
	"strings"
)

// What a simulated process keeps alive on the heap, in bytes, after a minute of virtual time: fitted to runs with 1 and 8 ring nodes and 4 to 32
// successors, and checked by TestEstimateMemory. The collector needs room besides: up to as much again, unless GOGC or GOMEMLIMIT say otherwise.
const (
	perProcess   = 1900 // for the host and its process
	perRingNode  = 2300
	perSuccessor = 25   // for each entry of a successor list
	perTable     = 2500 // for the round trips to candidates for fingers, of a process that chooses among 16
	perRecord    = 400  // for each stored record, besides its value
)

// EstimateMemory returns about how many bytes a run of the scenario takes at least: its processes and the records that they store.
func (s Scenario) EstimateMemory() int {
	processes, process := s.Nodes, perProcess+s.VNodes*(perRingNode+s.Node.Successors*perSuccessor)
	if s.Node.FingerCandidates > 1 {
		process += perTable
	}
	keys, value := 0, 0
	for _, c := range s.Churn {
		processes += c.Count
	}
	for _, w := range s.Workload {
		if w.Op == OpPut || w.Op == OpCas {
			keys, value = max(keys, w.Keys), max(value, w.ValueBytes, defaultValueBytes)
		}
	}
	return processes*process + keys*s.Node.Replicas*(perRecord+value)
}

// memoryProblems reports a scenario that is too large for the memory that it may take.
func (s Scenario) memoryProblems(available func() (bytes int, ok bool)) []Problem {
	limit, known := s.Memory, true
	if limit == 0 {
		limit, known = available()
	}
	need := s.EstimateMemory()
	if !known || need <= limit {
		return nil
	}
	var v validator
	v.bad("nodes", "%d processes with %d ring nodes each need at least %s of memory, and there are %s; memory: BYTES says that there are more",
		s.Nodes, s.VNodes, readable(need), readable(limit))
	return v.problems
}

func readable(bytes int) string {
	if bytes < 1<<30 {
		return strconv.FormatFloat(float64(bytes)/(1<<20), 'f', 1, 64) + " MiB"
	}
	return strconv.FormatFloat(float64(bytes)/(1<<30), 'f', 1, 64) + " GiB"
}

// availableMemory returns how many bytes the machine, or the container that the program runs in, has left. ok is false where nobody says so.
func availableMemory() (bytes int, ok bool) {
	bytes, ok = meminfo("/proc/meminfo", "MemAvailable")
	if text, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if limit, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && (!ok || limit < bytes) {
			return limit, true
		}
	}
	return bytes, ok
}

// meminfo reads a field of a file like /proc/meminfo, in which sizes are in KiB.
func meminfo(name, field string) (bytes int, ok bool) {
	f, err := os.Open(name)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, found := strings.CutPrefix(lines.Text(), field+":"); found {
			kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return kib << 10, err == nil
		}
	}
	return 0, false
}
