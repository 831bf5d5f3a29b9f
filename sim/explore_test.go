package sim_test

import (
	"context"
	"errors"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chordkv/chord/internal/raced"
	"github.com/chordkv/chord/sim"
)

func drill(t testing.TB, text string) *sim.Drill {
	t.Helper()
	d, err := sim.ParseDrill(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func explore(t testing.TB, d *sim.Drill, o sim.ExploreOptions) *sim.Explored {
	t.Helper()
	// A world is small and does not live long: most of the time would go to the collector.
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	out, err := sim.Explore(t.Context(), d, o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// grains returns a shipped drill at both grains.
func grains(t testing.TB, name string) []*sim.Drill {
	t.Helper()
	var list []*sim.Drill
	for _, sections := range []bool{false, true} {
		d, err := sim.ReadDrill(name)
		if err != nil {
			t.Fatal(err)
		}
		d.Sections = sections
		list = append(list, d)
	}
	return list
}

// No schedule of the shipped drills with up to two departures, or with CHORD_EXHAUSTIVE=1 four, breaks anything.
func TestExploreShippedDrills(t *testing.T) {
	departures := 2
	if os.Getenv("CHORD_EXHAUSTIVE") != "" {
		departures = 4
	}
	if testing.Short() || raced.Enabled {
		departures = 1
	}
	for _, name := range sim.Drills() {
		for _, d := range grains(t, name) {
			out := explore(t, d, sim.ExploreOptions{Departures: departures})
			t.Logf("%s, sections %v: %d schedules, %d states, %d steps in %v", name, d.Sections, out.Schedules, out.States, out.Steps, out.Took)
			if out.Found != nil {
				t.Errorf("%s: %v\n%s", name, out.Err, out.Found)
			}
			if out.Schedules < 10*departures || out.Departures != departures {
				t.Errorf("%s: %d schedules with up to %d departures: the search did not search", name, out.Schedules, out.Departures)
			}
		}
	}
}

// What an exploration does is the same however many worlds run side by side.
func TestExploreIsDeterministic(t *testing.T) {
	for _, d := range grains(t, "join-before-crash") {
		var last sim.ExploreStats
		for _, workers := range []int{1, 2, 3} {
			out := explore(t, d, sim.ExploreOptions{Departures: 1, Workers: workers})
			if last.Schedules > 0 && out.ExploreStats != last {
				t.Errorf("with %d workers: got %+v, want %+v", workers, out.ExploreStats, last)
			}
			last = out.ExploreStats
		}
	}
}

// lossy is a drill in which both processes that have a key die: nothing can save it. The join plays no part in that.
const lossy = `drill lossy
seed 1
nodes 5
successors 2
replicas 2
keys 6
window 0s 50ms
at 0s join 5
at 10ms kill 1
at 10ms kill 2
at 10ms kill 3
`

// What is found comes back as a script, as small as it gets, that finds it again.
func TestExploreFindsAndMinimizes(t *testing.T) {
	out := explore(t, drill(t, lossy), sim.ExploreOptions{Departures: 1})
	if out.Found == nil {
		t.Fatal("got nothing, want a loss of data")
	}
	var v *sim.Violation
	if !errors.As(out.Err, &v) {
		t.Fatalf("got %v, want a violation", out.Err)
	}
	if n := len(out.Found.Actions); n >= 4 {
		t.Errorf("the script has %d actions, want fewer than the 4 of the drill:\n%s", n, out.Found)
	}
	again := drill(t, out.Found.String()).Run()
	var w *sim.Violation
	if !errors.As(again, &w) || w.Check != v.Check || w.At != v.At {
		t.Errorf("the script finds\n%v, want\n%v", again, v)
	}
	for i := range out.Found.Actions {
		smaller := *out.Found
		smaller.Actions = slices.Delete(slices.Clone(smaller.Actions), i, i+1)
		if err := smaller.Run(); errors.As(err, &w) && w.Check == v.Check {
			t.Errorf("without %+v the script still finds %v", out.Found.Actions[i], err)
		}
	}
}

// A hold changes the order of steps and nothing else: the run is another one, and still right.
func TestHoldChangesTheSchedule(t *testing.T) {
	d := drill(t, "drill hold\nnodes 4\nat 0s join 4\nat 0s kill 1\nhold 7 1\nhold 12 2\n")
	if err := d.Run(); err != nil {
		t.Error(err)
	}
	if got, want := drill(t, d.String()).String(), d.String(); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

func TestExploreStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out, err := sim.Explore(ctx, grains(t, "two-joins")[1], sim.ExploreOptions{
		Departures: 3, Progress: func(sim.ExploreStats) { cancel() },
	})
	if !errors.Is(err, context.Canceled) || out == nil || out.Schedules == 0 {
		t.Errorf("got %+v, %v; want what was done until then, and %v", out, err, context.Canceled)
	}
}

// Mistakes in a script are errors that name the line.
func TestParseDrillRefuses(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"nodes 4", `line 1: a drill begins with the line "drill NAME"`},
		{"drill x\nnodes", "line 2: nodes"},
		{"drill x\nnodes 4 5", "line 2: nodes"},
		{"drill x\nnodes 4\nfly 3", "line 3: fly: unknown"},
		{"drill x\nnodes 4\nat now kill 1", "line 3: at"},
		{"drill x\nnodes 4\nat 1s kill -1", "line 3: at"},
		{"drill x\nnodes 4\nat 1s eat 1", `"eat", want join, kill or leave`},
		{"drill x\nnodes 4\nat 1s join 7", "the next new host is 4"},
		{"drill x\nnodes 4\nat 1s kill 4", "there is no such host"},
		{"drill x\nnodes 4\nhold 3 1\nhold 3 1", "must ascend"},
		{"drill x\nnodes 4\nreplicas 9", "successors: 2"},
		{"drill x", "no nodes"},
	} {
		if _, err := sim.ParseDrill(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want an error with %q", tt.text, err, tt.want)
		}
	}
	if _, err := sim.ReadDrill("none"); err == nil || !strings.Contains(err.Error(), "two-joins") {
		t.Errorf("got %v, want an error that names the drills", err)
	}
}

func BenchmarkExplore(b *testing.B) {
	d := grains(b, "two-joins")[0]
	schedules, took := 0, time.Duration(0)
	for b.Loop() {
		out := explore(b, d, sim.ExploreOptions{Departures: 2, Workers: 1})
		schedules, took = schedules+out.Schedules, took+out.Took
	}
	b.ReportMetric(float64(schedules)/took.Seconds(), "schedules/s")
}
