package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
)

// importConfig describes an import.
type importConfig struct {
	format      lineFormat // not auto
	limits      limits
	inFlight    int           // puts at a time
	keyDeadline time.Duration // how long a line is tried
	maxFailures int           // failed lines that end the import
	skipBad     bool
	level       node.Level
}

// importer puts every line of a file. It reads on while puts are under way and keeps, at every moment, the exact list of lines
// read but not acknowledged: that is what makes an import resumable. Two lines with the same key are never under way
// together, so that the last one wins as if there were no concurrency.
type importer struct {
	cfg importConfig
	do  func(ctx context.Context, op node.Op) (node.Result, error)
	bad func(at lineRef, err error) // told of each line that is skipped or has failed

	mu     sync.Mutex
	freed  sync.Cond           // a key is not under way any more
	keys   map[string]struct{} // under way
	failed map[string]lineRef  // by key; a later line with the key that is acknowledged takes it out
	open   map[int64]lineRef   // lines read and not acknowledged: under way or failed; by number
	state  importCheckpoint    // Redo is filled in by checkpoint
	result importResult
}

// importResult is what became of the lines.
type importResult struct {
	Lines        int64            `json:"lines"`        // read by this run, without blank ones and those that an earlier run had acknowledged
	Acknowledged int64            `json:"acknowledged"` // by this run
	Failed       int64            `json:"failed"`
	Skipped      int64            `json:"skipped"` // malformed, with --skip-bad
	Errors       map[string]int64 `json:"errors"`  // failed lines by error code
}

// job is a line on its way to the ring.
type job struct {
	at lineRef
	pair
}

// errTooManyFailures ends an import that gets nowhere.
var errTooManyFailures = errors.New("too many lines failed")

func newImporter(cfg importConfig, from importCheckpoint, do func(context.Context, node.Op) (node.Result, error),
	bad func(lineRef, error),
) *importer {
	im := &importer{
		cfg: cfg, do: do, bad: bad, state: from,
		keys: make(map[string]struct{}), failed: make(map[string]lineRef), open: make(map[int64]lineRef),
		result: importResult{Errors: make(map[string]int64)},
	}
	im.freed.L = &im.mu
	for _, at := range from.Redo {
		im.open[at.Line] = at
	}
	return im
}

// startAt returns the first line that has to be read.
func (im *importer) startAt() lineRef {
	at := lineRef{Line: im.state.Line + 1, Offset: im.state.Offset}
	for _, redo := range im.state.Redo {
		if redo.Line < at.Line {
			at = redo
		}
	}
	return at
}

// run imports until the end of r, which begins at startAt, until a line is malformed, too many failed, or ctx ends. Puts that are under
// way then are finished, but not tried again. It returns why it stopped before the end.
func (im *importer) run(ctx context.Context, r *lineReader) error {
	jobs := make(chan job)
	var workers sync.WaitGroup
	for range im.cfg.inFlight {
		workers.Go(func() {
			for j := range jobs {
				im.finish(j, im.put(ctx, j))
			}
		})
	}
	err := im.feed(ctx, r, jobs)
	close(jobs)
	workers.Wait()
	return err
}

func (im *importer) feed(ctx context.Context, r *lineReader, jobs chan<- job) error {
	resumed := im.state.Line
	for ctx.Err() == nil {
		line, at, err := r.read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, errLineTooLong) {
			return err
		}
		if at.Line <= resumed && !im.pending(at) {
			continue // an earlier run has had it acknowledged
		}
		if err == nil && len(line) == 0 {
			im.pass(at, r.next)
			continue
		}
		var p pair
		if err == nil {
			p, err = im.parse(line)
		}
		if err != nil {
			err = fmt.Errorf("line %d: %w", at.Line, err)
			if !im.cfg.skipBad {
				return cli.Usagef("%v", err).WithHint("All lines before it were sent. Correct the line and go on with --resume, or leave out such lines with --skip-bad.")
			}
			im.bad(at, err)
			im.skip(at, r.next)
			continue
		}
		if !im.begin(job{at, p}, r.next) {
			return errTooManyFailures
		}
		jobs <- job{at, p}
	}
	return context.Cause(ctx)
}

