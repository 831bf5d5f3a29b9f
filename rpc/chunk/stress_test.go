package chunk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/rpc"
	"github.com/chordkv/chord/rpc/chunk"
)

// mortal is a ring as a client sees it that dies after so many operations.
type mortal struct {
	*fakeRing
	left atomic.Int64
}

func (m *mortal) Do(ctx context.Context, op node.Op) (node.Result, error) {
	if m.left.Add(-1) < 0 {
		return node.Result{}, errStop
	}
	return m.fakeRing.Do(ctx, op)
}

// TestClientsOfOneKey: clients upload, write and delete one key at the same time, and die in the middle. Whatever the value is, all of it is there, at any moment; and after
// Collect nothing else is.
func TestClientsOfOneKey(t *testing.T) {
	for seed := range uint64(20) {
		f := newRing(smallBlock)
		key := []byte("k")
		// Few different values, so that clients meet in one upload.
		values := [][]byte{pseudo(3*smallBlock, 1), pseudo(40*smallBlock, 2), pseudo(3*smallBlock, 3)}
		var clients, readers sync.WaitGroup
		var reads, torn, stored, failed atomic.Int64
		done := make(chan struct{})
		for i := range uint64(6) {
			clients.Go(func() {
				chance := rand.New(rand.NewPCG(seed, i))
				for range 40 {
					ring := &mortal{fakeRing: f}
					ring.left.Store(1000)
					if chance.IntN(2) == 0 {
						ring.left.Store(chance.Int64N(60))
					}
					var err error
					switch chance.IntN(6) {
					case 0:
						_, err = chunk.Do(t.Context(), ring, node.Op{Kind: node.OpDelete, Key: key})
					case 1:
						_, err = chunk.Do(t.Context(), ring, node.Op{Kind: node.OpPut, Key: key, Value: []byte("small")})
					default:
						v := values[chance.IntN(len(values))]
						_, err = chunk.Upload(t.Context(), ring, key, bytes.NewReader(v), int64(len(v)), chunk.Options{Parallel: 1 + chance.IntN(4)})
						if err == nil {
							stored.Add(1)
						}
					}
					switch {
					case err == nil:
					case errors.Is(err, rpc.ErrClosed), errors.Is(err, chunk.ErrTakenOver):
						failed.Add(1)
					default:
						t.Errorf("seed %d: %v", seed, err)
					}
				}
			})
		}
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				err := readKey(t.Context(), f, key, values)
				if reads.Add(1); errors.Is(err, chunk.ErrReplaced) {
					torn.Add(1)
				} else if err != nil {
					t.Errorf("seed %d: read: %v", seed, err)
				}
			}
		})
		clients.Wait()
		close(done)
		readers.Wait()
		if stored.Load() == 0 || failed.Load() == 0 || reads.Load() == 0 {
			t.Fatalf("seed %d: %d uploads, %d failures, %d reads: nothing was tested", seed, stored.Load(), failed.Load(), reads.Load())
		}
		if err := readKey(t.Context(), f, key, values); err != nil {
			t.Errorf("seed %d: at rest: %v", seed, err)
		}
		for range 2 {
			left, err := chunk.Leftovers(t.Context(), f, chunk.CollectOptions{})
			if err == nil {
				_, err = chunk.Collect(t.Context(), f, left, chunk.CollectOptions{})
			}
			if err == nil {
				err = readKey(t.Context(), f, key, values)
			}
			if err != nil {
				t.Errorf("seed %d: after the collection: %v", seed, err)
			}
		}
		want := 0
		if r := f.records["k"]; r.Manifest {
			m, _ := chunk.ParseManifest(r.Value)
			want = int(m.Blocks()) + int(m.Blocks()+31)/32
		}
		wantBlocks(t, f, want)
	}
}

// readKey returns an error unless the key has a value, all of it, or none.
func readKey(ctx context.Context, f *fakeRing, key []byte, values [][]byte) error {
	r, err := f.Do(ctx, node.Op{Kind: node.OpGet, Key: key})
	if err != nil || !r.Manifest {
		return err
	}
	v, err := chunk.Open(f, key, r, chunk.Options{})
	if err != nil {
		return err
	}
	var got bytes.Buffer
	if err := v.Download(ctx, &got, 0); err != nil {
		return err
	}
	for _, want := range values {
		if bytes.Equal(got.Bytes(), want) {
			return nil
		}
	}
	return fmt.Errorf("%d bytes that nobody stored", got.Len())
}
