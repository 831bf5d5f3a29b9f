package chunk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/rpc"
)

// Ring is what this package asks of a ring. *rpc.Client has it.
type Ring interface {
	Do(ctx context.Context, op node.Op) (node.Result, error)
	Hello(ctx context.Context) (rpc.Hello, error)
}

var _ Ring = (*rpc.Client)(nil)

var (
	// ErrReplaced: the value was overwritten or deleted while it was read, and its blocks were freed. Read the key anew.
	ErrReplaced = errors.New("the value was replaced while it was read")
	// ErrTakenOver: another client goes on with this upload, or has begun one to the same key. Nothing was stored under the key by this one.
	ErrTakenOver = errors.New("another client is uploading to this key")
)

// Options are the settings of an upload or download. The zero value of a field means its default.
type Options struct {
	Level    node.Level                    // an upload takes one for quorum: what it finds, and what it seals, has to hold
	Parallel int                           // blocks that are under way, and in memory, at a time; 16
	Patience time.Duration                 // how long a block that fails is tried; a minute
	Progress func(bytes int64, known bool) // called for each block that is done, from several goroutines; known: it was there already
}

func (o Options) withDefaults() Options {
	if o.Parallel < 1 {
		o.Parallel = 16
	}
	if o.Patience <= 0 {
		o.Patience = time.Minute
	}
	if o.Progress == nil {
		o.Progress = func(int64, bool) {}
	}
	return o
}

// caller makes single operations, and makes them again as long as there is patience.
type caller struct {
	ring Ring
	opts Options
}

const (
	minPause = 20 * time.Millisecond
	maxPause = time.Second
)

// do is one operation, which is repeated under one request id until its outcome is certain or there is no more patience.
func (c *caller) do(ctx context.Context, op node.Op) (node.Result, error) {
	if op.Level = c.opts.Level; op.Kind != node.OpGet {
		rand.Read(op.Request[:]) // never fails
	}
	until := time.Now().Add(c.opts.Patience)
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		r, err := c.ring.Do(ctx, op)
		switch {
		case err == nil, errors.Is(err, node.ErrInvalid), errors.Is(err, node.ErrCondition), errors.Is(err, rpc.ErrClosed), ctx.Err() != nil,
			time.Now().After(until):
			return r, err
		}
		op.Retry = op.Kind != node.OpGet
		if err := wait(ctx, pause); err != nil {
			return node.Result{}, err
		}
	}
}

func (c *caller) get(ctx context.Context, key []byte) (node.Result, error) {
	return c.do(ctx, node.Op{Kind: node.OpGet, Key: key})
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Do is ring.Do, and frees the blocks of the large value that the operation took the place of, if there was one. Result.Replaced is set only if some may be left, for
// Collect to find: the operation itself has succeeded.
func Do(ctx context.Context, ring Ring, op node.Op) (node.Result, error) {
	r, err := ring.Do(ctx, op)
	if err == nil {
		r = Freed(ctx, ring, op, r)
	}
	return r, err
}

// Freed is the second half of Do, after the operation.
func Freed(ctx context.Context, ring Ring, op node.Op, r node.Result) node.Result {
	if r.Replaced != nil && (sameUpload(op, r.Replaced) || free(ctx, ring, op.Key, r, r.Replaced) == nil) {
		r.Replaced = nil
	}
	return r
}

// sameUpload reports whether an operation puts a manifest in its own place, as an import of what was exported before does.
func sameUpload(op node.Op, replaced []byte) bool {
	if op.Kind != node.OpManifest {
		return false
	}
	now, err := ParseManifest(op.Value)
	was, wasErr := ParseManifest(replaced)
	return err == nil && wasErr == nil && now.Upload == was.Upload
}

// errTooFew: a write that fewer processes have than W may be lost, and then what it replaced is there again.
var errTooFew = errors.New("the write that replaced it is not on a quorum yet")

// free frees the blocks of a manifest that a write with result r has replaced.
func free(ctx context.Context, ring Ring, key []byte, r node.Result, manifest []byte) error {
	hello, err := ring.Hello(ctx)
	if err != nil {
		return err
	}
	if r.Acks < hello.WriteQuorum {
		return errTooFew
	}
	m, err := ParseManifest(manifest)
	if err != nil {
		return err
	}
	if err := Free(ctx, ring, key, m); err != nil {
		return fmt.Errorf("free the blocks of %v: %w", m.Upload, err)
	}
	return nil
}
