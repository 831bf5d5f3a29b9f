package sim

import "time"

// Row is an interval of a run. Rates and means are over the interval, everything else is as it ends.
type Row struct {
	At   time.Duration // virtual time at the end of the interval
	Live int           // processes that are members

	Joins, Leaves, Crashes int // in the interval; a restart is a join

	LookupsRight  int
	LookupsWrong  int
	LookupsFailed int
	MeanHops      float64       // calls answered, of the lookups that found an owner
	MeanTimeouts  float64       // calls not answered, of the same
	LookupP50     time.Duration // latency of the same
	LookupP90     time.Duration
	LookupP99     time.Duration

	OpsDone    int // operations other than lookups that succeeded
	OpsUnknown int // writes of which nobody can say whether they took effect
	OpsFailed  int
	OpP50      time.Duration // latency of those that succeeded
	OpP90      time.Duration
	OpP99      time.Duration

	Messages  float64 // sent per live process and second
	Bytes     float64 // the same by p2psim's model
	WireBytes float64 // the same as protobuf, without the framing of gRPC; 0 if messages are not converted

	Steps   float64 // executed per second of virtual time
	Pending int     // events in the queue
	Tasks   int     // suspended
}

// Column is a column of the series.
type Column struct {
	Name string // as in CSV and JSON
	Unit string // s, 1/s, B/s or empty
	Doc  string
	Of   func(Row) float64
}

// Columns returns the columns of the series in their order.
func Columns() []Column {
	seconds := func(f func(Row) time.Duration) func(Row) float64 {
		return func(r Row) float64 { return f(r).Seconds() }
	}
	count := func(f func(Row) int) func(Row) float64 {
		return func(r Row) float64 { return float64(f(r)) }
	}
	return []Column{
		{"time", "s", "virtual time at the end of the interval", seconds(func(r Row) time.Duration { return r.At })},
		{"live", "", "processes that are members", count(func(r Row) int { return r.Live })},
		{"joins", "", "processes that became members, restarts included", count(func(r Row) int { return r.Joins })},
		{"leaves", "", "processes that left gracefully", count(func(r Row) int { return r.Leaves })},
		{"crashes", "", "processes that crashed", count(func(r Row) int { return r.Crashes })},
		{"lookups_right", "", "lookups that ended at the owner", count(func(r Row) int { return r.LookupsRight })},
		{"lookups_wrong", "", "lookups that ended at another node", count(func(r Row) int { return r.LookupsWrong })},
		{"lookups_failed", "", "lookups that found no owner", count(func(r Row) int { return r.LookupsFailed })},
		{"mean_hops", "", "answered calls per lookup that found an owner", func(r Row) float64 { return r.MeanHops }},
		{"mean_timeouts", "", "unanswered calls per lookup that found an owner", func(r Row) float64 { return r.MeanTimeouts }},
		{"lookup_p50", "s", "latency of lookups, median", seconds(func(r Row) time.Duration { return r.LookupP50 })},
		{"lookup_p90", "s", "latency of lookups, 90th percentile", seconds(func(r Row) time.Duration { return r.LookupP90 })},
		{"lookup_p99", "s", "latency of lookups, 99th percentile", seconds(func(r Row) time.Duration { return r.LookupP99 })},
		{"ops_done", "", "operations other than lookups that succeeded", count(func(r Row) int { return r.OpsDone })},
		{"ops_unknown", "", "writes with unknown outcome", count(func(r Row) int { return r.OpsUnknown })},
		{"ops_failed", "", "those that failed, conditional ones whose condition did not hold among them", count(func(r Row) int { return r.OpsFailed })},
		{"op_p50", "s", "latency of successful operations, median", seconds(func(r Row) time.Duration { return r.OpP50 })},
		{"op_p90", "s", "latency of successful operations, 90th percentile", seconds(func(r Row) time.Duration { return r.OpP90 })},
		{"op_p99", "s", "latency of successful operations, 99th percentile", seconds(func(r Row) time.Duration { return r.OpP99 })},
		{"messages", "1/s", "messages sent per live process", func(r Row) float64 { return r.Messages }},
		{"bytes", "B/s", "bytes sent per live process, by the model of p2psim", func(r Row) float64 { return r.Bytes }},
		{"wire_bytes", "B/s", "bytes sent per live process as protobuf", func(r Row) float64 { return r.WireBytes }},
		{"steps", "1/s", "events executed per virtual second", func(r Row) float64 { return r.Steps }},
		{"pending", "", "events in the queue", count(func(r Row) int { return r.Pending })},
		{"tasks", "", "suspended tasks", count(func(r Row) int { return r.Tasks })},
	}
}
