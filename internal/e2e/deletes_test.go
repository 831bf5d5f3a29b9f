package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestDeletesAreForgotten deletes keys: their tombstones vanish from all stores. A process that was away for longer than deletes are remembered starts over
// without its records, so that it does not bring a key back; one that was away for less keeps them.
func TestDeletesAreForgotten(t *testing.T) {
	needPrograms(t)
	t.Parallel() // most of the time is waiting
	want := packageList(10, 300)
	// The least age of a delete is above what the processes need to stop, start and settle, several times over.
	ring := startRing(t, 4, "--vnodes", "2", "--tombstone-grace", "16s", "--forget-dead", "2s", "--grace", "2s")
	importAll(t, ring[0], want)
	waitHeld(t, ring, want)

	short, long := ring[2], ring[3]
	if code := long.terminate(20 * time.Second); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	gone := map[string]bool{}
	for key := range want {
		if len(gone) < 100 {
			gone[key] = true
			mustChord(t, "del", "--server", ring[0].listen, key)
			delete(want, key)
		}
	}
	if code := short.terminate(20 * time.Second); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	time.Sleep(2 * time.Second)
	short.start()
	waitReady(t, short)
	if log := short.tail(1 << 20); strings.Contains(log, "started over") {
		t.Errorf("a process that was away for 2 s has started over:\n%s", log)
	}
	forgotten := func(processes ...*chordd) func() error {
		return func() error {
			for _, d := range processes {
				metrics, err := d.get("/metrics")
				if err != nil {
					return err
				}
				if !strings.Contains(metrics, "\nchord_store_tombstones 0\n") {
					return fmt.Errorf("%s remembers deletes", d.name)
				}
			}
			return nil
		}
	}
	eventually(t, 2*time.Minute, "three processes forget the deletes", forgotten(ring[:3]...))

	long.start()
	waitReady(t, long)
	if log := long.tail(1 << 20); !strings.Contains(log, "started over") {
		t.Errorf("a process that was away for too long has not started over:\n%s", log)
	}
	waitHeld(t, ring, want)
	for key := range gone {
		if out := chord(t, "get", "--server", ring[0].listen, key); out.code != 3 {
			t.Errorf("get of the deleted key %q: exit code %d, %s", key, out.code, out.stdout)
		}
	}
	checkExport(t, long, want)
	eventually(t, time.Minute, "nobody remembers a delete", forgotten(ring...))
}
