//go:build mutants

package node

import (
	"slices"
	"sync/atomic"
)

// mutantNames are in the order of the constants.
var mutantNames = []string{
	"", "adopt-unasked", "rounds-overlap", "join-far", "serve-early", "avoid-none", "heal-never", "ack-early", "ack-own-late", "ack-overtaken", "version-below",
	"retry-anew", "read-narrow", "read-unrepaired", "vouch-blindly", "deny-early", "repair-never", "repair-one-way", "sweep-unconfirmed", "sweep-unpinned",
	"tombstone-early", "minority-serves", "tombstone-unconfirmed", "stale-kept", "history-forgotten", "expiry-ignored", "expiry-lost", "epoch-unchecked", "leave-bare", "clock-forgotten",
}

var activeMutant atomic.Uint32

// Mutants returns the names of the safeguards that SetMutant can take away.
func Mutants() []string { return slices.Clone(mutantNames[1:]) }

// SetMutant takes one safeguard away in the whole program, and gives the one before back; the name "" takes none. It panics if there is no
// safeguard of that name.
func SetMutant(name string) {
	i := slices.Index(mutantNames, name)
	if i < 0 {
		panic("node: no mutant " + name)
	}
	activeMutant.Store(uint32(i))
}

// on reports whether the safeguard is taken away.
func (m mutant) on() bool { return uint32(m) == activeMutant.Load() }
