//go:build !faults

package main

import (
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/chordkv/chord/node"
)

// Programs for tests are built with the tag faults: their clock and their disk do what faults_on.go says, and they die at the
// crash points of faults_crash.go.

func newRuntime(live *node.Live) node.Runtime { return live }

func faultyPeers(p node.Peers) node.Peers { return p }

func faultyStore(s node.Store) node.Store { return s }

// diskFS returns the file system of the store; nil is the real one, watched.
func diskFS() vfs.FS { return nil }
