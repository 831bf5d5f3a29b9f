package main

import (
	"runtime/debug"

	"github.com/chordkv/chord/sim"
)

const (
	largeWorld   = 1 << 30 // bytes
	largePercent = 15
)

// spareHeap has the heap of a large world collected when it has grown by a seventh instead of by as much again: little of it is garbage, and a
// machine should not need twice the memory that the world takes. GOGC in the environment says otherwise.
func (a *app) spareHeap(s sim.Scenario) {
	if gogc, _ := a.lookupEnv("GOGC"); gogc == "" && s.EstimateMemory() > largeWorld {
		debug.SetGCPercent(largePercent)
	}
}
