//go:build faults

package main

import (
	"context"
	"os"
	"syscall"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// crashPoint is a place between two steps of a hand-over: before and after each call by which records are compared, so before and after they are sent and fetched, and each removal of
// what others have confirmed. Nothing that clients do comes past one.
func crashPoint() {
	if present.crash.err() != nil {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // of oneself: it does not fail
		select {}
	}
}

// between runs a step with a crash point on either side.
func between[T any](step func() (T, error)) (T, error) {
	crashPoint()
	defer crashPoint()
	return step()
}

// crashingPeers has crash points around the comparisons of a hand-over.
type crashingPeers struct{ node.Peers }

func faultyPeers(p node.Peers) node.Peers { return crashingPeers{p} }

func (p crashingPeers) Digest(ctx context.Context, to ring.Ref, arcs []ring.Arc, claims []node.Claim) ([]node.Summary, error) {
	return between(func() ([]node.Summary, error) { return p.Peers.Digest(ctx, to, arcs, claims) })
}

func (p crashingPeers) Outline(ctx context.Context, to ring.Ref, arcs []ring.Arc, detail node.Detail) ([]node.Outline, error) {
	return between(func() ([]node.Outline, error) { return p.Peers.Outline(ctx, to, arcs, detail) })
}

func (p crashingPeers) Name(ctx context.Context, to ring.Ref, unnamed []node.Unnamed) ([]node.Entry, error) {
	return between(func() ([]node.Entry, error) { return p.Peers.Name(ctx, to, unnamed) })
}

func (p crashingPeers) List(ctx context.Context, to ring.Ref, arc ring.Arc, from node.Cursor, limit int) ([]node.Entry, error) {
	return between(func() ([]node.Entry, error) { return p.Peers.List(ctx, to, arc, from, limit) })
}

// crashingStore has crash points around the removal of records.
type crashingStore struct{ node.Store }

func faultyStore(s node.Store) node.Store { return crashingStore{s} }

func (s crashingStore) Drop(entries []node.Entry) (int, error) {
	return between(func() (int, error) { return s.Store.Drop(entries) })
}
