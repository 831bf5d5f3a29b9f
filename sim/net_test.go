package sim_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/sim"
)

// ask has one host read the neighbors of another's first node, with a deadline of 10 s, and returns how long that took.
func ask(t testing.TB, w *sim.World, from, to *sim.Host) (took time.Duration, err error) {
	t.Helper()
	ref := to.Identity().Nodes()[0]
	on(t, from, w, func(*node.Process) {
		ctx, cancel := w.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		began := w.Now()
		v, callErr := from.Peers().Neighbors(ctx, refAt(ref, to))
		took, err = w.Now()-began, callErr
		if err == nil && v.Self.ID != ref {
			t.Errorf("got the view of %v, want that of %v", v.Self, ref)
		}
	})
	return took, err
}

func constant(d time.Duration) sim.Options {
	o := sim.DefaultOptions()
	o.Latency = sim.Constant(d)
	return o
}

func TestLatency(t *testing.T) {
	w := newRing(t, 3, constant(30*time.Millisecond))
	if took, err := ask(t, w, w.Host(0), w.Host(1)); took != 60*time.Millisecond || err != nil {
		t.Errorf("got %v, %v; want 60ms: there and back", took, err)
	}
	if took, err := ask(t, w, w.Host(0), w.Host(0)); took != 0 || err != nil {
		t.Errorf("to itself: got %v, %v; want no time", took, err)
	}
}

// TestDeadPeers: a dead process is refused after a round trip, a dead machine is silent until the deadline.
func TestDeadPeers(t *testing.T) {
	w := newRing(t, 3, constant(30*time.Millisecond))
	w.Host(1).Kill()
	w.Host(2).Crash()
	if took, err := ask(t, w, w.Host(0), w.Host(1)); took != 60*time.Millisecond || !errors.Is(err, node.ErrUnreachable) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("killed process: got %v, %v; want a refusal after 60ms", took, err)
	}
	if took, err := ask(t, w, w.Host(0), w.Host(2)); took != 10*time.Second || !errors.Is(err, node.ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("machine that is down: got %v, %v; want the deadline after 10s", took, err)
	}
	s := w.Stats()
	if s.Refused == 0 || s.Silent == 0 || s.Timeouts[sim.MethodNeighbors] == 0 || s.Running != 1 {
		t.Errorf("got %+v, want the refusal, the silence and the timeout counted, and one process", s)
	}
}

// TestLateAnswer: an answer that comes after the deadline is none.
func TestLateAnswer(t *testing.T) {
	w := newRing(t, 3, constant(6*time.Second))
	if took, err := ask(t, w, w.Host(0), w.Host(1)); took != 10*time.Second || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, %v; want the deadline after 10s", took, err)
	}
	w.Net().SetLatency(sim.Constant(time.Second))
	if took, err := ask(t, w, w.Host(0), w.Host(1)); took != 2*time.Second || err != nil {
		t.Errorf("over a shorter way: got %v, %v; want 2s", took, err)
	}
}

// TestLoss: lost messages are as many as they should be, and the ring outlives them.
func TestLoss(t *testing.T) {
	o := sim.DefaultOptions()
	o.Loss = 0.02
	w := newRing(t, 32, o)
	run(t, w, 2*time.Minute)
	s := w.Stats()
	total := s.Total()
	if share := float64(s.Lost) / float64(total.Messages); share < 0.017 || share > 0.023 {
		t.Errorf("lost %d of %d messages, want 2%%", s.Lost, total.Messages)
	}
	w.Net().SetLoss(0)
	converge(t, w, 2*time.Minute)
	w.Net().SetLoss(1)
	if _, err := ask(t, w, w.Host(0), w.Host(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("everything lost: got %v, want the deadline", err)
	}
}

// TestDuplicate: a request that arrives twice is executed twice and answered once, and a write still is one write.
func TestDuplicate(t *testing.T) {
	o := sim.DefaultOptions()
	o.Duplicate = 1
	w := newRing(t, 8, o)
	converge(t, w, time.Minute)
	if err := put(t, w, w.Host(1), "key", "value"); err != nil {
		t.Fatal(err)
	}
	if got, err := get(t, w, w.Host(2), "key"); got != "value" || err != nil {
		t.Errorf("got %q, %v; want %q", got, err, "value")
	}
	run(t, w, time.Second)
	s := w.Stats()
	var requests, answers uint64
	for m := range sim.Methods {
		requests, answers = requests+s.Requests[m].Messages, answers+s.Answers[m].Messages
	}
	if s.Repeated == 0 || s.Repeated+5 < requests || answers > requests {
		t.Errorf("%d requests, %d executed again, %d answered; want all executed again and answered once", requests, s.Repeated, answers)
	}
}

// TestPartition splits a ring in two, which both go on as rings, and lets it grow together again.
func TestPartition(t *testing.T) {
	w := newRing(t, 24, sim.DefaultOptions())
	converge(t, w, time.Minute)
	a, b := w.Host(0), w.Host(1)
	for i, h := range w.Hosts() {
		w.Net().Partition(h, i%2)
	}
	if w.Net().Reaches(a, b) || !w.Net().Reaches(a, w.Host(2)) {
		t.Error("hosts of different groups reach each other, or hosts of one do not")
	}
	if _, err := ask(t, w, a, b); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("across the partition: got %v, want the deadline", err)
	}
	run(t, w, 2*time.Minute)
	for side := range 2 {
		if err := put(t, w, w.Host(side), "side", "v"); err != nil {
			t.Errorf("put on side %d: %v", side, err)
		}
	}
	if err := ideal(w); err == nil {
		t.Error("the ring of all is ideal while it is cut in two")
	}
	w.Net().Heal()
	converge(t, w, 5*time.Minute)
}

