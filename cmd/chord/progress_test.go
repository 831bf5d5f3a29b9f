package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgressLine(t *testing.T) {
	p := &progress{label: "import", unit: "lines"}
	for _, tc := range []struct {
		elapsed time.Duration
		gauge   gauge
		width   int
		want    string
	}{
		{
			10 * time.Second,
			gauge{done: 0.25, count: 50_000},
			80,
			"import [========                         ]  25% 50,000 lines, 5,000/s, 30s left",
		},
		{
			10 * time.Second,
			gauge{done: 1, count: 200_000, suffix: ", 3 failed"},
			100,
			"import [========================================] 100% 200,000 lines, 20,000/s, 0s left, 3 failed",
		},
		{500 * time.Millisecond, gauge{done: 0.1, count: 10}, 60, "import [===                           ]  10% 10 lines, 20/s"},
		{2 * time.Second, gauge{done: -1, count: 10}, 80, "import  10 lines, 5/s"},
		{10 * time.Second, gauge{done: 0.25, count: 50_000}, 30, "import   25% 50,000 lines, 5,"},
		{0, gauge{done: 0, count: 0}, 0, ""},
	} {
		if got := p.line(tc.elapsed, tc.gauge, tc.width); got != tc.want {
			t.Errorf("%v of %+v in %d columns:\ngot  %q\nwant %q", tc.elapsed, tc.gauge, tc.width, got, tc.want)
		}
		if got := p.line(tc.elapsed, tc.gauge, tc.width); len(got) > max(tc.width-1, 0) {
			t.Errorf("%d columns do not fit into %d", len(got), tc.width)
		}
	}
}

// TestProgressOfResumed: rate and time left come from this run alone.
func TestProgressOfResumed(t *testing.T) {
	p := &progress{label: "import", unit: "lines", first: gauge{done: 0.5, count: 1000}}
	got := p.line(10*time.Second, gauge{done: 0.75, count: 1500}, 80)
	if want := "1,500 lines, 50/s, 10s left"; !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want suffix %q", got, want)
	}
}

func TestProgressDrawsAndCleansUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		p := startProgress(&b, "import", "lines", func() int { return 80 }, func() gauge { return gauge{done: 0.5, count: 7} })
		time.Sleep(3*redrawEvery + redrawEvery/2)
		p.stop()
		p.stop()
		if got, want := strings.Count(b.String(), "\r"), 4; got != want {
			t.Errorf("got %d drawings and the removal, want %d: %q", got, want, b.String())
		}
		if !strings.HasSuffix(b.String(), "\r\x1b[K") {
			t.Errorf("the line is not removed at the end: %q", b.String())
		}
	})
}

func TestProgressOnlyOnTerminals(t *testing.T) {
	w := newWorld()
	path := writeLines(t, 10)
	if w.must(t, "import", path); w.err.Len() > 0 {
		t.Errorf("off a terminal: stderr has %q", w.err.String())
	}
	w.stderrTTY = true
	for _, flag := range []string{"--no-progress", "-q"} {
		if w.must(t, "import", path, flag); strings.Contains(w.err.String(), "\r") {
			t.Errorf("%s: stderr has %q", flag, w.err.String())
		}
	}
	if w.must(t, "import", path); !strings.Contains(w.err.String(), "\r") {
		t.Errorf("on a terminal: stderr has %q, want a bar", w.err.String())
	}
}

func TestColors(t *testing.T) {
	w := newWorld()
	w.stdoutTTY = true
	w.ring.members = testMembers()
	green := "\x1b[32mok\x1b[0m"
	if got := w.must(t, "ring"); !strings.Contains(got, green) {
		t.Errorf("on a terminal: %q is not in %q", green, got)
	}
	if got := w.must(t, "ring", "--no-color"); strings.Contains(got, "\x1b") {
		t.Errorf("--no-color: got %q", got)
	}
	w.env["NO_COLOR"] = "1"
	if got := w.must(t, "ring"); strings.Contains(got, "\x1b") {
		t.Errorf("NO_COLOR: got %q", got)
	}
}
