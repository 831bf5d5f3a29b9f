package sim

import "time"

// event is a step that is due: a small value, so that the queue of a million nodes is a flat array without pointers for the collector to follow.
type event struct {
	at    time.Duration // virtual time
	order uint64        // number of the event << 8 | its StepKind: events that are due at the same time run in the order in which they came to be
	host  int32         // the host that it happens at, or Harness
	ref   uint32        // the call or ticket that it is about
}

func (e *event) kind() StepKind { return StepKind(e.order) }

func (e *event) before(f *event) bool {
	return e.at < f.at || e.at == f.at && e.order < f.order
}

// queue holds the events to come: a heap with four children to a node, which is half as high as one with two and has the children in one or
// two cache lines.
type queue struct {
	heap []event
	next uint64 // number of the next event
}

func (q *queue) len() int { return len(q.heap) }

// add makes an event.
func (q *queue) add(at time.Duration, kind StepKind, host int32, ref uint32) {
	q.push(event{at: at, order: q.next<<8 | uint64(kind), host: host, ref: ref})
	q.next++
}

func (q *queue) push(e event) {
	q.heap = append(q.heap, e)
	q.up(len(q.heap)-1, e)
}

// up puts e at a place at or above i, which is free.
func (q *queue) up(i int, e event) {
	h := q.heap
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(&h[parent]) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = e
}

// pop removes the first event. The queue must not be empty.
func (q *queue) pop() event { return q.remove(0) }

// remove removes the event at a place of the heap.
func (q *queue) remove(i int) event {
	removed := q.heap[i]
	n := len(q.heap) - 1
	last := q.heap[n]
	q.heap = q.heap[:n]
	if i == n {
		return removed
	}
	if i > 0 && last.before(&q.heap[(i-1)/4]) {
		q.up(i, last)
	} else {
		q.down(i, last)
	}
	return removed
}

// down puts e at a place at or below i, which is free.
func (q *queue) down(i int, e event) {
	h := q.heap
	for {
		child := 4*i + 1
		if child >= len(h) {
			break
		}
		first := child
		for c := child + 1; c < min(child+4, len(h)); c++ {
			if h[c].before(&h[first]) {
				first = c
			}
		}
		if !h[first].before(&e) {
			break
		}
		h[i] = h[first]
		i = first
	}
	h[i] = e
}
