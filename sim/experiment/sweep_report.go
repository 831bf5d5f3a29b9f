package experiment

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// report makes a report of the points that there are.
func (s Sweep) report(results []*Outcome) (*Report, error) {
	first := slices.IndexFunc(results, func(o *Outcome) bool { return o != nil })
	if first < 0 {
		return nil, nil
	}
	shape := results[first].Metrics
	for i, o := range results {
		if o != nil && !slices.EqualFunc(o.Metrics, shape, func(a, b Value) bool { return a.Name == b.Name }) {
			return nil, fmt.Errorf("points %d and %d have different metrics: they were made by different programs", first, i)
		}
	}
	r := &Report{}
	failed := s.addRuns(r, results, shape)
	done := s.addMeans(r, results, shape)
	r.Summary = fmt.Sprintf("%s of %s points.", groupDigits(int64(done)), groupDigits(int64(len(results))))
	if failed > 0 {
		r.Summary += fmt.Sprintf(" In %s a check failed: the table of runs has their seeds.", groupDigits(int64(failed)))
	}
	return r, nil
}

// axisColumns are the columns for the swept fields.
func (s Sweep) axisColumns() []Column {
	var columns []Column
	for _, a := range s.Axes {
		columns = append(columns, Column{Name: columnName(a.Path), Head: a.Path, Of: Given, Doc: "the field " + a.Path + " of the scenario"})
	}
	return columns
}

// columnName makes a path fit for the head of a file: churn[0].on.mean is churn_0_on_mean.
func columnName(path string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r == '.' || r == '[' || r == '-' {
			return '_'
		}
		if r == ']' {
			return -1
		}
		return r
	}, path), "_")
}

// cellsOf are the cells for the swept fields.
func cellsOf(values []string) []any {
	cells := make([]any, len(values))
	for i, v := range values {
		cells[i] = v
	}
	return cells
}

// addRuns adds the table of the single runs that failed a check, and all of them as a file.
func (s Sweep) addRuns(r *Report, results []*Outcome, shape []Value) (failed int) {
	columns := append(s.axisColumns(), Column{Name: "seed", Of: Given, Doc: "of the run"})
	bad := &Table{Name: "failed", Title: "Runs in which a check failed", Columns: append(slices.Clone(columns), Column{Name: "check", Doc: "what it found"})}
	all := &Table{Name: "runs", Title: "All runs", FileOnly: true, Columns: slices.Clone(columns)}
	for _, m := range shape {
		all.Columns = append(all.Columns, Column{Name: m.Name, Unit: m.Unit, Doc: m.Doc, Digits: m.Digits})
	}
	all.Columns = append(all.Columns, Column{Name: "checksum", Doc: "of all steps"}, Column{Name: "check", Doc: "what a check found, empty if all held"})
	for i, o := range results {
		if o == nil {
			continue
		}
		cells := append(cellsOf(s.values(i/s.seeds())), s.First+uint64(i%s.seeds()))
		if o.Failed != "" {
			failed++
			bad.Add(append(slices.Clone(cells), o.Failed)...)
		}
		for _, m := range o.Metrics {
			if m.Value == nil {
				cells = append(cells, nil)
			} else {
				cells = append(cells, *m.Value)
			}
		}
		all.Add(append(cells, o.Checksum, o.Failed)...)
	}
	if failed > 0 {
		r.Tables = append(r.Tables, bad)
	}
	r.Tables = append(r.Tables, all)
	return failed
}

// addMeans adds the means over the seeds, with figures of the main ones against the first axis that is numeric.
func (s Sweep) addMeans(r *Report, results []*Outcome, shape []Value) (done int) {
	columns := append(s.axisColumns(), Column{Name: "runs", Doc: "seeds that the means are of"})
	estimates := make([][]Estimate, len(shape)) // by metric and setting
	runs := make([]int, s.settings())
	for m, v := range shape {
		columns = append(columns, Column{Name: v.Name, Unit: v.Unit, Doc: v.Doc, Digits: v.Digits})
		for setting := range s.settings() {
			var values []float64
			runs[setting] = 0
			for _, o := range results[setting*s.seeds() : (setting+1)*s.seeds()] {
				if o == nil {
					continue
				}
				runs[setting]++
				if x := o.Metrics[m].Value; x != nil {
					values = append(values, *x)
				}
			}
			estimates[m] = append(estimates[m], EstimateOf(values))
		}
	}
	t := &Table{Name: "means", Title: "Means over the seeds, with 95 % confidence intervals", Columns: columns}
	for setting, n := range runs {
		if done += n; n == 0 {
			continue
		}
		cells := append(cellsOf(s.values(setting)), n)
		for m := range shape {
			cells = append(cells, estimates[m][setting])
		}
		t.Add(cells...)
	}
	dropEmpty(t)
	r.Tables = slices.Insert(r.Tables, 0, t)
	for m, v := range shape {
		if slices.Contains(plotted, v.Name) {
			s.addFigure(r, v, estimates[m])
		}
	}
	return done
}

// dropEmpty removes the columns that have no number in any row, such as those of operations that the scenario does not have.
func dropEmpty(t *Table) {
	for i := len(t.Columns) - 1; i >= 0; i-- {
		empty := !slices.ContainsFunc(t.Rows, func(row []any) bool {
			e, ok := row[i].(Estimate)
			return !ok || !math.IsNaN(e.Mean) && e.Mean != 0
		})
		if !empty {
			continue
		}
		t.Columns = slices.Delete(t.Columns, i, i+1)
		for j := range t.Rows {
			t.Rows[j] = slices.Delete(t.Rows[j], i, i+1)
		}
	}
}

// addFigure draws a metric against the first numeric axis, with a line for each combination of the others.
func (s Sweep) addFigure(r *Report, v Value, estimates []Estimate) {
	axis, numbers := s.numericAxis()
	if axis < 0 {
		return
	}
	f := &Figure{Name: "by-" + strings.ReplaceAll(v.Name, "_", "-"), Title: Column{Name: v.Name}.Title(), Caption: v.Doc, X: s.axisOf(axis, numbers)}
	f.Y = Axis{Label: v.Unit, FromZero: true}
	drawn := false
	for setting, e := range estimates {
		if math.IsNaN(e.Mean) {
			continue
		}
		drawn = drawn || e.Mean != 0
		values := s.values(setting)
		x := numbers[slices.Index(s.Axes[axis].Values, values[axis])]
		name := lineName(s.Axes, values, axis)
		i := slices.IndexFunc(f.Lines, func(l *Line) bool { return l.Name == name })
		if i < 0 {
			i = len(f.Lines)
			f.AddLine(name, Ours, Curve)
		}
		f.Lines[i].AddEstimate(x, e)
	}
	if !drawn {
		return
	}
	for _, l := range f.Lines {
		slices.SortStableFunc(l.Points, func(a, b XY) int { return cmp.Compare(a.X, b.X) })
	}
	r.Figures = append(r.Figures, f)
}

// lineName names a combination of the values but for that of one axis.
func lineName(axes []Sweeping, values []string, but int) string {
	var parts []string
	for i, v := range values {
		if i != but {
			parts = append(parts, axes[i].Path+" "+v)
		}
	}
	if len(parts) == 0 {
		return "mean"
	}
	return strings.Join(parts, ", ")
}
