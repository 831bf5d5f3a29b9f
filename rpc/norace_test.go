//go:build !race

package rpc_test

// slow: see race_test.go.
const slow = false
