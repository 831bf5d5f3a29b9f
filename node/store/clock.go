package store

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/chordkv/chord/node"
)

// clockFile is the file of a data directory that says up to which time versions may have been given. It has two lines, a time and a checksum each, of which the later counts. They are written in turns and in place, so that a
// note costs one sync of data, and a power cut damages at most the line that nobody relies on yet.
type clockFile struct {
	path string

	mu   sync.Mutex
	file vfs.File // nil until it is written in place
	upTo time.Time
	next int64 // the line to be written
}

const (
	clockLayout = "2006-01-02T15:04:05.000Z"
	clockLine   = int64(len(clockLayout) + len(" 01234567\n"))
)

// load reads the file, if there is one.
func (c *clockFile) load() error {
	raw, err := os.ReadFile(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for i := range int64(2) {
		line := raw[min(i*clockLine, int64(len(raw))):min((i+1)*clockLine, int64(len(raw)))]
		if upTo, ok := decodeClock(line); ok && upTo.After(c.upTo) {
			c.upTo, c.next = upTo, 1-i
		}
	}
	if c.upTo.IsZero() {
		return fmt.Errorf("the file %s is damaged: if the clock of this machine was not set back since the process ran last, remove the file", clockName)
	}
	return nil
}

// note writes a time down, unless it is one that is, or an earlier one.
func (c *clockFile) note(upTo time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !upTo.After(c.upTo) {
		return nil
	}
	line := encodeClock(upTo)
	if int64(len(line)) != clockLine {
		return fmt.Errorf("%w: cannot note a time in the year %d", node.ErrClockSkew, upTo.Year())
	}
	if err := c.write(line); err != nil {
		return storeError("write "+c.path, err)
	}
	c.upTo, c.next = upTo, 1-c.next
	return nil
}

func (c *clockFile) write(line []byte) error {
	if c.upTo.IsZero() {
		return replaceFile(c.path, line) // so that a file without a good line is one that was damaged
	}
	if c.file == nil {
		file, err := vfs.Default.OpenReadWrite(c.path, vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		c.file = file
	}
	if _, err := c.file.WriteAt(line, c.next*clockLine); err != nil {
		return err
	}
	if err := c.file.SyncData(); err != nil {
		// What a file has after a sync that failed, nobody knows. The next note opens it anew, and writes the line again.
		file := c.file
		c.file = nil
		return errors.Join(err, file.Close())
	}
	return nil
}

func (c *clockFile) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		return nil
	}
	return c.file.Close()
}

func encodeClock(upTo time.Time) []byte {
	text := upTo.UTC().Format(clockLayout)
	return fmt.Appendf(nil, "%s %08x\n", text, crc32.Checksum([]byte(text), castagnoli))
}

// decodeClock reads what encodeClock wrote.
func decodeClock(line []byte) (upTo time.Time, ok bool) {
	if int64(len(line)) != clockLine {
		return time.Time{}, false
	}
	upTo, err := time.Parse(clockLayout, string(line[:len(clockLayout)]))
	return upTo, err == nil && string(encodeClock(upTo)) == string(line)
}

// Clock returns the latest time that NoteClock was given, zero if there was none.
func (d *Dir) Clock() time.Time {
	d.clock.mu.Lock()
	defer d.clock.mu.Unlock()
	return d.clock.upTo
}

// NoteClock notes, durably, that versions up to a time may have been given. It costs a sync, and nothing if a time that is not earlier was noted before. Errors wrap node.ErrStore, node.ErrStoreFull or
// node.ErrClockSkew.
func (d *Dir) NoteClock(upTo time.Time) error { return d.clock.note(upTo) }
