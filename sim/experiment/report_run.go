package experiment

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/chordkv/chord/sim"
)

// Simulate is sim.Run as a point of an experiment. prepare may change how the world is made; nil leaves it.
func Simulate(ctx context.Context, s sim.Scenario, at *Point, prepare func(*sim.Options)) (*sim.Result, error) {
	at.Span(s.Duration + s.Heal)
	res, err := sim.Run(ctx, s, sim.Observer{
		Prepare: prepare,
		Tick:    func(now time.Duration, stats sim.Stats) { at.At(now, stats.Steps) },
	})
	if res != nil {
		at.At(res.End, res.Stats.Steps)
	}
	return res, err
}

// Metric is one figure about a whole run of a scenario.
type Metric struct {
	Name   string // lower-case words with underscores
	Unit   string
	Doc    string
	Digits int
	Value  float64 // NaN if the run has none
}

// plotted are the metrics that sweeps draw: what one looks at first. The others are in their tables.
var plotted = []string{
	"lookups_right", "hops", "timeouts", "lookup_p50", "lookup_p99", "puts_done", "gets_done", "get_p50", "put_p50", "bytes", "healed",
}

// MetricsOf returns the figures of a run that sweeps compare, always the same ones in the same order. They are of the measured part of
// the run, but for those that say otherwise.
func MetricsOf(res *sim.Result) []Metric {
	t := &res.Totals
	lookups := float64(t.Lookups.Done())
	m := []Metric{
		{"lookups", "", "lookups that ended: right, wrong or failed", 0, lookups},
		{"lookups_right", "", "share of them that ended at the owner", 5, float64(t.Lookups.Right) / lookups},
		{"lookups_wrong", "", "share of them that ended at another node", 5, float64(t.Lookups.Wrong) / lookups},
		{"lookups_failed", "", "share of them that found no owner", 5, float64(t.Lookups.Failed) / lookups},
		{"hops", "calls", "mean of the answered calls of a lookup", 3, t.Lookups.Hops.Mean()},
		{"timeouts", "calls", "mean of the unanswered calls of a lookup", 3, t.Lookups.Timeouts.Mean()},
	}
	m = append(m, latencyMetrics("lookup", t.Lookups.Latency)...)
	for _, op := range []struct {
		name string
		of   *sim.OpTotals
	}{{"put", &t.Puts}, {"get", &t.Gets}, {"delete", &t.Deletes}, {"change", &t.Changes}} {
		all := float64(op.of.Done + op.of.Unknown + op.of.Failed)
		m = append(m,
			Metric{op.name + "s", "", op.name + "s that ended", 0, all},
			Metric{op.name + "s_done", "", "share of them that succeeded", 5, float64(op.of.Done) / all},
			Metric{op.name + "s_unknown", "", "share of them with unknown outcome", 5, float64(op.of.Unknown) / all},
		)
		if op.name == "get" {
			m = append(m, Metric{"gets_stale", "", "share of the gets by quorum that missed what a quorum had acknowledged before they began", 7, float64(op.of.Stale) / float64(op.of.Judged)})
		}
		m = append(m, latencyMetrics(op.name, op.of.Latency)...)
	}
	return append(m,
		Metric{"messages", "1/s", "messages sent per live process", 3, t.MessagesPerNode()},
		Metric{"bytes", "B/s", "bytes sent per live process, by the model of p2psim", 2, t.BytesPerNode()},
		Metric{"live", "", "mean number of live processes", 1, t.NodeSeconds / t.Measured.Seconds()},
		Metric{"joins", "", "processes that became members, restarts included", 0, float64(t.Joins)},
		Metric{"leaves", "", "processes that left gracefully", 0, float64(t.Leaves)},
		Metric{"crashes", "", "processes that crashed", 0, float64(t.Crashes)},
		Metric{"healed", "s", "from the end of the faults to the ideal ring", 1, healedSeconds(res)},
		Metric{"steps", "", "events executed in the whole run", 0, float64(res.Stats.Steps)},
	)
}

func latencyMetrics(op string, h *hdrhistogram.Histogram) []Metric {
	quantile := func(q float64) float64 {
		if h == nil || h.TotalCount() == 0 {
			return math.NaN()
		}
		return float64(h.ValueAtQuantile(q)) / 1000 // microseconds
	}
	return []Metric{
		{op + "_p50", "ms", "latency of a " + op + ", median", 1, quantile(50)},
		{op + "_p90", "ms", "latency of a " + op + ", 90th percentile", 1, quantile(90)},
		{op + "_p99", "ms", "latency of a " + op + ", 99th percentile", 1, quantile(99)},
	}
}

func healedSeconds(res *sim.Result) float64 {
	if res.Scenario.Heal == 0 || res.Healed == 0 {
		return math.NaN()
	}
	return res.Healed.Seconds()
}

// OfRun makes a report of a run of the simulator. failed is what the run ended with, nil if all checks held.
func OfRun(res *sim.Result, failed error) *Report {
	r := &Report{Summary: runSummary(res, failed)}
	t := r.AddTable("totals", "Totals",
		Column{Name: "metric", Of: Given, Doc: "what is counted"},
		Column{Name: "value", Digits: -5, Doc: "in the measured part of the run"},
		Column{Name: "unit", Doc: "unit of the value"},
		Column{Name: "meaning", Doc: "what exactly it is"},
	)
	for _, m := range MetricsOf(res) {
		if !math.IsNaN(m.Value) && (m.Value != 0 || m.Digits != 0) {
			t.Add(m.Name, shownValue(m), m.Unit, m.Doc)
		}
	}
	addMessages(r, res)
	addRows(r, res)
	return r
}

