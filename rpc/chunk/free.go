package chunk

import (
	"context"
	"errors"
	"sync"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// maxFreed is how many blocks are deleted at a time.
const maxFreed = 64

// Free deletes the blocks of a large value that is not, and never will be again, the value of the key: a write that is on a quorum has taken its place. Repeating it does no
// harm. It frees what it can; if the error is not nil, some blocks may be left, which Collect finds.
func Free(ctx context.Context, ringOf Ring, key []byte, m *Manifest) error {
	v := open(ringOf, key, m, node.Version{}, Options{})
	var errs []error
	for n, h := range m.index {
		r, err := v.caller.get(ctx, blockKey(v.id, m.Upload, h))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		keys := make([][]byte, 0, len(r.Value)/hashBytes)
		for at := 0; at+hashBytes <= len(r.Value); at += hashBytes {
			keys = append(keys, blockKey(v.id, m.Upload, hash(r.Value[at:])))
		}
		if err = v.caller.remove(ctx, keys); err == nil { // else it is needed to find them
			err = v.caller.remove(ctx, [][]byte{blockKey(v.id, m.Upload, m.index[n])})
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return v.caller.forget(ctx, v.id, m.Upload)
}

// remove deletes keys, and returns the last error.
func (c *caller) remove(ctx context.Context, keys [][]byte) error {
	next := make(chan []byte)
	var mu sync.Mutex
	var failed error
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		failed = err
	}
	var tasks sync.WaitGroup
	for range min(maxFreed, len(keys)) {
		tasks.Go(func() {
			for key := range next {
				if _, err := c.do(ctx, node.Op{Kind: node.OpDelete, Key: key}); err != nil {
					fail(err)
				}
			}
		})
	}
	for _, key := range keys {
		if ctx.Err() != nil {
			fail(context.Cause(ctx))
			break
		}
		next <- key
	}
	close(next)
	tasks.Wait()
	return failed
}

// forget takes an upload out of the record of its key, unless that is about another one by now. The record stays as long as there is a value in blocks: it is how Leftovers
// finds the key of a block.
func (c *caller) forget(ctx context.Context, id ring.ID, u UploadID) error {
	r, err := c.get(ctx, uploadKey(id))
	if err != nil || !r.Found {
		return err
	}
	record, err := parseUpload(id, r.Value)
	if err != nil || record.upload() != u {
		return err
	}
	now, err := c.get(ctx, record.Key)
	if err != nil {
		return err
	}
	op := node.Op{Kind: node.OpDelete, Key: uploadKey(id)}
	if now.Manifest {
		m, err := ParseManifest(now.Value)
		if err != nil || m.Upload == u {
			return err
		}
		record = &uploadRecord{Key: record.Key, Upload: m.Upload.String(), Size: m.Size, BlockBytes: m.BlockBytes, Sealed: true}
		op.Kind, op.Value = node.OpPut, record.encode()
	}
	if _, err = c.do(ctx, ifStill(op, r)); errors.Is(err, node.ErrCondition) {
		return nil // somebody has begun another
	}
	return err
}
