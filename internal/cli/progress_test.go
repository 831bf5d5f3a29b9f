package cli

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgressBar(t *testing.T) {
	p := &Progress{label: "import", unit: "lines"}
	for _, tc := range []struct {
		elapsed time.Duration
		gauge   Gauge
		width   int
		want    string
	}{
		{
			10 * time.Second,
			Gauge{Done: 0.25, Count: 50_000},
			80,
			"import [========                         ]  25% 50,000 lines, 5,000/s, 30s left",
		},
		{
			10 * time.Second,
			Gauge{Done: 1, Count: 200_000, Suffix: ", 3 failed"},
			100,
			"import [========================================] 100% 200,000 lines, 20,000/s, 0s left, 3 failed",
		},
		{
			10 * time.Second,
			Gauge{Done: 0.25, Where: "2m30s of 10m0s", Count: 50_000},
			96,
			"import [========                         ]  25% 2m30s of 10m0s, 50,000 lines, 5,000/s, 30s left",
		},
		{500 * time.Millisecond, Gauge{Done: 0.1, Count: 10}, 60, "import [===                           ]  10% 10 lines, 20/s"},
		{2 * time.Second, Gauge{Done: -1, Count: 10}, 80, "import  10 lines, 5/s"},
		{2 * time.Second, Gauge{Done: -1, Count: 10, Suffix: ", 1 failed"}, 80, "import  10 lines, 5/s, 1 failed"},
		{10 * time.Second, Gauge{Done: 0.25, Count: 50_000}, 30, "import   25% 50,000 lines, 5,"},
		{0, Gauge{Done: 0, Count: 0}, 0, ""},
	} {
		got := p.bar(tc.elapsed, tc.gauge, tc.width)
		if got != tc.want {
			t.Errorf("%v of %+v in %d columns:\ngot  %q\nwant %q", tc.elapsed, tc.gauge, tc.width, got, tc.want)
		}
		if len(got) > max(tc.width-1, 0) {
			t.Errorf("%d columns do not fit into %d", len(got), tc.width)
		}
	}
}

func TestProgressLine(t *testing.T) {
	p := &Progress{label: "first", unit: "events"}
	for want, g := range map[string]Gauge{
		"first: 50%, 5,000 events, 500/s, 10s left":       {Done: 0.5, Count: 5000},
		"first: 2 departures, 5,000 events, 500/s, 9 odd": {Done: -1, Where: "2 departures", Count: 5000, Suffix: ", 9 odd"},
	} {
		if got := p.line(10*time.Second, g); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestProgressOfResumed: rate and time left come from this run alone.
func TestProgressOfResumed(t *testing.T) {
	p := &Progress{label: "import", unit: "lines", first: Gauge{Done: 0.5, Count: 1000}}
	got := p.bar(10*time.Second, Gauge{Done: 0.75, Count: 1500}, 80)
	if want := "1,500 lines, 50/s, 10s left"; !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want suffix %q", got, want)
	}
}

func TestProgressShowsAndCleansUp(t *testing.T) {
	read := func() Gauge { return Gauge{Done: 0.5, Count: 7} }
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		p := StartBar(&b, func() int { return 80 }, "import", "lines", read)
		time.Sleep(3*redrawEvery + redrawEvery/2)
		p.Stop()
		p.Stop()
		if got, want := strings.Count(b.String(), "\r"), 4; got != want {
			t.Errorf("got %d drawings and the removal, want %d: %q", got, want, b.String())
		}
		if !strings.HasSuffix(b.String(), "\r\x1b[K") {
			t.Errorf("the bar is not removed at the end: %q", b.String())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		p := StartLines(&b, "import", "lines", read)
		time.Sleep(2*reportEvery + reportEvery/2)
		p.Stop()
		if got, want := b.String(), "import: 50%, 7 lines, 0/s\n"; got != want+want {
			t.Errorf("got %q, want %q twice", got, want)
		}
	})
	StartBar(nil, nil, "import", "lines", read).Stop()
	StartLines(nil, "import", "lines", read).Stop()
}