// parse reads a line and checks it against the ring's limits.
func (im *importer) parse(line []byte) (pair, error) {
	p, err := im.cfg.format.parse(line)
	if err != nil {
		return pair{}, err
	}
	return p, im.cfg.limits.check(p)
}

// pending reports whether a line that an earlier run has read is still to be done.
func (im *importer) pending(at lineRef) bool {
	im.mu.Lock()
	defer im.mu.Unlock()
	_, ok := im.open[at.Line]
	return ok
}

// pass counts a line that needs nothing.
func (im *importer) pass(at lineRef, next int64) {
	im.mu.Lock()
	defer im.mu.Unlock()
	im.advance(at, next)
	delete(im.open, at.Line)
}

func (im *importer) skip(at lineRef, next int64) {
	im.pass(at, next)
	im.mu.Lock()
	defer im.mu.Unlock()
	im.result.Lines++
	im.result.Skipped++
}

func (im *importer) advance(at lineRef, next int64) {
	if at.Line > im.state.Line {
		im.state.Line, im.state.Offset = at.Line, next
	}
}

// begin waits until no other line with the key is under way. It reports false if the import has failed too often to go on.
func (im *importer) begin(j job, next int64) bool {
	key := string(j.key)
	im.mu.Lock()
	defer im.mu.Unlock()
	for {
		if len(im.failed) >= im.cfg.maxFailures {
			return false
		}
		if _, busy := im.keys[key]; !busy {
			break
		}
		im.freed.Wait()
	}
	im.keys[key] = struct{}{}
	im.open[j.at.Line] = j.at
	im.advance(j.at, next)
	im.result.Lines++
	return true
}

// put tries a line until it is acknowledged, cannot work, has been tried for the key's deadline, or the import is interrupted. Every try
// carries the same request id, so that a try that was not answered does not count as another write.
func (im *importer) put(ctx context.Context, j job) error {
	op := node.Op{Kind: node.OpPut, Key: j.key, Value: j.value, Expires: j.expires, Level: im.cfg.level, Request: newRequestID()}
	if j.manifest {
		op.Kind = node.OpManifest
	}
	until := time.Now().Add(im.cfg.keyDeadline)
	for try := 0; ; try++ {
		// An interruption does not cut a try off, which would leave open whether the line is stored; --timeout bounds it.
		_, err := im.do(context.WithoutCancel(ctx), op)
		if err == nil || errors.Is(err, node.ErrInvalid) || !time.Now().Before(until) {
			return err
		}
		op.Retry = true
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retryWait(try)):
		}
	}
}

// retryWait is random up to a bound that doubles to a second ("full jitter"), so that the lines that failed together do not come
// back together.
func retryWait(try int) time.Duration {
	return time.Duration(rand.Int64N(int64(min(time.Second, 20*time.Millisecond<<min(try, 10)))) + 1)
}

// finish notes what became of a line.
func (im *importer) finish(j job, err error) {
	key := string(j.key)
	im.mu.Lock()
	delete(im.keys, key)
	im.freed.Broadcast()
	if err != nil {
		if earlier, ok := im.failed[key]; ok {
			delete(im.open, earlier.Line) // this line would overwrite it
		}
		im.failed[key] = j.at
		im.result.Errors[errorKind(err)]++
		im.result.Failed++
		im.mu.Unlock()
		im.bad(j.at, fmt.Errorf("line %d: %w", j.at.Line, err))
		return
	}
	defer im.mu.Unlock()
	delete(im.open, j.at.Line)
	if earlier, ok := im.failed[key]; ok {
		delete(im.open, earlier.Line)
		delete(im.failed, key)
	}
	im.result.Acknowledged++
	im.state.Acknowledged++
}

// checkpoint returns the state to resume from. It is right at any moment.
func (im *importer) checkpoint() importCheckpoint {
	im.mu.Lock()
	defer im.mu.Unlock()
	c := im.state
	c.Redo = slices.SortedFunc(maps.Values(im.open), func(a, b lineRef) int { return int(a.Line - b.Line) })
	return c
}

// counts returns the result so far; the position in the file comes with it.
func (im *importer) counts() (importResult, int64) {
	im.mu.Lock()
	defer im.mu.Unlock()
	r := im.result
	r.Errors = maps.Clone(r.Errors)
	return r, im.state.Offset
}
