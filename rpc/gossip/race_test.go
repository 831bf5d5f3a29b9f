//go:build race

package gossip

// slow says that the race detector makes everything several times slower.
const slow = true
