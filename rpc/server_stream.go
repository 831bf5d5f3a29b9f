package rpc

import (
	"context"
	"errors"
	"io"
	"math/bits"
	"sync/atomic"

	"github.com/chordkv/chord/node"
)

// serveStream runs a batch stream: receive, again and again, starts the calls of one message, which enter the window open. It returns when the caller has closed the stream
// and has all its replies, when the stream is broken, or when the server stops: then every call that has begun is answered
// before the stream ends with ErrNotReady, so that the caller knows that nothing that has no answer was applied.
func (s *Server) serveStream(ctx context.Context, open *window, receive func() error) error {
	ended := make(chan error, 1)
	go func() {
		for {
			if err := receive(); err != nil {
				ended <- err
				return
			}
		}
	}()
	select {
	case err := <-ended:
		open.close()
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	case <-s.stopping:
		open.close()
		return node.ErrNotReady
	case <-ctx.Done():
		open.close()
		return ctx.Err()
	}
}

// sharedDeadlines makes the contexts of the calls of one message. A context of its own for each call would cost about as much as
// decoding the call; so calls that ask for nearly the same time share one.
type sharedDeadlines struct {
	s      *Server
	ctx    context.Context // of the stream
	groups []*deadlineGroup
}

// deadlineGroup is one context. It is released when the last call that uses it has ended.
type deadlineGroup struct {
	context.Context
	cancel context.CancelFunc
	millis uint32
	users  atomic.Int32
}

func (g *deadlineGroup) release() {
	if g.users.Add(-1) == 0 {
		g.cancel()
	}
}

// get returns a context that ends after so many milliseconds, or up to a sixteenth sooner. The caller must release it.
func (d *sharedDeadlines) get(millis uint32) *deadlineGroup {
	shift := max(bits.Len32(millis)-5, 0)
	millis = millis >> shift << shift
	for _, g := range d.groups {
		if g.millis == millis {
			g.users.Add(1)
			return g
		}
	}
	g := &deadlineGroup{millis: millis}
	g.Context, g.cancel = d.s.bounded(d.ctx, millis)
	g.users.Store(2) // the call, and the message until all its calls have begun
	d.groups = append(d.groups, g)
	return g
}

// release gives up the hold of the message.
func (d *sharedDeadlines) release() {
	for _, g := range d.groups {
		g.release()
	}
}
