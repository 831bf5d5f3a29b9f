//go:build !invariants

package node

const invariants = false
