package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/rs/zerolog"
)

// PebbleOptions is what can be set about a Pebble. Start from DefaultPebbleOptions.
type PebbleOptions struct {
	Sync      SyncMode
	SyncEvery time.Duration // between two syncs, with SyncInterval

	CacheBytes    int64 // of the block cache
	MemTableBytes int64 // written to the log before they are flushed to a table; up to four times that is held in memory and on disk

	// ReserveBytes is the free space below which writes are refused with node.ErrStoreFull, until there is a quarter more than it. Flushes
	// and compactions live on it, so it should hold some memtables. 0 switches the check off.
	ReserveBytes int64
	// BallastBytes is the size of a file that is given up to let the writes under way through when the disk is full all of a
	// sudden, and to open a store on a full disk. 0 means no such file.
	BallastBytes int64

	// ScrubInterval is how long it takes to read all records once, in the background, to find those that the disk has spoilt. 0 means never.
	ScrubInterval time.Duration

	Log zerolog.Logger
	// Fatal is called when the store cannot go on, such as after a failed sync of the log, which must not be repeated: what the operating
	// system kept of it is unknown. The process should end, and open the store again. The default panics. If Fatal returns, every call
	// from then on fails.
	Fatal func(err error)
	// FS is the file system, the real one if nil.
	FS vfs.FS
}

// DefaultPebbleOptions returns the settings of a production node, without a log.
func DefaultPebbleOptions() PebbleOptions {
	return PebbleOptions{
		Sync: SyncAlways, SyncEvery: 100 * time.Millisecond,
		CacheBytes: 64 << 20, MemTableBytes: 32 << 20,
		ReserveBytes: 64 << 20, BallastBytes: 32 << 20, ScrubInterval: 24 * time.Hour,
		Log: zerolog.Nop(),
	}
}

// Validate reports every problem at once.
func (o PebbleOptions) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.Sync > SyncNever {
		bad("sync mode: %d is none", o.Sync)
	}
	if o.Sync == SyncInterval && o.SyncEvery <= 0 {
		bad("sync interval: %v, want more than 0", o.SyncEvery)
	}
	if o.CacheBytes < 0 {
		bad("cache: %d bytes, want at least 0", o.CacheBytes)
	}
	if o.MemTableBytes < 64<<10 || o.MemTableBytes > 1<<30 {
		bad("memtable: %d bytes, want 64 KiB to 1 GiB", o.MemTableBytes)
	}
	if o.ReserveBytes < 0 {
		bad("reserve: %d bytes, want at least 0", o.ReserveBytes)
	}
	if o.BallastBytes < 0 {
		bad("ballast: %d bytes, want at least 0", o.BallastBytes)
	}
	if o.ScrubInterval < 0 {
		bad("scrub interval: %v, want at least 0", o.ScrubInterval)
	}
	return errors.Join(errs...)
}

// pebbleOptions translates for Pebble. Records are spread by a hash, so every table of a level has keys of every read's neighborhood: the
// bloom filters are what keeps a read of a missing key, and the version check of a fresh write, off the disk.
func (p *Pebble) pebbleOptions() *pebble.Options {
	logger := &logger{log: p.opts.Log, fail: p.fail}
	o := &pebble.Options{
		FS:                          p.fs,
		CacheSize:                   p.opts.CacheBytes,
		MemTableSize:                uint64(p.opts.MemTableBytes),
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       2,
		L0StopWritesThreshold:       100,
		LBaseMaxBytes:               64 << 20,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		WALBytesPerSync:             512 << 10,
		WALMinSyncInterval:          func() time.Duration { return 0 },
		FormatMajorVersion:          pebble.FormatNewest,
		Logger:                      logger,
		EventListener:               p.listener(),
	}
	o.Experimental.CompactionScheduler = &compactions{}
	o.Levels[0].FilterPolicy = bloom.FilterPolicy(10)
	o.Levels[0].BlockSize = 16 << 10
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionBalanced })
	return o
}

// logger passes Pebble's words on to zerolog.
type logger struct {
	log  zerolog.Logger
	fail func(error)
}

var _ pebble.Logger = (*logger)(nil)

func (l *logger) Infof(format string, args ...any) { l.log.Debug().Msgf(format, args...) }

func (l *logger) Errorf(format string, args ...any) { l.log.Error().Msgf(format, args...) }

// Fatalf must not return: Pebble goes on as if it did not.
func (l *logger) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	l.fail(err)
	panic(err)
}

// listener picks the events of Pebble that an operator should see.
func (p *Pebble) listener() *pebble.EventListener {
	log := p.opts.Log
	return &pebble.EventListener{
		BackgroundError: func(err error) { log.Error().Err(err).Msg("flush or compaction") },
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			p.corruptLog.Error().Str("file", info.Path).Err(info.Details).Msg("corrupt table")
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			p.stalls.Add(1)
			log.Warn().Str("reason", info.Reason).Msg("writes stalled")
		},
		WriteStallEnd: func() { log.Info().Msg("writes go on") },
	}
}
