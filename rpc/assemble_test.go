package rpc_test

import (
	"context"
	"errors"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chordkv/chord/internal/raced"
	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

// candidate is a process that waits for others.
type candidate struct {
	*served
	peers *rpc.Peers
	proc  *stub
}

func newCandidate(t testing.TB, n byte) *candidate {
	t.Helper()
	return newCandidateOn(t, listen(t, "127.0.0.1:0"), n)
}

func newCandidateOn(t testing.TB, lis net.Listener, n byte) *candidate {
	t.Helper()
	c := &candidate{proc: &stub{}}
	c.proc.notReady.Store(true)
	c.served = serveAs(t, lis, newLocal(n, lis.Addr().String()), c.proc, rpc.ServerOptions{})
	c.peers = rpc.NewPeers(c.local)
	t.Cleanup(c.peers.Close)
	return c
}

// bootstrap does what a program does with the result of Assemble.
func (c *candidate) bootstrap(cluster rpc.ClusterID) {
	c.local.SetCluster(cluster)
	c.proc.notReady.Store(false)
}

type assembled struct {
	members []ring.Ref
	cluster rpc.ClusterID
	err     error
}

// fixed are seeds that stay the same.
func fixed(seeds ...string) func(context.Context) []string {
	return func(context.Context) []string { return seeds }
}

func (c *candidate) assemble(ctx context.Context, expect int, seeds ...string) assembled {
	members, cluster, err := rpc.Assemble(ctx, c.local, c.peers, fixed(seeds...), expect, nil)
	if err == nil {
		c.bootstrap(cluster)
	}
	return assembled{members, cluster, err}
}

// TestAssemble: processes that know one another only through a chain of seeds, some of which are not there, and that start at different
// times, all end with the same ring. Each becomes a member at once, so that the last ones see members already.
func TestAssemble(t *testing.T) {
	const n = 7
	var all []*candidate
	var want []ring.Ref
	for i := range n {
		c := newCandidate(t, byte(i+1))
		all = append(all, c)
		for _, id := range c.local.Identity.Nodes() {
			want = append(want, ring.Ref{ID: id, Addr: c.addr})
		}
	}
	slices.SortFunc(want, func(a, b ring.Ref) int { return a.ID.Compare(b.ID) })
	results := make([]assembled, n)
	var known []int
	var wg sync.WaitGroup
	for i, c := range all {
		seeds := []string{"127.0.0.1:1", c.addr, all[max(i-1, 0)].addr}
		if i == 0 {
			wg.Go(func() {
				members, cluster, err := rpc.Assemble(within(t, 20*time.Second), c.local, c.peers, fixed(seeds...), n, func(k int) { known = append(known, k) })
				c.bootstrap(cluster)
				results[0] = assembled{members, cluster, err}
			})
			continue
		}
		wg.Go(func() {
			time.Sleep(time.Duration(i) * 30 * time.Millisecond)
			results[i] = c.assemble(within(t, 20*time.Second), n, seeds...)
		})
	}
	wg.Wait()
	for i, got := range results {
		if got.err != nil || !reflect.DeepEqual(got.members, want) || got.cluster != results[0].cluster || got.cluster.IsZero() {
			t.Errorf("process %d: got %v", i, got)
		}
	}
	if !slices.IsSorted(known) || len(known) == 0 || known[len(known)-1] != n {
		t.Errorf("progress: got %v, want growing numbers up to %d", known, n)
	}
}

// TestAssembleHundred: a hundred processes that know of one another only the first all have the same ring, and in it every pointer is right at once.
func TestAssembleHundred(t *testing.T) {
	n := 100
	if raced.Enabled {
		n = 25
	}
	all := make([]*candidate, n)
	for i := range all {
		all[i] = newCandidate(t, byte(i+1))
	}
	results := make([]assembled, n)
	var wg sync.WaitGroup
	began := time.Now()
	for i, c := range all {
		wg.Go(func() { results[i] = c.assemble(within(t, time.Minute), n, all[0].addr) })
	}
	wg.Wait()
	t.Logf("after %v", time.Since(began))
	var views []ring.View
	for i, got := range results {
		if got.err != nil || !slices.Equal(got.members, results[0].members) || got.cluster != results[0].cluster {
			t.Fatalf("process %d: got %d nodes, cluster %v, error %v; the first has %d, cluster %v", i, len(got.members), got.cluster, got.err,
				len(results[0].members), results[0].cluster)
		}
		for _, self := range all[i].local.Identity.Refs(all[i].addr) {
			st := ring.NewState(self, 16)
			st.Ideal(got.members)
			views = append(views, st.View())
		}
	}
	if err := ring.CheckIdeal(views, 16); err != nil {
		t.Error(err)
	}
}

func TestAssembleAlone(t *testing.T) {
	c := newCandidate(t, 1)
	if got := c.assemble(t.Context(), 1); got.err != nil || len(got.members) != 2 {
		t.Errorf("got %+v", got)
	}
	if got := c.assemble(t.Context(), 0); got.err == nil {
		t.Error("0 processes were accepted")
	}
}

// TestAssembleRestart: a process that starts again while the others wait counts once, whether it kept its identity or not.
func TestAssembleRestart(t *testing.T) {
	a, b := newCandidate(t, 1), newCandidate(t, 2)
	ctx := within(t, 20*time.Second)
	results := make(chan assembled, 2)
	go func() { results <- a.assemble(ctx, 3, b.addr) }()
	go func() { results <- b.assemble(ctx, 3, a.addr) }()

	lis := listen(t, "127.0.0.1:0")
	addr := lis.Addr().String()
	first := newLocal(3, addr)
	peers := rpc.NewPeers(first)
	brief, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	_, _, err := rpc.Assemble(brief, first, peers, fixed(a.addr), 3, nil) // long enough to become known; it serves nothing
	cancel()
	peers.Close()
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	c := newCandidateOn(t, lis, 4) // it had no data directory
	got := c.assemble(ctx, 3, a.addr)
	for _, other := range []assembled{<-results, <-results} {
		if other.err != nil || got.err != nil || !reflect.DeepEqual(other, got) {
			t.Errorf("got %v and %v", got, other)
		}
	}
	if len(got.members) != 6 {
		t.Errorf("got %d nodes, want 6", len(got.members))
	}
}

func TestAssembleMeetsARing(t *testing.T) {
	member, late := newCandidate(t, 1), newCandidate(t, 2)
	cluster := rpc.ClusterID{9}
	member.bootstrap(cluster)
	got := late.assemble(within(t, 10*time.Second), 2, member.addr)
	var exists *rpc.RingExistsError
	if !errors.Is(got.err, rpc.ErrRingExists) || !errors.As(got.err, &exists) || exists.Addr != member.addr || exists.Cluster != cluster {
		t.Errorf("got %v, want %v", got.err, rpc.ErrRingExists)
	}
}

// TestAssembleDisagreement: processes that cannot become one ring say why.
func TestAssembleDisagreement(t *testing.T) {
	three, two := newCandidate(t, 1), newCandidate(t, 2)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan assembled)
	go func() { done <- three.assemble(ctx, 3) }()
	eventually(t, "the first one waits", func() bool {
		h, err := two.peers.Hello(ctx, three.addr)
		return err == nil && h.Expect == 3
	})
	got := two.assemble(within(t, 10*time.Second), 2, three.addr)
	if got.err == nil || !strings.Contains(got.err.Error(), three.addr+" waits for 3 processes, this process for 2") {
		t.Errorf("different numbers: got %v", got.err)
	}
	cancel()
	if got := <-done; !errors.Is(got.err, context.Canceled) || !strings.Contains(got.err.Error(), "1 of 3") {
		t.Errorf("alone: got %v", got.err)
	}

	var crowd []*candidate
	for i := range 3 {
		crowd = append(crowd, newCandidate(t, byte(i+10)))
	}
	go func() { done <- crowd[0].assemble(t.Context(), 2, crowd[1].addr, crowd[2].addr) }()
	go func() { done <- crowd[1].assemble(t.Context(), 2, crowd[0].addr, crowd[2].addr) }()
	go func() { done <- crowd[2].assemble(t.Context(), 2, crowd[0].addr, crowd[1].addr) }()
	rings := 0
	clusters := map[rpc.ClusterID]bool{}
	for range 3 {
		if got := <-done; got.err == nil {
			rings++
			clusters[got.cluster] = true
		} else if !errors.Is(got.err, rpc.ErrRingExists) && !strings.Contains(got.err.Error(), "3 processes wait to start a ring of 2") {
			t.Errorf("one too many: got %v", got.err)
		}
	}
	if rings > 2 || len(clusters) > 1 {
		t.Errorf("three processes that wanted to be two started %d rings", len(clusters))
	}
}

func TestAssembleCopiedIdentity(t *testing.T) {
	a, b := newCandidate(t, 1), newCandidate(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan assembled)
	go func() { done <- a.assemble(ctx, 2) }()
	eventually(t, "the first one waits", func() bool {
		h, err := b.peers.Hello(ctx, a.addr)
		return err == nil && h.Expect == 2
	})
	if got := b.assemble(within(t, 10*time.Second), 2, a.addr); got.err == nil || !strings.Contains(got.err.Error(), "copied") {
		t.Errorf("got %v", got.err)
	}
	cancel()
	<-done
}

func TestAssembleSaysWhoIsMissing(t *testing.T) {
	c := newCandidate(t, 1)
	got := c.assemble(within(t, 300*time.Millisecond), 2, "127.0.0.1:1")
	if !errors.Is(got.err, context.DeadlineExceeded) || !errors.Is(got.err, node.ErrUnreachable) ||
		!strings.Contains(got.err.Error(), "found 1 of 2") || !strings.Contains(got.err.Error(), "127.0.0.1:1: ") {
		t.Errorf("got %v", got.err)
	}
}
