package main

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// workload is what a load generator does.
type workload string

// The workloads.
const (
	workPut    workload = "put"
	workGet    workload = "get"
	workMixed  workload = "mixed"
	workLookup workload = "lookup"
)

// opKind is what one operation of a load generator is.
type opKind uint8

const (
	loadGet opKind = iota
	loadPut
	loadLookup
	opKinds
)

func (k opKind) String() string { return [...]string{"get", "put", "lookup"}[k] }

// loadConfig describes a run of the load generator.
type loadConfig struct {
	work      workload
	clients   int // concurrent workers
	size      int // bytes of a value
	keys      int
	dist      distribution
	zipf      float64 // exponent
	duration  time.Duration
	warmup    time.Duration // before duration; not counted
	rate      float64       // operations a second over all clients; 0 is as fast as the answers come
	seed      uint64
	readShare float64 // of a mixed workload
	level     node.Level
}

// needsKeys reports whether the workload reads keys that must be there.
func (c loadConfig) needsKeys() bool { return c.work == workGet || c.work == workMixed }

// loader generates load. It lives on the processors that the servers need too, so an operation costs it two random
// numbers, one reading of the clock and one uncontended lock.
type loader struct {
	cfg    loadConfig
	client client
	keys   [][]byte
	values *valuePool
	picker *picker

	shards []loadShard
	ticket atomic.Int64 // operations handed out, in a run with a rate
}

func newLoader(cfg loadConfig, c client) *loader {
	return &loader{
		cfg: cfg, client: c, keys: benchKeys(cfg.keys), picker: newPicker(cfg.dist, cfg.keys, cfg.zipf),
		values: newValuePool(cfg.size, rand.New(rand.NewPCG(cfg.seed, 0))),
		shards: newShards(cfg.clients),
	}
}

// preload puts every key once. done counts the keys written.
func (l *loader) preload(ctx context.Context, done *atomic.Int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range l.cfg.clients {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(l.cfg.seed, uint64(w)))
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(l.keys) {
					return
				}
				op := node.Op{Kind: node.OpPut, Key: l.keys[i], Value: l.values.value(r), Level: l.cfg.level, Request: newRequestID()}
				if _, err := l.client.Do(ctx, op); err != nil {
					cancel(err)
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// run generates load until the duration is over or ctx ends, and returns what came of it.
func (l *loader) run(ctx context.Context) *loadReport {
	begin := time.Now()
	window := window{from: begin.Add(l.cfg.warmup), to: begin.Add(l.cfg.warmup + l.cfg.duration)}
	var wg sync.WaitGroup
	for w := range l.cfg.clients {
		wg.Go(func() {
			worker := loadWorker{
				loader: l, shard: &l.shards[w%len(l.shards)], rand: rand.New(rand.NewPCG(l.cfg.seed, uint64(w)+1)), request: newRequestID(),
			}
			if l.cfg.rate > 0 {
				worker.paced(ctx, begin, window)
			} else {
				worker.closed(ctx, window)
			}
		})
	}
	wg.Wait()
	if now := time.Now(); now.Before(window.to) {
		window.to = now // interrupted
	}
	report := l.report(window)
	if l.cfg.rate > 0 {
		due := int64(window.to.Sub(begin).Seconds() * l.cfg.rate)
		report.unsent = max(0, due-l.ticket.Load())
	}
	return report
}

// window is the part of a run that counts.
type window struct{ from, to time.Time }

// loadWorker is one of the concurrent clients.
type loadWorker struct {
	*loader
	shard   *loadShard
	rand    *rand.Rand
	request node.RequestID // of the last put: half drawn once, half counted, so that no two runs share one
}

// closed runs one operation after the other.
func (w *loadWorker) closed(ctx context.Context, win window) {
	start := time.Now()
	for start.Before(win.to) && ctx.Err() == nil {
		kind, err := w.one()
		end := time.Now()
		if !start.Before(win.from) {
			w.shard.record(kind, end.Sub(start), err, !end.After(win.to))
		}
		start = end
	}
}

// paced starts operations at fixed times and measures each from the time it was due, whether or not a worker was free then: a
// server that stalls is charged for all the operations that had to wait, not only for those under way (Tene's
// "coordinated omission").
func (w *loadWorker) paced(ctx context.Context, begin time.Time, win window) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		now := time.Now()
		if !now.Before(win.to) {
			return // operations still due by now are reported as unsent
		}
		due := begin.Add(time.Duration(float64(w.ticket.Add(1)-1) / w.cfg.rate * float64(time.Second)))
		if !due.Before(win.to) {
			w.ticket.Add(-1)
			return
		}
		if wait := due.Sub(now); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				w.ticket.Add(-1)
				return
			}
		}
		kind, err := w.one()
		end := time.Now()
		if !due.Before(win.from) {
			w.shard.record(kind, end.Sub(due), err, !end.After(win.to))
		}
	}
}

// one runs one operation. The client bounds its time, and an interruption of the run lets it finish.
func (w *loadWorker) one() (opKind, error) {
	ctx := context.Background()
	key := w.keys[w.picker.pick(w.rand)]
	switch kind := w.kind(); kind {
	case loadPut:
		binary.BigEndian.PutUint64(w.request[8:], binary.BigEndian.Uint64(w.request[8:])+1)
		_, err := w.client.Do(ctx, node.Op{
			Kind: node.OpPut, Key: key, Value: w.values.value(w.rand), Level: w.cfg.level, Request: w.request,
		})
		return kind, err
	case loadLookup:
		_, err := w.client.Lookup(ctx, ring.Hash(key), nil)
		return kind, err
	default:
		r, err := w.client.Do(ctx, node.Op{Kind: node.OpGet, Key: key, Level: w.cfg.level})
		if err == nil && !r.Found {
			err = errNotFound
		}
		return loadGet, err
	}
}

func (w *loadWorker) kind() opKind {
	switch w.cfg.work {
	case workPut:
		return loadPut
	case workLookup:
		return loadLookup
	case workMixed:
		if w.rand.Float64() >= w.cfg.readShare {
			return loadPut
		}
	}
	return loadGet
}
