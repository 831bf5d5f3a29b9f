package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/chordkv/chord/ring"
)

// Answer is the outcome of one of several operations that came together.
type Answer struct {
	Index  int // of the operation
	Result Result
	Err    error
}

// ServeAll is Serve for operations that came together. Those with the same replicas are carried out in common, at little more than the cost of
// one: a call to a replica has the records of all. Each is answered for itself and once, as soon as its outcome is known. answer gets what is
// known at the same time; it must not keep the list, is called from several tasks at once, and perhaps after ServeAll has returned.
func (p *Process) ServeAll(_ context.Context, ops []Op, answer func([]Answer)) {
	var batches []*batch
	var refused []Answer
	for i := range ops {
		n, s, err := p.admit(&ops[i])
		if err != nil {
			refused = append(refused, Answer{Index: i, Err: err})
			continue
		}
		o := owned{Op: &ops[i], index: i, n: n, s: s}
		if b := slices.IndexFunc(batches, func(b *batch) bool { return b.suits(o) }); b >= 0 {
			batches[b].ops = append(batches[b].ops, o)
		} else {
			batches = append(batches, &batch{p: p, group: s.group, ops: append(make([]owned, 0, len(ops)-i), o), answer: answer})
		}
	}
	if len(refused) > 0 {
		answer(refused)
	}
	for i, b := range batches {
		if i < len(batches)-1 {
			p.rt.Go(b.run)
		} else {
			b.run()
		}
	}
}

// batch is operations that are carried out in common: all are reads, plain writes or conditional operations, of one level, and their keys have the same replicas. In an arc that
// is not settled an operation may wait for more processes than these, so there it is alone.
type batch struct {
	p      *Process
	group  []ring.Ref // the replicas, this process first
	ops    []owned
	answer func([]Answer)
	ready  []Answer  // to be handed over
	began  time.Time // of a write: when it was sent to the replicas, the last time
}

// owned is an operation with the node that owns its key.
type owned struct {
	*Op
	index int
	n     *vnode
	s     *snapshot
}

// suits reports whether an operation can be carried out in common with those of the batch.
func (b *batch) suits(o owned) bool {
	first := &b.ops[0]
	return first.reads() == o.reads() && first.Conditional() == o.Conditional() && first.Level == o.Level && first.s.settled && o.s.settled && sameProcesses(b.group, o.s.group)
}

// sameProcesses reports whether two groups, in which each process is once, are of the same processes.
func sameProcesses(a, b []ring.Ref) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(r ring.Ref) bool {
		return !slices.ContainsFunc(b, func(other ring.Ref) bool { return other.Addr == r.Addr })
	})
}

func (b *batch) run() {
	b.p.pace.served.Add(uint64(len(b.ops)))
	if b.ops[0].reads() {
		b.read()
	} else {
		b.write()
	}
}

// settle notes the outcome of an operation, for flush.
func (b *batch) settle(o *owned, r Result, err error) {
	if err != nil {
		r, err = Result{}, fmt.Errorf("%s %q: %w", o.Kind, o.Key, err)
	} else {
		r.Owner, r.Arc = o.n.self, o.s.arc
	}
	if b.ready == nil {
		b.ready = make([]Answer, 0, len(b.ops))
	}
	b.ready = append(b.ready, Answer{o.index, r, err})
}

// flush hands over the outcomes that are known.
func (b *batch) flush() {
	if len(b.ready) > 0 {
		b.answer(b.ready)
		b.ready = b.ready[:0]
	}
}

// refuse answers all operations with an error.
func (b *batch) refuse(err error) {
	for i := range b.ops {
		b.settle(&b.ops[i], Result{}, err)
	}
	b.flush()
}
