package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
)

// fill writes until the disk has not a byte left.
func fill(t testing.TB, dir string) (free func()) {
	t.Helper()
	name := filepath.Join(dir, "filler")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for chunk := make([]byte, 1<<20); len(chunk) > 0; {
		if _, err := f.Write(chunk); errors.Is(err, syscall.ENOSPC) {
			chunk = chunk[:len(chunk)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Error(err)
		}
	}
}

func diskOptions() store.PebbleOptions {
	opts := smallOptions()
	opts.ReserveBytes, opts.BallastBytes = 8<<20, 4<<20
	return opts
}

// writer writes key after key, and remembers which were acknowledged.
type writer struct {
	name  string
	acked []string
	full  atomic.Int64
}

func (w *writer) run(t *testing.T, s node.Store, done <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-done:
			return
		default:
		}
		key := fmt.Sprintf("%s-%d", w.name, i)
		_, err := s.Apply([]node.Record{put(key, string(make([]byte, 500)), 1)})
		switch {
		case err == nil:
			w.acked = append(w.acked, key)
		case errors.Is(err, node.ErrStoreFull):
			w.full.Add(1)
			time.Sleep(time.Millisecond)
		default:
			t.Errorf("%s: %v", key, err)
			return
		}
	}
}

// Another program fills the disk to the last byte while clients write.
func TestSuddenlyFullDisk(t *testing.T) {
	disk := smallDisk(t, "64m")
	dir := filepath.Join(disk, "records")
	s := openPebble(t, dir, diskOptions())
	if got := s.Metrics().BallastBytes; got != 4<<20 {
		t.Fatalf("got %d bytes of ballast", got)
	}
	done := make(chan struct{})
	var writing sync.WaitGroup
	writers := make([]*writer, 8)
	for i := range writers {
		writers[i] = &writer{name: fmt.Sprint("writer-", i)}
		writing.Go(func() { writers[i].run(t, s, done) })
	}
	for range 3 {
		apply(t, s, put("before", "it was full", 1))
		free := fill(t, disk)
		waitFor(t, func() bool { return errors.Is(s.Writable(), node.ErrStoreFull) })
		for _, w := range writers { // each is refused, none hangs
			was := w.full.Load()
			waitFor(t, func() bool { return w.full.Load() > was })
		}
		if r, ok := get(t, s, "before"); !ok || string(r.Value) != "it was full" {
			t.Errorf("read on a full disk: got %+v, %v", r, ok)
		}
		if _, err := s.Apply([]node.Record{put("k", "v", 1)}); !errors.Is(err, node.ErrStoreFull) {
			t.Errorf("apply on a full disk: %v", err)
		}
		free()
		waitFor(t, func() bool { return s.Writable() == nil })
		if got := s.Metrics().BallastBytes; got != 4<<20 {
			t.Errorf("got %d bytes of ballast after there was room again", got)
		}
	}
	close(done)
	writing.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := openPebble(t, dir, diskOptions())
	for _, w := range writers {
		for _, key := range w.acked {
			if _, ok := get(t, again, key); !ok {
				t.Fatalf("%s was acknowledged and is gone", key)
			}
		}
		t.Logf("%s: %d acknowledged, %d refused", w.name, len(w.acked), w.full.Load())
	}
}

// Clients fill the disk themselves: writes end at the reserve, and dropping records is possible and makes room.
func TestReserveIsKept(t *testing.T) {
	disk := smallDisk(t, "48m")
	opts := diskOptions()
	opts.MemTableBytes = 1 << 20
	s := openPebble(t, filepath.Join(disk, "records"), opts)
	rng := rand.NewChaCha8([32]byte{})
	var keys []node.Entry
	for i := 0; ; i++ {
		value := make([]byte, 64<<10)
		_, _ = rng.Read(value) // never fails
		key := fmt.Sprint("key-", i)
		_, err := s.Apply([]node.Record{put(key, string(value), 1)})
		if errors.Is(err, node.ErrStoreFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, node.Entry{Key: []byte(key), Version: version(1)})
	}
	if err := s.Writable(); !errors.Is(err, node.ErrStoreFull) {
		t.Errorf("got %v, want a node.ErrStoreFull", err)
	}
	if m := s.Metrics(); !m.Full || m.BallastBytes != 4<<20 {
		t.Errorf("got full %v, %d bytes of ballast: the reserve alone should do", m.Full, m.BallastBytes)
	}
	if n, err := s.Drop(keys); err != nil || n != len(keys) {
		t.Fatalf("dropped %d of %d, %v", n, len(keys), err)
	}
	if err := s.Compact(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return s.Writable() == nil })
}

