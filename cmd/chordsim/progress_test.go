package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/sim/experiment"
)

// TestProgressOnATerminalAndElsewhere: a bar for people, lines for logs, nothing for who asks for that.
func TestProgressOnATerminalAndElsewhere(t *testing.T) {
	for _, tc := range []struct {
		tty        bool
		globals    globals
		bar, lines bool
	}{
		{true, globals{}, true, false},
		{false, globals{}, false, true},
		{true, globals{quiet: true}, false, false},
		{true, globals{noProgress: true}, false, false},
		{false, globals{quiet: true}, false, false},
		{false, globals{noProgress: true}, false, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			var b bytes.Buffer
			a := &app{stderr: &b, stderrTTY: tc.tty, globals: tc.globals, width: func() int { return 80 }}
			p := a.startProgress("first", "events", func() cli.Gauge { return cli.Gauge{Done: 0.5, Count: 7} })
			time.Sleep(time.Minute)
			p.Stop()
			if bar, lines := strings.Contains(b.String(), "\r"), strings.Contains(b.String(), "\n"); bar != tc.bar || lines != tc.lines {
				t.Errorf("terminal %v, %+v: bar %v, lines %v, want %v, %v", tc.tty, tc.globals, bar, lines, tc.bar, tc.lines)
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
	if want := "point 2 of 4 at 15s of 1m0s"; got.Where != want || got.Done != 0.3125 || got.Count != 99 {
		t.Errorf("got %+v, want %s", got, want)
	}
}
