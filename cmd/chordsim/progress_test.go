package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chordkv/chord/sim/experiment"
)

func TestProgressLine(t *testing.T) {
	p := &progress{label: "first", unit: "events"}
	for _, tc := range []struct {
		elapsed time.Duration
		gauge   gauge
		width   int
		want    string
	}{
		{
			10 * time.Second,
			gauge{done: 0.25, where: "2m30s of 10m0s", count: 50_000},
			96,
			"first [========                         ]  25% 2m30s of 10m0s, 50,000 events, 5,000/s, 30s left",
		},
		{500 * time.Millisecond, gauge{done: 0.1, count: 10}, 60, "first [===                           ]  10% 10 events, 20/s"},
		{2 * time.Second, gauge{done: -1, count: 10, suffix: ", 1 failed"}, 80, "first  10 events, 5/s, 1 failed"},
		{10 * time.Second, gauge{done: 0.25, count: 50_000}, 30, "first   25% 50,000 events, 5,0"[:29]},
		{0, gauge{done: 0, count: 0}, 0, ""},
	} {
		if got := p.line(tc.elapsed, tc.gauge, tc.width); got != tc.want {
			t.Errorf("%v of %+v in %d columns:\ngot  %q\nwant %q", tc.elapsed, tc.gauge, tc.width, got, tc.want)
		}
	}
	if got, want := p.plain(10*time.Second, gauge{done: 0.5, count: 5000}), "first: 50%, 5,000 events, 500/s, 10s left"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestProgressOnATerminalAndElsewhere(t *testing.T) {
	for _, tc := range []struct {
		tty     bool
		globals globals
		want    int // of carriage returns
		lines   int
	}{
		{true, globals{}, int(2*reportEvery/redrawEvery) + 1, 0},
		{false, globals{}, 0, 2},
		{true, globals{quiet: true}, 0, 0},
		{true, globals{noProgress: true}, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			var b bytes.Buffer
			a := &app{stderr: &b, stderrTTY: tc.tty, globals: tc.globals, width: func() int { return 80 }}
			p := a.startProgress("first", "events", func() gauge { return gauge{done: 0.5, count: 7} })
			time.Sleep(2*reportEvery + redrawEvery/2)
			p.stop()
			p.stop()
			if got := strings.Count(b.String(), "\r"); got != tc.want {
				t.Errorf("terminal %v, %+v: %d drawings, want %d", tc.tty, tc.globals, got, tc.want)
			}
			if got := strings.Count(b.String(), "\n"); got != tc.lines {
				t.Errorf("terminal %v, %+v: %d lines, want %d", tc.tty, tc.globals, got, tc.lines)
			}
			if tc.want > 0 && !strings.HasSuffix(b.String(), "\r\x1b[K") {
				t.Error("the bar is not removed at the end")
			}
		})
	}
}

func TestGaugeOfPoints(t *testing.T) {
	p := &experiment.Progress{}
	p.Expect(4)
	p.Begin("a", time.Minute).End()
	p.Begin("b", time.Minute).At(15*time.Second, 99)
	got := gaugeOf(p)
	if want := "point 2 of 4 at 15s of 1m0s"; got.where != want || got.done != 0.3125 || got.count != 99 {
		t.Errorf("got %+v, want %s", got, want)
	}
}
