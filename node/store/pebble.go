package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/rs/zerolog"

	"github.com/chordkv/chord/node"
)

// Pebble is a node.Store on a local disk.
type Pebble struct {
	opts  PebbleOptions
	dir   string
	fs    *spaceFS
	slow  io.Closer // the watch over slow disk operations, nil without
	db    *pebble.DB
	space *space

	stripes [stripeCount]stripe
	dirty   atomic.Bool           // something was committed since the last sync, with SyncInterval
	broken  atomic.Pointer[error] // why the store cannot go on

	records  atomic.Int64 // while counted is false: the difference to what was there at opening
	counted  atomic.Bool
	noted    atomic.Bool // countKey is there
	stop     context.CancelFunc
	helpers  sync.WaitGroup
	closed   bool
	closedMu sync.Mutex

	corrupt    atomic.Int64
	corruptLog zerolog.Logger // at most some lines a second
	slowOps    atomic.Int64
	stalls     atomic.Int64
}

var _ node.Store = (*Pebble)(nil)

// countKey holds the number of records while the store is closed.
var countKey = []byte{metaSpace, 'n'}

// slowDisk is how long a disk operation may take without a line in the log.
const slowDisk = 5 * time.Second

// OpenPebble opens the store in a directory of its own, and makes both if there is none. The error wraps node.ErrStore, or
// node.ErrStoreFull if there is too little room even to open it.
//
// After a clean Close, Stats knows the number of records at once; after a crash they are counted in the background first, which takes
// a second for some million of them.
func OpenPebble(dir string, opts PebbleOptions) (*Pebble, error) {
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("%w: options: %w", node.ErrStore, err)
	}
	p := &Pebble{opts: opts, dir: dir}
	p.corruptLog = opts.Log.Sample(&zerolog.BurstSampler{Burst: 5, Period: time.Second})
	inner := opts.FS
	if inner == nil {
		inner, p.slow = vfs.WithDiskHealthChecks(vfs.Default, slowDisk, nil, func(info vfs.DiskSlowInfo) {
			p.slowOps.Add(1)
			opts.Log.Warn().Str("file", info.Path).Dur("took", info.Duration).Msgf("slow disk: %v", info.OpType)
		})
	}
	p.space = newSpace(inner, dir, opts)
	p.fs = &spaceFS{FS: inner, space: p.space}
	if err := p.open(); err != nil {
		if p.slow != nil {
			err = errors.Join(err, p.slow.Close())
		}
		return nil, storeError(fmt.Sprintf("open %s", dir), err)
	}
	return p, nil
}

func (p *Pebble) open() error {
	if err := p.fs.MkdirAll(p.dir, 0o755); err != nil {
		return err
	}
	db, err := pebble.Open(p.dir, p.pebbleOptions())
	if err != nil {
		return err
	}
	p.db = db
	if err := p.space.opened(); err != nil {
		return errors.Join(err, db.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	if err := p.startCount(ctx); err != nil {
		stop()
		return errors.Join(err, db.Close())
	}
	if p.opts.Sync == SyncInterval {
		p.helpers.Go(func() { p.syncEvery(ctx, p.opts.SyncEvery) })
	}
	return nil
}

// startCount finds out how many records there are: from the note of a clean Close, which the first commit deletes, or by counting
// what is there now while others write already.
func (p *Pebble) startCount(ctx context.Context) error {
	raw, closer, err := p.db.Get(countKey)
	if errors.Is(err, pebble.ErrNotFound) {
		snapshot := p.db.NewSnapshot()
		p.helpers.Go(func() { p.count(ctx, snapshot) })
		return nil
	}
	if err != nil {
		return err
	}
	p.records.Store(int64(binary.BigEndian.Uint64(raw)))
	p.counted.Store(true)
	p.noted.Store(true)
	return closer.Close()
}

// count adds the records of a snapshot, which is that of the opening, to what has changed since.
func (p *Pebble) count(ctx context.Context, snapshot *pebble.Snapshot) {
	n, err := countRecords(ctx, snapshot)
	if err = errors.Join(err, snapshot.Close()); err != nil {
		if ctx.Err() == nil {
			p.opts.Log.Warn().Err(err).Msg("cannot count the records")
		}
		return
	}
	p.records.Add(n)
	p.counted.Store(true)
}

func countRecords(ctx context.Context, snapshot *pebble.Snapshot) (n int64, err error) {
	it, err := snapshot.NewIter(&pebble.IterOptions{LowerBound: []byte{recordSpace}, UpperBound: []byte{recordSpace + 1}})
	if err != nil {
		return 0, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		if n++; n%4096 == 0 && ctx.Err() != nil {
			return 0, errors.Join(ctx.Err(), it.Close())
		}
	}
	return n, it.Close()
}

// syncEvery syncs the log at every interval in which something was written.
func (p *Pebble) syncEvery(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if p.dirty.Swap(false) {
				p.syncLog()
			}
		}
	}
}

