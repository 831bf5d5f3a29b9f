package store_test

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chordkv/chord/node/store"
)

// TestClockIsKept: a directory remembers the latest time that was noted, whichever of the two lines a power cut has damaged since.
func TestClockIsKept(t *testing.T) {
	path := t.TempDir()
	name := filepath.Join(path, "clock")
	d := openDir(t, path, dirOptions())
	if !d.Clock().IsZero() {
		t.Errorf("a new directory has noted %v", d.Clock())
	}
	for i := range 4 {
		before, _ := os.ReadFile(name)
		at := start.Truncate(time.Millisecond).Add(time.Duration(i) * time.Second)
		if err := d.NoteClock(at); err != nil {
			t.Fatal(err)
		}
		if err := d.NoteClock(at.Add(-time.Second)); err != nil || !d.Clock().Equal(at) {
			t.Errorf("%v is noted, %v, after an earlier time than %v was", d.Clock(), err, at)
		}
		closeDir(t, d)
		after, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 { // a cut in the middle of the note
			differs := 0
			for differs < len(before) && before[differs] == after[differs] {
				differs++
			}
			torn := bytes.Clone(after[:max(len(before), differs+5)])
			copy(torn[min(differs+5, len(torn)):], before[min(differs+5, len(before)):])
			if err := os.WriteFile(name, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			d = openDir(t, path, dirOptions())
			if want := at.Add(-time.Second); !d.Clock().Equal(want) {
				t.Errorf("after a note that was cut short: %v, want %v", d.Clock(), want)
			}
			closeDir(t, d)
			if err := os.WriteFile(name, after, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		d = openDir(t, path, dirOptions())
		if !d.Clock().Equal(at) {
			t.Errorf("after a restart: %v, want %v", d.Clock(), at)
		}
	}
	if raw, _ := os.ReadFile(name); len(raw) > 100 {
		t.Errorf("the file has grown to %d bytes", len(raw))
	}
	closeDir(t, d)
	if err := os.WriteFile(name, []byte("rot"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.OpenDir(path, dirOptions()); err == nil {
		t.Error("a damaged clock is taken for none")
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if d := openDir(t, path, dirOptions()); !d.Clock().IsZero() {
		t.Errorf("got %v without the file", d.Clock())
	}
}

// TestClockIsNotedByMany: who notes the time while others do returns when his is noted, and those of one time share the write.
func TestClockIsNotedByMany(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, path, dirOptions())
	var wrong atomic.Int32
	var tasks sync.WaitGroup
	for i := range 40 {
		tasks.Go(func() {
			at := start.Add(time.Duration(i/4) * time.Second)
			if err := d.NoteClock(at); err != nil || d.Clock().Before(at) {
				wrong.Add(1)
			}
		})
	}
	tasks.Wait()
	closeDir(t, d)
	if d := openDir(t, path, dirOptions()); wrong.Load() > 0 || !d.Clock().Equal(start.Add(9*time.Second).Truncate(time.Millisecond)) {
		t.Errorf("%d notes went wrong; %v is noted", wrong.Load(), d.Clock())
	}
}
