package sim

import (
	"slices"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
	"github.com/chordkv/chord/ring"
)

// disk is the node.Store of a host: store.Memory, with a list of what a crash of the machine would take back. Nothing is there before
// the first write: most of a million hosts never see one.
type disk struct{ h *Host }

var _ node.Store = disk{}

// undo is a write that is not synced yet, and what takes it back.
type undo struct {
	synced time.Duration // virtual time at which it is
	now    node.Entry    // what the write left; the version is zero if it removed the record
	before node.Record   // what it replaced; the version is zero if there was nothing
}

// Get implements node.Store.
func (d disk) Get(key []byte) (r node.Record, ok bool, err error) {
	if d.h.mem == nil {
		return node.Record{}, false, nil
	}
	return d.h.mem.Get(key)
}

// Version implements node.Store.
func (d disk) Version(key []byte) (node.Version, error) {
	if d.h.mem == nil {
		return node.Version{}, nil
	}
	return d.h.mem.Version(key)
}

// Apply implements node.Store. With Options.SyncLatency it waits, and must be called on a task of the host.
func (d disk) Apply(records []node.Record) (versions []node.Version, err error) {
	err = d.write("Store.Apply", records, func(m *store.Memory, from, to int) error {
		stored, err := m.Apply(records[from:to])
		versions = append(versions, stored...)
		return err
	})
	return versions, err
}

// Replace implements node.Store. It waits as Apply does.
func (d disk) Replace(records []node.Record, stored []node.Version) (done []bool, err error) {
	err = d.write("Store.Replace", records, func(m *store.Memory, from, to int) error {
		did, err := m.Replace(records[from:to], stored[from:to])
		done = append(done, did...)
		return err
	})
	return done, err
}

// write calls write for the records, all at once or, to see what each takes the place of, one after the other, and waits until they are synced.
func (d disk) write(what string, records []node.Record, write func(m *store.Memory, from, to int) error) error {
	h := d.h
	if h.mem == nil {
		h.mem = store.NewMemory()
	}
	o := &h.w.options
	if o.SyncInterval == 0 && o.SyncLatency == 0 {
		return write(h.mem, 0, len(records))
	}
	for i := range records {
		key := records[i].Key
		before, _, err := h.mem.Get(key)
		if err == nil {
			err = write(h.mem, i, i+1)
		}
		if err != nil {
			return err
		}
		if now, _ := h.mem.Version(key); now != before.Version {
			h.unsynced(node.Entry{Key: key, Version: now}, before)
		}
	}
	if o.SyncInterval == 0 {
		h.mine(what)
		h.w.wakeAt(h.synced(), h.w.current)
		h.w.park(what)
	}
	return nil
}

// Drop implements node.Store.
func (d disk) Drop(entries []node.Entry) (int, error) {
	h := d.h
	if h.mem == nil {
		return 0, nil
	}
	if h.w.options.SyncInterval == 0 && h.w.options.SyncLatency == 0 {
		return h.mem.Drop(entries)
	}
	dropped := 0
	for i, e := range entries {
		before, _, err := h.mem.Get(e.Key)
		if err != nil {
			return dropped, err
		}
		n, err := h.mem.Drop(entries[i : i+1])
		if err != nil {
			return dropped, err
		}
		if n > 0 {
			h.unsynced(node.Entry{Key: e.Key}, before)
		}
		dropped += n
	}
	return dropped, nil
}

// unsynced notes a write that a crash will take back until it is synced.
func (h *Host) unsynced(now node.Entry, before node.Record) {
	h.trimTail()
	o := &h.w.options
	synced := h.synced()
	if o.SyncInterval > 0 {
		synced = h.w.now - h.w.now%o.SyncInterval + o.SyncInterval
	}
	t := h.trait()
	t.tail = append(t.tail, undo{synced, now, before})
}

// synced returns when a write that is made now is synced by itself: not before those that came earlier, since the log is written in order.
func (h *Host) synced() time.Duration {
	synced := h.w.now + h.syncLatency()
	if t := h.traits; t != nil && len(t.tail) > 0 {
		synced = max(synced, t.tail[len(t.tail)-1].synced)
	}
	return synced
}

