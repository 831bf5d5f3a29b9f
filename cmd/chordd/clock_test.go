package main

import (
	"strings"
	"testing"
	"time"
)

// TestClockWatch: a clock is trusted while it agrees with the majority, itself included, within 500 ms, and has not jumped since that was found.
func TestClockWatch(t *testing.T) {
	var offset time.Duration
	w := newClockWatch(func() time.Time { return time.Now().Add(offset) }, 500*time.Millisecond)
	trusted := func() bool { return w.check(w.now()) == nil }
	if !trusted() {
		t.Error("a clock that was never compared is not trusted: nobody could found a ring")
	}
	const off = time.Hour
	for _, test := range []struct {
		name  string
		ahead []time.Duration // of the others
		want  bool
	}{
		{"alone", nil, true},
		{"one that agrees", []time.Duration{499 * time.Millisecond}, true},
		{"one that does not: nobody knows who is right", []time.Duration{501 * time.Millisecond}, false},
		{"one of two is off", []time.Duration{0, off}, true},
		{"both of two are off", []time.Duration{-off, off}, false},
		{"half of four, itself included", []time.Duration{0, off, off}, false},
		{"three of five", []time.Duration{0, 10 * time.Millisecond, -off, off}, true},
	} {
		w.compare(test.ahead)
		if got := trusted(); got != test.want {
			t.Errorf("%s: trusted %v, want %v: %v", test.name, got, test.want, w.check(w.now()))
		}
	}
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 300 * time.Millisecond} {
		w.compare(nil)
		select {
		case <-w.asked:
			t.Error("a comparison is asked for without need")
		default:
		}
		offset += jump
		if err := w.check(w.now()); err == nil || !strings.Contains(err.Error(), "jumped") {
			t.Errorf("a jump by %v: %v", jump, err)
		}
		select {
		case <-w.asked:
		default:
			t.Error("no comparison is asked for")
		}
		w.compare([]time.Duration{0})
		if !trusted() {
			t.Error("a clock that was set right is not trusted")
		}
	}
}

// TestOffset: whatever a call takes, a clock that agrees is not taken for one that is off, and one that is off by an hour shows.
func TestOffset(t *testing.T) {
	const most = 500 * time.Millisecond
	for _, took := range []time.Duration{0, time.Millisecond, most, 2 * time.Second} {
		for _, share := range []time.Duration{0, 1, 2} { // of the call, in halves, that had passed when the other clock was read
			for _, ahead := range []time.Duration{0, 200 * time.Millisecond, -200 * time.Millisecond, time.Hour, -time.Hour} {
				got := offset(ahead-took+share*took/2, took, most)
				if agrees := got.Abs() <= most; agrees != (ahead.Abs() <= most) {
					t.Errorf("%v ahead, read after %d halves of %v: got %v", ahead, share, took, got)
				}
			}
		}
	}
}
