package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// Inspection is what there is in a data directory.
type Inspection struct {
	Identity  node.Identity
	Cluster   [16]byte // zero: it has joined none yet
	Format    int
	Created   time.Time
	LastAlive time.Time
	Peers     []string

	Records    int64 // that can be read, tombstones among them
	Tombstones int64
	Expiring   int64 // records with a value that have a time to expire, be it over or not
	KeyBytes   int64
	ValueBytes int64
	DiskBytes  int64
	Oldest     node.Version // zero, as Newest, if there are no records
	Newest     node.Version
	Arcs       []NodeRecords // by node

	Corrupt     int64    // records, or blocks of records, that cannot be read or were cut out because of that
	CorruptKeys [][]byte // the first of them, as far as their keys are known
	Tree        string   // what is wrong with the hash tree; empty: it agrees with the records
}

// NodeRecords is how many of the records lie on the ring behind the process's node before this one, and up to this one.
type NodeRecords struct {
	Node    ring.ID
	Records int64
}

// mostCorruptKeys is how many keys an Inspection names.
const mostCorruptKeys = 10

// Inspect reads all there is in a data directory, checksums included, and changes nothing. It refuses one that a process uses, as OpenDir does. read counts the
// records meanwhile.
func Inspect(ctx context.Context, path string, read *atomic.Int64) (Inspection, error) {
	r, err := inspect(ctx, path, read)
	if err != nil {
		return r, fmt.Errorf("data directory %s: %w", path, err)
	}
	return r, nil
}

func inspect(ctx context.Context, path string, read *atomic.Int64) (r Inspection, err error) {
	raw, err := os.ReadFile(filepath.Join(path, identityName))
	if errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("no %s in it, so it is not a data directory of chord", identityName)
	}
	if err != nil {
		return r, err
	}
	id, err := decodeIdentity(raw)
	if err != nil {
		return r, err
	}
	lock, err := os.Open(filepath.Join(path, lockName))
	if err == nil {
		defer lock.Close()
		err = lockFile(lock)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	r = Inspection{
		Identity: id.node(), Cluster: [16]byte(id.Cluster), Format: id.Format, Created: id.Created, LastAlive: id.LastAlive, Peers: id.Peers,
	}
	for _, n := range r.Identity.Refs("") {
		r.Arcs = append(r.Arcs, NodeRecords{Node: n.ID})
	}
	slices.SortFunc(r.Arcs, func(a, b NodeRecords) int { return a.Node.Compare(b.Node) })
	records := filepath.Join(path, recordsName)
	if _, err := os.Stat(records); errors.Is(err, fs.ErrNotExist) {
		return r, nil // it never had any
	}
	return r, r.readRecords(ctx, records, read)
}

// readRecords reads a store.
func (r *Inspection) readRecords(ctx context.Context, dir string, read *atomic.Int64) error {
	p := &Pebble{opts: DefaultPebbleOptions(), dir: dir}
	o := p.pebbleOptions()
	o.FS, o.ReadOnly, o.ErrorIfNotExists = vfs.Default, true, true
	db, err := pebble.Open(dir, o)
	if err != nil {
		return storeError("open "+dir, err)
	}
	p.db = db
	err = r.readAll(ctx, p, read)
	r.DiskBytes = int64(db.Metrics().DiskSpaceUsage())
	return errors.Join(err, db.Close())
}

func (r *Inspection) readAll(ctx context.Context, p *Pebble, read *atomic.Int64) error {
	if err := p.openLost(); err != nil {
		return err
	}
	known, err := p.readTree()
	if err != nil && !errors.Is(err, errTree) && !isCorrupt(err) {
		return err
	}
	lower, upper := diskBounds(place{}, ring.ID{}.Prev())
	it, err := p.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	var sum node.Summary
	var failed error
	err = p.walk(it, lower, ring.ID{}.Prev(), func([]byte, node.Version) bool {
		raw, err := it.ValueAndErr()
		if err == nil {
			err = r.add(it.Key(), raw, &sum)
		}
		read.Store(r.Records)
		failed = errors.Join(err, ctx.Err())
		return failed == nil
	}, func(d damage) {
		r.Corrupt++
		if len(r.CorruptKeys) < mostCorruptKeys {
			r.CorruptKeys = append(r.CorruptKeys, userKey([]byte(d.from)))
		}
	})
	r.Corrupt += int64(len(p.lost.all()))
	root := p.tree.root
	switch {
	case !known:
		r.Tree = "missing or damaged: it is made anew from the records at the next start"
	case uint64(root.count.Load()) != sum.Count || root.hash.Load() != sum.Hash:
		r.Tree = fmt.Sprintf("is of %d records: the next scrub corrects it", root.count.Load())
	}
	return errors.Join(err, failed, closeWalked(it))
}

// add counts a record.
func (r *Inspection) add(diskKey, raw []byte, sum *node.Summary) error {
	rec, err := decodeRecord(diskKey, raw)
	if err != nil {
		return err
	}
	r.Records++
	r.KeyBytes += int64(len(rec.Key))
	r.ValueBytes += int64(len(rec.Value))
	switch {
	case rec.Tombstone:
		r.Tombstones++
	case rec.Expires != 0:
		r.Expiring++
	}
	if r.Oldest.IsZero() || r.Oldest.Newer(rec.Version) {
		r.Oldest = rec.Version
	}
	if rec.Version.Newer(r.Newest) {
		r.Newest = rec.Version
	}
	sum.Count++
	sum.Hash += EntryHash(rec.Key, rec.Version)
	at, _ := slices.BinarySearchFunc(r.Arcs, rec.ID(), func(n NodeRecords, id ring.ID) int { return n.Node.Compare(id) })
	r.Arcs[at%len(r.Arcs)].Records++
	return nil
}
