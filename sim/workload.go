package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

const (
	defaultTimeout    = 10 * time.Second
	defaultValueBytes = 100
	defaultExponent   = 0.99
	// retryPause is between two attempts of an operation.
	retryPause = 200 * time.Millisecond
	// preloadAttempts is how often the first write of a key is tried at most.
	preloadAttempts = 20
)

// timeout returns how long an operation may take with all its attempts.
func (w *Workload) timeout() time.Duration {
	if w.Timeout > 0 {
		return w.Timeout
	}
	return defaultTimeout
}

// client is one entry of Scenario.Workload at work.
type client struct {
	r      *runner
	w      *Workload
	number int
	until  time.Duration
	when   *Rand // draws when an operation begins and who issues it
	what   *Rand // draws its key
	zipf   []float64
	level  node.Level
	style  node.Style
}

// startWorkload sets all clients going.
func (r *runner) startWorkload() {
	for i := range r.s.Workload {
		w := &r.s.Workload[i]
		c := &client{
			r: r, w: w, number: i, until: until(w.Until, r.s.Duration),
			when: NewRand(r.s.Seed, "workload times", i), what: NewRand(r.s.Seed, "workload keys", i),
		}
		if w.Level != "" {
			c.level, _ = node.ParseLevel(w.Level) // validated
		}
		if w.Style != "" {
			c.style, _ = node.ParseStyle(w.Style) // validated
		}
		if w.Distribution == Zipf {
			c.zipf = zipfTable(w.Keys, w.Exponent)
		}
		c.preload()
		c.after(w.From + w.Preload)
	}
}

// after issues operations from a time on: a Poisson process whose rate is that of the moment.
func (c *client) after(t time.Duration) {
	rate := c.w.Rate
	if c.w.Per == PerNode {
		rate *= float64(max(1, len(c.r.members)))
	}
	t += gap(c.when, perSecond(rate))
	if t >= c.until {
		return
	}
	c.r.w.At(t, func() {
		if c.r.calm {
			return
		}
		who := c.when.Float64() // drawn in any case, so that the next draw does not depend on how many there are
		if n := len(c.r.members); n > 0 {
			c.issue(c.r.members[int(who*float64(n))], c.drawKey(), c.w.Retries)
		}
		c.after(t)
	})
}

// preload writes every key once.
func (c *client) preload() {
	if c.w.Preload == 0 {
		return
	}
	var write func(i int)
	write = func(i int) {
		if i == c.w.Keys {
			return
		}
		c.r.w.At(c.w.From+time.Duration(float64(c.w.Preload)*float64(i)/float64(c.w.Keys)), func() {
			if n := len(c.r.members); n > 0 && !c.r.calm {
				c.issue(c.r.members[c.when.IntN(n)], i, preloadAttempts-1)
			}
			write(i + 1)
		})
	}
	write(0)
}

// drawKey returns the number of a key, -1 for a random identifier.
func (c *client) drawKey() int {
	switch {
	case c.w.Keys == 0:
		return -1
	case c.zipf != nil:
		i, _ := slices.BinarySearch(c.zipf, c.what.Float64()*c.zipf[len(c.zipf)-1])
		return min(i, len(c.zipf)-1)
	}
	return c.what.IntN(c.w.Keys)
}

// zipfTable returns the sums of 1/(i+1)^exponent over the keys up to each.
func zipfTable(keys int, exponent float64) []float64 {
	if exponent == 0 {
		exponent = defaultExponent
	}
	table := make([]float64, keys)
	sum := 0.0
	for i := range table {
		sum += math.Pow(float64(i+1), -exponent)
		table[i] = sum
	}
	return table
}

// issue begins an operation at a member.
func (c *client) issue(host, key, retries int) {
	r := c.r
	op := &Operation{Number: r.ops, Workload: c.number, Kind: c.w.Op, From: host, Level: c.level, TTL: c.w.TTL, Begin: r.w.Now()}
	r.ops++
	if key >= 0 {
		name := "key-"
		if op.Kind == OpIncr {
			name = "count-"
		}
		op.Key = strconv.AppendInt([]byte(name), int64(key), 10)
		op.ID = ring.Hash(op.Key)
	} else {
		for i := 0; i < len(op.ID); i += 4 {
			binary.BigEndian.PutUint32(op.ID[i:], uint32(c.what.Uint64()))
		}
	}
	if op.puts() {
		op.Value = c.value(op.Number)
	}
	r.open++
	if r.observer.Begin != nil {
		r.observer.Begin(op)
	}
	if r.checker != nil {
		r.checker.Begin(op)
	}
	h := r.w.Host(host)
	h.Go(func() { c.perform(h, op, retries) })
}

// value returns the value of a put: the number of the operation, which makes it unlike any other, and dots.
func (c *client) value(number int) []byte {
	size := c.w.ValueBytes
	if size == 0 {
		size = defaultValueBytes
	}
	v := strconv.AppendInt(make([]byte, 0, size), int64(number), 10)
	for len(v) < size {
		v = append(v, '.')
	}
	return v
}

