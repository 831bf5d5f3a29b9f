package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/rpc"
)

// Who was a member may go ahead without the others, but only if nobody else would at the same time, nor the network alone is to blame.
func TestMayResume(t *testing.T) {
	own, lower, higher := [16]byte{5}, [16]byte{4}, [16]byte{6}
	seeds := []string{"127.0.0.1:1"}
	for _, test := range []struct {
		name    string
		known   bool // belongs to a cluster
		join    []string
		waiting [][16]byte
		silent  int
		waited  time.Duration
		want    bool
	}{
		{name: "never was a member", waiting: [][16]byte{higher}, waited: time.Hour},
		{name: "peers silent, at first", known: true, silent: 1, waited: resumeAfter / 2},
		{name: "peers silent", known: true, silent: 1, waited: resumeAfter, want: true},
		{name: "seeds silent", known: true, join: seeds, silent: 1, waited: time.Hour},
		{name: "all wait, lowest id", known: true, join: seeds, waiting: [][16]byte{higher}, want: true},
		{name: "all wait, not the lowest id", known: true, join: seeds, waiting: [][16]byte{higher, lower}, waited: time.Hour},
		{name: "some wait, some are silent, at first", known: true, join: seeds, waiting: [][16]byte{higher}, silent: 1, waited: resumeAfter / 2},
		{name: "some wait, some are silent", known: true, join: seeds, waiting: [][16]byte{higher}, silent: 1, waited: resumeAfter, want: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := &process{cfg: Config{Join: test.join}, local: &rpc.Local{Identity: node.Identity{Process: own}}}
			if test.known {
				p.local.SetCluster(rpc.ClusterID{1})
			}
			s := survey{silent: test.silent}
			for _, id := range test.waiting {
				s.waiting = append(s.waiting, rpc.Hello{Process: node.Identity{Process: id}})
			}
			if got := p.mayResume(s, test.waited); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// twoRings starts two processes of one cluster that are rings of their own and know nothing of each other.
func twoRings(t *testing.T) (one, other *process) {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Listen, cfg.Admin, cfg.Store, cfg.VNodes = "127.0.0.1:0", "off", storeMemory, 2
	var rings []*process
	for range 2 {
		p, err := startProcess(cfg, zerolog.Nop(), false)
		if err != nil {
			t.Fatal(err)
		}
		stop, end := context.WithCancel(context.Background())
		done := make(chan error)
		t.Cleanup(func() {
			end()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		go func() { done <- p.run(stop, context.Background(), func(context.Context) error { return nil }) }()
		if err := errors.Join(p.adopt(rpc.ClusterID{1}), p.resume(true)); err != nil {
			t.Fatal(err)
		}
		rings = append(rings, p)
	}
	for _, p := range rings {
		if n := smallestGroup(p.core.Status()); n != 1 {
			t.Fatalf("group of %d processes before, want 1", n)
		}
	}
	return rings[0], rings[1]
}

// Two rings of one cluster whose processes started without finding each other become one as soon as a process of one asks, as it does all
// the time, a seed or remembered peer that is in the other.
func TestReunite(t *testing.T) {
	one, other := twoRings(t)
	other.cfg.Join = []string{one.local.Addr}
	other.reunite(t.Context())
	put(t, one.local.Addr, "hello", "world") // needs both, by the default quorums
	wantValue(t, other.local.Addr, "hello", "world")
}

// The same by gossip alone: it is enough that one introduces itself to the other's gossip, as it does with seeds and remembered peers that gossip
// does not show, because it never knew them or has forgotten them.
func TestGossipReunites(t *testing.T) {
	one, other := twoRings(t)
	for _, p := range []*process{one, other} {
		if err := p.joinGossip(t.Context()); err != nil { // there is nobody to introduce it to yet
			t.Fatal(err)
		}
	}
	other.cfg.Join = []string{one.local.Addr}
	if err := other.joinGossip(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, one.local.Addr, "hello", "world") // needs both, by the default quorums
	wantValue(t, other.local.Addr, "hello", "world")
	g, err := other.startGossip(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if lost := other.lostByGossip(t.Context(), g, time.Now()); len(lost) != 0 {
		t.Errorf("%v are lost by gossip, want none", lost)
	}
}
