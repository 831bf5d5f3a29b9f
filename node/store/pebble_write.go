package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

const (
	stripeCount = 1024
	// chunkRecords bounds how many records, and so stripes, one commit covers: a large batch of a transfer must not keep the small
	// ones of clients waiting for as long as its version checks take.
	chunkRecords = 64
)

// stripe serializes the writers of a key, and of whatever other keys fall to it.
type stripe struct {
	mu       sync.Mutex
	unsynced atomic.Int64 // commits under this stripe that are visible and not synced yet
}

// lockStripes begins a change of keys with these identifiers, at least one: it locks their stripes, in the one order that all take.
func (p *Pebble) lockStripes(ids []ring.ID) *change {
	numbers := make([]uint16, len(ids))
	for i, id := range ids {
		// The last bytes: the first ones are much alike in all that a process holds.
		numbers[i] = binary.BigEndian.Uint16(id[len(id)-2:]) % stripeCount
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	c := &change{deltas: make([]delta, 0, len(ids)), stripes: make([]*stripe, len(numbers)), lane: &p.tree.lanes[numbers[0]%laneCount]}
	for i, n := range numbers {
		c.stripes[i] = &p.stripes[n]
		c.stripes[i].mu.Lock()
	}
	return c
}

func unlock(stripes []*stripe) {
	for _, s := range stripes {
		s.mu.Unlock()
	}
}

// change is one commit from the decision to the disk.
type change struct {
	stripes []*stripe
	lane    *lane
	batch   *pebble.Batch
	deltas  []delta // of the hash tree
	waits   bool    // it is committed, and its sync to be waited for

	tombstones, leases int64 // more than before
}

// commit makes the batch visible and gives it its place in the log. The stripes are locked before, and not any more after.
func (p *Pebble) commit(c *change) error {
	defer unlock(c.stripes)
	if c.batch.Empty() && !p.leans(c) {
		return nil
	}
	c.lane.RLock()
	defer c.lane.RUnlock()
	if len(c.deltas) > 0 {
		if err := p.tree.journal(c.batch, c.deltas); err != nil {
			return err
		}
	}
	if err := p.publish(c); err != nil {
		return uncertain(err)
	}
	p.tree.add(c.deltas)
	p.deleted.Add(c.tombstones)
	p.leased.Add(c.leases)
	return nil
}

// uncertain is the error of a commit that failed, also for want of room: what it was to store may be in the log.
func uncertain(err error) error { return fmt.Errorf("%w: %w", node.ErrStore, err) }

// publish makes the batch visible.
func (p *Pebble) publish(c *change) error {
	if p.opts.Sync != SyncAlways {
		if err := p.db.Apply(c.batch, pebble.NoSync); err != nil {
			return err
		}
		p.dirty.Store(true)
		return nil
	}
	if c.batch.Empty() {
		// An empty commit has what was found before it in the log. See the package comment.
		if err := c.batch.LogData(nil, nil); err != nil {
			return err
		}
	}
	for _, s := range c.stripes {
		s.unsynced.Add(1)
	}
	c.waits = true
	return p.db.ApplyNoSyncWait(c.batch, pebble.Sync)
}

// leans reports whether what was found under the stripes may not be synced yet. Without SyncAlways, nothing ever counts as unsynced.
func (p *Pebble) leans(c *change) bool {
	return slices.ContainsFunc(c.stripes, func(s *stripe) bool { return s.unsynced.Load() > 0 })
}

// settle waits for the disk.
func (p *Pebble) settle(c *change) error {
	if c.waits {
		if err := c.batch.SyncWait(); err != nil {
			if !p.space.closing.Load() {
				p.fail(err)
			}
			return err
		}
		for _, s := range c.stripes {
			s.unsynced.Add(-1)
		}
	}
	return c.batch.Close()
}

// settleAll waits for all changes; the error is that of the first one that failed.
func (p *Pebble) settleAll(changes []*change) error {
	var failed error
	for _, c := range changes {
		if err := p.settle(c); err != nil && failed == nil {
			failed = uncertain(err)
		}
	}
	return failed
}

// Apply implements node.Store.
func (p *Pebble) Apply(records []node.Record) ([]node.Version, error) {
	versions := make([]node.Version, len(records))
	err := p.write(records, func(same []slot, was node.Version) *node.Record { return applied(records, same, was, versions) })
	if err != nil {
		return nil, storeError(fmt.Sprintf("apply %d records", len(records)), err)
	}
	return versions, nil
}

// Replace implements node.Store.
func (p *Pebble) Replace(records []node.Record, stored []node.Version) ([]bool, error) {
	done := make([]bool, len(records))
	err := p.write(records, func(same []slot, was node.Version) *node.Record { return replaced(records, same, was, stored, done) })
	if err != nil {
		return nil, storeError(fmt.Sprintf("replace %d records", len(records)), err)
	}
	return done, nil
}

// write stores, of the records of each key, what choose makes of the version that is there; nil leaves it as it is.
func (p *Pebble) write(records []node.Record, choose func(same []slot, was node.Version) *node.Record) error {
	if err := p.usable(); err != nil {
		return err
	}
	bytes := 0
	for i := range records {
		bytes += len(records[i].Key) + encodedBytes(&records[i])
	}
	if err := p.space.admit(bytes); err != nil {
		return err
	}
	slots := inOrder(records)
	var changes []*change
	var failed error
	for len(slots) > 0 && failed == nil {
		n := min(chunkRecords, len(slots))
		for n < len(slots) && slots[n].id == slots[n-1].id {
			n++ // the records of a key stay together
		}
		var c *change
		if c, failed = p.writeChunk(records, slots[:n], choose); c != nil {
			changes = append(changes, c)
		}
		slots = slots[n:]
	}
	return errors.Join(failed, p.settleAll(changes))
}

// writeChunk commits what is chosen of a part of the records.
func (p *Pebble) writeChunk(records []node.Record, slots []slot, choose func(same []slot, was node.Version) *node.Record) (*change, error) {
	ids := make([]ring.ID, len(slots))
	for i := range slots {
		ids[i] = slots[i].id
	}
	c := p.lockStripes(ids)
	c.batch = p.db.NewBatch()
	var diskKey []byte
	for len(slots) > 0 {
		same := slots[:sameKey(records, slots)]
		slots = slots[len(same):]
		id, key := same[0].id, records[same[0].record].Key
		diskKey = appendDiskKey(diskKey[:0], id, key)
		was, err := p.headIn(p.db, diskKey)
		if err == nil {
			if r := choose(same, was.version); r != nil {
				c.deltas = append(c.deltas, deltaOf(id, key, was.version, r.Version))
				err = errors.Join(put(c.batch, diskKey, r), c.index(diskKey, was, headOf(r)))
			}
		}
		if err != nil {
			unlock(c.stripes)
			return nil, errors.Join(err, c.batch.Close())
		}
	}
	if err := p.commit(c); err != nil {
		return nil, err
	}
	return c, nil
}

// put encodes a record straight into a batch.
func put(b *pebble.Batch, diskKey []byte, r *node.Record) error {
	op := b.SetDeferred(len(diskKey), encodedBytes(r))
	copy(op.Key, diskKey)
	encodeRecord(op.Value, diskKey, r)
	return op.Finish()
}

// Drop implements node.Store. It works on a disk that is full for Apply as long as there is room for the log, since dropping is a way
// out.
func (p *Pebble) Drop(entries []node.Entry) (int, error) {
	if err := p.usable(); err != nil {
		return 0, err
	}
	if err := p.space.admitDrop(); err != nil {
		return 0, err
	}
	dropped := 0
	var changes []*change
	var failed error
	for chunk := range slices.Chunk(entries, chunkRecords) {
		c, err := p.dropChunk(chunk)
		if err != nil {
			failed = err
			break
		}
		dropped += len(c.deltas)
		changes = append(changes, c)
	}
	if err := errors.Join(failed, p.settleAll(changes)); err != nil {
		return dropped, storeError(fmt.Sprintf("drop %d records", len(entries)), err)
	}
	return dropped, nil
}

// dropChunk deletes those of the records that still have the given version.
func (p *Pebble) dropChunk(entries []node.Entry) (*change, error) {
	ids := make([]ring.ID, len(entries))
	for i := range entries {
		ids[i] = ring.Hash(entries[i].Key)
	}
	c := p.lockStripes(ids)
	c.batch = p.db.NewIndexedBatch()
	var diskKey []byte
	for i, e := range entries {
		diskKey = appendDiskKey(diskKey[:0], ids[i], e.Key)
		stored, err := p.headIn(c.batch, diskKey)
		if err == nil && !stored.version.IsZero() && stored.version == e.Version {
			c.deltas = append(c.deltas, deltaOf(ids[i], e.Key, stored.version, node.Version{}))
			err = errors.Join(c.batch.Delete(diskKey, nil), c.index(diskKey, stored, head{}))
		}
		if err != nil {
			unlock(c.stripes)
			return nil, errors.Join(err, c.batch.Close())
		}
	}
	if err := p.commit(c); err != nil {
		return nil, err
	}
	return c, nil
}
