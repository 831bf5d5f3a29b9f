package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Backup makes a directory that is what this data directory would be if the process and its machine stopped at this moment. Files that Pebble
// never changes are in both (hard links), so it takes a moment and hardly any room. The new directory must be on the same file system, and not be there yet; what is missing above it is made.
func (d *Dir) Backup(records *Pebble, to string, now time.Time) error {
	if err := d.backup(records, to, now); err != nil {
		return fmt.Errorf("back up into %s: %w", to, err)
	}
	return nil
}

func (d *Dir) backup(records *Pebble, to string, now time.Time) error {
	if !filepath.IsAbs(to) {
		return errors.New("want an absolute path: it is one on the machine of the process")
	}
	above := filepath.Dir(to)
	for _, err := os.Stat(above); errors.Is(err, fs.ErrNotExist); _, err = os.Stat(above) {
		above = filepath.Dir(above)
	}
	if err := sameFileSystem(d.path, above); err != nil {
		return err
	}
	if err := records.Writable(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	err := records.db.Checkpoint(filepath.Join(to, recordsName), pebble.WithFlushedWAL())
	if upTo := d.Clock(); err == nil && !upTo.IsZero() {
		err = replaceFile(filepath.Join(to, clockName), encodeClock(upTo))
	}
	if err == nil { // last: without it, this is no data directory
		d.mu.Lock()
		id := d.id
		d.mu.Unlock()
		id.LastAlive = now.UTC()
		err = replaceFile(filepath.Join(to, identityName), id.encode())
	}
	if err == nil {
		err = syncDir(filepath.Dir(to))
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(to))
	}
	return nil
}

// sameFileSystem returns an error unless files can be in both directories at once.
func sameFileSystem(a, b string) error {
	var one, other syscall.Stat_t
	if err := syscall.Stat(a, &one); err != nil {
		return &fs.PathError{Op: "stat", Path: a, Err: err}
	}
	if err := syscall.Stat(b, &other); err != nil {
		return &fs.PathError{Op: "stat", Path: b, Err: err}
	}
	if one.Dev != other.Dev {
		return fmt.Errorf("not on the file system of %s: back up to where it takes no room, and copy it from there", a)
	}
	return nil
}

// Restore copies a backup, or any data directory that no process uses, to a place where a process can use it: to must be empty, or not there yet. The original stays
// as it is. copied counts the bytes meanwhile.
func Restore(ctx context.Context, from, to string, copied *atomic.Int64) error {
	if err := restore(ctx, from, to, copied); err != nil {
		return fmt.Errorf("restore %s to %s: %w", from, to, err)
	}
	return nil
}

func restore(ctx context.Context, from, to string, copied *atomic.Int64) error {
	lock, err := os.Open(filepath.Join(from, lockName))
	if err == nil {
		defer lock.Close()
		err = lockFile(lock)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	identity, err := os.ReadFile(filepath.Join(from, identityName))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	if there, err := os.ReadDir(to); err != nil || len(there) > 0 {
		return errors.Join(err, errors.New("the directory is not empty"))
	}
	if err := copyTree(ctx, filepath.Join(from, recordsName), filepath.Join(to, recordsName), copied); err != nil {
		return errors.Join(err, os.RemoveAll(filepath.Join(to, recordsName)))
	}
	if err := copyFile(filepath.Join(from, clockName), filepath.Join(to, clockName), copied); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return replaceFile(filepath.Join(to, identityName), identity)
}

// copyTree copies a directory, durably.
func copyTree(ctx context.Context, from, to string, copied *atomic.Int64) error {
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no record was ever stored
	}
	if err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		a, b := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		if e.IsDir() {
			err = copyTree(ctx, a, b, copied)
		} else {
			err = copyFile(a, b, copied)
		}
		if err != nil {
			return err
		}
	}
	return syncDir(to)
}

func copyFile(from, to string, copied *atomic.Int64) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, in)
	copied.Add(n)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
