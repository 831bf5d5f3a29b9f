//go:build !race

package gossip

// slow: see race_test.go.
const slow = false
