package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/chordkv/chord/ring"
)

// A block of a table that cannot be read is cut out of the store. As long as it is there, no iterator passes it: what other tables have among its keys is not listed
// either, and what is written there anew stays unseen; compactions of the table fail; each attempt to read the block costs 100 ms.
//
// What can be read among its keys is collected into a table that takes the place of all that was there, in one step. Before, the stretch goes on record as lost.

// salvageRest is how long damage that could not be cut out is left alone.
const salvageRest = 10 * time.Minute

// askSalvage has a block that cannot be read cut out, unless enough of them wait already: then it is found again.
func (t *treeState) askSalvage(d damage) {
	select {
	case t.spoilt <- d:
	default:
	}
}

// salvage cuts out a block that cannot be read, if it is still there.
func (p *Pebble) salvage(d damage) error {
	began := time.Now()
	if p.space.full.Load() || began.Before(p.salvageAfter) {
		return nil
	}
	found, kept, err := p.cutOut(d)
	if err != nil {
		p.salvageAfter = time.Now().Add(salvageRest)
		return fmt.Errorf("cut out a damaged block: %w", err)
	}
	if found == nil {
		return nil
	}
	p.opts.Log.Warn().Hex("from", found.start).Hex("to", found.end).Int("kept", kept).Dur("took", time.Since(began)).
		Msg("cut a damaged block out of a table: what was in it is fetched from other replicas")
	if found.start[0] == metaSpace {
		// The tree in memory is whole, and so is the index after the next start.
		if err := errors.Join(p.checkpoint(), p.db.Delete(indexKey, pebble.NoSync)); err != nil {
			return err
		}
	}
	ids, ok := found.span()
	if !ok {
		return nil
	}
	// Bound: the leaves that the stretch touches.
	for prefix, last := prefixOf(ids.first), prefixOf(ids.last); ; {
		r, err := p.recount(prefix)
		if err != nil {
			return err
		}
		if prefix = prefixOf(r.span.last) + 1; prefix == 0 || prefix > last {
			return nil
		}
	}
}

// stretch is a range of disk keys, without end.
type stretch struct{ start, end []byte }

// span returns the identifiers of the records that a stretch may hold, if it may hold any.
func (s stretch) span() (ids span, ok bool) {
	return span{idOf(s.start), idOf(s.end)}, s.end[0] > metaSpace && !bytes.Equal(s.end, []byte{recordSpace})
}

// idOf returns the identifier in a disk key; below and above all records that is the first and the last one.
func idOf(diskKey []byte) (id ring.ID) {
	switch {
	case diskKey[0] > recordSpace:
		return id.Prev()
	case diskKey[0] == recordSpace:
		copy(id[:], diskKey[1:])
	}
	return id
}

// cutOut replaces what lies around a block that cannot be read by what can be read of it. It returns nil if the block is there no more.
func (p *Pebble) cutOut(d damage) (found *stretch, kept int, err error) {
	it, err := p.db.NewIter(&pebble.IterOptions{LowerBound: []byte{metaSpace}, UpperBound: []byte{recordSpace + 1}})
	if err != nil {
		return nil, 0, err
	}
	e := edges{it, p.gap()}
	found = e.around([]byte(d.from))
	if err = closeWalked(it); err != nil || found == nil {
		return nil, 0, err
	}
	if ids, ok := found.span(); ok {
		if err := p.lose(ids); err != nil {
			return nil, 0, err
		}
	}
	if err := p.db.Flush(); err != nil { // most of it, before others have to wait
		return nil, 0, err
	}
	for i := range p.stripes { // in the order of lockStripes
		p.stripes[i].mu.Lock()
	}
	p.tree.recounts.Lock()
	defer func() {
		p.tree.recounts.Unlock()
		for i := range p.stripes {
			p.stripes[i].mu.Unlock()
		}
	}()
	if err := p.db.Flush(); err != nil {
		return nil, 0, err
	}
	keys, err := p.keysWithin(found.start, found.end)
	if err != nil {
		return nil, 0, err
	}
	kept, err = p.replaceWithin(found.start, found.end, keys)
	return found, kept, err
}

// edges finds out where a block that cannot be read begins and ends. An iterator that comes from the left meets it right behind the last key of its table that can be
// read, and one from the right before the first one, or, as it looks a key ahead, before the second: there, the table can be cut.
type edges struct {
	it  *pebble.Iterator
	gap int // two records are about 2^gap apart
}

// around returns where a block lies that an iterator met right behind the key before from. It begins with a key that can be read, if there is one. Each attempt to read the block takes
// 100 ms, so those to get around it go ever farther. If they get behind the next damaged block as well, what lies between the two is lost with them.
func (e edges) around(from []byte) *stretch {
	start := e.before(from)
	if start == nil {
		return nil
	}
	ok := e.seekBehind(idOf(from))
	if !ok {
		ok = e.it.Last()
	}
	end := []byte{recordSpace + 1}
	for ; ok; ok = e.it.Prev() {
		if bytes.Compare(e.it.Key(), start) <= 0 {
			return nil
		}
		end = append(end[:0], e.it.Key()...)
	}
	if e.it.Error() == nil {
		return nil
	}
	return &stretch{start, end}
}

