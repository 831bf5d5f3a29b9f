package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"google.golang.org/grpc"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/rpc"
)

// workload is what eight clients do while a nemesis has its way, and what they know of it afterwards: each writes keys of its own, and all together increment counters, and write and
// compare a few registers.
type workload struct {
	name    string
	seed    uint64
	clients []*worker
	stop    func()       // returns when all have ended
	quiet   sync.RWMutex // an operation holds it for reading: who locks it has them all wait

	done   atomic.Int64 // operations that were acknowledged
	failed atomic.Int64 // others
	stale  atomic.Int64 // reads that did not see the last write

	bulk []string // more keys, each with itself for value

	mu       sync.Mutex
	counters [counterKeys]counter
	shared   [sharedKeys]history
}

const (
	workers     = 8
	ownKeys     = 16 // of each client
	counterKeys = 4
	sharedKeys  = 8
)

// worker is a client with keys that only it writes.
type worker struct {
	w      *workload
	number int
	client *rpc.Client
	rng    *rand.Rand
	writes int // so far; each has a value of its own
	keys   [ownKeys]register
}

// register is what a client knows of a key of its own.
type register struct {
	last    string   // that was acknowledged; empty: none, or a delete
	written bool     // something was acknowledged
	unknown []string // writes that may take effect at any time; a delete is empty
	slow    []string // that were acknowledged, after they had been sent again
}

// slowWrite is how long a write takes at least that was sent again because nobody answered.
const slowWrite = time.Second

// allows reports whether the key may have a value, empty for none.
func (r *register) allows(value string) bool {
	if value == r.last {
		return true
	}
	for _, u := range r.unknown {
		if u == value {
			return true
		}
	}
	return false
}

// counter is what is known of a counter.
type counter struct {
	acked, unknown int64
	numbers        map[int64]int // how often each was the answer
}

