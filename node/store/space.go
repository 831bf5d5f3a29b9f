package store

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/rs/zerolog"

	"github.com/chordkv/chord/node"
)

// space watches the room on the file system of a store, and decides when writes are refused. It is full, with hysteresis, from when
// the free space falls below the reserve, or an operation meets a full disk, until there is a quarter more than the reserve
// and the ballast is back.
type space struct {
	fs      vfs.FS
	dir     string
	reserve uint64
	ballast uint64
	log     zerolog.Logger
	start   time.Time

	free    atomic.Uint64 // at the last look
	looked  atomic.Int64  // when that was, since start
	written atomic.Int64  // since then
	full    atomic.Bool
	opening atomic.Bool
	closing atomic.Bool

	mu        sync.Mutex
	held      uint64 // bytes of ballast
	exhausted bool   // the disk was entirely full since the last time that writes were accepted
}

const (
	ballastName = "ballast"
	// unknownSpace is the free space of a file system, one in memory, that cannot tell.
	unknownSpace uint64 = math.MaxUint64
	// lookEvery bounds the age of what is known about the free space, and so what another program can take unnoticed.
	lookEvery = 100 * time.Millisecond
	// waitForRoom is the time between two attempts of an operation that found the disk full.
	waitForRoom = 20 * time.Millisecond
	// tableDelay is how long a table that cannot be written is held up before Pebble is told, which would otherwise try again
	// at once, and again.
	tableDelay = time.Second
)

func newSpace(fs vfs.FS, dir string, opts PebbleOptions) *space {
	s := &space{
		fs: fs, dir: dir, reserve: uint64(opts.ReserveBytes), ballast: uint64(opts.BallastBytes),
		log: opts.Log, start: time.Now(),
	}
	s.opening.Store(true)
	if info, err := fs.Stat(s.ballastPath()); err == nil {
		s.held = uint64(info.Size())
	}
	return s
}

func (s *space) ballastPath() string { return s.fs.PathJoin(s.dir, ballastName) }

// opened ends the opening, during which any operation may use the ballast and none waits.
func (s *space) opened() error {
	s.opening.Store(false)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held > s.ballast {
		if err := s.deflate(); err != nil {
			return fmt.Errorf("ballast: %w", err)
		}
	}
	s.look()
	if s.held < s.ballast {
		s.log.Warn().Uint64("free", s.free.Load()).Uint64("reserve", s.reserve).Uint64("ballast", s.ballast).
			Msg("too little disk space for the ballast file; it is made when there is room")
	}
	return nil
}

// close makes operations that wait for room fail instead.
func (s *space) close() { s.closing.Store(true) }

// admit returns an error that wraps node.ErrStoreFull if n more bytes are not to be written now.
func (s *space) admit(n int) error {
	if written := s.written.Add(int64(n)); written >= int64(s.reserve/8) || s.stale() {
		s.lookSoon()
	}
	if !s.full.Load() {
		return nil
	}
	return fmt.Errorf("%w: %s has %d MiB free, writes need %d MiB",
		node.ErrStoreFull, s.dir, s.free.Load()>>20, max(s.resume()>>20, 1))
}

// admitDrop is like admit for what only needs room in the log, which the ballast guarantees, and gives back more.
func (s *space) admitDrop() error {
	err := s.admit(0)
	if err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exhausted {
		return err
	}
	return nil
}

// freeBytes returns the free space, at most lookEvery old; 0 if the file system cannot tell.
func (s *space) freeBytes() int64 {
	if s.stale() {
		s.lookSoon()
	}
	if free := s.free.Load(); free != unknownSpace {
		return int64(min(free, math.MaxInt64))
	}
	return 0
}

func (s *space) heldBytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(s.held)
}

func (s *space) stale() bool { return time.Since(s.start)-time.Duration(s.looked.Load()) >= lookEvery }

// lookSoon looks at the file system, unless another goroutine does already.
func (s *space) lookSoon() {
	if s.mu.TryLock() {
		defer s.mu.Unlock()
		s.look()
	}
}

// resume is the free space at which writes are accepted again.
func (s *space) resume() uint64 { return s.reserve + s.reserve/4 }

// look brings everything up to date with the file system. s.mu is held.
func (s *space) look() {
	s.looked.Store(int64(time.Since(s.start)))
	s.written.Store(0)
	usage, err := s.fs.GetDiskUsage(s.dir)
	switch {
	case errors.Is(err, vfs.ErrUnsupported):
		usage.AvailBytes = unknownSpace
	case err != nil:
		s.log.Warn().Err(err).Str("dir", s.dir).Msg("cannot tell the free disk space")
		return
	}
	free := usage.AvailBytes
	if missing := s.ballast - min(s.held, s.ballast); missing > 0 && free >= s.resume()+s.ballast {
		if err := s.inflate(); err != nil {
			s.log.Warn().Err(err).Msg("cannot make the ballast file")
			return
		}
		if free != unknownSpace {
			free -= missing
		}
	}
	s.free.Store(free)
	switch full := s.full.Load(); {
	case !full && free < s.reserve:
		s.setFull("free disk space is below the reserve: no writes")
	case full && free >= s.resume() && (!s.exhausted || s.held == s.ballast):
		s.exhausted = false
		s.full.Store(false)
		s.log.Info().Str("dir", s.dir).Uint64("free", free).Msg("disk space is back: writes are accepted")
	}
}

func (s *space) setFull(why string) {
	if !s.full.Swap(true) {
		s.log.Error().Str("dir", s.dir).Uint64("free", s.free.Load()).Uint64("reserve", s.reserve).Msg(why)
	}
}

// ranOut is told of an operation that met a full disk. It gives up the ballast and reports whether there was any.
func (s *space) ranOut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free.Store(0)
	s.exhausted = true
	s.setFull("the disk is full: no writes")
	if s.held == 0 {
		return false
	}
	if err := s.deflate(); err != nil {
		s.log.Error().Err(err).Msg("cannot give up the ballast file")
		return false
	}
	s.log.Warn().Uint64("bytes", s.ballast).Msg("ballast given up to finish the writes under way")
	return true
}

// tableRanOut is told of a table that met a full disk, and holds it up.
func (s *space) tableRanOut() {
	s.setFull("no room for a flush or compaction: no writes")
	for waited := time.Duration(0); waited < tableDelay && !s.closing.Load(); waited += waitForRoom {
		time.Sleep(waitForRoom)
	}
}

// inflate makes the ballast file. Its bytes do not compress, for the sake of file systems that would.
func (s *space) inflate() error {
	f, err := s.fs.Create(s.ballastPath(), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	chunk := make([]byte, 256<<10)
	noise := uint64(1)
	for i := range chunk {
		noise ^= noise << 13
		noise ^= noise >> 7
		noise ^= noise << 17
		chunk[i] = byte(noise)
	}
	for written := uint64(0); written < s.ballast && err == nil; written += uint64(len(chunk)) {
		chunk = chunk[:min(uint64(len(chunk)), s.ballast-written)]
		_, err = f.Write(chunk)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, s.deflate())
	}
	s.held = s.ballast
	return nil
}

func (s *space) deflate() error {
	if err := s.fs.Remove(s.ballastPath()); err != nil {
		return err
	}
	s.held = 0
	return nil
}

// isNoSpace reports an error of the file system for lack of room.
func isNoSpace(err error) bool {
	return err != nil && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT))
}
