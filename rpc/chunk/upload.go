package chunk

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// Uploaded is what became of an upload.
type Uploaded struct {
	Manifest *Manifest
	Result   node.Result // of the write of the manifest; Replaced is set if blocks of the value before may be left
	Known    int64       // bytes that an earlier, unfinished upload had stored
}

// Upload stores what src has under a key. size is how much that is, or -1. If an upload of the same data to this key was broken off, it goes on with that: only blocks that are not
// there are sent. The key keeps its old value until all is there, and then has the new one; whoever writes the key meanwhile is overwritten.
//
// If it fails, what was sent stays, for another Upload to go on with, or for Collect. The error wraps node.ErrUnknown if the new value may be there.
func Upload(ctx context.Context, ring Ring, key []byte, src io.Reader, size int64, opts Options) (Uploaded, error) {
	if opts.Level == node.LevelOne {
		opts.Level = node.LevelQuorum
	}
	u := &upload{caller: caller{ring, opts.withDefaults()}, key: key}
	if err := u.begin(ctx, src, size); err != nil {
		return Uploaded{}, fmt.Errorf("upload %.64q: %w", key, err)
	}
	if err := u.transfer(ctx); err != nil {
		return Uploaded{}, fmt.Errorf("upload %.64q: %w", key, err)
	}
	r, err := u.commit(ctx)
	if err != nil {
		return Uploaded{}, fmt.Errorf("upload %.64q: %w", key, err)
	}
	return Uploaded{Manifest: &u.manifest, Result: r, Known: u.known.Load()}, nil
}

// upload is an upload under way.
type upload struct {
	caller
	key      []byte
	id       ring.ID
	src      io.Reader // of everything
	maxValue int
	manifest Manifest
	resumed  bool // blocks may be there
	record   uploadRecord
	version  node.Version // of the record in the ring; whoever takes the upload over changes it

	known atomic.Int64
	mu    sync.Mutex
	sent  map[hash]bool // of this index block
}

// begin reads the first block, and claims the upload record of the key.
func (u *upload) begin(ctx context.Context, src io.Reader, size int64) error {
	hello, err := u.ring.Hello(ctx)
	if err != nil {
		return err
	}
	u.id, u.maxValue, u.manifest.BlockBytes = ring.Hash(u.key), hello.MaxValueBytes, min(BlockBytes, hello.MaxValueBytes/hashBytes*hashBytes)
	m := Manifest{Size: max(size, 0), BlockBytes: u.manifest.BlockBytes}
	switch {
	case len(u.key) == 0 || len(u.key) > hello.MaxKeyBytes:
		return fmt.Errorf("%w: the key has %d bytes, the limit is %d", node.ErrInvalid, len(u.key), hello.MaxKeyBytes)
	case keyBytes > hello.MaxKeyBytes || m.BlockBytes == 0:
		return fmt.Errorf("%w: the ring takes no keys of %d bytes, which blocks have, or no values", node.ErrInvalid, keyBytes)
	case m.encodedBytes() > int64(u.maxValue):
		return fmt.Errorf("%w: %d bytes are too many even in blocks: the limit is %d for the manifest", node.ErrInvalid, size, u.maxValue)
	}
	head := make([]byte, m.BlockBytes)
	n, err := io.ReadFull(src, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	u.src = io.MultiReader(bytes.NewReader(head[:n]), src)
	sum := sha256.Sum256(head[:n])
	u.record = uploadRecord{Key: u.key, Size: size, BlockBytes: m.BlockBytes, Head: hex.EncodeToString(sum[:])}
	return u.claim(ctx)
}

// maxConflicts bounds how often an upload meets another one in a row.
const maxConflicts = 100

// claim makes the upload record this client's: a new one, or that of an upload of the same data which was broken off.
func (u *upload) claim(ctx context.Context) error {
	for range maxConflicts {
		was, err := u.get(ctx, uploadKey(u.id))
		if err != nil {
			return err
		}
		var old *uploadRecord
		if was.Found {
			if old, err = parseUpload(u.id, was.Value); err != nil {
				return err
			}
			if !bytes.Equal(old.Key, u.key) {
				return fmt.Errorf("%w: another key has the same place on the ring", node.ErrInvalid)
			}
		}
		if u.resumed = old != nil && !old.Sealed && old.Size == u.record.Size && old.BlockBytes == u.record.BlockBytes && old.Head == u.record.Head; u.resumed {
			u.manifest.Upload = old.upload()
		} else {
			rand.Read(u.manifest.Upload[:]) // never fails
		}
		u.record.Upload = u.manifest.Upload.String()
		if err := u.write(ctx, was); !errors.Is(err, node.ErrCondition) {
			return err
		}
	}
	return ErrTakenOver
}

// write stores the upload record in the place of what was there.
func (u *upload) write(ctx context.Context, was node.Result) error {
	op := ifStill(node.Op{Kind: node.OpPut, Key: uploadKey(u.id), Value: u.record.encode()}, was)
	r, err := u.do(ctx, op)
	if err == nil {
		u.version = r.Version
	}
	return err
}

// ifStill makes an operation conditional: nothing must have changed since the key was read.
func ifStill(op node.Op, was node.Result) node.Op {
	if op.If = node.IfAbsent; was.Found {
		op.If, op.Version = node.IfVersion, was.Version
	}
	return op
}

// transfer stores all blocks, and completes the manifest.
func (u *upload) transfer(ctx context.Context) error {
	buffers := make(chan []byte, u.opts.Parallel)
	for range u.opts.Parallel {
		buffers <- nil
	}
	for more := true; more; {
		hashes, err := u.fill(ctx, buffers, &more)
		if err != nil {
			return err
		}
		if len(hashes) == 0 {
			break
		}
		h := hash(sha256.Sum256(hashes))
		if err := u.store(ctx, h, hashes, false); err != nil {
			return err
		}
		u.manifest.index = append(u.manifest.index, h)
		if u.manifest.encodedBytes() > int64(u.maxValue) {
			return fmt.Errorf("%w: %d bytes are too many even in blocks", node.ErrInvalid, u.manifest.Size)
		}
	}
	if u.record.Size >= 0 && u.manifest.Size != u.record.Size {
		return fmt.Errorf("%w: there were %d bytes to read, not %d", node.ErrInvalid, u.manifest.Size, u.record.Size)
	}
	return nil
}

// fill stores the blocks of one index block, and returns that. more becomes false at the end of the data.
func (u *upload) fill(ctx context.Context, buffers chan []byte, more *bool) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel(nil)
	u.sent = make(map[hash]bool)
	all := make([]byte, u.manifest.BlockBytes)
	n := 0
	for ; *more && n < len(all); n += hashBytes {
		var buffer []byte
		select {
		case buffer = <-buffers:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if buffer == nil {
			buffer = make([]byte, u.manifest.BlockBytes)
		}
		size, err := io.ReadFull(u.src, buffer)
		if *more = err == nil; err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, err
		}
		if size == 0 {
			buffers <- buffer
			break
		}
		u.manifest.Size += int64(size)
		at := all[n : n+hashBytes]
		tasks.Go(func() {
			h := hash(sha256.Sum256(buffer[:size]))
			copy(at, h[:])
			if err := u.store(ctx, h, buffer[:size], true); err != nil {
				cancel(err)
			}
			buffers <- buffer
		})
	}
	tasks.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return all[:n], nil
}

