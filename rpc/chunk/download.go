package chunk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// Value is a large value, as it was when its key was read.
type Value struct {
	Manifest
	Key     []byte
	Version node.Version

	caller caller
	id     ring.ID
	cached int64 // number of the index block at hand; -1 for none
	hashes []byte
}

// Open returns the value of a key that Get answered with r, whose Manifest is set.
func Open(ring Ring, key []byte, r node.Result, opts Options) (*Value, error) {
	m, err := ParseManifest(r.Value)
	if err != nil {
		return nil, fmt.Errorf("get %.64q: %w", key, err)
	}
	return open(ring, key, m, r.Version, opts), nil
}

func open(ringOf Ring, key []byte, m *Manifest, v node.Version, opts Options) *Value {
	return &Value{Manifest: *m, Key: key, Version: v, caller: caller{ringOf, opts.withDefaults()}, id: ring.Hash(key), cached: -1}
}

// Have returns how many blocks, of the first ones, r begins with: so many do not have to be downloaded again.
func (v *Value) Have(ctx context.Context, r io.Reader) (blocks int64, err error) {
	buffer := make([]byte, v.BlockBytes)
	for ; blocks < v.Blocks(); blocks++ {
		want, err := v.hash(ctx, blocks)
		if err != nil {
			return 0, fmt.Errorf("get %.64q: %w", v.Key, err)
		}
		block := buffer[:v.blockBytes(blocks)]
		if _, err := io.ReadFull(r, block); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return blocks, nil
		} else if err != nil {
			return 0, err
		}
		if sha256.Sum256(block) != want {
			return blocks, nil
		}
		v.caller.opts.Progress(int64(len(block)), true)
	}
	return blocks, nil
}

// Download writes the value to w, from a block on. Every block is verified before it is written. Errors: ErrReplaced; one that wraps node.ErrCorrupt if a block is not what was
// uploaded, or not there; those of w.
func (v *Value) Download(ctx context.Context, w io.Writer, from int64) error {
	if err := v.write(ctx, w, from); err != nil {
		return fmt.Errorf("get %.64q: %w", v.Key, err)
	}
	return nil
}

// block is one that arrives.
type block struct {
	data []byte
	err  error
}

func (v *Value) write(ctx context.Context, w io.Writer, from int64) error {
	ctx, cancel := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	arriving := make(chan chan block, v.caller.opts.Parallel-1) // in order
	tasks.Go(func() {
		defer close(arriving)
		for i := from; i < v.Blocks(); i++ {
			to := make(chan block, 1)
			select {
			case arriving <- to:
			case <-ctx.Done():
				return
			}
			h, err := v.hash(ctx, i)
			if err != nil {
				to <- block{err: err}
				return
			}
			tasks.Go(func() {
				data, err := v.fetch(ctx, h, v.blockBytes(i))
				to <- block{data, err}
			})
		}
	})
	for to := range arriving {
		b := <-to
		if b.err != nil {
			return b.err
		}
		if _, err := w.Write(b.data); err != nil {
			return err
		}
		v.caller.opts.Progress(int64(len(b.data)), false)
	}
	return context.Cause(ctx)
}

// hash returns the hash of a block, by number. It is for one goroutine at a time.
func (v *Value) hash(ctx context.Context, i int64) (hash, error) {
	n := i / v.perIndex()
	if n != v.cached {
		size := int(min(v.perIndex(), v.Blocks()-n*v.perIndex())) * hashBytes
		hashes, err := v.fetch(ctx, v.index[n], size)
		if err != nil {
			return hash{}, err
		}
		v.cached, v.hashes = n, hashes
	}
	return hash(v.hashes[i%v.perIndex()*hashBytes:]), nil
}

// fetch reads a block and verifies it.
func (v *Value) fetch(ctx context.Context, h hash, size int) ([]byte, error) {
	r, err := v.caller.get(ctx, blockKey(v.id, v.Upload, h))
	if err == nil && good(r, h, size) {
		return r.Value, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if now, nowErr := v.caller.get(ctx, v.Key); nowErr == nil && now.Version != v.Version {
		if m, err := ParseManifest(now.Value); !now.Manifest || err != nil || m.Upload != v.Upload {
			return nil, ErrReplaced
		}
	}
	if err != nil {
		return nil, err
	}
	// One replica may have what others do not.
	all := v.caller
	all.opts.Level = node.LevelAll
	if r, err = all.get(ctx, blockKey(v.id, v.Upload, h)); err == nil && good(r, h, size) {
		return r.Value, nil
	}
	if err != nil {
		return nil, err
	}
	if !r.Found {
		return nil, fmt.Errorf("%w: a block of it is not there: %x", node.ErrCorrupt, h[:8])
	}
	return nil, fmt.Errorf("%w: a block of it is not what was uploaded: %x", node.ErrCorrupt, h[:8])
}

func good(r node.Result, h hash, size int) bool {
	sum := sha256.Sum256(r.Value)
	return r.Found && len(r.Value) == size && bytes.Equal(sum[:], h[:])
}