// trimTail forgets what is synced by now.
func (h *Host) trimTail() {
	t := h.trait()
	n := 0
	for n < len(t.tail) && t.tail[n].synced <= h.w.now {
		n++
	}
	t.tail = slices.Delete(t.tail, 0, n)
}

// syncAll makes everything durable.
func (h *Host) syncAll() {
	if h.traits != nil {
		h.traits.tail = nil
	}
}

// loseTail takes back what was not synced, the last write first.
func (h *Host) loseTail() {
	if h.traits == nil {
		return
	}
	h.trimTail()
	for _, u := range slices.Backward(h.traits.tail) {
		if !u.now.Version.IsZero() {
			_, _ = h.mem.Drop([]node.Entry{u.now}) // a store in memory never fails
		}
		if !u.before.Version.IsZero() {
			_, _ = h.mem.Apply([]node.Record{u.before})
		}
	}
	h.traits.tail = nil
}

// Expire implements node.Store. Nothing of it is to be taken back: whether the value is still there is no difference.
func (d disk) Expire(before int64, limit int) ([][]byte, error) {
	if d.h.mem == nil {
		return nil, nil
	}
	return d.h.mem.Expire(before, limit)
}

// Tombstones implements node.Store.
func (d disk) Tombstones(before uint64, behind node.Entry, limit int) ([]node.Entry, error) {
	if d.h.mem == nil {
		return nil, nil
	}
	entries, err := d.h.mem.Tombstones(before, behind, limit)
	d.h.syncSeen("Store.Tombstones")
	return entries, err
}

// List implements node.Store.
func (d disk) List(arc ring.Arc, from node.Cursor, limit int) ([]node.Entry, error) {
	if d.h.mem == nil {
		return nil, nil
	}
	entries, err := d.h.mem.List(arc, from, limit)
	d.h.syncSeen("Store.List")
	return entries, err
}

// Digest implements node.Store.
func (d disk) Digest(arcs []ring.Arc) ([]node.Summary, error) {
	if d.h.mem == nil {
		return make([]node.Summary, len(arcs)), nil
	}
	sums, err := d.h.mem.Digest(arcs)
	d.h.syncSeen("Store.Digest")
	return sums, err
}

// syncSeen waits, on a task of the host, until what is there is synced. The harness looks without waiting.
func (h *Host) syncSeen(what string) {
	if t := h.w.current; t == nil || t.host != h || h.traits == nil || h.w.options.SyncInterval > 0 {
		return
	}
	h.trimTail()
	if n := len(h.traits.tail); n > 0 {
		h.w.wakeAt(h.traits.tail[n-1].synced, h.w.current)
		h.w.park(what)
	}
}

// noted returns up to which time the disk says that versions may have been given.
func (h *Host) noted() time.Time {
	if h.traits == nil {
		return time.Time{}
	}
	return h.traits.clock
}

// noteClock is the note of node.Process.RecallClock: it is synced whatever becomes of records. With Options.SyncLatency it waits, and must be called on a task of the host.
func (h *Host) noteClock(upTo time.Time) error {
	t := h.trait()
	if !upTo.After(t.clock) {
		return nil
	}
	if d := h.syncLatency(); d > 0 {
		h.mine("noteClock")
		h.w.wakeAt(h.w.now+d, h.w.current)
		h.w.park("noteClock")
	}
	if upTo.After(t.clock) {
		t.clock = upTo
	}
	return nil
}

// Writable implements node.Store.
func (d disk) Writable() error { return nil }

// Stats implements node.Store.
func (d disk) Stats() node.StoreStats {
	if d.h.mem == nil {
		return node.StoreStats{}
	}
	return d.h.mem.Stats()
}

// Lost implements node.Store: a simulated disk loses nothing that was synced.
func (d disk) Lost() []ring.Arc { return nil }

// Refilled implements node.Store.
func (d disk) Refilled(ring.Arc) error { return nil }

// Close implements node.Store.
func (d disk) Close() error { return nil }