// shownValue is a whole number where the metric counts.
func shownValue(m Metric) any {
	if m.Digits == 0 {
		return int64(m.Value)
	}
	return m.Value
}

func addMessages(r *Report, res *sim.Result) {
	wired := res.Stats.Total().Wired > 0
	columns := []Column{
		{Name: "method", Of: Given, Doc: "what is called"},
		{Name: "requests", Doc: "sent in the whole run"},
		{Name: "answers", Doc: "sent in the whole run"},
		{Name: "timeouts", Doc: "calls whose deadline passed"},
		{Name: "bytes", Unit: "B", Doc: "of requests and answers, by the model of p2psim: 20 for a message, 4 for each node in it, and keys and values"},
	}
	if wired {
		columns = append(columns,
			Column{Name: "wired", Doc: "messages that went through their protobuf form"},
			Column{Name: "wire_bytes", Unit: "B", Doc: "their encoded size, without the framing of gRPC"})
	}
	t := r.AddTable("messages", "Messages", columns...)
	for m := range sim.Methods {
		q, a := res.Stats.Requests[m], res.Stats.Answers[m]
		if q.Messages == 0 {
			continue
		}
		cells := []any{sim.Method(m).String(), q.Messages, a.Messages, res.Stats.Timeouts[m], q.Bytes + a.Bytes}
		if wired {
			cells = append(cells, q.Wired+a.Wired, q.WireBytes+a.WireBytes)
		}
		t.Add(cells...)
	}
}

// addRows adds the series, and the figures that can be drawn of it.
func addRows(r *Report, res *sim.Result) {
	var columns []Column
	for _, c := range sim.Columns() {
		columns = append(columns, Column{Name: c.Name, Unit: c.Unit, Doc: c.Doc})
	}
	columns[0].Of = Given
	s := r.AddSeries("series", "The run, interval by interval", columns...)
	for _, row := range res.Rows {
		values := make([]float64, 0, len(columns))
		for _, c := range sim.Columns() {
			values = append(values, c.Of(row))
		}
		s.Add(values...)
	}
	for _, f := range []struct {
		name, title, label string
		columns            []string
		scale              float64
	}{
		{"processes", "Live processes", "processes", []string{"live"}, 1},
		{"churn", "Joins, leaves and crashes", "per interval", []string{"joins", "leaves", "crashes"}, 1},
		{"lookups", "Lookups", "per interval", []string{"lookups_right", "lookups_wrong", "lookups_failed"}, 1},
		{"lookup-latency", "Latency of lookups", "ms", []string{"lookup_p50", "lookup_p90", "lookup_p99"}, 1000},
		{"operations", "Puts, gets and deletes", "per interval", []string{"ops_done", "ops_unknown", "ops_failed"}, 1},
		{"operation-latency", "Latency of operations on keys", "ms", []string{"op_p50", "op_p90", "op_p99"}, 1000},
		{"traffic", "Traffic of a live process", "B/s", []string{"bytes", "wire_bytes"}, 1},
	} {
		addTimeline(r, s, f.name, f.title, f.label, f.columns, f.scale)
	}
}

// addTimeline draws columns of a series over time, those that are not 0 throughout.
func addTimeline(r *Report, s *Series, name, title, label string, columns []string, scale float64) {
	unit, per := timeUnit(s)
	f := &Figure{Name: name, Title: title, X: Axis{Label: "virtual time [" + unit + "]"}, Y: Axis{Label: label, FromZero: true}}
	for i, c := range s.Columns {
		for _, want := range columns {
			if c.Name != want || !nonzero(s.Rows, i) {
				continue
			}
			l := f.AddLine(c.Title(), Ours, Curve)
			for _, row := range s.Rows {
				l.Add(row[0]/per, scale*row[i])
			}
		}
	}
	if len(f.Lines) > 0 {
		r.Figures = append(r.Figures, f)
	}
}

// timeUnit is the unit in which the time of a series, which is in seconds, reads best.
func timeUnit(s *Series) (name string, seconds float64) {
	last := 0.0
	if n := len(s.Rows); n > 0 {
		last = s.Rows[n-1][0]
	}
	switch end := time.Duration(last * float64(time.Second)); {
	case end >= 5*time.Hour:
		return "h", 3600
	case end >= 5*time.Minute:
		return "min", 60
	}
	return "s", 1
}

// nonzero reports whether a column is other than 0 anywhere.
func nonzero(rows [][]float64, column int) bool {
	for _, row := range rows {
		if x := row[column]; x != 0 && !math.IsNaN(x) {
			return true
		}
	}
	return false
}

func runSummary(res *sim.Result, failed error) string {
	text := fmt.Sprintf("%s of virtual time, %s events, checksum %016x.", res.End.Round(time.Millisecond), groupDigits(int64(res.Stats.Steps)), res.Checksum)
	switch {
	case failed != nil:
		return "A check failed: " + failed.Error() + ". " + text
	case res.Scenario.Heal > 0:
		return fmt.Sprintf("All checks held, the ring was ideal %s after the faults. %s", res.Healed.Round(time.Millisecond), text)
	}
	return text
}
