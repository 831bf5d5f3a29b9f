package node_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/chordkv/chord/internal/raced"
	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

// replica is the Peers of a process with one peer: every call passes through its form on the wire, and is counted by it.
type replica struct {
	node.Peers // nil: reconciliation makes no other calls
	peer       *node.Process
	wire       rpc.Wire
	messages   int
	bytes      int
	dieAfter   int  // messages; 0: never
	splits     bool // the peer has more records than it tells of, in whatever it is asked about, and others
}

var errDied = fmt.Errorf("%w: died", node.ErrUnreachable)

// carry counts a message, and fails if it could not be sent.
func carry[T any](r *replica, got T, size int, err error) (T, error) {
	r.messages++
	r.bytes += size
	if err == nil && r.dieAfter > 0 && r.messages > r.dieAfter {
		err = errDied
	}
	return got, err
}

func (r *replica) Digest(ctx context.Context, _ ring.Ref, arcs []ring.Arc, claims []node.Claim) ([]node.Summary, error) {
	got, claims, size, err := r.wire.DigestRequest(arcs, claims)
	if arcs, err = carry(r, got, size, err); err != nil {
		return nil, err
	}
	sums, err := r.peer.Digest(ctx, arcs, claims)
	if err != nil {
		return nil, err
	}
	back, size, err := r.wire.DigestResponse(sums)
	return carry(r, back, size, err)
}

func (r *replica) Outline(ctx context.Context, _ ring.Ref, arcs []ring.Arc, detail node.Detail) ([]node.Outline, error) {
	got, detail, size, err := r.wire.OutlineRequest(arcs, detail)
	if arcs, err = carry(r, got, size, err); err != nil {
		return nil, err
	}
	outlines, err := r.peer.Outline(ctx, arcs, detail)
	for i := range outlines {
		if r.splits {
			outlines[i] = node.Outline{Split: true, Hashes: make([]uint64, len(arcs[i].Split(detail.Bits)))}
		}
	}
	if err != nil {
		return nil, err
	}
	back, size, err := r.wire.OutlineResponse(outlines)
	return carry(r, back, size, err)
}

func (r *replica) Name(ctx context.Context, _ ring.Ref, unnamed []node.Unnamed) ([]node.Entry, error) {
	got, size, err := r.wire.NameRequest(unnamed)
	if unnamed, err = carry(r, got, size, err); err != nil {
		return nil, err
	}
	entries, err := r.peer.Name(ctx, unnamed)
	if err != nil {
		return nil, err
	}
	back, size, err := r.wire.NameResponse(entries)
	return carry(r, back, size, err)
}

func (r *replica) List(ctx context.Context, _ ring.Ref, arc ring.Arc, from node.Cursor, limit int) ([]node.Entry, error) {
	arc, from, limit, size, err := r.wire.ListRequest(arc, from, limit)
	if arc, err = carry(r, arc, size, err); err != nil {
		return nil, err
	}
	entries, err := r.peer.List(ctx, arc, from, limit)
	if err != nil {
		return nil, err
	}
	back, size, err := r.wire.ListResponse(entries)
	return carry(r, back, size, err)
}

func (r *replica) Apply(ctx context.Context, _ ring.Ref, records []node.Record, claims []node.Claim) ([]node.Version, error) {
	got, claims, size, err := r.wire.ApplyRequest(records, claims)
	if records, err = carry(r, got, size, err); err != nil {
		return nil, err
	}
	versions, err := r.peer.Apply(ctx, records, claims)
	if err != nil {
		return nil, err
	}
	back, size, err := r.wire.ApplyResponse(versions)
	return carry(r, back, size, err)
}

func (r *replica) Fetch(ctx context.Context, _ ring.Ref, wants []node.Want) ([]node.Found, error) {
	got, size, err := r.wire.FetchRequest(wants)
	if wants, err = carry(r, got, size, err); err != nil {
		return nil, err
	}
	found, err := r.peer.Fetch(ctx, wants)
	if err != nil {
		return nil, err
	}
	back, size, err := r.wire.FetchResponse(found)
	return carry(r, back, size, err)
}

// pair is two processes that hold n equal records each, of which the first can call the second.
type pair struct {
	*node.Process
	calls        *replica
	ours, theirs node.Store
}

var there = ring.Ref{ID: ring.ID{1}, Addr: "10.0.0.2:7400"}