// before returns the last key that can be read before the block, or what lies before all keys; nil if there is no such block any more.
func (e edges) before(from []byte) (start []byte) {
	for k := e.gap; ; k++ {
		target := []byte{metaSpace}
		if at := idOf(from); k < ring.Bits && ring.PowerOfTwo(k).Less(at) {
			target = appendDiskKey(nil, ring.Distance(ring.PowerOfTwo(k), at), nil)
		}
		for ok := e.it.SeekGE(target); ok; ok = e.it.Next() {
			if bytes.Compare(e.it.Key(), from) >= 0 {
				return nil
			}
			start = append(start[:0], e.it.Key()...)
		}
		switch {
		case e.it.Error() == nil:
			return nil
		case start != nil:
			return start
		case len(target) == 1:
			return target // there is nothing before it
		}
	}
}

// seekBehind moves the iterator behind the block; it reports false if there is nothing.
func (e edges) seekBehind(at ring.ID) bool {
	if at.IsZero() && e.it.SeekGE([]byte{recordSpace}) {
		return true
	}
	for k := e.gap; k < ring.Bits; k++ {
		target := at.Add(ring.PowerOfTwo(k))
		if target.Less(at) {
			return false
		}
		if ok := e.it.SeekGE(appendDiskKey(nil, target, nil)); ok || e.it.Error() == nil {
			return ok
		}
	}
	return false
}

// keysWithin returns the keys of all tables in a stretch, as far as they can be read, and checks that the tables can be cut at its ends: Pebble does not, and would
// lose all of a table that lies before, or behind, an end that it cannot read.
func (p *Pebble) keysWithin(start, end []byte) (keys [][]byte, err error) {
	levels, err := p.db.SSTables(pebble.WithKeyRangeFilter(start, end))
	if err != nil {
		return nil, err
	}
	for _, level := range levels {
		for i := range level {
			if keys, err = p.keysOf(&level[i], start, end, keys); err != nil {
				return nil, fmt.Errorf("table %v: %w", level[i].BackingSSTNum, err)
			}
		}
	}
	slices.SortFunc(keys, bytes.Compare)
	return slices.CompactFunc(keys, bytes.Equal), nil
}

func (p *Pebble) keysOf(table *pebble.SSTableInfo, start, end []byte, keys [][]byte) (_ [][]byte, err error) {
	file, err := p.fs.Open(p.fs.PathJoin(p.dir, table.BackingSSTNum.String()+".sst"))
	if err != nil {
		return nil, err
	}
	readable, err := sstable.NewSimpleReadable(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	o := p.pebbleOptions()
	o.EnsureDefaults()
	reader, err := sstable.NewReader(context.Background(), readable, o.MakeReaderOptions())
	if err != nil {
		return nil, errors.Join(err, readable.Close())
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	it, err := reader.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return nil, err
	}
	defer func() { _ = it.Close() }() // what it has met was said before
	if bytes.Compare(table.Smallest.UserKey, start) < 0 && it.SeekLT(start, 0) == nil && it.Error() != nil {
		return nil, errSpoilt
	}
	if bytes.Compare(table.Largest.UserKey, end) >= 0 && it.SeekGE(end, 0) == nil && it.Error() != nil {
		return nil, errSpoilt
	}
	for kv := it.SeekGE(start, 0); kv != nil && bytes.Compare(kv.K.UserKey, end) < 0; kv = it.Next() {
		keys = append(keys, bytes.Clone(kv.K.UserKey))
	}
	if it.Error() == nil {
		return keys, nil
	}
	if err := it.Error(); !isCorrupt(err) {
		return nil, err
	}
	for kv := it.SeekLT(end, 0); kv != nil && bytes.Compare(kv.K.UserKey, start) >= 0; kv = it.Prev() {
		keys = append(keys, bytes.Clone(kv.K.UserKey))
	}
	if err := it.Error(); !isCorrupt(err) {
		return nil, err
	}
	return keys, nil
}

// replaceWithin replaces all that is in a stretch by what can be read of these keys.
func (p *Pebble) replaceWithin(start, end []byte, keys [][]byte) (kept int, err error) {
	path := p.fs.PathJoin(p.dir, "salvage.sst")
	file, err := p.fs.Create(path, compactionCategory)
	if err != nil {
		return 0, err
	}
	defer func() {
		if failed := p.fs.Remove(path); !errors.Is(failed, fs.ErrNotExist) { // what was taken in is there no more
			err = errors.Join(err, failed)
		}
	}()
	o := p.pebbleOptions()
	o.EnsureDefaults()
	table := sstable.NewWriter(objstorageprovider.NewFileWritable(file), o.MakeWriterOptions(0, p.db.TableFormat()))
	for _, key := range keys {
		raw, closer, err := p.db.Get(key)
		if errors.Is(err, pebble.ErrNotFound) || isCorrupt(err) {
			continue
		}
		if err == nil {
			err = errors.Join(table.Set(key, raw), closer.Close())
			kept++
		}
		if err != nil {
			return kept, errors.Join(err, table.Close())
		}
	}
	if err := table.Close(); err != nil {
		return kept, err
	}
	within := pebble.KeyRange{Start: start, End: end}
	if kept == 0 {
		return kept, p.db.Excise(context.Background(), within)
	}
	_, err = p.db.IngestAndExcise(context.Background(), []string{path}, nil, nil, within)
	return kept, err
}
