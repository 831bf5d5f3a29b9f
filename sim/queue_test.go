package sim

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestQueueOrder compares the queue with a sorted list, over random additions, removals of the first and removals from the middle.
func TestQueueOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var q queue
	var want []event
	sorted := func() {
		slices.SortFunc(want, func(a, b event) int { return map[bool]int{true: -1, false: 1}[a.before(&b)] })
	}
	for i := range 20_000 {
		switch n := r.IntN(10); {
		case n < 5 || q.len() == 0:
			at := time.Duration(r.IntN(50)) // many at the same time
			want = append(want, event{at: at, order: q.next<<8 | uint64(StepTimer), host: int32(i), ref: uint32(i)})
			q.add(at, StepTimer, int32(i), uint32(i))
		case n < 9:
			sorted()
			if got := q.pop(); got != want[0] {
				t.Fatalf("operation %d: popped %+v, want %+v", i, got, want[0])
			}
			want = want[1:]
		default:
			got := q.remove(r.IntN(q.len()))
			at := slices.Index(want, got)
			if at < 0 {
				t.Fatalf("operation %d: removed %+v, which is not in the queue", i, got)
			}
			want = slices.Delete(want, at, at+1)
		}
	}
	sorted()
	for i, w := range want {
		if got := q.pop(); got != w {
			t.Fatalf("at the end, %d: popped %+v, want %+v", i, got, w)
		}
	}
	if q.len() != 0 {
		t.Errorf("%d events are left over", q.len())
	}
}

// TestEventKind: the kind of an event does not get into the way of its number.
func TestEventKind(t *testing.T) {
	var q queue
	q.next = 1 << 40
	q.add(7, StepTimeout, Harness, 3)
	if e := q.pop(); e.kind() != StepTimeout || e.order>>8 != 1<<40 || e.host != Harness {
		t.Errorf("got kind %v, number %d, host %d", e.kind(), e.order>>8, e.host)
	}
}
