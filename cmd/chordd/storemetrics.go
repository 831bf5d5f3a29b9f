package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/chordkv/chord/node/store"
)

// pebbleCollector shows the inside of a store on disk.
type pebbleCollector struct {
	metrics func() store.Metrics
}

var _ prometheus.Collector = (*pebbleCollector)(nil)

var descSync = desc("store_log_sync_seconds", "Durations of the syncs of the write-ahead log.")

// pebbleFigures are the single values among them.
var pebbleFigures = []struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(store.Metrics) float64
}{
	{
		desc("store_corrupt_reads_total", "Reads that met a record or block with a wrong checksum."), prometheus.CounterValue,
		func(m store.Metrics) float64 { return float64(m.CorruptRecords) },
	},
	{
		desc("store_lost_stretches", "Stretches of the circle of which something was cut out that could not be read, and is not back yet."), prometheus.GaugeValue,
		func(m store.Metrics) float64 { return float64(m.Lost) },
	},
	{
		desc("store_tree_errors_total", "Leaves of the hash tree that a scrub found in disagreement with their records."), prometheus.CounterValue,
		func(m store.Metrics) float64 { return float64(m.TreeErrors) },
	},
	{
		desc("store_full", "1 if writes are refused for lack of space."), prometheus.GaugeValue,
		func(m store.Metrics) float64 { return oneIf(m.Full) },
	},
	{
		desc("store_ballast_bytes", "Disk space held back for the case that it runs out; 0 after it was given up."), prometheus.GaugeValue,
		func(m store.Metrics) float64 { return float64(m.BallastBytes) },
	},
	{
		desc("store_slow_disk_operations_total", "Disk operations that took longer than 5 seconds."), prometheus.CounterValue,
		func(m store.Metrics) float64 { return float64(m.SlowDiskOps) },
	},
	{
		desc("store_write_stalls_total", "Times that writes waited for flushes or compactions."), prometheus.CounterValue,
		func(m store.Metrics) float64 { return float64(m.WriteStalls) },
	},
	{
		desc("store_log_input_bytes_total", "Bytes given to the write-ahead log."), prometheus.CounterValue,
		func(m store.Metrics) float64 { return float64(m.WALBytesIn) },
	},
	{
		desc("store_log_written_bytes_total", "Bytes that the write-ahead log wrote to disk."), prometheus.CounterValue,
		func(m store.Metrics) float64 { return float64(m.WALBytesWritten) },
	},
	{
		desc("store_flushes_total", "Memtables written to tables."), prometheus.CounterValue,
		func(m store.Metrics) float64 { return float64(m.Flushes) },
	},
	{
		desc("store_compactions_total", "Compactions of tables."), prometheus.CounterValue,
		func(m store.Metrics) float64 { return float64(m.Compactions) },
	},
	{
		desc("store_compaction_failures_total", "Compactions that failed; they are repeated."), prometheus.CounterValue,
		func(m store.Metrics) float64 { return float64(m.CompactionFailures) },
	},
	{
		desc("store_compaction_seconds_total", "Time spent in compactions."), prometheus.CounterValue,
		func(m store.Metrics) float64 { return m.CompactionTime.Seconds() },
	},
	{
		desc("store_compaction_debt_bytes", "Bytes to compact until there is no need to, an estimate."), prometheus.GaugeValue,
		func(m store.Metrics) float64 { return float64(m.CompactionDebt) },
	},
	{
		desc("store_read_amplification", "Tables that a read of a missing key would look at without bloom filters."), prometheus.GaugeValue,
		func(m store.Metrics) float64 { return float64(m.ReadAmplification) },
	},
	{
		desc("store_memtable_bytes", "Size of the memtables."), prometheus.GaugeValue,
		func(m store.Metrics) float64 { return float64(m.MemTableBytes) },
	},
	{
		desc("store_cache_bytes", "Size of the block cache."), prometheus.GaugeValue,
		func(m store.Metrics) float64 { return float64(m.CacheBytes) },
	},
	{
		desc("store_cache_hits_total", "Blocks read from the cache."), prometheus.CounterValue,
		func(m store.Metrics) float64 { return float64(m.CacheHits) },
	},
	{
		desc("store_cache_misses_total", "Blocks read from disk."), prometheus.CounterValue,
		func(m store.Metrics) float64 { return float64(m.CacheMisses) },
	},
	{
		desc("store_filter_hits_total", "Reads of a table that its bloom filter saved."), prometheus.CounterValue,
		func(m store.Metrics) float64 { return float64(m.FilterHits) },
	},
	{
		desc("store_filter_misses_total", "Reads of a table that its bloom filter did not save."), prometheus.CounterValue,
		func(m store.Metrics) float64 { return float64(m.FilterMisses) },
	},
}

// Describe implements prometheus.Collector.
func (c *pebbleCollector) Describe(out chan<- *prometheus.Desc) {
	out <- descSync
	for _, f := range pebbleFigures {
		out <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c *pebbleCollector) Collect(out chan<- prometheus.Metric) {
	m := c.metrics()
	out <- prometheus.MustNewConstHistogram(descSync, m.WALSyncs.Count, m.WALSyncs.Sum, m.WALSyncs.Buckets)
	for _, f := range pebbleFigures {
		out <- prometheus.MustNewConstMetric(f.desc, f.kind, f.value(m))
	}
}