// perform makes the attempts of an operation on a task of the process that issues it.
func (c *client) perform(h *Host, op *Operation, retries int) {
	p := h.Process()
	defer func() {
		if op.Outcome == 0 { // the process has ended, and this task with it
			op.Outcome = Aborted
		}
		c.r.finish(op)
	}()
	ctx, cancel := c.r.w.WithTimeout(context.Background(), c.w.timeout())
	defer cancel()
	outcome := c.attempt(ctx, p, op)
	for range retries {
		if outcome == Done || outcome == Wrong || errors.Is(op.Err, node.ErrCondition) || (hostRuntime{h}).Sleep(ctx, retryPause) != nil {
			break
		}
		before := outcome
		if outcome = c.attempt(ctx, p, op); before == Unknown && outcome == Failed {
			outcome = Unknown // an attempt that had no effect says nothing about the one before
		}
	}
	op.Outcome = outcome
}

// attempt tries an operation once.
func (c *client) attempt(ctx context.Context, p *node.Process, op *Operation) Outcome {
	op.Attempts++
	if op.Kind == OpLookup {
		return c.lookup(ctx, p, op)
	}
	kinds := map[string]node.Kind{OpPut: node.OpPut, OpGet: node.OpGet, OpDelete: node.OpDelete, OpCas: node.OpPut, OpIncr: node.OpIncrement, OpTouch: node.OpTouch}
	request := node.Op{Kind: kinds[op.Kind], Key: op.Key, Value: op.Value, TTL: op.TTL, Level: op.Level}
	switch op.Kind {
	case OpIncr:
		request.Add = 1
	case OpCas:
		if op.If == node.Always && !c.expect(ctx, p, op) {
			return Failed
		}
		if request.If = op.If; request.If == node.IfVersion {
			request.Version = op.Expected.Version
		}
	}
	if op.Kind != OpGet {
		binary.BigEndian.PutUint64(request.Request[:8], c.r.s.Seed)
		binary.BigEndian.PutUint64(request.Request[8:], uint64(op.Number)+1)
		request.Retry = op.Attempts > 1
	}
	op.Result, op.Err = p.Do(ctx, request)
	op.Owner = op.Result.Owner
	switch {
	case op.Err == nil:
		return Done
	case op.Kind == OpGet || hadNoEffect(op.Err):
		return Failed
	}
	return Unknown
}

// expect reads the key of a cas, on which its condition depends in all attempts.
func (c *client) expect(ctx context.Context, p *node.Process, op *Operation) bool {
	if op.Expected, op.Err = p.Do(ctx, node.Op{Kind: node.OpGet, Key: op.Key, Level: op.Level}); op.Err != nil {
		return false
	}
	if op.If = node.IfVersion; !op.Expected.Found {
		op.If = node.IfAbsent
	}
	return true
}

// hadNoEffect reports whether the error of a write promises that nothing was applied: see node.Process.Do.
func hadNoEffect(err error) bool {
	if errors.Is(err, node.ErrUnknown) {
		return false
	}
	for _, certain := range []error{
		node.ErrInvalid, node.ErrNotReady, node.ErrNoRoute, node.ErrMinority, node.ErrStoreFull, node.ErrClockSkew, node.ErrConsistency, node.ErrCondition,
	} {
		if errors.Is(err, certain) {
			return true
		}
	}
	return false
}

// lookup looks an identifier up once, counts the calls, and judges the answer.
func (c *client) lookup(ctx context.Context, p *node.Process, op *Operation) Outcome {
	r := c.r
	l, err := p.LookupBy(ctx, c.style, op.ID)
	for i := range l.Hops {
		if hop := l.Hops[i].Err; hop == nil {
			op.Hops++
		} else if errors.Is(hop, node.ErrUnreachable) {
			op.Timeouts++
		}
	}
	op.Err, op.Owner = err, l.Owner.Self
	if err != nil {
		return Failed
	}
	if owner, ok := r.oracle.Owner(op.ID); ok && owner == op.Owner {
		return Done
	}
	op.Late = r.oracle.OwnedSince(op.Begin, op.ID, op.Owner)
	if op.Late || r.mayOwn(op) {
		return Done
	}
	return Wrong
}

// mayOwn reports whether a node that the oracle has not as the owner is the right one all the same, from where the lookup was made: it is a member, and all
// nodes before it are out of reach. Or it is about to be one, because its successor has accepted it already; until it knows what is before it, it refuses
// whoever comes there.
func (r *runner) mayOwn(op *Operation) bool {
	n, ok := numberOf(op.Owner.Addr)
	if !ok || int(n) >= len(r.hosts) || r.hosts[n].phase == phaseAway || !slices.Contains(r.w.Host(int(n)).Process().Nodes(), op.Owner) {
		return false
	}
	if r.hosts[n].phase == phaseJoining {
		return true
	}
	from, right := r.w.Host(op.From), true
	r.oracle.from(op.ID, func(m ring.Ref) bool {
		if m == op.Owner || ring.Between(op.ID, op.Owner.ID, m.ID) {
			return false
		}
		if n, ok := numberOf(m.Addr); ok {
			h := r.w.Host(int(n))
			right = h.Paused() || !r.w.Net().Reaches(from, h) || !r.w.Net().Reaches(h, from)
		}
		return right
	})
	return right
}

// finish counts an operation that has ended.
func (r *runner) finish(op *Operation) {
	if r.over {
		return
	}
	op.End = r.w.Now()
	r.open--
	if r.checker != nil {
		r.checker.End(op)
	}
	r.meter.count(op)
	if r.observer.End != nil {
		r.observer.End(op)
	}
}
