package rpc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chordkv/chord/node"
)

// Client is the way into a ring from outside. It enters at any process, learns from the answers who owns what, and then goes to the
// owners directly; it survives the death of the servers that it was configured with. All methods are safe for any number of concurrent
// goroutines, whose operations share one stream per process. Errors of its methods are of type *OpError.
type Client struct {
	cfg     ClientConfig
	servers *serverPool
	table   *arcTable
	budget  *retryBudget

	hello atomic.Pointer[Hello] // nil until a server has answered

	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	closeOnce sync.Once
	closeErr  error
	tasks     sync.WaitGroup
	mu        sync.Mutex // also orders the last start of a task before the wait for all
	greeting  *greeting  // under way; nil if none is
}

// NewClient returns a client that connects when it is first used. Errors: those of cfg.Validate.
func NewClient(cfg ClientConfig) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	servers, err := newServerPool(cfg)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	c := &Client{
		cfg: cfg, servers: servers, table: newArcTable(cfg.MaxArcs), budget: newRetryBudget(cfg, time.Now()),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// Close ends all operations under way, whose outcome is then unknown, and closes all connections.
func (c *Client) Close() error {
	c.closeOnce.Do(func() {
		c.mu.Lock()
		c.cancel()
		c.mu.Unlock()
		c.closeErr = c.servers.close()
		c.tasks.Wait()
	})
	return c.closeErr
}

// Get reads a key. Result.Found tells whether it has a value.
func (c *Client) Get(ctx context.Context, key []byte, level node.Level) (node.Result, error) {
	return c.Do(ctx, node.Op{Kind: node.OpGet, Key: key, Level: level})
}

// Put sets the value of a key. It is repeated, with one request id, until its outcome is certain or the time is up.
func (c *Client) Put(ctx context.Context, key, value []byte, level node.Level) (node.Result, error) {
	return c.Do(ctx, node.Op{Kind: node.OpPut, Key: key, Value: value, Level: level, Request: newRequestID()})
}

// PutFor is Put of a value that is there for as long as ttl. Other writes are given theirs by Do, in Op.TTL.
func (c *Client) PutFor(ctx context.Context, key, value []byte, ttl time.Duration, level node.Level) (node.Result, error) {
	return c.Do(ctx, node.Op{Kind: node.OpPut, Key: key, Value: value, TTL: ttl, Level: level, Request: newRequestID()})
}

// Touch makes a key expire after ttl, whatever was said before; it never does with node.Forever. The value stays. A key without one is a *node.ConditionError. It is
// repeated like Put, and the first attempt that took effect counts.
func (c *Client) Touch(ctx context.Context, key []byte, ttl time.Duration, level node.Level) (node.Result, error) {
	return c.Do(ctx, node.Op{Kind: node.OpTouch, Key: key, TTL: ttl, Level: level, Request: newRequestID()})
}

// Delete removes a key, whether it has a value or not: Result.Found tells. It is repeated like Put.
func (c *Client) Delete(ctx context.Context, key []byte, level node.Level) (node.Result, error) {
	return c.Do(ctx, node.Op{Kind: node.OpDelete, Key: key, Level: level, Request: newRequestID()})
}

func newRequestID() (id node.RequestID) {
	rand.Read(id[:]) // never fails
	return id
}

// Do executes an operation. A write without a request id is not sent again once it may have been applied; of one with an id, the answer is that of the attempt that
// took effect, whichever that was. A condition that does not hold is a *node.ConditionError. Key and value may be changed as soon as Do has returned.
func (c *Client) Do(ctx context.Context, op node.Op) (node.Result, error) {
	a := attempts{c: c, op: op, start: time.Now()}
	a.deadline = a.start.Add(c.cfg.Timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(a.deadline) {
		a.deadline = d
	}
	if err := c.check(ctx, &a); err != nil {
		return node.Result{}, err
	}
	// The gatherer may read the operation after the caller has given up waiting for it.
	n := len(op.Key)
	both := append(append(make([]byte, 0, n+len(op.Value)), op.Key...), op.Value...)
	a.op.Key, a.op.Value = both[:n:n], both[n:]
	return a.run(ctx)
}

// check refuses what no process would accept, before anything is sent. That needs the limits of the ring, which are asked for once.
func (c *Client) check(ctx context.Context, a *attempts) error {
	if err := c.ctx.Err(); err != nil {
		return a.failed(ErrClosed, false)
	}
	hello := c.hello.Load()
	if hello == nil {
		ctx, cancel := context.WithDeadline(ctx, a.deadline)
		defer cancel()
		h, err := c.Hello(ctx)
		if err != nil {
			return a.neverSent(err)
		}
		hello = &h
	}
	bad := func(format string, args ...any) error {
		return a.failed(fmt.Errorf("%w: %s", node.ErrInvalid, fmt.Sprintf(format, args...)), false)
	}
	switch op := a.op; {
	case op.Kind < node.OpGet || op.Kind > node.OpTouch:
		return bad("operation %d", op.Kind)
	case op.Level > node.LevelAll:
		return bad("consistency level %d", op.Level)
	case len(op.Key) == 0:
		return bad("the key is empty")
	case len(op.Key) > hello.MaxKeyBytes:
		return bad("the key has %d bytes, the limit is %d", len(op.Key), hello.MaxKeyBytes)
	case len(op.Value) > hello.MaxValueBytes:
		return bad("the value has %d bytes, the limit is %d", len(op.Value), hello.MaxValueBytes)
	}
	if err := a.op.CheckExpiry(a.start); err != nil {
		return a.failed(err, false)
	}
	return nil
}

// greeting is one round of asking for a Hello, which all who want one wait for.
type greeting struct {
	done  chan struct{}
	hello Hello
	err   error
}

// Hello asks who is there: the first server that answers. The answer is remembered for the life of the client.
func (c *Client) Hello(ctx context.Context) (Hello, error) {
	if h := c.hello.Load(); h != nil {
		return *h, nil
	}
	start := time.Now()
	c.mu.Lock()
	g := c.greeting
	if g == nil && c.ctx.Err() == nil {
		g = &greeting{done: make(chan struct{})}
		c.greeting = g
		c.tasks.Go(func() { c.greet(g) })
	}
	c.mu.Unlock()
	if g == nil {
		return Hello{}, &OpError{Op: "hello", Err: ErrClosed}
	}
	select {
	case <-g.done:
		return g.hello, g.err
	case <-ctx.Done():
		e := &OpError{Op: "hello", Elapsed: time.Since(start), Retryable: true, Err: fmt.Errorf("no answer in time: %w", ctx.Err())}
		for _, s := range c.servers.some(maxGreeted) {
			e.attempt(s.addr)
		}
		return Hello{}, e
	}
}

func (c *Client) greet(g *greeting) {
	g.hello, g.err = c.enter(c.ctx)
	if g.err == nil {
		h := g.hello
		c.hello.Store(&h)
	}
	c.mu.Lock()
	c.greeting = nil
	c.mu.Unlock()
	close(g.done)
	if g.err == nil {
		c.meet(c.ctx, g.hello)
	}
}

const (
	// maxGreeted bounds the servers that are asked at once who they are.
	maxGreeted = 8
	// enterRounds is how often all servers are tried before the client concludes that there is nobody: a process that just restarts
	// gets another chance, and a person who mistyped an address gets an answer soon.
	enterRounds = 3
)

// enter asks several servers at once who they are and takes the first answer.
func (c *Client) enter(ctx context.Context) (Hello, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	e := &OpError{Op: "hello"}
	start := time.Now()
	for round := range enterRounds {
		if round > 0 && c.pause(ctx, backoff(c.cfg.BackoffMin, c.cfg.BackoffMax, round)) != nil {
			break
		}
		h, err := c.ask(ctx, e)
		if err == nil {
			return h, nil
		}
		e.Err = err
	}
	e.Elapsed = time.Since(start)
	e.Retryable = !errors.Is(e.Err, ErrClosed)
	return Hello{}, e
}

// ask is one round of enter.
func (c *Client) ask(ctx context.Context, e *OpError) (Hello, error) {
	var tasks sync.WaitGroup
	defer tasks.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	servers := c.servers.some(maxGreeted)
	hellos, errs := make([]Hello, len(servers)), make([]error, len(servers))
	answers := make(chan int, len(servers))
	for i, s := range servers {
		e.attempt(s.addr)
		tasks.Go(func() {
			hellos[i], errs[i] = c.askHello(ctx, s.addr)
			answers <- i
		})
	}
	for range servers {
		if i := <-answers; errs[i] == nil {
			return hellos[i], nil
		}
	}
	return Hello{}, errors.Join(errs...)
}

// meet learns the processes round the one that answered, so that the client finds the ring again if all configured servers die.
func (c *Client) meet(ctx context.Context, h Hello) {
	for _, n := range h.Nodes[:min(1, len(h.Nodes))] {
		view, err := c.askNeighbors(ctx, n)
		if err != nil {
			return
		}
		for _, r := range view.Succs {
			c.servers.learn(r.Addr)
		}
	}
}

// pause waits for d, or the end of ctx or of the client.
func (c *Client) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ctx.Done():
		return ErrClosed
	}
}