func newPair(t testing.TB, n int) *pair {
	t.Helper()
	p := &pair{calls: &replica{}, ours: store.NewMemory(), theirs: store.NewMemory()}
	rt := node.NewLive()
	t.Cleanup(rt.Close)
	var err error
	for addr, s := range map[string]node.Store{there.Addr: p.theirs, "10.0.0.1:7400": p.ours} {
		id := node.Identity{Process: [16]byte{addr[7]}, VNodes: 1}
		proc, newErr := node.New(node.DefaultConfig(), id, addr, p.calls, rt, s, node.Events{})
		err = errors.Join(err, newErr)
		if s == p.ours {
			p.Process = proc
		} else {
			p.calls.peer = proc
		}
	}
	batch := make([]node.Record, 0, 1000)
	for i := range n {
		batch = append(batch, oldRecord(i))
		if len(batch) == cap(batch) || i == n-1 {
			_, ourErr := p.ours.Apply(batch)
			_, theirErr := p.theirs.Apply(batch)
			err = errors.Join(err, ourErr, theirErr)
			batch = batch[:0]
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// oldRecord has a value of 100 bytes and a version of the year 2020.
func oldRecord(i int) node.Record {
	return node.Record{
		Key: fmt.Appendf(nil, "user:%08d", i), Value: make([]byte, 100), Version: node.Version{Time: 1577836800000 << 16, Origin: uint64(i) + 1<<60},
		Request: node.RequestID{1, byte(i)},
	}
}

func newRecord(i int) node.Record {
	r := oldRecord(i)
	r.Version.Time += 1 << 16
	return r
}

// differ makes d of n records, scattered, newer or missing on one side; how many it returns are for the other side to get.
func (p *pair) differ(t testing.TB, n, d int, kind string) {
	t.Helper()
	var err error
	for k := range d {
		r, ours := newRecord(k*(n/d)+k%7), k%2 == 0
		old := node.Entry{Key: r.Key, Version: oldRecord(k*(n/d) + k%7).Version}
		from, to := p.theirs, p.ours
		if ours {
			from, to = to, from
		}
		var applyErr, dropErr error
		switch kind {
		case "newer here", "newer there", "newer on both sides":
			if kind == "newer here" && !ours || kind == "newer there" && ours {
				from = to
			}
			_, applyErr = from.Apply([]node.Record{r})
		case "missing here":
			_, dropErr = p.ours.Drop([]node.Entry{old})
		case "missing there":
			_, dropErr = p.theirs.Drop([]node.Entry{old})
		}
		err = errors.Join(err, applyErr, dropErr)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// wantEqual fails unless both sides have the same.
func (p *pair) wantEqual(t testing.TB) {
	t.Helper()
	ours, err := p.ours.Digest([]ring.Arc{ring.FullArc()})
	theirs, theirErr := p.theirs.Digest([]ring.Arc{ring.FullArc()})
	if err != nil || theirErr != nil || ours[0] != theirs[0] {
		t.Errorf("got %+v here, %+v there, %v, %v", ours, theirs, err, theirErr)
	}
}

// onTheWire is what a record takes in a message.
func onTheWire(t testing.TB, r node.Record) int {
	t.Helper()
	var w rpc.Wire
	_, _, one, err := w.ApplyRequest([]node.Record{r}, nil)
	_, _, two, twoErr := w.ApplyRequest([]node.Record{r, r}, nil)
	if err != nil || twoErr != nil {
		t.Fatal(err, twoErr)
	}
	return two - one
}

// Comparing equal replicas costs one small message each way, whatever they hold; of a million records of which a thousand differ, those are found
// and exchanged with less than three times their own bytes.
func TestReconcileCost(t *testing.T) {
	n, d := 1_000_000, 1000
	if testing.Short() || raced.Enabled {
		n, d = 100_000, 100
	}
	p := newPair(t, n)
	sent, received, err := p.Reconcile(t.Context(), ring.FullArc(), there, true)
	if sent != 0 || received != 0 || err != nil || p.calls.messages != 2 || p.calls.bytes > 100 {
		t.Errorf("equal: sent %d, received %d, %v, with %d messages of %d bytes in all", sent, received, err, p.calls.messages, p.calls.bytes)
	}
	most := 3 * d * onTheWire(t, oldRecord(0))
	for _, kind := range []string{"newer here", "newer there", "newer on both sides", "missing here", "missing there"} {
		p.differ(t, n, d, kind)
		p.calls.messages, p.calls.bytes = 0, 0
		sent, received, err := p.Reconcile(t.Context(), ring.FullArc(), there, true)
		if err != nil || sent+received != d {
			t.Errorf("%s: sent %d, received %d, %v, want %d in all", kind, sent, received, err, d)
		}
		if p.calls.bytes >= most || p.calls.messages >= 100 {
			t.Errorf("%s: %d bytes in %d messages, want less than %d in less than 100", kind, p.calls.bytes, p.calls.messages, most)
		}
		t.Logf("%s: %d messages, %d bytes, %.2f times the records", kind, p.calls.messages, p.calls.bytes, 3*float64(p.calls.bytes)/float64(most))
		p.wantEqual(t)
		for i := range d { // back to what both had
			r := oldRecord(i*(n/d) + i%7)
			for _, s := range []node.Store{p.ours, p.theirs} {
				_, dropErr := s.Drop([]node.Entry{{Key: r.Key, Version: newRecord(i*(n/d) + i%7).Version}})
				_, applyErr := s.Apply([]node.Record{r})
				if err := errors.Join(dropErr, applyErr); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// Replicas of all sizes and degrees of difference become equal, in arcs that are no blocks as well; without pull, the peer gets
// everything and nothing comes back.
func TestReconcileAnything(t *testing.T) {
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 8))
		n := []int{0, 1, 5, 100, 3000}[rng.IntN(5)]
		p := newPair(t, n)
		for range []int{0, 1, 10, 2000}[rng.IntN(4)] {
			s := []node.Store{p.ours, p.theirs}[rng.IntN(2)]
			r := newRecord(rng.IntN(2*n + 10))
			r.Version.Time += uint64(rng.IntN(3)) << 16
			r.Tombstone = rng.IntN(4) == 0
			if _, err := s.Apply([]node.Record{r}); err != nil {
				t.Fatal(err)
			}
		}
		arc := ring.FullArc()
		if rng.IntN(3) == 0 {
			arc.After = ring.Hash([]byte{byte(seed)})
			arc.Through = arc.After
		}
		before, err := p.ours.Digest([]ring.Arc{arc})
		if err != nil {
			t.Fatal(err)
		}
		if _, received, err := p.Reconcile(t.Context(), arc, there, false); received > 0 || err != nil {
			t.Errorf("seed %d: received %d, %v without pull", seed, received, err)
		}
		if after, err := p.ours.Digest([]ring.Arc{arc}); err != nil || after[0] != before[0] {
			t.Errorf("seed %d: %+v became %+v, %v without pull", seed, before, after, err)
		}
		if sent, _, err := p.Reconcile(t.Context(), arc, there, true); sent > 0 || err != nil {
			t.Errorf("seed %d: %d records were still to be sent, %v", seed, sent, err)
		}
		p.wantEqual(t)
		if t.Failed() {
			return
		}
	}
}

// Whoever dies, and after whatever message: the next attempt goes on with what is left, and nothing is transferred twice but what was under way.
func TestReconcileGoesOnAfterDeath(t *testing.T) {
	const n, d = 20_000, 3000
	p := newPair(t, n)
	p.differ(t, n, d, "newer on both sides")
	total, deaths := 0, 0
	for {
		p.calls.messages, p.calls.dieAfter = 0, 13+deaths%5
		sent, received, err := p.Reconcile(t.Context(), ring.FullArc(), there, true)
		total += sent + received
		if err == nil {
			break
		}
		if !errors.Is(err, errDied) || deaths > 100 {
			t.Fatalf("after %d deaths: %v", deaths, err)
		}
		deaths++
	}
	p.wantEqual(t)
	// A batch whose answer is lost counts as not sent, but is there, and is not sent again.
	if deaths == 0 || total > d {
		t.Errorf("%d deaths, %d records transferred for %d that differ", deaths, total, d)
	}
}

// A peer that goes on splitting for ever is no peer to compare with.
func TestReconcileEndsWithALiar(t *testing.T) {
	p := newPair(t, 2000)
	p.differ(t, 2000, 10, "newer here")
	p.calls.splits = true
	if _, _, err := p.Reconcile(t.Context(), ring.FullArc(), there, true); !errors.Is(err, node.ErrInvalid) {
		t.Errorf("got %v, want %v", err, node.ErrInvalid)
	}
	if p.calls.messages > 1000 {
		t.Errorf("%d messages", p.calls.messages)
	}
}

func BenchmarkReconcile(b *testing.B) {
	const n, d = 1_000_000, 1000
	p := newPair(b, n)
	b.Run("equal", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := p.Reconcile(b.Context(), ring.FullArc(), there, true); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("a thousand differ", func(b *testing.B) {
		var took time.Duration
		for range b.N {
			b.StopTimer()
			p.differ(b, n, d, "missing there")
			b.StartTimer()
			began := time.Now()
			if sent, _, err := p.Reconcile(b.Context(), ring.FullArc(), there, true); sent != d || err != nil {
				b.Fatal(sent, err)
			}
			took += time.Since(began)
		}
	})
}
