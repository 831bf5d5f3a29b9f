//go:build !race

package raced

// Enabled says whether the race detector looks on.
const Enabled = false
