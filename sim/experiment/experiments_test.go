package experiment_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chordkv/chord/internal/raced"
	"github.com/chordkv/chord/sim/experiment"
)

// TestQuick runs every experiment in its quick form: all comparisons with the papers must come out, at the tolerances of the full form. Simulated processes all run on one
// thread, and what does not, the points of an experiment, the race detector sees in the short ones as well.
func TestQuick(t *testing.T) {
	short := []string{"one-hop", "scale", "simultaneous-failures", "stretch"}
	for _, e := range experiment.All() {
		t.Run(e.Name, func(t *testing.T) {
			if raced.Enabled && !slices.Contains(short, e.Name) {
				t.Skip("takes too long with the race detector")
			}
			r, err := e.Run(t.Context(), e.Defaults(true), nil)
			if err != nil {
				t.Fatal(err)
			}
			if ok, missed := r.Verdicts(); ok == 0 || missed != 0 {
				t.Errorf("%d comparisons agree, %d do not\n%s", ok, missed, text(r))
			}
		})
	}
}

// text shows the tables of a report.
func text(r *experiment.Report) string {
	var b strings.Builder
	for _, table := range r.Tables {
		fmt.Fprintln(&b, table.Title)
		for _, row := range table.Rows {
			for i, c := range row {
				fmt.Fprintf(&b, "    %-20s %v\n", table.Columns[i].Name, c)
			}
		}
	}
	return b.String()
}

// TestRegistry: what the command line and the reports rely on.
func TestRegistry(t *testing.T) {
	word := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	seen := map[string]bool{}
	for _, e := range experiment.All() {
		if !word.MatchString(e.Name) || seen[e.Name] {
			t.Errorf("name %q: want lower-case words with dashes, once", e.Name)
		}
		seen[e.Name] = true
		if got := experiment.Find(e.Name); got == nil || got.Name != e.Name {
			t.Errorf("%s: not found by its name", e.Name)
		}
		if e.Title == "" || e.Source == "" || e.About == "" {
			t.Errorf("%s: want title, source and set-up", e.Name)
		}
		for _, s := range e.Defaults(false).Settings() {
			if !word.MatchString(s.Name) || s.Doc == "" {
				t.Errorf("%s: parameter %q, %q: want lower-case words with dashes and what it is", e.Name, s.Name, s.Doc)
			}
		}
	}
	if experiment.Find("no-such-experiment") != nil {
		t.Error("an experiment was found that does not exist")
	}
}

// TestInterrupted: an experiment whose context has ended says so and measures nothing.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, e := range experiment.All() {
		if r, err := e.Run(ctx, e.Defaults(false), nil); r != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got report %v, error %v, want none and %v", e.Name, r != nil, err, context.Canceled)
		}
	}
}

// TestReproducible: a seed gives the same report again, and another seed another.
func TestReproducible(t *testing.T) {
	for name, settings := range map[string]map[string]string{
		"path-length":           {"nodes": "64", "least-lookups": "1000"},
		"simultaneous-failures": {"nodes": "100", "lookups": "200", "rings": "2", "failures": "0.3"},
		"churn-ton":             {"nodes": "60", "duration": "300s", "warmup": "10s"},
		"stretch":               {"nodes": "100", "lookups": "100", "networks": "space"},
		"durability":            {"nodes": "12", "keys": "100", "duration": "4h", "replicas": "2"},
		"partition-heal":        {"nodes": "30", "cut": "20s", "keys": "50", "splits": "70/30"},
	} {
		t.Run(name, func(t *testing.T) {
			e := experiment.Find(name)
			p := e.Defaults(true)
			for key, value := range settings {
				var err error
				if p, err = p.With(key, value); err != nil {
					t.Fatal(err)
				}
			}
			run := func(p experiment.Params) string {
				r, err := e.Run(t.Context(), p, nil)
				if err != nil {
					t.Fatal(err)
				}
				return text(r)
			}
			first, again := run(p), run(p)
			if first != again {
				t.Errorf("two runs of a seed differ:\n%s\n%s", first, again)
			}
			p.Seed++
			if other := run(p); other == first {
				t.Error("another seed gives the same report")
			}
		})
	}
}

// TestBadSettings: a setting that means nothing is an error before the run.
func TestBadSettings(t *testing.T) {
	for _, c := range []struct{ name, key, value string }{
		{"partition-heal", "splits", "50/60"},
		{"partition-heal", "splits", "100"},
		{"partition-heal", "splits", "a/b"},
		{"partition-heal", "splits", "100/0"},
		{"sessions", "models", "eternal"},
		{"stretch", "networks", "ether"},
		{"churn-p2psim", "ways", "crooked"},
		{"durability", "departures", "never"},
		{"availability", "departures", "never"},
	} {
		e := experiment.Find(c.name)
		p, err := e.Defaults(true).With(c.key, c.value)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := e.Run(t.Context(), p, nil); err == nil || r != nil || !strings.Contains(err.Error(), strings.Split(c.value, ",")[0]) {
			t.Errorf("%s, %s = %s: got report %v, error %v, want an error that names it", c.name, c.key, c.value, r != nil, err)
		}
	}
}
