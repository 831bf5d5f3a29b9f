package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRingIsRestored backs up all processes of a ring with one command, loses all their directories, and restores them: what was there at the backup is
// there again, and nothing that came later.
func TestRingIsRestored(t *testing.T) {
	needPrograms(t)
	t.Parallel() // most of the time is waiting
	want := packageList(11, 1000)
	ring := startRing(t, 3, "--vnodes", "4")
	importAll(t, ring[0], want)
	waitHeld(t, ring, want)
	backup := filepath.Join(t.TempDir(), "not", "there", "yet")
	mustChord(t, "backup", backup, "--all", "--server", ring[1].listen)
	mustChord(t, "put", "later", "value", "--server", ring[0].listen)
	if out := chord(t, "backup", backup, "--all", "--server", ring[1].listen); out.code == 0 || strings.Count(out.stderr, "file exists") != len(ring) {
		t.Errorf("a backup over another: exit code %d, %s", out.code, out.stderr)
	}
	for _, d := range ring {
		d.kill()
		if err := os.RemoveAll(d.data); err != nil {
			t.Fatal(err)
		}
		from := filepath.Join(backup, strings.ReplaceAll(d.listen, ":", "_"))
		if out, err := exec.Command(filepath.Join(binDir, "chordd"), "restore", from, d.data).CombinedOutput(); err != nil {
			t.Fatalf("restore: %v\n%s", err, out)
		}
	}
	for i, d := range ring {
		d.start("--join", ring[(i+1)%len(ring)].listen)
	}
	waitReady(t, ring...)
	checkExport(t, ring[2], want)
	waitHeld(t, ring, want)
}