// TestUnderWay: a message that is under way when the partition comes up is lost.
func TestUnderWay(t *testing.T) {
	w := newRing(t, 3, constant(time.Second))
	w.At(w.Now()+500*time.Millisecond, func() { w.Net().Partition(w.Host(1), 1) })
	w.At(w.Now()+600*time.Millisecond, func() { w.Net().Heal() })
	if _, err := ask(t, w, w.Host(0), w.Host(1)); err != nil {
		t.Errorf("cut between two messages: %v, want no effect", err)
	}
	w.At(w.Now()+1500*time.Millisecond, func() { w.Net().Partition(w.Host(1), 1) }) // the answer is under way
	if _, err := ask(t, w, w.Host(0), w.Host(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}

// TestOneWay: what is blocked in one direction arrives in the other, and then its answer is lost.
func TestOneWay(t *testing.T) {
	w := newRing(t, 3, constant(time.Second))
	a, b := w.Host(0), w.Host(1)
	for _, c := range []struct {
		name  string
		block func(on bool)
	}{
		{"block", func(on bool) { w.Net().Block(a, b, on) }},
		{"mute", func(on bool) { w.Net().Mute(a, on) }},
	} {
		c.block(true)
		executed := w.Stats().Answers[sim.MethodNeighbors].Messages
		if _, err := ask(t, w, b, a); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: against the direction: got %v, want the deadline", c.name, err)
		}
		if w.Stats().Answers[sim.MethodNeighbors].Messages == executed {
			t.Errorf("%s: the request against the direction did not arrive", c.name)
		}
		if w.Net().Reaches(a, b) || !w.Net().Reaches(b, a) {
			t.Errorf("%s: reaches in the wrong direction", c.name)
		}
		c.block(false)
		if _, err := ask(t, w, a, b); err != nil {
			t.Errorf("%s: after the end: %v", c.name, err)
		}
	}
}

func TestSlow(t *testing.T) {
	w := newRing(t, 3, constant(10*time.Millisecond))
	w.Host(1).SetSlow(5)
	if took, err := ask(t, w, w.Host(0), w.Host(1)); took != 100*time.Millisecond || err != nil {
		t.Errorf("to the slow host: got %v, %v; want 100ms", took, err)
	}
	if took, err := ask(t, w, w.Host(1), w.Host(2)); took != 100*time.Millisecond || err != nil {
		t.Errorf("from the slow host: got %v, %v; want 100ms", took, err)
	}
	if took, err := ask(t, w, w.Host(0), w.Host(2)); took != 20*time.Millisecond || err != nil {
		t.Errorf("between others: got %v, %v; want 20ms", took, err)
	}
	w.Host(1).SetSlow(1)
	if took, err := ask(t, w, w.Host(0), w.Host(1)); took != 20*time.Millisecond || err != nil {
		t.Errorf("normal again: got %v, %v; want 20ms", took, err)
	}
}

// TestBandwidth: a message leaves when all of its bytes have, after those before it.
func TestBandwidth(t *testing.T) {
	w := newRing(t, 3, constant(0))
	run(t, w, time.Second)
	h, to := w.Host(0), w.Host(1)
	h.SetBandwidth(1000)
	var took [2]time.Duration
	on(t, h, w, func(*node.Process) {
		began := w.Now()
		h.Runtime().Gather(2, func(i int) error {
			r := node.Record{Key: []byte("k"), Value: make([]byte, 963), Version: node.Version{Time: uint64(i + 1)}}
			_, err := h.Peers().Apply(context.Background(), refAt(to.Identity().Nodes()[0], to), []node.Record{r}, nil) // 20 + 1 + 963 + 16 bytes
			took[i] = w.Now() - began
			return err
		}, nil, func(_ int, err error) bool {
			if err != nil {
				t.Error(err)
			}
			return false
		})
	})
	if want := [2]time.Duration{time.Second, 2 * time.Second}; took != want {
		t.Errorf("1000 bytes each at 1000 bytes/s: got %v, want %v", took, want)
	}
	h.SetBandwidth(0)
	if d, err := ask(t, w, h, to); d != 0 || err != nil {
		t.Errorf("without a limit: got %v, %v", d, err)
	}
}
