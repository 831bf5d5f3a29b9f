package store

import (
	"os"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// spaceFS is a file system whose operations do not fail for lack of room, where that would be the end of Pebble: the log and the
// manifest. They take the ballast, and if that is not enough they wait. A flush may take the ballast as well, because writes under way
// wait for it when the memtables are full; but it can be repeated, so it fails after a delay. A compaction can wait for better times: it
// leaves the ballast to the others, and gives back what it has written when it fails.
//
// vfs.OnDiskFull is Pebble's own way to do this; it tries an operation just once more, which is lost if another program is
// quicker to take what the ballast gave up, and it gives the ballast to the first that asks.
type spaceFS struct {
	vfs.FS
	space *space
}

// spaceFile is a file that was opened for writing.
type spaceFile struct {
	vfs.File
	fs  *spaceFS
	use use
}

// use is what a file is for.
type use uint8

const (
	forLog use = iota // the log, the manifest, and whatever else is small
	forFlush
	forCompaction
)

// compactionCategory is the name that Pebble gives to what a compaction writes.
const compactionCategory vfs.DiskWriteCategory = "pebble-compaction"

func useOf(name string, category vfs.DiskWriteCategory) use {
	switch {
	case !strings.HasSuffix(name, ".sst") && !strings.HasSuffix(name, ".blob"):
		return forLog
	case category == compactionCategory:
		return forCompaction
	}
	return forFlush
}

// Unwrap implements vfs.FS.
func (f *spaceFS) Unwrap() vfs.FS { return f.FS }

// try runs an operation until it does not fail for lack of room, or may.
func (f *spaceFS) try(use use, op func() error) error {
	for {
		err := op()
		if !isNoSpace(err) {
			return err
		}
		opening := f.space.opening.Load()
		if (use != forCompaction || opening) && f.space.ranOut() {
			continue
		}
		if use != forLog && !opening {
			f.space.tableRanOut()
			return err
		}
		if opening || f.space.closing.Load() {
			return err
		}
		time.Sleep(waitForRoom)
	}
}

// openFile runs an operation that returns a file for writing.
func (f *spaceFS) openFile(use use, open func() (vfs.File, error)) (vfs.File, error) {
	var file vfs.File
	err := f.try(use, func() (err error) {
		file, err = open()
		return err
	})
	if err != nil {
		return nil, err
	}
	return &spaceFile{File: file, fs: f, use: use}, nil
}

// Create implements vfs.FS.
func (f *spaceFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return f.openFile(useOf(name, category), func() (vfs.File, error) { return f.FS.Create(name, category) })
}

// OpenReadWrite implements vfs.FS.
func (f *spaceFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return f.openFile(useOf(name, category), func() (vfs.File, error) { return f.FS.OpenReadWrite(name, category, opts...) })
}

// ReuseForWrite implements vfs.FS.
func (f *spaceFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return f.openFile(useOf(newname, category), func() (vfs.File, error) { return f.FS.ReuseForWrite(oldname, newname, category) })
}

// Link implements vfs.FS.
func (f *spaceFS) Link(oldname, newname string) error {
	return f.try(forLog, func() error { return f.FS.Link(oldname, newname) })
}

// Rename implements vfs.FS.
func (f *spaceFS) Rename(oldname, newname string) error {
	return f.try(forLog, func() error { return f.FS.Rename(oldname, newname) })
}

// MkdirAll implements vfs.FS.
func (f *spaceFS) MkdirAll(dir string, perm os.FileMode) error {
	return f.try(forLog, func() error { return f.FS.MkdirAll(dir, perm) })
}

// Write implements io.Writer.
func (f *spaceFile) Write(p []byte) (int, error) {
	done := 0
	err := f.fs.try(f.use, func() error {
		n, err := f.File.Write(p[done:])
		done += n
		return err
	})
	return done, err
}

// WriteAt implements io.WriterAt.
func (f *spaceFile) WriteAt(p []byte, offset int64) (int, error) {
	done := 0
	err := f.fs.try(f.use, func() error {
		n, err := f.File.WriteAt(p[done:], offset+int64(done))
		done += n
		return err
	})
	return done, err
}
