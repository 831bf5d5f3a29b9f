package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// Get implements node.Store.
func (p *Pebble) Get(key []byte) (r node.Record, ok bool, err error) {
	if err := p.usable(); err != nil {
		return node.Record{}, false, err
	}
	diskKey := appendDiskKey(make([]byte, 0, 128), ring.Hash(key), key)
	raw, closer, err := p.db.Get(diskKey)
	if errors.Is(err, pebble.ErrNotFound) {
		if err := p.absent(ring.ID(diskKey[1:keyOverhead])); err != nil {
			return node.Record{}, false, storeError(fmt.Sprintf("get %q", key), err)
		}
		return node.Record{}, false, nil
	}
	if err == nil {
		r, err = decodeRecord(diskKey, raw)
		err = errors.Join(err, closer.Close())
	}
	if err != nil {
		if isCorrupt(err) {
			p.sawCorrupt(diskKey, err)
			p.exclude(damageAt(diskKey))
		}
		return node.Record{}, false, storeError(fmt.Sprintf("get %q", key), err)
	}
	return r, true, nil
}

// Version implements node.Store. It reads the value too, for its checksum.
func (p *Pebble) Version(key []byte) (node.Version, error) {
	if err := p.usable(); err != nil {
		return node.Version{}, err
	}
	h, err := p.headIn(p.db, appendDiskKey(make([]byte, 0, 128), ring.Hash(key), key))
	if err != nil {
		return node.Version{}, storeError(fmt.Sprintf("version of %q", key), err)
	}
	return h.version, nil
}

// headIn returns what is under a disk key. A corrupt record counts as none, and is not in the hash tree any more.
func (p *Pebble) headIn(in pebble.Reader, diskKey []byte) (h head, err error) {
	raw, closer, err := in.Get(diskKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return head{}, nil
	}
	if err == nil {
		h, err = decodeHead(diskKey, raw)
		err = errors.Join(err, closer.Close())
	}
	if isCorrupt(err) {
		p.sawCorrupt(diskKey, err)
		p.exclude(damageAt(diskKey))
		return head{}, nil
	}
	return h, err
}

// damageAt is the damage of one record.
func damageAt(diskKey []byte) damage {
	return damage{from: string(diskKey), behind: string(diskKey) + "\x00"}
}

// isCorrupt reports a record, or a block of a table, that fails its checksum.
func isCorrupt(err error) bool {
	return err != nil && (errors.Is(err, node.ErrCorrupt) || pebble.IsCorruptionError(err))
}

func (p *Pebble) sawCorrupt(diskKey []byte, err error) {
	p.corrupt.Add(1)
	p.corruptLog.Error().Hex("key", userKey(diskKey)).Err(err).Msg("corrupt record")
}

// List implements node.Store.
func (p *Pebble) List(arc ring.Arc, from node.Cursor, limit int) ([]node.Entry, error) {
	var entries []node.Entry
	if limit <= 0 {
		return nil, nil
	}
	parts, at := stretches(arc, from)
	for i, part := range parts {
		if i > 0 {
			at = place{id: part.first}
		}
		err := p.scan(at, part.last, func(key []byte, v node.Version) bool {
			entries = append(entries, node.Entry{Key: bytes.Clone(key), Version: v, Hash: EntryHash(key, v)})
			return len(entries) < limit
		}, p.exclude)
		if err != nil {
			return nil, storeError(fmt.Sprintf("list %v", arc), err)
		}
		if len(entries) == limit {
			break
		}
	}
	if err := p.syncSeen(); err != nil {
		return nil, storeError(fmt.Sprintf("list %v", arc), err)
	}
	return entries, nil
}

// Digest implements node.Store. It reads, checksums included, only what an arc has of the two leaves of the hash tree at its ends.
func (p *Pebble) Digest(arcs []ring.Arc) ([]node.Summary, error) {
	if err := p.usable(); err != nil {
		return nil, err
	}
	edges := edgeReader{p: p}
	sums := make([]node.Summary, len(arcs))
	var err error
	for i, arc := range arcs {
		for _, part := range spans(arc) {
			err = errors.Join(err, p.tree.root.digest(site{}, part, &sums[i], func(in span) error { return edges.add(in, &sums[i]) }))
		}
	}
	if err = errors.Join(err, edges.close(), p.syncSeen()); err != nil {
		return nil, storeError("digest", err)
	}
	return sums, nil
}

// edgeReader adds up records, with one iterator for all it reads.
type edgeReader struct {
	p  *Pebble
	it *pebble.Iterator // nil until there is something to read
}

func (r *edgeReader) add(in span, sum *node.Summary) (err error) {
	lower, upper := diskBounds(place{id: in.first}, in.last)
	if r.it == nil {
		r.it, err = r.p.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
		if err != nil {
			return err
		}
	} else {
		r.it.SetBounds(lower, upper)
	}
	return r.p.walk(r.it, lower, in.last, func(key []byte, v node.Version) bool {
		sum.Count++
		sum.Hash += EntryHash(key, v)
		return true
	}, r.p.exclude)
}