// startWorkload begins to write through the processes; dial, if it is not nil, is how clients reach them.
func startWorkload(t *testing.T, seed uint64, servers []*chordd, dial func(i int) *chordd) *workload {
	t.Helper()
	w := &workload{name: fmt.Sprintf("%08x", uint32(seed)), seed: seed}
	for i := range w.counters {
		w.counters[i].numbers = make(map[int64]int)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var tasks sync.WaitGroup
	for i := range workers {
		cfg := rpc.DefaultClientConfig()
		for _, d := range servers {
			cfg.Servers = append(cfg.Servers, d.listen)
		}
		cfg.Servers = append(cfg.Servers[i%len(servers):], cfg.Servers[:i%len(servers)]...)
		if dial != nil {
			cfg.DialOptions = []grpc.DialOption{grpc.WithContextDialer(dial(i).dial)}
		}
		client, err := rpc.NewClient(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		c := &worker{w: w, number: i, client: client, rng: rand.New(rand.NewPCG(seed, uint64(i)))}
		w.clients = append(w.clients, c)
		tasks.Go(func() {
			for ctx.Err() == nil {
				w.quiet.RLock()
				c.step()
				w.quiet.RUnlock()
				time.Sleep(patience(time.Duration(c.rng.IntN(10)) * time.Millisecond))
			}
		})
	}
	w.stop = sync.OnceFunc(func() {
		cancel()
		tasks.Wait()
	})
	t.Cleanup(w.stop)
	return w
}

// outcome of an operation.
type outcome int

const (
	done outcome = iota
	refused
	unknown
)

func (w *workload) judge(err error) outcome {
	var failed *rpc.OpError
	switch {
	case err == nil:
		w.done.Add(1)
		return done
	case errors.Is(err, node.ErrCondition):
		w.done.Add(1)
		return refused
	case errors.As(err, &failed) && failed.Outcome == rpc.NotApplied:
		w.failed.Add(1)
		return refused
	}
	w.failed.Add(1)
	return unknown
}

// step is one operation. It is seen to its end also when the time is over: the history ends with a known state as far as possible.
func (c *worker) step() {
	switch n := c.rng.IntN(10); {
	case n < 5:
		c.own(c.rng.IntN(ownKeys))
	case n < 7:
		c.increment(c.rng.IntN(counterKeys))
	default:
		c.share(c.rng.IntN(sharedKeys))
	}
}

func (w *workload) ownKey(client, key int) []byte {
	return fmt.Appendf(nil, "%s-own-%d-%d", w.name, client, key)
}

func (w *workload) counterKey(i int) []byte { return fmt.Appendf(nil, "%s-counter-%d", w.name, i) }

func (w *workload) sharedKey(i int) []byte { return fmt.Appendf(nil, "%s-shared-%d", w.name, i) }

// unique returns a value that nobody writes twice.
func (c *worker) unique() int64 {
	c.writes++
	return int64(c.number) + int64(c.writes)*workers
}

func (c *worker) request() (id node.RequestID) {
	copy(id[:], fmt.Sprintf("%s%d%7d", c.w.name[:8], c.number, c.unique()))
	return id
}

// own writes, deletes or reads a key of the client's.
func (c *worker) own(i int) {
	ctx, r, key := context.Background(), &c.keys[i], c.w.ownKey(c.number, i)
	n := c.rng.IntN(10)
	if n < 2 {
		got, err := c.client.Get(ctx, key, node.LevelQuorum)
		if c.w.judge(err) == done && !r.allows(string(got.Value)) {
			c.w.stale.Add(1)
		}
		return
	}
	var err error
	value, began := "", time.Now()
	if n < 4 {
		_, err = c.client.Delete(ctx, key, node.LevelQuorum)
	} else {
		value = strconv.FormatInt(c.unique(), 10)
		_, err = c.client.Put(ctx, key, []byte(value), node.LevelQuorum)
	}
	switch c.w.judge(err) {
	case done:
		r.last, r.written = value, true
		if time.Since(began) >= slowWrite {
			r.slow = append(r.slow, value)
		}
	case unknown:
		r.unknown = append(r.unknown, value)
	}
}

func (c *worker) increment(i int) {
	op := node.Op{Kind: node.OpIncrement, Key: c.w.counterKey(i), Add: 1, Request: c.request()}
	result, err := c.client.Do(context.Background(), op)
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	k := &c.w.counters[i]
	switch c.w.judge(err) {
	case done:
		k.acked++
		k.numbers[result.Number]++
	case unknown:
		k.unknown++
	}
}

// share reads a register that all write, writes it, or writes it if it still has what it had.
func (c *worker) share(i int) {
	ctx, key := context.Background(), c.w.sharedKey(i)
	began := time.Now()
	switch n := c.rng.IntN(8); {
	case n < 3:
		got, err := c.client.Get(ctx, key, node.LevelQuorum)
		c.w.record(i, c, began, step{kind: get, result: valueOf(got)}, got, err)
	case n == 3:
		got, err := c.client.Delete(ctx, key, node.LevelQuorum)
		c.w.record(i, c, began, step{kind: put, value: none}, got, err)
	case n == 4:
		s := step{kind: put, value: c.unique()}
		got, err := c.client.Put(ctx, key, strconv.AppendInt(nil, s.value, 10), node.LevelQuorum)
		c.w.record(i, c, began, s, got, err)
	default:
		was, err := c.client.Get(ctx, key, node.LevelQuorum)
		c.w.record(i, c, began, step{kind: get, result: valueOf(was)}, was, err)
		if err != nil {
			return
		}
		s := step{kind: cas, value: c.unique(), expects: valueOf(was)}
		op := node.Op{Kind: node.OpPut, Key: key, Value: strconv.AppendInt(nil, s.value, 10), Request: c.request(), If: node.IfAbsent}
		if was.Found {
			op.If, op.Version = node.IfVersion, was.Version
		}
		began = time.Now()
		got, err := c.client.Do(ctx, op)
		s.refused = errors.Is(err, node.ErrCondition)
		c.w.record(i, c, began, s, got, err)
	}
}

// record adds an operation to the history of a register, if it can have had an effect or shows one.
func (w *workload) record(i int, c *worker, began time.Time, s step, got node.Result, err error) {
	o := porcupine.Operation{ClientId: c.number, Input: s, Call: began.UnixNano(), Return: time.Now().UnixNano()}
	switch how := w.judge(err); {
	case how == unknown && s.kind == get, how == refused && !s.refused:
		return
	case how == unknown:
		o.Return = math.MaxInt64 // it may take effect at any time from its beginning on
		s.unknown = true
		o.Input = s
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	h := &w.shared[i]
	h.steps = append(h.steps, o)
	if err == nil {
		h.moved = h.moved || h.owner != "" && h.owner != got.Owner.Addr
		h.owner = got.Owner.Addr
	}
}

// fill writes more keys, and waits until all of them are acknowledged.
func (w *workload) fill(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		w.bulk = append(w.bulk, fmt.Sprintf("%s-bulk-%d", w.name, i))
	}
	if err := w.each(func(c *worker, key string) error {
		_, err := c.client.Put(t.Context(), []byte(key), []byte(key), node.LevelQuorum)
		return err
	}); err != nil {
		t.Fatalf("fill: %v", err)
	}
}

// each has the clients do something with all the keys of fill.
func (w *workload) each(do func(c *worker, key string) error) error {
	errs := make([]error, workers*workers)
	var tasks sync.WaitGroup
	for i := range errs {
		tasks.Go(func() {
			for k := i; k < len(w.bulk) && errs[i] == nil; k += len(errs) {
				errs[i] = do(w.clients[i%workers], w.bulk[k])
			}
		})
	}
	tasks.Wait()
	return errors.Join(errs...)
}

// checkOwn reads every key that only one client writes. Unless no two processes took themselves for its owner at a time (exact), it may have the value of a write that was sent again: the
// process that had it first may have been stopped or cut off, and have carried it out when it went on (docs/guarantees.md, What is not promised).
func (w *workload) checkOwn(ctx context.Context, exact bool) error {
	var errs []error
	for _, c := range w.clients {
		for i := range c.keys {
			r, key := &c.keys[i], w.ownKey(c.number, i)
			got, err := c.client.Get(ctx, key, node.LevelQuorum)
			if err == nil && !r.allows(string(got.Value)) && (exact || !slices.Contains(r.slow, string(got.Value))) {
				err = fmt.Errorf("is %q, the last write that was acknowledged is %q, others of unknown outcome %q", got.Value, r.last, r.unknown)
			}
			if err != nil && len(errs) < 5 {
				errs = append(errs, fmt.Errorf("%s: %w", key, err))
			}
		}
	}
	return errors.Join(append(errs, w.each(func(c *worker, key string) error {
		got, err := c.client.Get(ctx, []byte(key), node.LevelQuorum)
		if err == nil && string(got.Value) != key {
			err = fmt.Errorf("%s is %q", key, got.Value)
		}
		return err
	}))...)
}

// checkCounters reads the counters. Where several processes may have owned one at a time, acknowledged increments can be lost to each other: exact says that they cannot.
func (w *workload) checkCounters(ctx context.Context, exact bool) error {
	var errs []error
	for i := range w.counters {
		k := &w.counters[i]
		got, err := w.clients[0].client.Get(ctx, w.counterKey(i), node.LevelQuorum)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(got.Value)), 10, 64)
		if err != nil && k.acked > 0 || n > k.acked+k.unknown || exact && n < k.acked {
			errs = append(errs, fmt.Errorf("counter %d is %q after %d acknowledged increments and %d of unknown outcome", i, got.Value, k.acked, k.unknown))
		}
		for number, times := range k.numbers {
			if times > 1 && exact {
				errs = append(errs, fmt.Errorf("%d increments of counter %d were number %d", times, i, number))
			}
		}
	}
	return errors.Join(errs...)
}

// checkWritable writes every key once more.
func (w *workload) checkWritable(ctx context.Context) error {
	errs := make([]error, workers)
	var tasks sync.WaitGroup
	for _, c := range w.clients {
		tasks.Go(func() {
			for i := range ownKeys {
				if _, err := c.client.Put(ctx, w.ownKey(c.number, i), []byte("the end"), node.LevelQuorum); err != nil {
					errs[c.number] = err
				}
			}
		})
	}
	tasks.Wait()
	c := w.clients[0]
	for i := range counterKeys {
		_, err := c.client.Do(ctx, node.Op{Kind: node.OpIncrement, Key: w.counterKey(i), Add: 1, Request: c.request()})
		errs = append(errs, err)
	}
	for i := range sharedKeys {
		_, err := c.client.Put(ctx, w.sharedKey(i), []byte("the end"), node.LevelQuorum)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
