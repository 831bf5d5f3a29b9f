package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chordkv/chord/node/store"
)

// TestBackup backs a store up while it is written to, and restores it.
func TestBackup(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, path, dirOptions())
	opts := smallOptions()
	opts.Sync = store.SyncAlways
	p := openPebble(t, d.RecordsPath(), opts)
	var acknowledged atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			apply(t, p, put(fmt.Sprint("key", i), strings.Repeat("v", 500), i+1))
			acknowledged.Store(int64(i + 1))
		}
	})
	waitFor(t, func() bool { return acknowledged.Load() > 500 })
	least, now := acknowledged.Load(), start.Add(time.Hour)
	backup, restored := filepath.Join(path, "backups", "today"), filepath.Join(t.TempDir(), "restored")
	if err := d.Backup(p, backup, now); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return acknowledged.Load() > least+100 })
	stop()
	writer.Wait()

	var copied atomic.Int64
	if err := store.Restore(t.Context(), backup, restored, &copied); err != nil {
		t.Fatal(err)
	}
	r, err := store.Inspect(t.Context(), restored, new(atomic.Int64))
	if err != nil {
		t.Fatal(err)
	}
	if r.Identity.Process != d.Identity().Process || !r.LastAlive.Equal(now) || r.Corrupt != 0 || r.Tree != "" || copied.Load() == 0 {
		t.Errorf("restored: %+v", r)
	}
	// What was written first is there, up to some record, and nothing else: the moment of the backup.
	if r.Records < least || r.Records > acknowledged.Load() || r.Newest != version(int(r.Records)) {
		t.Errorf("%d records up to %v, when %d were acknowledged before and %d in the end", r.Records, r.Newest, least, acknowledged.Load())
	}
	again := openDir(t, restored, dirOptions())
	if n := openPebble(t, again.RecordsPath(), opts).Stats().Records; n != r.Records {
		t.Errorf("%d records when it is used, %d were restored", n, r.Records)
	}
	if err := store.Restore(t.Context(), backup, restored, &copied); err == nil {
		t.Error("restored into a directory that is in use")
	}
	if err := store.Restore(t.Context(), restored, t.TempDir(), &copied); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("restored from a directory that is in use: %v", err)
	}
}

func TestBackupRefuses(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, path, dirOptions())
	p := openPebble(t, d.RecordsPath(), smallOptions())
	apply(t, p, put("key", "value", 1))
	for to, want := range map[string]error{
		"relative":     nil,
		path:           os.ErrExist,
		"/proc/backup": nil, // another file system
	} {
		err := d.Backup(p, to, start)
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("into %s: %v", to, err)
		}
	}
	if files, err := os.ReadDir(path); err != nil || len(files) != 3 {
		t.Errorf("left behind: %v (%v)", files, err)
	}
}
