package sim_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chordkv/chord/sim"
)

func TestTraceFormat(t *testing.T) {
	trace, err := sim.ReadTrace(writeFile(t, "time,node,event\n\n# who\n1.5, 3, crash\n1m30s,alice,join\n90,bob,join\r\n2m,alice,leave"))
	if err != nil {
		t.Fatal(err)
	}
	want := []sim.TraceEvent{
		{At: 1500 * time.Millisecond, Node: "3", Kind: "crash", Line: 4},
		{At: 90 * time.Second, Node: "alice", Kind: "join", Line: 5},
		{At: 90 * time.Second, Node: "bob", Kind: "join", Line: 6},
		{At: 2 * time.Minute, Node: "alice", Kind: "leave", Line: 7},
	}
	if !slices.Equal(trace.Events, want) {
		t.Errorf("got %+v, want %+v", trace.Events, want)
	}
}

func TestTraceErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ": no events"},
		{"time,node,event\n", ": no events"},
		{"1,2\n", ":1: 2 fields, want 3"},
		{"soon,2,join\n", `:1: time "soon", want seconds`},
		{"-1,2,join\n", ":1: time -1, want 0 to"},
		{"-1s,2,join\n", `:1: time "-1s"`},
		{"NaN,2,join\n", ":1: time NaN, want 0 to"},
		{"1,,join\n", ":1: no node"},
		{"1,2,joins\n", `:1: event "joins", want join, leave or crash`},
		{"2,a,join\n\n1,b,join\n", ":3: time 1s is before that of the line above, 2s"},
	} {
		name := writeFile(t, test.text)
		_, err := sim.ReadTrace(name)
		if err == nil || !strings.Contains(err.Error(), name+test.want) {
			t.Errorf("%q: got %v, want FILE%s", test.text, err, test.want)
		}
	}
}
