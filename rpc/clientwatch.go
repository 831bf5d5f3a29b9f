package rpc

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

// watchPatience is how long nobody may be found who watches a key, before the client gives up: as long as an owner's death takes to be noticed, and much more.
const watchPatience = 30 * time.Second

// Watch tells of a key: what a read by quorum finds, first if that is newer than the version after, then whenever it has become newer, in the order of the versions, also while the key
// changes hands. The zero Version is older than any. That a value has expired is told with its version. Of changes that follow each other closely, or happen while the owner changes, only the last may be told. It returns
// fn's error as it is, or an *OpError: when ctx ends, the client is closed, or nobody has watched the key for half a minute. To go on, call it again with the version told last.
func (c *Client) Watch(ctx context.Context, key []byte, after node.Version, fn func(node.Result) error) error {
	w := watcher{c: c, key: key, after: after, fn: fn, heard: time.Now()}
	w.report = OpError{Op: fmt.Sprintf("watch %q", key)}
	began, retries := w.heard, 0
	if err := c.check(ctx, &attempts{c: c, op: node.Op{Kind: node.OpGet, Key: key}, start: began, deadline: began.Add(c.cfg.Timeout)}); err != nil {
		return err
	}
	for {
		last := w.heard
		err := w.follow(ctx)
		if w.heard != last {
			retries = 0
		}
		w.report.Elapsed, w.report.Err = time.Since(began), err
		_, remedy := diagnose(node.OpGet, err)
		switch {
		case w.stopped != nil:
			return w.stopped
		case ctx.Err() != nil:
			w.report.Err = ctx.Err()
			return &w.report
		case c.ctx.Err() != nil:
			w.report.Err = ErrClosed
			return &w.report
		case remedy == giveUp || time.Since(w.heard) > watchPatience:
			w.report.Retryable = remedy != giveUp
			return &w.report
		}
		if c.pause(ctx, backoff(c.cfg.BackoffMin, c.cfg.BackoffMax, retries)) == nil {
			retries++
		}
	}
}

// watcher is a Watch under way.
type watcher struct {
	c       *Client
	key     []byte
	after   node.Version // told last
	lapsed  bool         // and that it has expired
	fn      func(node.Result) error
	stopped error     // by fn
	heard   time.Time // when somebody watched the key last
	report  OpError
}

// follow tells of the key as long as its present owner does.
func (w *watcher) follow(ctx context.Context) error {
	trace, err := w.c.Lookup(ctx, ring.Hash(w.key), nil)
	if err != nil {
		return err
	}
	addr := trace.Owner.Self.Addr
	w.report.attempt(addr)
	err = w.c.listen(ctx, addr, func(ctx context.Context, conn *grpc.ClientConn) error { return w.receive(ctx, addr, conn) })
	if w.stopped != nil {
		return w.stopped
	}
	return err
}

// listen makes a call to the process at addr that has no deadline but ends with the client, and keeps book of whether the process works.
func (c *Client) listen(ctx context.Context, addr string, call func(ctx context.Context, conn *grpc.ClientConn) error) error {
	s := c.servers.learn(addr)
	if s == nil || !s.acquire() {
		return unreachable(addr, "no free connection for this address", false)
	}
	defer s.release()
	callCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	err := call(callCtx, s.conn)
	c.judgeServer(ctx, s, err)
	return err
}

// receive opens the stream and hands over what comes.
func (w *watcher) receive(ctx context.Context, addr string, conn *grpc.ClientConn) error {
	var to peer.Peer
	failed := func(err error) error { return errorFromStatus(ctx, addr, err, to.Addr != nil) }
	stream, err := chordv1.NewKVServiceClient(conn).Watch(ctx, &chordv1.WatchRequest{Key: w.key, After: versionToProto(w.after)}, grpc.Peer(&to))
	if err != nil {
		return failed(err)
	}
	if _, err := stream.Header(); err != nil {
		return failed(err)
	}
	for {
		m, err := stream.Recv()
		w.heard = time.Now()
		if err != nil {
			return failed(err)
		}
		r, err := getResult(addr, false, m)
		if err != nil {
			return err
		}
		if !r.Version.Newer(w.after) && (r.Version != w.after || !r.Expired() || w.lapsed) {
			continue // another owner knew less, or did not know what was told
		}
		w.after, w.lapsed = r.Version, r.Expired()
		if w.stopped = w.fn(r); w.stopped != nil {
			return nil // the process has nothing to do with it
		}
	}
}
