package store

import (
	"context"
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

	tree     treeState
	lost     lost
	stop     context.CancelFunc
	helpers  sync.WaitGroup
	closed   bool
	closedMu sync.Mutex

	deleted    atomic.Int64 // tombstones
	leased     atomic.Int64 // records that expire
	corrupt    atomic.Int64
	treeErrors atomic.Int64
	corruptLog zerolog.Logger // at most some lines a second
	slowOps    atomic.Int64
	stalls     atomic.Int64

	salvageAfter time.Time // used by one goroutine
}

var _ node.Store = (*Pebble)(nil)

// slowDisk is how long a disk operation may take without a line in the log.
const slowDisk = 5 * time.Second

// OpenPebble opens the store in a directory of its own, and makes both if there is none. The error wraps node.ErrStore, or
// node.ErrStoreFull if there is too little room even to open it.
//
// A store that was made before there were hash trees, or an index by time, is read through first, which takes a second for some million records.
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
	db, err := p.openDB()
	if err != nil {
		return err
	}
	p.db = db
	if err := p.space.opened(); err != nil {
		return errors.Join(err, db.Close())
	}
	if err := errors.Join(p.openLost(), p.openTree(), p.openIndex()); err != nil {
		return errors.Join(err, db.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.helpers.Go(func() { p.tend(ctx) })
	if p.opts.ScrubInterval > 0 {
		p.helpers.Go(func() { p.scrubAlways(ctx, p.opts.ScrubInterval) })
	}
	if p.opts.Sync == SyncInterval {
		p.helpers.Go(func() { p.syncEvery(ctx, p.opts.SyncEvery) })
	}
	return nil
}

// openDB opens the database. A new one is opened twice: its first log is of an old format, in which damage cannot be told from the end of the log, as Pebble begins it before the
// format of the database is the newest.
func (p *Pebble) openDB() (*pebble.DB, error) {
	found, err := pebble.Peek(p.dir, p.fs)
	if err != nil {
		return nil, err
	}
	if !found.Exists {
		db, err := pebble.Open(p.dir, p.pebbleOptions())
		if err != nil {
			return nil, err
		}
		if err := db.Close(); err != nil {
			return nil, err
		}
	}
	return pebble.Open(p.dir, p.pebbleOptions())
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
	case errors.Is(err, node.ErrStore), errors.Is(err, node.ErrStoreFull), errors.Is(err, node.ErrCorrupt):
		return fmt.Errorf("%s: %w", what, err)
	case isNoSpace(err):
		return fmt.Errorf("%w: %s: %w", node.ErrStoreFull, what, err)
	case pebble.IsCorruptionError(err):
		return fmt.Errorf("%w: %s: %w", node.ErrCorrupt, what, err)
	}
	return fmt.Errorf("%w: %s: %w", node.ErrStore, what, err)
}

// Stats implements node.Store.
func (p *Pebble) Stats() node.StoreStats {
	return node.StoreStats{
		Records: p.tree.root.count.Load(), Tombstones: max(p.deleted.Load(), 0), Expiring: max(p.leased.Load(), 0),
		DiskBytes: int64(p.db.Metrics().DiskSpaceUsage()), FreeBytes: p.space.freeBytes(),
	}
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
	if p.broken.Load() == nil && p.space.admit(0) == nil && p.tree.number.Load() != p.tree.saved.Load() {
		err = p.checkpoint()
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
