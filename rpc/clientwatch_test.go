package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/rpc"
)

// telling makes all processes of a ring tell those who watch the versions that next gives, by how often somebody has begun to, and then break the stream.
func (r *fakeRing) telling(next func(begun int, after uint64) (times []uint64)) {
	begun := 0
	watch := func(m *chordv1.WatchRequest, stream grpc.ServerStreamingServer[chordv1.GetResponse]) error {
		r.mu.Lock()
		times := next(begun, m.GetAfter().GetTime())
		begun++
		r.mu.Unlock()
		for _, at := range times {
			if at == 0 { // for ever
				<-stream.Context().Done()
				return nil
			}
			if err := stream.Send(&chordv1.GetResponse{Found: true, Version: versionMessage(node.Version{Time: at, Origin: 1})}); err != nil {
				return err
			}
		}
		return errors.New("broken")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.members {
		p.watch = watch
	}
}

// A watch goes on at whoever owns the key after a stream has broken, behind what was told, and nothing is told twice or out of order.
func TestClientWatch(t *testing.T) {
	r := newFakeRing(t, 3)
	c := r.client(nil)
	var asked []uint64
	r.telling(func(begun int, after uint64) []uint64 {
		asked = append(asked, after)
		return [][]uint64{{5, 7}, {}, {3, 7, 9}, {6, 9, 12, 0}}[begun]
	})
	enough := errors.New("enough")
	var told []uint64
	err := c.Watch(t.Context(), []byte("k"), node.Version{Time: 2, Origin: 1}, func(result node.Result) error {
		if told = append(told, result.Version.Time); len(told) == 4 {
			return enough
		}
		return nil
	})
	if err != enough {
		t.Errorf("got %v, want the error of who watches, as it is", err)
	}
	if want := []uint64{5, 7, 9, 12}; !slices.Equal(told, want) {
		t.Errorf("told %d, want %d", told, want)
	}
	if want := []uint64{2, 7, 7, 9}; !slices.Equal(asked, want) {
		t.Errorf("asked for what is newer than %d, want %d", asked, want)
	}
}

// What ends a watch, and with which error.
func TestClientWatchEnds(t *testing.T) {
	r := newFakeRing(t, 3)
	r.telling(func(int, uint64) []uint64 { return []uint64{5, 0} })
	for name, test := range map[string]struct {
		key  string
		end  func(c *rpc.Client, cancel context.CancelFunc)
		want error
	}{
		"context":  {"k", func(_ *rpc.Client, cancel context.CancelFunc) { cancel() }, context.Canceled},
		"close":    {"k", func(c *rpc.Client, _ context.CancelFunc) { _ = c.Close() }, rpc.ErrClosed},
		"bad key":  {"", nil, node.ErrInvalid},
		"long key": {fmt.Sprintf("%2000d", 1), nil, node.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			c := r.client(nil)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err := c.Watch(ctx, []byte(test.key), node.Version{}, func(node.Result) error {
				go func() {
					time.Sleep(10 * time.Millisecond)
					test.end(c, cancel)
				}()
				return nil
			})
			var failed *rpc.OpError
			if !errors.Is(err, test.want) || !errors.As(err, &failed) {
				t.Errorf("got %v, want %v in an OpError", err, test.want)
			}
		})
	}
}
