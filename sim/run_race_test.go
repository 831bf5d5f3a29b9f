//go:build race

package sim_test

// slow: the race detector makes a simulation ten times as slow.
const slow = true
