//go:build invariants

package node

// invariants makes a process panic when a check of its own state fails, instead of only reporting it.
const invariants = true
