package rpc

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// PrefixOptions are the settings of a watch of a prefix. The zero value of a field means its default.
type PrefixOptions struct {
	Changes bool                  // do not tell what the keys have at first
	Begun   func(processes int)   // called once, when what the keys had at first has been told, or looked at
	Only    func(key []byte) bool // keys that are wanted; all
	Keys    int                   // of which is remembered what was told, the ones told last; 2^20, which take some 130 MB
}

const (
	// prefixReads bounds the keys that are read at a time, and held in memory.
	prefixReads = 64
	// prefixCheck is how often a watch of a prefix looks whether it still hears of everything.
	prefixCheck = time.Second
)

// WatchPrefix tells of all keys that begin with a prefix, every key if it is empty: what each that has a value has, in no order, then of each what it has whenever that has
// changed, also that it was deleted or, with the version of the value, that it has expired. What is told is what a read by quorum finds; for each key the versions grow, and the one
// that it has in the end is told, whoever joins or dies. Of changes that follow each other closely only the last may be told. Of more keys than Keys, those told longest ago may be told
// again. It returns fn's error as it is, or an *OpError: when ctx ends, the client is closed, or for half a minute as many processes cannot be
// reached as may have a write for themselves, or a key cannot be read. fn must not keep or change the slices; while it runs nothing else is told.
//
// How: every process tells which versions it stores, so that each write is heard of from several, whoever of them dies. What is newer than what was told is read.
func (c *Client) WatchPrefix(ctx context.Context, prefix []byte, opts PrefixOptions, fn func(key []byte, r node.Result) error) error {
	w := &prefixWatch{c: c, prefix: bytes.Clone(prefix), opts: opts, fn: fn, start: time.Now(), reading: make(map[string]*prefixRead)}
	w.report.Op = "watch prefix " + quoteKey(prefix)
	if c.ctx.Err() != nil {
		return w.failed(ErrClosed, false)
	}
	hello, err := c.enter(ctx)
	var nobody *OpError
	if errors.As(err, &nobody) {
		w.report.Attempted, w.report.Attempts = nobody.Attempted, nobody.Attempts
		return w.failed(nobody.Err, nobody.Retryable)
	}
	if n, limit := len(prefix), hello.MaxKeyBytes; n > limit {
		return w.failed(fmt.Errorf("%w: the prefix has %d bytes, the limit of keys is %d", node.ErrInvalid, n, limit), false)
	}
	w.spare = hello.WriteQuorum - 1
	w.told = newToldVersions(cmp.Or(opts.Keys, 1<<20))
	w.members = members{c: c, prefix: w.prefix, byAddr: make(map[string]*memberStream), news: make(chan memberNews)}
	w.found, w.entered = make(chan prefixFound, prefixReads), make(chan Hello, 1)
	defer w.tasks.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	w.members.follow(ctx, hello.Addr, w.tasks.Go)
	return w.run(ctx)
}

// prefixWatch is a WatchPrefix under way. Its fields belong to the caller's goroutine.
type prefixWatch struct {
	c      *Client
	prefix []byte
	opts   PrefixOptions
	fn     func(key []byte, r node.Result) error
	spare  int // processes that may be unheard: each write is on one more
	start  time.Time
	report OpError

	members  members
	entering bool
	entered  chan Hello    // of the next process after all were lost; zero if there is none
	covered  time.Duration // when enough processes told last
	backlog  []node.Entry  // heard, not looked at yet
	reading  map[string]*prefixRead
	found    chan prefixFound
	told     *toldVersions
	phase    prefixPhase
	early    int // keys that are being read still of what was there at first
	tasks    sync.WaitGroup
}

// prefixPhase is how far a watch of a prefix is.
type prefixPhase uint8

const (
	listing  prefixPhase = iota // not every process has told all that it has
	settling                    // some of that is still being read
	watching
)

// prefixRead is a key that is being read.
type prefixRead struct {
	early bool        // it was heard of during the listing
	again *node.Entry // heard of since the read began
}

// prefixFound is what a read has found.
type prefixFound struct {
	key   string
	began time.Duration // the read, since the watch
	r     node.Result
	err   error
}

func (w *prefixWatch) run(ctx context.Context) error {
	check := time.NewTicker(prefixCheck)
	defer check.Stop()
	for {
		var news chan memberNews
		if len(w.backlog) == 0 { // else the processes wait
			news = w.members.news
		}
		var err error
		select {
		case n := <-news:
			err = w.hear(ctx, n)
		case f := <-w.found:
			err = w.tell(ctx, f)
		case h := <-w.entered:
			if w.entering = false; h.Addr != "" {
				w.members.follow(ctx, h.Addr, w.tasks.Go)
			}
		case <-check.C:
			err = w.check(ctx)
		case <-ctx.Done():
		}
		switch {
		case w.c.ctx.Err() != nil:
			return w.failed(ErrClosed, false)
		case ctx.Err() != nil:
			return w.failed(ctx.Err(), true)
		case err != nil:
			return err
		}
		w.lookOn(ctx)
		w.advance()
	}
}