// A process that restarts on a disk without a free byte opens its data directory and its store, and serves reads.
func TestOpenOnFullDisk(t *testing.T) {
	disk := smallDisk(t, "32m")
	path := filepath.Join(disk, "data")
	d := openDir(t, path, dirOptions())
	s := openPebble(t, d.RecordsPath(), diskOptions())
	for i := range 1000 {
		apply(t, s, put(fmt.Sprint("key-", i), "value", 1))
	}
	if err := errors.Join(s.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	free := fill(t, disk)
	d = openDir(t, path, dirOptions())
	if got := d.Identity().Incarnation; got != 2 {
		t.Errorf("got incarnation %d, want 2", got)
	}
	s = openPebble(t, d.RecordsPath(), diskOptions())
	if _, ok := get(t, s, "key-999"); !ok {
		t.Error("key-999 is gone")
	}
	if _, err := s.Apply([]node.Record{put("k", "v", 1)}); !errors.Is(err, node.ErrStoreFull) {
		t.Errorf("apply on a full disk: %v", err)
	}
	free()
	waitFor(t, func() bool { return s.Writable() == nil })
	apply(t, s, put("k", "v", 1))
}

// fullFS is a disk on which writes fail for lack of space while full says so.
type fullFS struct {
	vfs.FS
	full atomic.Bool
	met  atomic.Int64 // writes that failed
}

type fullFile struct {
	vfs.File
	fs *fullFS
}

func (f *fullFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	return &fullFile{file, f}, err
}

func (f *fullFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(from, to, c)
	return &fullFile{file, f}, err
}

func (f *fullFile) Write(p []byte) (int, error) {
	if !f.fs.full.Load() {
		return f.File.Write(p)
	}
	f.fs.met.Add(1)
	n, err := f.File.Write(p[:len(p)/2])
	return n, errors.Join(err, syscall.ENOSPC)
}

// Without a ballast, or when that is not enough, a write under way waits for room; it neither fails nor ends the process.
func TestWriteUnderWayWaitsForRoom(t *testing.T) {
	disk := &fullFS{FS: vfs.NewMem()}
	opts := smallOptions()
	opts.FS = disk
	s := openPebble(t, "records", opts)
	apply(t, s, put("before", "v", 1))
	disk.full.Store(true)
	done := make(chan error)
	go func() {
		_, err := s.Apply([]node.Record{put("k", "v", 1)})
		done <- err
	}()
	waitFor(t, func() bool { return disk.met.Load() > 3 }) // it tried more than once
	select {
	case err := <-done:
		t.Fatalf("the write did not wait: %v", err)
	default:
	}
	if _, ok := get(t, s, "before"); !ok {
		t.Error("no read while a write waits")
	}
	disk.full.Store(false)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, ok := get(t, s, "k"); !ok {
		t.Error("the write is gone")
	}
	waitFor(t, func() bool { return s.Writable() == nil })
}

// A failed sync must not be repeated: the store reports it, and does nothing any more.
func TestFailedSyncEndsTheStore(t *testing.T) {
	disk := &brokenFS{FS: vfs.NewMem()}
	opts := smallOptions()
	opts.FS = disk
	fatal := make(chan error, 10)
	opts.Fatal = func(err error) { fatal <- err }
	s, err := store.OpenPebble("records", opts)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, s, put("k", "v", 1))
	disk.broken.Store(true)
	if _, err := s.Apply([]node.Record{put("k", "v", 2)}); !errors.Is(err, node.ErrStore) || !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
	if err := <-fatal; !errors.Is(err, errBroken) {
		t.Errorf("reported %v", err)
	}
	disk.broken.Store(false)
	for name, err := range map[string]error{
		"writable": s.Writable(),
		"get":      second(s.Get([]byte("k"))),
		"apply":    last(s.Apply([]node.Record{put("k", "v", 3)})),
		"drop":     last(s.Drop([]node.Entry{{Key: []byte("k"), Version: version(2)}})),
		"version":  last(s.Version([]byte("k"))),
	} {
		if !errors.Is(err, node.ErrStore) {
			t.Errorf("%s: got %v, want a node.ErrStore", name, err)
		}
	}
}

func last[T any](_ T, err error) error           { return err }
func second[T, U any](_ T, _ U, err error) error { return err }

var errBroken = errors.New("broken disk")

// brokenFS is a disk whose syncs fail while broken says so.
type brokenFS struct {
	vfs.FS
	broken atomic.Bool
}

type brokenFile struct {
	vfs.File
	fs *brokenFS
}

func (f *brokenFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	return &brokenFile{file, f}, err
}

func (f *brokenFile) Sync() error {
	if f.fs.broken.Load() {
		return errBroken
	}
	return f.File.Sync()
}

func (f *brokenFile) SyncData() error {
	if f.fs.broken.Load() {
		return errBroken
	}
	return f.File.SyncData()
}
