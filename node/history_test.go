package node

import (
	"sync"
	"testing"
)

func TestHistory(t *testing.T) {
	var h History
	outcomes := make([]outcome, maxOutcomes+3)
	for i := range outcomes {
		outcomes[i] = outcome{RequestID{1, byte(i)}, Version{uint64(i + 1), 7}, int64(-i), i%2 == 0}
		before := h
		h = h.with(outcomes[i])
		if err := h.Check(); err != nil {
			t.Fatal(err)
		}
		if _, ok := before.find(outcomes[i].Request); ok {
			t.Fatalf("outcome %d was found before it was there", i)
		}
		for j, want := range outcomes[:i+1] {
			got, ok := h.find(want.Request)
			if kept := i-j < maxOutcomes; ok != kept || ok && got != want {
				t.Fatalf("outcome %d of %d: got %+v, %v, want %+v", j, i, got, ok, want)
			}
		}
		if got, want := h.lost(), i >= maxOutcomes; got != want {
			t.Fatalf("after %d outcomes: lost %v, want %v", i+1, got, want)
		}
	}
	if _, ok := h.with(outcome{}).find(RequestID{}); ok {
		t.Error("a request without an id was found")
	}
	if d := History("").doubtful(); !d.lost() || d.Check() != nil {
		t.Errorf("%q, want a history that has lost everything", d)
	}
	for _, bad := range []History{"\x02", h[:len(h)-1], h + h[1:], h[1:]} {
		if bad.Check() == nil {
			t.Errorf("a history of %d bytes is accepted", len(bad))
		}
	}
}

// Whoever puts up a fence sees no plain write under way once it is quiet, and none begins until it is taken down.
func TestLane(t *testing.T) {
	var l lane
	var plain, fenced int // guarded by the lane
	var mu sync.Mutex     // of plain, which many may change at a time
	var tasks sync.WaitGroup
	for range 8 {
		tasks.Go(func() {
			for range 2000 {
				if l.enter() {
					mu.Lock()
					plain++
					mu.Unlock()
					mu.Lock()
					plain--
					mu.Unlock()
					l.leave()
				}
			}
		})
	}
	tasks.Go(func() {
		for range 500 {
			l.fences.Add(1)
			quiet := make(chan struct{}, 2)
			l.quiet(func() { quiet <- struct{}{} })
			<-quiet
			mu.Lock()
			if plain != 0 {
				t.Errorf("%d plain writes behind the fence", plain)
			}
			mu.Unlock()
			fenced++
			l.fences.Add(-1)
		}
	})
	tasks.Wait()
	if fenced != 500 || l.plain.Load() != 0 {
		t.Errorf("%d times fenced, %d writes left", fenced, l.plain.Load())
	}
}