// hear takes in what a process tells.
func (w *prefixWatch) hear(ctx context.Context, n memberNews) error {
	if n.err != nil {
		w.report.attempt(n.addr)
		if _, remedy := diagnose(node.OpGet, n.err); remedy == giveUp {
			return w.failed(n.err, false)
		}
	}
	for _, addr := range w.members.note(n) {
		w.members.follow(ctx, addr, w.tasks.Go)
	}
	w.backlog = n.told.Entries
	if err := w.members.full(); err != nil {
		return w.failed(err, false)
	}
	return nil
}

// lookOn reads the keys that were heard of, so many at a time.
func (w *prefixWatch) lookOn(ctx context.Context) {
	for len(w.backlog) > 0 && len(w.reading) < prefixReads {
		e := w.backlog[0]
		w.backlog = w.backlog[1:]
		if bytes.HasPrefix(e.Key, w.prefix) && (w.opts.Only == nil || w.opts.Only(e.Key)) {
			w.look(ctx, e)
		}
	}
}

// look reads a key if it may have something that was not told.
func (w *prefixWatch) look(ctx context.Context, e node.Entry) {
	if now := w.reading[string(e.Key)]; now != nil {
		if now.again == nil || e.Version.Newer(now.again.Version) {
			now.again = &e
		}
		return
	}
	if !w.told.stale(ring.Hash(e.Key), e.Version, time.Since(w.start)) {
		return
	}
	read := &prefixRead{early: w.phase == listing}
	if read.early {
		w.early++
	}
	w.reading[string(e.Key)] = read
	w.tasks.Go(func() {
		f := w.read(ctx, e.Key, read.early && w.opts.Changes)
		select {
		case w.found <- f:
		case <-ctx.Done():
		}
	})
}

// read reads a key, until that works or there is no hope.
func (w *prefixWatch) read(ctx context.Context, key []byte, bare bool) prefixFound {
	first := time.Now()
	for retries := 0; ; retries++ {
		f := prefixFound{key: string(key), began: time.Since(w.start)}
		if f.r, f.err = w.c.Do(ctx, node.Op{Kind: node.OpGet, Key: key, Bare: bare}); f.err == nil {
			return f
		}
		if _, remedy := diagnose(node.OpGet, f.err); remedy == giveUp || time.Since(first) > watchPatience ||
			w.c.pause(ctx, backoff(w.c.cfg.BackoffMin, w.c.cfg.BackoffMax, retries)) != nil {
			return f
		}
	}
}

// tell tells what a read has found, if that is new.
func (w *prefixWatch) tell(ctx context.Context, f prefixFound) error {
	key, read := []byte(f.key), w.reading[f.key]
	delete(w.reading, f.key)
	if read.early {
		w.early--
	}
	if f.err != nil {
		return w.failed(f.err, true)
	}
	id := ring.Hash(key)
	before, known := w.told.get(id)
	now := toldVersion{version: f.r.Version, lapsed: f.r.Expired()}
	if f.r.Left > 0 {
		now.lapses = f.began + f.r.Left
	}
	fresh := now.version.Newer(before.version) || now.version == before.version && now.lapsed && !before.lapsed
	if fresh || now.version == before.version && !before.lapsed && known {
		w.told.put(id, now)
	}
	silent := read.early && (w.opts.Changes || !known && !f.r.Found)
	if fresh && !silent {
		if err := w.fn(key, f.r); err != nil {
			return err
		}
	}
	if read.again != nil {
		w.look(ctx, *read.again)
	}
	return nil
}

// advance goes from listing to watching, when all that the keys had at first has been looked at.
func (w *prefixWatch) advance() {
	if w.phase == listing && len(w.backlog) == 0 && w.members.listed(w.spare) {
		w.phase = settling
	}
	if w.phase == settling && w.early == 0 {
		w.phase = watching
		if w.opts.Begun != nil {
			up, _, _ := w.members.standing()
			w.opts.Begun(up)
		}
	}
}

// check gives up when too few processes have told for too long, and enters the ring anew when none does.
func (w *prefixWatch) check(ctx context.Context) error {
	up, down, why := w.members.standing()
	now := time.Since(w.start)
	switch {
	case up > 0 && down <= w.spare:
		w.covered = now
	case now-w.covered > watchPatience:
		return w.failed(cmp.Or(why, error(node.ErrNoRoute)), true)
	case up == 0 && !w.entering:
		w.entering = true
		w.tasks.Go(func() {
			h, _ := w.c.enter(ctx) // if nobody is there, another time
			w.entered <- h
		})
	}
	return nil
}

func (w *prefixWatch) failed(err error, retryable bool) error {
	w.report.Elapsed, w.report.Retryable, w.report.Err = time.Since(w.start), retryable, err
	return &w.report
}
