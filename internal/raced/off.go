//go:build !race

package raced

// Enabled: the race detector looks on.
const Enabled = false
