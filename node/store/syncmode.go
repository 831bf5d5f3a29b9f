package store

import "fmt"

// SyncMode says when a Pebble syncs its write-ahead log to the disk.
type SyncMode uint8

const (
	// SyncAlways syncs before a write is acknowledged. Concurrent writes share a sync.
	SyncAlways SyncMode = iota
	// SyncInterval acknowledges at once and syncs every PebbleOptions.SyncEvery: a power cut, or a crash of the process, loses
	// at most what was acknowledged since the start of the last finished sync, that is, in the last interval and the sync's own time.
	SyncInterval
	// SyncNever leaves it to Pebble, which syncs a log file when it is full, and to the operating system. A crash of the process loses the last
	// writes too, up to 32 KiB of them: Pebble hands its log to the operating system in blocks of that size.
	SyncNever
)

// String returns what ParseSyncMode reads: always, interval or never.
func (m SyncMode) String() string {
	return [...]string{"always", "interval", "never", "invalid"}[min(m, SyncNever+1)]
}

// ParseSyncMode reads what String writes.
func ParseSyncMode(s string) (SyncMode, error) {
	for m := SyncAlways; m <= SyncNever; m++ {
		if m.String() == s {
			return m, nil
		}
	}
	return 0, fmt.Errorf("sync mode %q: want always, interval or never", s)
}
