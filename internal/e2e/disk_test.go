//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFullDisk fills a real file system: writes are refused with a clear error, reads go on, and when there is room again, so do writes,
// without a restart.
func TestFullDisk(t *testing.T) {
	needPrograms(t)
	if os.Geteuid() != 0 {
		t.Skip("mounting a file system needs root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=320m"); err != nil {
		t.Skipf("cannot mount a tmpfs: %v", err)
	}
	d := newChordd(t, "process", "--replicas", "1", "--write-quorum", "1", "--read-quorum", "1")
	t.Cleanup(func() {
		d.kill()
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	d.data = filepath.Join(dir, "data")
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 100<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	d.start()
	waitReady(t, d)

	value := "@" + randomFile(t, 1<<20)
	stored := 0
	var refused output
	for ; stored < 300; stored++ {
		if refused = chord(t, "put", fmt.Sprintf("key %d", stored), value, "--server", d.listen); refused.code != 0 {
			break
		}
	}
	if stored == 0 || refused.code != 1 || !strings.Contains(refused.stderr, "space") {
		t.Fatalf("after %d puts on a full disk: exit code %d, %q; want some puts, then 1 and that there is no space", stored, refused.code, refused.stderr)
	}
	t.Logf("after %d MiB: %s", stored, strings.TrimSpace(refused.stderr))
	for i := range stored {
		if got := mustChord(t, "get", fmt.Sprintf("key %d", i), "--server", d.listen); len(got) != 1<<20 {
			t.Errorf("key %d has %d bytes on the full disk, want %d", i, len(got), 1<<20)
		}
	}
	if out := chord(t, "get", fmt.Sprintf("key %d", stored), "--server", d.listen); out.code != 3 {
		t.Errorf("get of the refused key: exit code %d, want 3 (not found)", out.code)
	}
	if err := d.ready(); err != nil {
		t.Errorf("a full disk must not take the process away from readers: %v", err)
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "writable again", func() error {
		if out := chord(t, "put", "after", "room", "--server", d.listen); out.code != 0 {
			return fmt.Errorf("exit code %d: %s", out.code, out.stderr)
		}
		return nil
	})
	if got := mustChord(t, "get", "after", "--server", d.listen); got != "room" {
		t.Errorf("get after = %q, want %q", got, "room")
	}
}