// syncLog waits until everything that was committed before is synced.
func (p *Pebble) syncLog() {
	if err := p.db.LogData(nil, pebble.Sync); err != nil {
		p.fail(err)
	}
}

// fail marks the store as broken, for good, and reports it.
func (p *Pebble) fail(err error) {
	if !p.broken.CompareAndSwap(nil, &err) {
		return
	}
	p.opts.Log.WithLevel(zerolog.FatalLevel).Err(err).Str("dir", p.dir).Msg("the store cannot go on")
	if p.opts.Fatal == nil {
		panic(fmt.Errorf("store %s cannot go on: %w", p.dir, err))
	}
	p.opts.Fatal(err)
}

// usable returns the error of a store that is broken.
func (p *Pebble) usable() error {
	if err := p.broken.Load(); err != nil {
		return fmt.Errorf("%w: cannot go on: %w", node.ErrStore, *err)
	}
	return nil
}

// storeError wraps an error of Pebble or the file system.
func storeError(what string, err error) error {
	switch {
	case isNoSpace(err):
		return fmt.Errorf("%w: %s: %w", node.ErrStoreFull, what, err)
	case errors.Is(err, node.ErrStore), errors.Is(err, node.ErrStoreFull), errors.Is(err, node.ErrCorrupt):
		return fmt.Errorf("%s: %w", what, err)
	case pebble.IsCorruptionError(err):
		return fmt.Errorf("%w: %s: %w", node.ErrCorrupt, what, err)
	}
	return fmt.Errorf("%w: %s: %w", node.ErrStore, what, err)
}

// Stats implements node.Store.
func (p *Pebble) Stats() node.StoreStats {
	s := node.StoreStats{Records: -1, DiskBytes: int64(p.db.Metrics().DiskSpaceUsage()), FreeBytes: p.space.freeBytes()}
	if p.counted.Load() {
		s.Records = p.records.Load()
	}
	return s
}

// Writable implements node.Store.
func (p *Pebble) Writable() error {
	if err := p.usable(); err != nil {
		return err
	}
	return p.space.admit(0)
}

// Close syncs what is not yet, and releases everything. It can be called twice.
func (p *Pebble) Close() error {
	p.closedMu.Lock()
	defer p.closedMu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	p.stop()
	p.helpers.Wait()
	var err error
	if p.broken.Load() == nil && p.space.admit(0) == nil {
		err = p.noteCount()
	}
	p.space.close()
	err = errors.Join(err, p.db.Close())
	if p.slow != nil {
		err = errors.Join(err, p.slow.Close())
	}
	if err != nil {
		return storeError("close "+p.dir, err)
	}
	return nil
}

// noteCount leaves the number of records for the next opening.
func (p *Pebble) noteCount() error {
	if !p.counted.Load() || p.noted.Load() {
		return nil
	}
	return p.db.Set(countKey, binary.BigEndian.AppendUint64(nil, uint64(p.records.Load())), pebble.Sync)
}
