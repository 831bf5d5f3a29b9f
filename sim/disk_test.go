package sim_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/sim"
)

// stored returns the number of the given keys that a host's disk has with the given value.
func stored(t *testing.T, h *sim.Host, n int, value string) (found int) {
	t.Helper()
	for i := range n {
		r, ok, err := h.Store().Get([]byte(fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		if ok && string(r.Value) == value {
			found++
		}
	}
	return found
}

func putAll(t *testing.T, w *sim.World, n int, value string) {
	t.Helper()
	for i := range n {
		if err := put(t, w, w.Host(i%len(w.Hosts())), fmt.Sprint(i), value); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSyncInterval: a crash of the machine takes back what was written since the last sync, no more; that of the process takes nothing back.
func TestSyncInterval(t *testing.T) {
	const keys = 20
	o := sim.DefaultOptions()
	o.SyncInterval = time.Hour
	o.Latency = sim.Constant(time.Millisecond)
	w := newRing(t, 3, o) // three processes hold every key
	putAll(t, w, keys, "old")
	run(t, w, time.Hour+time.Minute)
	putAll(t, w, keys, "new")
	run(t, w, time.Minute)
	for i, h := range w.Hosts() {
		if got := stored(t, h, keys, "new"); got != keys {
			t.Fatalf("%d of %d new values at host %d before the crash", got, keys, i)
		}
	}
	w.Host(0).Kill()
	w.Host(1).Crash()
	if got := stored(t, w.Host(0), keys, "new"); got != keys {
		t.Errorf("killed process: %d of %d new values left", got, keys)
	}
	if got := stored(t, w.Host(1), keys, "new"); got != 0 {
		t.Errorf("machine down: %d new values left, want none: they were not synced", got)
	}
	if got := stored(t, w.Host(1), keys, "old"); got != keys {
		t.Errorf("machine down: %d of %d old values left, which were synced", got, keys)
	}
	w.Host(0).Crash()
	if got := stored(t, w.Host(0), keys, "new"); got != keys {
		t.Errorf("machine down after the process: %d of %d new values left", got, keys)
	}
}

// TestSyncAlways: what is acknowledged survives any crash.
func TestSyncAlways(t *testing.T) {
	const keys = 20
	w := newRing(t, 3, sim.DefaultOptions())
	putAll(t, w, keys, "v")
	run(t, w, time.Second)
	for i, h := range w.Hosts() {
		h.Crash()
		if got := stored(t, h, keys, "v"); got != keys {
			t.Errorf("%d of %d values left on host %d", got, keys, i)
		}
	}
}

// TestSyncLatency: a write is acknowledged when it is synced, and lost if the machine crashes before.
func TestSyncLatency(t *testing.T) {
	o := sim.DefaultOptions()
	o.SyncLatency = 20 * time.Millisecond
	o.Latency = sim.Constant(0)
	w := newRing(t, 3, o)
	h := w.Host(0)
	var took time.Duration
	apply := func(value string, version uint64) {
		began := w.Now()
		r := node.Record{Key: []byte("0"), Value: []byte(value), Version: node.Version{Time: version}}
		if _, err := h.Store().Apply([]node.Record{r}); err != nil {
			t.Error(err)
		}
		took = w.Now() - began
	}
	on(t, h, w, func(*node.Process) { apply("synced", 1) })
	if took != o.SyncLatency {
		t.Errorf("a write took %v, want %v", took, o.SyncLatency)
	}
	h.Go(func() { apply("torn", 2) })
	run(t, w, o.SyncLatency/2)
	if got := stored(t, h, 1, "torn"); got != 1 {
		t.Error("a write that is being synced cannot be read")
	}
	h.Crash()
	if got := stored(t, h, 1, "synced"); got != 1 {
		t.Error("the synced value is not back after a crash during the next write")
	}
}

// TestSlowDisk: a write of a slow disk takes longer, and what comes after it is not synced before it.
func TestSlowDisk(t *testing.T) {
	o := sim.DefaultOptions()
	o.SyncLatency = 10 * time.Millisecond
	w := newRing(t, 3, o)
	h := w.Host(0)
	ended := make(map[string]time.Duration)
	apply := func(key string) {
		r := node.Record{Key: []byte(key), Version: node.Version{Time: 1}}
		if _, err := h.Store().Apply([]node.Record{r}); err != nil {
			t.Error(err)
		}
		ended[key] = w.Now()
	}
	began := w.Now()
	h.SetSlowDisk(10)
	h.Go(func() { apply("slow") })
	run(t, w, o.SyncLatency)
	h.SetSlowDisk(1)
	h.Go(func() { apply("behind") })
	run(t, w, time.Second)
	for _, key := range []string{"slow", "behind"} {
		if got, want := ended[key]-began, 10*o.SyncLatency; got != want {
			t.Errorf("%s: synced after %v, want %v", key, got, want)
		}
	}
}

// TestDropUnsynced: a removal is taken back like a write, and the order between them is kept.
func TestDropUnsynced(t *testing.T) {
	o := sim.DefaultOptions()
	o.SyncInterval = time.Hour
	w := newRing(t, 3, o)
	h := w.Host(0)
	s := h.Store()
	write := func(value string, version uint64) {
		if _, err := s.Apply([]node.Record{{Key: []byte("0"), Value: []byte(value), Version: node.Version{Time: version}}}); err != nil {
			t.Fatal(err)
		}
	}
	write("first", 5)
	run(t, w, time.Hour)
	if n, err := s.Drop([]node.Entry{{Key: []byte("0"), Version: node.Version{Time: 5}}}); n != 1 || err != nil {
		t.Fatalf("dropped %d, %v", n, err)
	}
	write("second", 2)
	write("third", 3)
	h.Crash()
	if got := stored(t, h, 1, "first"); got != 1 {
		t.Error("the crash did not bring back what was synced before the removal")
	}
}

// TestAcknowledgedWritesSurvive: with every write synced, a put that was acknowledged can be read after all machines went down at once.
func TestAcknowledgedWritesSurvive(t *testing.T) {
	o := sim.DefaultOptions()
	o.SyncLatency = 5 * time.Millisecond
	w := newRing(t, 5, o)
	acknowledged := make([]bool, 40)
	for i := range acknowledged {
		h := w.Host(i % 5)
		w.At(time.Duration(i)*7*time.Millisecond, func() {
			_ = h.Call(func() {
				_, err := h.Process().Do(context.Background(), node.Op{Kind: node.OpPut, Key: []byte(fmt.Sprint(i)), Value: []byte("v")})
				acknowledged[i] = err == nil
			})
		})
	}
	run(t, w, 400*time.Millisecond)
	for _, h := range w.Hosts() {
		h.Crash()
	}
	exec(t, w, func() {
		w.Gather(5, func(i int) {
			if err := w.Host(i).Restart(); err != nil {
				t.Error(err)
			}
		})
	})
	converge(t, w, time.Minute)
	some := 0
	for i, ack := range acknowledged {
		if !ack {
			continue
		}
		some++
		if got, err := get(t, w, w.Host(0), fmt.Sprint(i)); got != "v" || err != nil {
			t.Errorf("key %d was acknowledged: got %q, %v", i, got, err)
		}
	}
	if some == 0 || some == len(acknowledged) {
		t.Errorf("%d of %d puts were acknowledged before the crash, want some", some, len(acknowledged))
	}
}
