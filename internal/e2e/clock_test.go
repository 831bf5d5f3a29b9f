package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestClockSetBackAcrossAKill: a process that was killed comes back when its clock has been set back. It says so, writes nothing, and gives no version that it may have given when the clock is right again.
func TestClockSetBackAcrossAKill(t *testing.T) {
	needPrograms(t)
	t.Parallel() // most of the time is waiting
	program, err := faulty()
	if err != nil {
		t.Fatal(err)
	}
	d := newChordd(t, "process", "--replicas", "1", "--write-quorum", "1", "--read-quorum", "1")
	d.program, d.faults = program, filepath.Join(t.TempDir(), "faults")
	d.start()
	waitReady(t, d)
	put := func(key string) output {
		return chord(t, "put", key, "value", "--server", d.listen, "--timeout", "5s")
	}
	if out := put("before"); out.code != 0 {
		t.Fatalf("%+v", out)
	}
	d.kill()
	d.suffer("clock -10s")
	d.start()
	waitReady(t, d)
	if out := put("refused"); out.code == 0 || !strings.Contains(out.stderr, "the clock was set back") {
		t.Errorf("with a clock that was set back: %+v", out)
	}
	if ready, err := d.get("/readyz?verbose"); err != nil || !strings.Contains(ready, "the clock was set back") {
		t.Errorf("/readyz says %v, %s", err, ready)
	}
	d.suffer()
	deadline := time.Now().Add(20 * time.Second)
	for {
		if put("after").code == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no write with the right clock: %s", d.tail(2000))
		}
		time.Sleep(100 * time.Millisecond)
	}
	if _, err := os.Stat(filepath.Join(d.data, "clock")); err != nil {
		t.Error(err)
	}
}