// store makes sure that a block is there. One that is under its key has the right bytes, since that has their hash; so the key alone is asked for.
func (u *upload) store(ctx context.Context, h hash, block []byte, data bool) error {
	u.mu.Lock()
	again := u.sent[h] // by another task, whose error ends this one too
	u.sent[h] = true
	u.mu.Unlock()
	known := false
	key := blockKey(u.id, u.manifest.Upload, h)
	if !again && u.resumed {
		r, err := u.do(ctx, node.Op{Kind: node.OpGet, Key: key, Bare: true})
		if err != nil {
			return err
		}
		known = r.Found
	}
	if !again && !known {
		if _, err := u.do(ctx, node.Op{Kind: node.OpPut, Key: key, Value: block}); err != nil {
			return err
		}
	}
	if data {
		if known {
			u.known.Add(int64(len(block)))
		}
		u.opts.Progress(int64(len(block)), known)
	}
	return nil
}

// commit puts the manifest under the key. Why no manifest is ever stored whose blocks somebody frees: the upload record is sealed first, which only one client can do, once. A
// client that finds it sealed begins another upload, and frees nothing before its own manifest is stored; and the manifest here is stored only if the key has not changed since
// before the sealing.
func (u *upload) commit(ctx context.Context) (node.Result, error) {
	u.record.Sealed = true
	for range maxConflicts {
		was, err := u.get(ctx, u.key)
		if err != nil {
			return node.Result{}, err
		}
		err = u.write(ctx, node.Result{Found: true, Version: u.version})
		if errors.Is(err, node.ErrCondition) {
			return node.Result{}, ErrTakenOver
		}
		if err != nil {
			return node.Result{}, err
		}
		r, err := u.do(ctx, ifStill(node.Op{Kind: node.OpManifest, Key: u.key, Value: u.manifest.encode()}, was))
		if errors.Is(err, node.ErrCondition) {
			continue // somebody wrote the key
		}
		if err != nil {
			return node.Result{}, err
		}
		if r.Replaced = nil; was.Manifest && free(ctx, u.ring, u.key, r, was.Value) != nil {
			r.Replaced = was.Value
		}
		return r, nil
	}
	return node.Result{}, fmt.Errorf("%w: the key is written all the time", node.ErrCondition)
}
