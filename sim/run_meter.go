package sim

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// meter counts what happens in a run: by interval of the series, and in all of the measured part.
type meter struct {
	rows   []Row
	row    Totals // of the present interval
	totals Totals
	healed time.Duration

	series   time.Duration
	duration time.Duration
	warmup   time.Duration
	measures bool // between the end of the warm-up and that of the duration

	live      int
	changed   time.Duration // when live changed last, or was summed up
	rowStart  time.Duration
	rowSent   Count  // by the beginning of the interval
	rowSteps  uint64 // by the same
	totalSent Count  // by the end of the warm-up
}

func (m *meter) init(s Scenario) {
	m.series, m.duration, m.warmup = s.Series, s.Duration, s.Warmup
	m.row, m.totals = newTotals(2), newTotals(3)
	m.measures = m.warmup == 0
}

// maxLatency bounds what the histograms tell apart.
const maxLatency = time.Hour

func newTotals(digits int) Totals {
	latency := func() *hdrhistogram.Histogram { return hdrhistogram.New(1, maxLatency.Microseconds(), digits) }
	return Totals{
		Lookups: LookupTotals{Latency: latency()},
		Puts:    OpTotals{Latency: latency()}, Gets: OpTotals{Latency: latency()}, Deletes: OpTotals{Latency: latency()},
		Changes: OpTotals{Latency: latency()},
	}
}

// reset begins a new interval.
func (t *Totals) reset() {
	for _, h := range []*hdrhistogram.Histogram{t.Lookups.Latency, t.Puts.Latency, t.Gets.Latency, t.Deletes.Latency, t.Changes.Latency} {
		h.Reset()
	}
	*t = Totals{
		Lookups: LookupTotals{Latency: t.Lookups.Latency, Hops: t.Lookups.Hops[:0], Timeouts: t.Lookups.Timeouts[:0]},
		Puts:    OpTotals{Latency: t.Puts.Latency}, Gets: OpTotals{Latency: t.Gets.Latency}, Deletes: OpTotals{Latency: t.Deletes.Latency},
		Changes: OpTotals{Latency: t.Changes.Latency},
	}
}

// next returns when the meter must be told that time has passed.
func (m *meter) next() time.Duration {
	next := m.rowStart + m.series
	if m.warmsUp() {
		next = min(next, m.warmup)
	}
	return next
}

func (m *meter) warmsUp() bool { return !m.measures && m.totals.Measured == 0 }

// pass notes that time has passed, at most up to next. How often it is called in between makes no difference, not even of rounding.
func (m *meter) pass(w *World, observe func(Row)) {
	now := w.Now()
	if now < m.next() {
		return
	}
	m.sum(now)
	if now == m.warmup && m.warmsUp() {
		m.measures = true
		s := w.Stats()
		m.totalSent = s.Total()
	}
	if now < m.rowStart+m.series {
		return
	}
	row := m.finishRow(w)
	m.rows = append(m.rows, row)
	if observe != nil {
		observe(row)
	}
}

// sum adds the time since the last call to the time that processes were alive.
func (m *meter) sum(now time.Duration) {
	seconds := float64(m.live) * (now - m.changed).Seconds()
	m.row.NodeSeconds += seconds
	if m.measures {
		m.totals.NodeSeconds += seconds
	}
	m.changed = now
}

// stop ends the measured part.
func (m *meter) stop(w *World) {
	m.sum(w.Now())
	s := w.Stats()
	m.totals.Sent = s.Total().minus(m.totalSent)
	m.totals.Measured = w.Now() - m.warmup
	m.measures = false
}

func (c Count) minus(d Count) Count {
	return Count{c.Messages - d.Messages, c.Bytes - d.Bytes, c.Wired - d.Wired, c.WireBytes - d.WireBytes}
}

func (m *meter) alive(w *World, change int) {
	m.sum(w.Now())
	m.live += change
}

func (m *meter) each(f func(t *Totals)) {
	f(&m.row)
	if m.measures {
		f(&m.totals)
	}
}

func (m *meter) joined()  { m.each(func(t *Totals) { t.Joins++ }) }
func (m *meter) left()    { m.each(func(t *Totals) { t.Leaves++ }) }
func (m *meter) crashed() { m.each(func(t *Totals) { t.Crashes++ }) }

