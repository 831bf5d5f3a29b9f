package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/chordkv/chord/node"
)

// spoilTables stops a process, changes bytes in its tables, and starts it again: what it cannot read it gets from the others, and nobody hears that it does not exist.
func spoilTables(e *engagement) {
	e.work.fill(e.T, 3000)
	d := e.any()
	for range 2 { // what is in the log is in a table after the next start
		if code := d.terminate(20 * time.Second); code != 0 {
			e.Errorf("exit code %d", code)
		}
		e.back(d)
	}
	d.terminate(20 * time.Second)
	spoilFiles(e, d, "*.sst")
	e.back(d)
	eventually(e.T, 30*time.Second, "has all that was lost", func() error {
		metrics, err := d.get("/metrics")
		if err == nil && !strings.Contains(metrics, "\nchord_store_lost_stretches 0\n") {
			err = errors.New("something is lost")
		}
		return err
	})
}

// spoilLog kills a process and changes bytes in its log. It refuses to start: what else was acknowledged is unknown. Without its records it gets them from the others.
func spoilLog(e *engagement) {
	e.work.fill(e.T, 3000)
	d := e.any()
	d.kill()
	spoilFiles(e, d, "*.log")
	d.start(e.join(d)...)
	if code := d.wait(20 * time.Second); code == 0 || !strings.Contains(d.tail(2<<10), node.ErrCorrupt.Error()) {
		e.Errorf("exit code %d with a damaged log:\n%s", code, d.tail(2<<10))
	}
	if err := os.Rename(filepath.Join(d.data, "records"), filepath.Join(d.data, "records-damaged")); err != nil {
		e.Fatal(err)
	}
	e.back(d)
}

// spoilFiles changes a byte in every 64 KiB of some of a stopped process's files.
func spoilFiles(e *engagement, d *chordd, pattern string) {
	files, err := filepath.Glob(filepath.Join(d.data, "records", pattern))
	if err != nil || len(files) == 0 {
		e.Fatal("no files like", pattern, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			e.Fatal(err)
		}
		for at := 0; at < len(content)*3/4; at += 64 << 10 { // what comes last finds the rest
			content[at+e.rng.IntN(min(64<<10, len(content)*3/4-at))] ^= byte(1 + e.rng.IntN(255))
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			e.Fatal(err)
		}
		e.Logf("%s: changed bytes of %s, %d bytes", d.name, filepath.Base(file), len(content))
	}
}

// twins starts a copy of a process, with its identity and its records, beside it.
func twins(e *engagement) {
	d := e.any()
	d.kill()
	twin := newChordd(e.T, "twin of "+d.name, d.args...)
	if err := os.CopyFS(twin.data, os.DirFS(d.data)); err != nil {
		e.Fatal(err)
	}
	e.back(d)
	twin.start("--join", e.ring[e.rng.IntN(len(e.ring))].listen)
	time.Sleep(5 * time.Second)
	e.Logf("the twin runs: %v; %s runs: %v; end of the twin's log:\n%s", twin.running(), d.name, d.running(), lastLine(twin.tail(2<<10)))
	twin.kill()
	if !d.running() {
		e.back(d)
	}
}

func lastLine(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return lines[len(lines)-1]
}
