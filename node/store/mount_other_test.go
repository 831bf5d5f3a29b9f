//go:build !linux

package store_test

import "testing"

// smallDisk skips the test: it knows how to make a file system of its own on Linux only.
func smallDisk(t *testing.T, _ string) string {
	t.Helper()
	t.Skip("needs a small file system of its own, a tmpfs")
	return ""
}
