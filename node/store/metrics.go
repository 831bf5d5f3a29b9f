package store

import (
	"time"

	dto "github.com/prometheus/client_model/go"
)

// Metrics is what a monitor wants to know about a Pebble beyond its node.StoreStats. Counters start at 0 with each opening.
type Metrics struct {
	CorruptRecords int64 // how often a record, or a block of a table, failed its checksum when it was read
	Lost           int   // stretches of the circle of which something was cut out that could not be read, and is not back yet
	TreeErrors     int64 // leaves of the hash tree that a scrub found in disagreement with their records
	Full           bool  // writes are refused for lack of space
	BallastBytes   int64 // of disk space held back for the case that it runs out
	SlowDiskOps    int64 // disk operations that took longer than 5 s
	WriteStalls    int64 // times that writes waited for flushes or compactions

	WALSyncs           Histogram // durations of the syncs of the log, in seconds
	WALBytesIn         uint64    // given to the log
	WALBytesWritten    uint64    // by it to the disk
	Flushes            int64
	Compactions        int64
	CompactionFailures int64
	CompactionTime     time.Duration // sum over all compactions
	CompactionDebt     uint64        // bytes to compact until there is no need to, an estimate
	ReadAmplification  int           // tables that a read of a missing key would look at without bloom filters
	MemTableBytes      uint64
	CacheBytes         int64
	CacheHits          int64
	CacheMisses        int64
	FilterHits         int64 // reads of a table that its bloom filter saved
	FilterMisses       int64
}

// Histogram is what a Prometheus histogram is made from: cumulative counts by upper bound.
type Histogram struct {
	Count   uint64
	Sum     float64
	Buckets map[float64]uint64
}

// Metrics returns the current figures.
func (p *Pebble) Metrics() Metrics {
	db := p.db.Metrics()
	m := Metrics{
		CorruptRecords:     p.corrupt.Load(),
		Lost:               len(p.lost.all()),
		TreeErrors:         p.treeErrors.Load(),
		Full:               p.space.full.Load(),
		BallastBytes:       p.space.heldBytes(),
		SlowDiskOps:        p.slowOps.Load(),
		WriteStalls:        p.stalls.Load(),
		WALBytesIn:         db.WAL.BytesIn,
		WALBytesWritten:    db.WAL.BytesWritten,
		Flushes:            db.Flush.Count,
		Compactions:        db.Compact.Count,
		CompactionFailures: db.Compact.FailedCount,
		CompactionTime:     db.Compact.Duration,
		CompactionDebt:     db.Compact.EstimatedDebt,
		ReadAmplification:  db.ReadAmp(),
		MemTableBytes:      db.MemTable.Size,
		CacheBytes:         db.BlockCache.Size,
		CacheHits:          db.BlockCache.Hits,
		CacheMisses:        db.BlockCache.Misses,
		FilterHits:         db.Filter.Hits,
		FilterMisses:       db.Filter.Misses,
	}
	var syncs dto.Metric
	if h := db.LogWriter.FsyncLatency; h != nil && h.Write(&syncs) == nil {
		m.WALSyncs = Histogram{
			Count: syncs.Histogram.GetSampleCount(), Sum: syncs.Histogram.GetSampleSum() / float64(time.Second),
			Buckets: make(map[float64]uint64, len(syncs.Histogram.Bucket)),
		}
		for _, b := range syncs.Histogram.Bucket {
			m.WALSyncs.Buckets[b.GetUpperBound()/float64(time.Second)] = b.GetCumulativeCount()
		}
	}
	return m
}

// CorruptRecords returns how often a record, or a block of a table, failed its checksum when it was read.
func (p *Pebble) CorruptRecords() int64 { return p.corrupt.Load() }