func (r *edgeReader) close() error {
	if r.it == nil {
		return nil
	}
	return closeWalked(r.it)
}

// syncSeen returns when what was seen before is synced. Writes are seen before they are, and whoever hears of a record from Digest or List may drop his
// copy.
func (p *Pebble) syncSeen() error {
	for i := range p.stripes {
		if p.stripes[i].unsynced.Load() > 0 {
			return p.db.LogData(nil, pebble.Sync)
		}
	}
	return nil
}

// diskBounds returns the disk keys from a place on, up to the identifier last: the first one, and the one behind the last.
func diskBounds(at place, last ring.ID) (lower, upper []byte) {
	upper = []byte{recordSpace + 1}
	if next := last.Next(); !next.IsZero() {
		upper = appendDiskKey(nil, next, nil)
	}
	lower = appendDiskKey(nil, at.id, at.key)
	if at.key != nil {
		lower = append(lower, 0) // the next possible key
	}
	return lower, upper
}

// scan visits the sound records from a place on, up to the identifier last, until visit returns false, and where they are corrupt. Keys are
// only valid during the visit.
func (p *Pebble) scan(at place, last ring.ID, visit func(key []byte, v node.Version) bool, corrupt func(damage)) error {
	if err := p.usable(); err != nil {
		return err
	}
	lower, upper := diskBounds(at, last)
	it, err := p.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	return errors.Join(p.walk(it, lower, last, visit, corrupt), closeWalked(it))
}

// closeWalked closes an iterator after a walk. If that has ended in a block that cannot be read, the iterator still says so, which walk has reported already.
func closeWalked(it *pebble.Iterator) error {
	if err := it.Close(); !isCorrupt(err) {
		return err
	}
	return nil
}

// walk is scan with an iterator of which lower is the first key.
func (p *Pebble) walk(
	it *pebble.Iterator, lower []byte, last ring.ID, visit func(key []byte, v node.Version) bool, corrupt func(damage),
) error {
	from := bytes.Clone(lower)
	start, seen := ring.ID(from[1:keyOverhead]), 0
	for ok := it.SeekGE(from); ; {
		for ; ok; ok = it.Next() {
			seen++
			from = append(from[:0], it.Key()...)
			v, err := p.iteratorVersion(it)
			if isCorrupt(err) {
				p.sawCorrupt(from, err)
				corrupt(damageAt(from))
				continue
			}
			if err != nil {
				return err
			}
			if !visit(userKey(from), v) {
				return nil
			}
		}
		err := it.Error()
		if !isCorrupt(err) {
			return err
		}
		p.sawCorrupt(from, err)
		at := ring.ID(from[1:keyOverhead])
		ok = skipCorrupt(it, at, last, max(p.gap(), log2(ring.Distance(start, at))-bits.Len(uint(seen))))
		_, behind := diskBounds(place{}, last)
		if ok {
			behind = it.Key()
		}
		if seen > 0 {
			from = append(from, 0) // that one could be read
		}
		corrupt(damage{string(from), string(behind), true})
		if !ok {
			return nil
		}
	}
}

func (p *Pebble) iteratorVersion(it *pebble.Iterator) (node.Version, error) {
	raw, err := it.ValueAndErr()
	if err != nil {
		return node.Version{}, err
	}
	return decodeVersion(it.Key(), raw)
}

// gap returns the logarithm of the distance of two records, if they were spread over the circle.
func (p *Pebble) gap() int { return ring.Bits - bits.Len64(uint64(max(p.tree.root.count.Load(), 1))) }

// skipCorrupt moves an iterator that met a table block that cannot be read, behind the record at id, to a record close
// behind the block. It returns false if there is none up to the identifier last. Where the block ends nothing tells; so it
// tries ever farther away until a record can be read. Each attempt costs some 100 ms, as Pebble searches the block for a flipped bit,
// so the first one is about as far away as two records are apart, 2^gap.
func skipCorrupt(it *pebble.Iterator, id, last ring.ID, gap int) bool {
	for k := gap; k < ring.Bits; k++ {
		target := id.Add(ring.PowerOfTwo(k))
		if target.Less(id) || last.Less(target) {
			return false
		}
		if it.SeekGE(appendDiskKey(nil, target, nil)) {
			return true
		}
		if it.Error() == nil {
			return false
		}
	}
	return false
}

// log2 returns the number of bits that a distance takes.
func log2(distance ring.ID) int {
	for i, b := range distance {
		if b != 0 {
			return 8*(len(distance)-1-i) + bits.Len8(b)
		}
	}
	return 0
}
