package experiment_test

import (
	"math"
	"testing"

	"github.com/chordkv/chord/sim/experiment"
)

// More candidates and a larger base make lookups faster, in both styles and on every network; recursive ones are faster than iterative ones, which spend one round trip more on asking the
// owner. A network whose file is missing is left out, and the report says so.
func TestStretch(t *testing.T) {
	e := experiment.Find("stretch")
	r, err := e.Run(t.Context(), e.Defaults(true), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Notes) != 1 {
		t.Errorf("got the notes %q, want one on the network that is left out", r.Notes)
	}
	table := r.Tables[0]
	column := make(map[string]int)
	for i, c := range table.Columns {
		column[c.Name] = i
	}
	type ring struct {
		network, style string
		base, s        int
	}
	answered, named := make(map[ring]float64), make(map[ring]float64)
	for _, row := range table.Rows {
		of := ring{row[column["network"]].(string), row[column["style"]].(string), row[column["base"]].(int), row[column["candidates"]].(int)}
		answered[of], named[of] = row[column["answered"]].(float64), row[column["named"]].(float64)
	}
	if want := 2 * 2 * 3; len(answered) != want {
		t.Fatalf("%d rows, want %d", len(answered), want)
	}
	for of, got := range answered {
		switch {
		case of.base == 2 && of.s == 16:
			if first := answered[ring{of.network, of.style, 2, 1}]; got > 0.8*first {
				t.Errorf("%+v: stretch %.2f, %.2f with the first of each interval, want a fifth less at least", of, got, first)
			}
		case of.base == 16:
			if two := answered[ring{of.network, of.style, 2, 16}]; got >= two {
				t.Errorf("%+v: stretch %.2f, %.2f with base 2", of, got, two)
			}
		}
		if of.style == "recursive" {
			if iterative := answered[ring{of.network, "iterative", of.base, of.s}]; got >= iterative {
				t.Errorf("%+v: stretch %.2f, %.2f iteratively", of, got, iterative)
			}
		} else if math.Abs(got-named[of]-1) > 1e-6 {
			t.Errorf("%+v: answered at %.6f, named at %.6f, want one round trip between", of, got, named[of])
		}
	}
}
