package sim

import (
	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// The size of a message by the model of p2psim, with which published figures are compared: a header, and 4 bytes for each node or identifier named
// in it. Their Chord carries no data; keys, values and versions are counted as they are.
const (
	headerBytes  = 20
	nodeBytes    = 4
	versionBytes = 16
	hashBytes    = 8
)

func (c *Count) add(size, wired int) {
	c.Messages++
	c.Bytes += uint64(size)
	if wired > 0 {
		c.Wired++
		c.WireBytes += uint64(wired)
	}
}

// requestSize returns a request's size by the model, and that on the wire, 0 if it did not go through it.
func (w *World) requestSize(c *call) (size, wired int) {
	if w.wires() {
		wired = w.wireRequest(c)
	}
	q := &c.request
	switch c.method {
	case MethodNotify, MethodChanged:
		return headerBytes + nodeBytes, wired
	case MethodRoute:
		return headerBytes + nodeBytes*(1+len(q.avoid)), wired
	case MethodForward:
		return headerBytes + nodeBytes*(2+len(q.query.Hops)), wired
	case MethodArrived:
		return headerBytes + nodeBytes*(1+len(q.arrival.Owner.Succs)+len(q.arrival.Hops)), wired
	}
	if q.data == nil {
		return headerBytes, wired
	}
	return headerBytes + q.data.size(), wired
}

func (d *dataRequest) size() (size int) {
	for i := range d.records {
		size += recordSize(&d.records[i])
	}
	for i := range d.wants {
		size += len(d.wants[i].Key) + versionBytes
		if d.wants[i].Group != 0 {
			size += hashBytes
		}
	}
	for i := range d.unnamed {
		size += nodeBytes + hashBytes*len(d.unnamed[i].Hashes)
	}
	if d.detail != (node.Detail{}) {
		size -= nodeBytes * len(d.arcs) // they are blocks, of which one number tells both ends
	}
	if d.limit > 0 {
		size += 2*nodeBytes + len(d.cursor.Key)
	}
	return size + 2*nodeBytes*len(d.arcs) + len(d.op.Key) + len(d.op.Value)
}

func recordSize(r *node.Record) int { return len(r.Key) + len(r.Value) + versionBytes }

// answerSize is requestSize for the answer.
func (w *World) answerSize(c *call) (size, wired int) {
	if c.answer.err != errRefused && c.answer.err != errReset && w.wires() {
		wired = w.wireAnswer(c)
	}
	a := &c.answer
	switch {
	case a.err != nil || c.method == MethodHello:
		return headerBytes, wired
	case c.method == MethodNeighbors:
		return headerBytes + nodeBytes*(1+len(a.view.Succs)), wired
	case c.method == MethodRoute:
		return headerBytes + nodeBytes*len(a.step.Nodes), wired
	case a.data == nil:
		return headerBytes, wired
	}
	return headerBytes + a.data.size(), wired
}

func (d *dataAnswer) size() int {
	size := versionBytes*len(d.versions) + 16*len(d.sums) + len(d.result.Value)
	for i := range d.found {
		size += recordSize(&d.found[i].Record)
		if d.found[i].Owned != (ring.Arc{}) {
			size += 2 * nodeBytes
		}
	}
	for i := range d.outlines {
		size += hashBytes * len(d.outlines[i].Hashes)
	}
	for i := range d.entries {
		size += len(d.entries[i].Key) + versionBytes
	}
	return size
}