// count counts an operation that has ended: in the totals if it began in the measured part.
func (m *meter) count(op *Operation) {
	m.row.count(op)
	if op.Begin >= m.warmup && op.Begin < m.duration {
		m.totals.count(op)
	}
}

func (t *Totals) count(op *Operation) {
	switch op.Kind {
	case OpLookup:
		t.Lookups.count(op)
	case OpPut:
		t.Puts.count(op)
	case OpGet:
		t.Gets.count(op)
	case OpDelete:
		t.Deletes.count(op)
	case OpCas, OpIncr, OpTouch:
		t.Changes.count(op)
	}
}

func (t *LookupTotals) count(op *Operation) {
	switch op.Outcome {
	case Done:
		t.Right++
		if op.Late {
			t.Late++
		}
	case Wrong:
		t.Wrong++
	case Failed:
		t.Failed++
	default:
		t.Aborted++
		return
	}
	t.Retries += op.Attempts - 1
	if op.Outcome != Failed {
		t.Hops.Add(op.Hops)
		t.Timeouts.Add(op.Timeouts)
		record(t.Latency, op.Latency())
	}
}

func (t *OpTotals) count(op *Operation) {
	switch op.Outcome {
	case Done:
		t.Done++
		if !op.Result.Found {
			t.Missing++
		}
		if op.Judged {
			t.Judged++
		}
		if op.Stale {
			t.Stale++
		}
		record(t.Latency, op.Latency())
	case Unknown:
		t.Unknown++
	case Failed:
		t.Failed++
	default:
		t.Aborted++
		return
	}
	t.Retries += op.Attempts - 1
}

// record counts a latency, rounded up to a microsecond.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	us := int64(math.Ceil(float64(min(d, maxLatency)) / float64(time.Microsecond)))
	_ = h.RecordValue(max(1, us)) // within the bounds of the histogram
}

// percentile returns a percentile of what was recorded, 0 if nothing was.
func percentile(h *hdrhistogram.Histogram, p float64) time.Duration {
	if h.TotalCount() == 0 {
		return 0
	}
	return time.Duration(h.ValueAtPercentile(p)) * time.Microsecond
}

// finishRow ends an interval of the series and begins the next.
func (m *meter) finishRow(w *World) Row {
	now, s, t := w.Now(), w.Stats(), &m.row
	sent := s.Total().minus(m.rowSent)
	ops := t.Puts.Latency
	ops.Merge(t.Gets.Latency)
	ops.Merge(t.Deletes.Latency)
	ops.Merge(t.Changes.Latency)
	row := Row{
		At: now, Live: m.live, Joins: t.Joins, Leaves: t.Leaves, Crashes: t.Crashes,
		LookupsRight: t.Lookups.Right, LookupsWrong: t.Lookups.Wrong, LookupsFailed: t.Lookups.Failed,
		MeanHops: t.Lookups.Hops.Mean(), MeanTimeouts: t.Lookups.Timeouts.Mean(),
		LookupP50: percentile(t.Lookups.Latency, 50), LookupP90: percentile(t.Lookups.Latency, 90), LookupP99: percentile(t.Lookups.Latency, 99),
		OpsDone: t.Puts.Done + t.Gets.Done + t.Deletes.Done + t.Changes.Done, OpsUnknown: t.Puts.Unknown + t.Deletes.Unknown + t.Changes.Unknown,
		OpsFailed: t.Puts.Failed + t.Gets.Failed + t.Deletes.Failed + t.Changes.Failed,
		OpP50:     percentile(ops, 50), OpP90: percentile(ops, 90), OpP99: percentile(ops, 99),
		Messages: perNode(sent.Messages, t.NodeSeconds), Bytes: perNode(sent.Bytes, t.NodeSeconds), WireBytes: perNode(sent.WireBytes, t.NodeSeconds),
		Steps: float64(s.Steps-m.rowSteps) / (now - m.rowStart).Seconds(), Pending: s.Pending, Tasks: s.Tasks,
	}
	m.rowStart, m.rowSent, m.rowSteps = now, s.Total(), s.Steps
	t.reset()
	return row
}
