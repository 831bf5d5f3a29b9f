package rpc

import (
	"context"
	"sync"

	"github.com/chordkv/chord/node"
)

// maxTogether is how many operations of a DoAll are under way at a time: enough that each owner gets them in a few large messages.
const maxTogether = 512

// Pair is a key and a value for it.
type Pair struct {
	Key, Value []byte
}

// GetMany reads keys. The answers are in the order of the keys: one that has no value is an answer without Result.Found, one that could not be read is an
// answer with an error of its own.
func (c *Client) GetMany(ctx context.Context, keys [][]byte, level node.Level) []node.Answer {
	ops := make([]node.Op, len(keys))
	for i, key := range keys {
		ops[i] = node.Op{Kind: node.OpGet, Key: key, Level: level}
	}
	return c.DoAll(ctx, ops)
}

// PutMany sets the values of keys, each as Put does; of a key that comes more than once, the last value stays.
func (c *Client) PutMany(ctx context.Context, pairs []Pair, level node.Level) []node.Answer {
	ops := make([]node.Op, len(pairs))
	for i, p := range pairs {
		ops[i] = node.Op{Kind: node.OpPut, Key: p.Key, Value: p.Value, Level: level}
	}
	return c.DoAll(ctx, ops)
}

// DeleteMany removes keys, each as Delete does.
func (c *Client) DeleteMany(ctx context.Context, keys [][]byte, level node.Level) []node.Answer {
	ops := make([]node.Op, len(keys))
	for i, key := range keys {
		ops[i] = node.Op{Kind: node.OpDelete, Key: key, Level: level}
	}
	return c.DoAll(ctx, ops)
}

// DoAll executes operations on any number of keys and returns what became of each, in their order. There is no more to it than many calls of Do at the same time, which go
// to each owner in common messages: it is no transaction, one that fails keeps no other from succeeding, and each has all of the client's Timeout from
// when it is first sent. Operations on one key are carried out one after the other, in their order. Writes without a request id get one each.
func (c *Client) DoAll(ctx context.Context, ops []node.Op) []node.Answer {
	return DoAll(ctx, c.Do, ops)
}

// DoAll is Client.DoAll for whoever does operations as a client does.
func DoAll(ctx context.Context, do func(context.Context, node.Op) (node.Result, error), ops []node.Op) []node.Answer {
	answers := make([]node.Answer, len(ops))
	chains := chainsOf(ops)
	waiting := make(chan []int)
	var tasks sync.WaitGroup
	for range min(maxTogether, len(chains)) {
		tasks.Go(func() {
			for chain := range waiting {
				for _, i := range chain {
					op := ops[i]
					if op.Kind != node.OpGet && op.Request == (node.RequestID{}) {
						op.Request = newRequestID()
					}
					r, err := do(ctx, op)
					answers[i] = node.Answer{Index: i, Result: r, Err: err}
				}
			}
		})
	}
	for _, chain := range chains {
		waiting <- chain
	}
	close(waiting)
	tasks.Wait()
	return answers
}

// chainsOf returns the operations, by number, on each key in their order; the keys in the order in which they come first.
func chainsOf(ops []node.Op) [][]int {
	chains := make([][]int, 0, len(ops))
	of := make(map[string]int, len(ops))
	for i := range ops {
		n, ok := of[string(ops[i].Key)]
		if !ok {
			n = len(chains)
			of[string(ops[i].Key)] = n
			chains = append(chains, nil)
		}
		chains[n] = append(chains[n], i)
	}
	return chains
}
