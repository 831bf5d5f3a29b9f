package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

// TestRestartOfOneOfFive has one of five processes restart, after SIGTERM and after SIGKILL, while a thousandth more is written. What reaches its disk when it is back
// is what it missed: less than 2 % of what it holds. Without --grace the others make the copies that are missing at once, each once, and nothing else is moved; with it nothing but what was missed.
// In full: a million keys, and restarts that take 5 s and a minute.
func TestRestartOfOneOfFive(t *testing.T) {
	needPrograms(t)
	for _, grace := range []string{"0s", "10m"} {
		t.Run("grace "+grace, func(t *testing.T) { restartOneOfFive(t, grace) })
	}
}

func restartOneOfFive(t *testing.T, grace string) {
	keys, absences := 20_000, []time.Duration{0}
	if long {
		keys, absences = 1_000_000, []time.Duration{0, 5 * time.Second, time.Minute}
	}
	ring := startRing(t, 5, "--grace", grace)
	most := 1.05 // of what a process holds
	if grace != "0s" {
		most = 0.02
	}
	want := numbered("key", keys)
	importAll(t, ring[0], want)
	waitSettled(t, ring...)
	waitRecords(t, ring, replicas*len(want))
	waitStill(t, ring)
	terminate := func(d *chordd) {
		if code := d.terminate(20 * time.Second); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	for _, absence := range absences {
		for _, r := range []restart{{signal: "SIGTERM", stop: terminate}, {signal: "SIGKILL", stop: (*chordd).kill}} {
			t.Run(fmt.Sprintf("%s for %v", r.signal, absence), func(t *testing.T) {
				r.most, r.absence, r.missed = most, absence, numbered(t.Name(), keys/1000)
				maps.Copy(want, r.missed)
				r.check(t, ring, ring[1+rand.IntN(len(ring)-1)], len(want))
			})
		}
	}
	checkExport(t, ring[0], want)
}

// waitStill waits until processes have neither moved nor dropped records for longer than it takes them to look for some.
func waitStill(t *testing.T, ring []*chordd) {
	t.Helper()
	busy := func() (sum float64) {
		for _, f := range figuresOf(t, ring) {
			sum += f["chord_repair_sent_bytes_total"] + f["chord_repair_received_bytes_total"] + f["chord_records_dropped_total"]
		}
		return sum
	}
	before := busy()
	eventually(t, time.Minute, "still", func() error {
		time.Sleep(6 * time.Second)
		was := before
		if before = busy(); before != was {
			return fmt.Errorf("%.0f bytes moved, or records dropped, in six seconds", before-was)
		}
		return nil
	})
}

// restart is a way for a process to be away for a while.
type restart struct {
	signal  string
	stop    func(*chordd)
	absence time.Duration
	most    float64           // of what it holds may be moved
	missed  map[string]string // what is written meanwhile
}

// check restarts a process of a ring that has so many keys in the end.
func (r *restart) check(t *testing.T, ring []*chordd, d *chordd, keys int) {
	printed := make(map[*chordd]int)
	for _, o := range ring {
		printed[o] = len(o.printed())
	}
	before := figuresOf(t, ring)
	r.stop(d)
	time.Sleep(r.absence)
	importAll(t, ring[0], r.missed)
	absent := figuresOf(t, ring)
	d.start("--join", ring[0].listen)
	waitReady(t, ring...)
	waitSettled(t, ring...)
	waitRecords(t, ring, replicas*keys)
	after := figuresOf(t, ring)

	if disturbed(d, printed) {
		t.Skip("the run is invalid: another process did not answer in time either, and was taken for dead")
	}
	const each = len("key-0000000") + len("value 0000000") + 64 // bytes of a record as repair counts them
	holds := before[d]["chord_store_records"] * float64(each)
	moved := func(f figures) float64 {
		return f["chord_repair_sent_bytes_total"] + f["chord_repair_received_bytes_total"]
	}
	share := func(bytes float64) string { return fmt.Sprintf("%.0f bytes (%.2f %%)", bytes, 100*bytes/holds) }
	all := moved(after[d])
	for _, o := range ring {
		if o != d {
			all += moved(after[o]) - moved(before[o])
			t.Logf("%s moved %s while %s was away, %s since", o.name, share(moved(absent[o])-moved(before[o])), d.name, share(moved(after[o])-moved(absent[o])))
		}
	}
	disk := after[d]["chord_store_log_input_bytes_total"]
	t.Logf("%s, which holds %.0f bytes, wrote %s to its log since; all together moved %s", d.name, holds, share(disk), share(all))
	if disk > holds/50 {
		t.Errorf("%s wrote %s, want at most 2 %%", d.name, share(disk))
	}
	if all > holds*r.most {
		t.Errorf("%s were moved, want %g of what %s holds at most", share(all), r.most, d.name)
	}
}

// disturbed reports whether some process has taken one that was there for dead, since its log had so many bytes: then records were moved for that too.
func disturbed(d *chordd, since map[*chordd]int) bool {
	for o, n := range since {
		for line := range strings.Lines(o.printed()[n:]) {
			if strings.Contains(line, "peer does not answer") && !strings.Contains(line, `"peer":"`+d.listen) {
				return true
			}
		}
	}
	return false
}

// printed returns all that a process has printed so far.
func (d *chordd) printed() string {
	text, err := os.ReadFile(d.log)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(text)
}

// numbered returns n keys with values.
func numbered(name string, n int) map[string]string {
	pairs := make(map[string]string, n)
	for i := range n {
		pairs[fmt.Sprintf("%s-%07d", name, i)] = fmt.Sprintf("value %07d", i)
	}
	return pairs
}
