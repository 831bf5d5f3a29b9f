//go:build race

package rpc_test

// slow says that the race detector makes everything several times slower, and larger.
const slow = true
