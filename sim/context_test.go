package sim_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/chordkv/chord/sim"
)

func TestContext(t *testing.T) {
	w := newWorld(t, sim.DefaultOptions())
	outer, cancel := w.WithTimeout(context.Background(), time.Second)
	defer cancel()
	long, cancelLong := w.WithTimeout(outer, time.Hour)
	defer cancelLong()
	short, cancelShort := w.WithTimeout(outer, time.Millisecond)
	defer cancelShort()
	canceled, cancelNow := w.WithTimeout(outer, time.Hour)

	if err := short.Err(); err != nil {
		t.Errorf("before its deadline: %v", err)
	}
	outerEnd, _ := outer.Deadline()
	if end, ok := long.Deadline(); !ok || !end.Equal(outerEnd) {
		t.Errorf("deadline below an earlier one: got %v, want %v", end, outerEnd)
	}
	cancelNow()
	if err := canceled.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: got %v, want %v", err, context.Canceled)
	}
	run(t, w, time.Millisecond)
	if err := short.Err(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("at its deadline: got %v, want %v", err, context.DeadlineExceeded)
	}
	if err := long.Err(); err != nil {
		t.Errorf("before the deadline of its parent: %v", err)
	}
	run(t, w, time.Second)
	if err := long.Err(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the deadline of its parent: got %v, want %v", err, context.DeadlineExceeded)
	}
	if err := canceled.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled, after the deadline of its parent: got %v, want %v still", err, context.Canceled)
	}
}

// TestContextDone: a channel of virtual time would block the only goroutine there is.
func TestContextDone(t *testing.T) {
	w := newWorld(t, sim.DefaultOptions())
	ctx, cancel := w.WithTimeout(context.Background(), time.Second)
	defer cancel()
	defer func() {
		if text, _ := recover().(string); !strings.Contains(text, "rule 10") {
			t.Errorf("got panic %q, want one that names rule 10", text)
		}
	}()
	ctx.Done()
}
