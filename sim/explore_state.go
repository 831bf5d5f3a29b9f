package sim

import (
	"encoding/binary"
	"reflect"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// What two orders of steps have led to is taken for the same if the nodes have the same state (node.Process.Fingerprint) and the same
// steps are due, in the same order. A step that is due stands for a piece of code and what it knows: that of a timer is fixed; that of a task, or of a
// message, is folded from how it came to be, step by step back to a timer, and from the state of the node at each.

// state identifies what the world has come to, as far as it matters for what can happen next.
type state uint64

// trail follows a world's steps.
type trail struct {
	w       *World
	prints  []print  // of the hosts
	idents  []uint64 // of the steps, by their numbers: an execution has some hundred
	current uint64   // what stands for the step that was executed last
	due     []uint64 // scratch: what is due at each host
	scratch []byte
}

// newTrail begins to follow a world. The room for idents may be that of a trail that has ended.
func newTrail(w *World, room []uint64) *trail {
	t := &trail{w: w, idents: room}
	for i := range w.hosts {
		t.look(i)
	}
	t.identify()
	return t
}

// print stands for the state of a host's process: what it answers others from, its records among it, and the rest.
type print struct{ shown, hidden uint64 }

// look takes the print of a host.
func (t *trail) look(host int) {
	for len(t.prints) < len(t.w.hosts) {
		t.prints = append(t.prints, print{})
	}
	h := t.w.hosts[host]
	p := &t.prints[host]
	*p = print{}
	if h.process != nil {
		p.shown, p.hidden = h.process.Fingerprint()
	}
	if h.mem != nil {
		if sums, err := h.mem.Digest([]ring.Arc{ring.FullArc()}); err == nil {
			p.shown = fold(p.shown, sums[0].Hash)
		}
	}
}

// executed says that a step was executed, and reports what it changed at its host.
func (t *trail) executed(s Step) (shown, hidden bool) {
	t.current = fold(t.idents[s.Seq])
	switch {
	case s.To == Harness:
		for i := range t.w.hosts {
			t.look(i)
		}
		shown, hidden = true, true
	default:
		before := t.prints[s.To]
		t.current = fold(t.current, before.shown, before.hidden)
		if !reads(s) || s.Method == MethodRoute {
			t.look(s.To)
			shown, hidden = before.shown != t.prints[s.To].shown, before.hidden != t.prints[s.To].hidden
		}
	}
	t.identify()
	return shown, hidden
}

// identify gives the steps that came to be since it was called last their identity.
func (t *trail) identify() {
	known := uint64(len(t.idents))
	t.idents = append(t.idents, make([]uint64, t.w.queue.next-known)...)
	for i := range t.w.queue.heap {
		if e := &t.w.queue.heap[i]; e.order>>8 >= known {
			t.idents[e.order>>8] = t.identity(e)
		}
	}
}

func (t *trail) identity(e *event) uint64 {
	id := fold(uint64(e.kind()), uint64(uint32(e.host)))
	switch e.kind() {
	case StepRequest, StepResponse, StepTimeout:
		return fold(id, t.content(t.w.calls.all[e.ref], e.kind()), t.current)
	}
	s := &t.w.tickets.all[e.ref]
	if s.f != nil {
		id = fold(id, uint64(reflect.ValueOf(s.f).Pointer()))
	}
	if e.kind() == StepTimer && e.host != Harness {
		return id
	}
	return fold(id, t.current)
}

// content folds what a message says.
func (t *trail) content(c *call, kind StepKind) uint64 {
	b := t.scratch[:0]
	b = append(b, byte(kind), byte(c.method))
	b = binary.BigEndian.AppendUint32(b, uint32(c.from))
	b = binary.BigEndian.AppendUint32(b, uint32(c.to))
	b = append(b, c.request.to.ID[:8]...)
	b = append(b, c.request.from.ID[:8]...)
	b = append(b, c.request.id[:8]...)
	if kind == StepResponse {
		b = appendView(b, c.answer.view)
		b = appendIDs(b, c.answer.step.Nodes)
		if c.answer.err != nil {
			b = append(b, c.answer.err.Error()...)
		}
	}
	if d := c.request.data; d != nil && kind == StepRequest {
		for i := range d.records {
			b = appendEntry(b, d.records[i].Key, d.records[i].Version)
		}
		for _, a := range d.arcs {
			b = append(append(b, a.After[:8]...), a.Through[:8]...)
		}
		b = append(append(b, d.arc.After[:8]...), d.arc.Through[:8]...)
	}
	if d := c.answer.data; d != nil && kind == StepResponse {
		for _, s := range d.sums {
			b = binary.BigEndian.AppendUint64(b, s.Hash)
		}
		for i := range d.entries {
			b = appendEntry(b, d.entries[i].Key, d.entries[i].Version)
		}
		for i := range d.found {
			b = appendEntry(b, d.found[i].Record.Key, d.found[i].Version)
		}
	}
	t.scratch = b
	return foldBytes(b)
}

func appendView(b []byte, v ring.View) []byte {
	b = append(b, v.Self.ID[:8]...)
	b = append(b, v.Pred.ID[:8]...)
	return appendIDs(b, v.Succs)
}

func appendIDs(b []byte, refs []ring.Ref) []byte {
	b = append(b, byte(len(refs)))
	for _, r := range refs {
		b = append(b, r.ID[:8]...)
	}
	return b
}

func appendEntry(b, key []byte, v node.Version) []byte {
	b = append(append(b, key...), 0)
	return binary.BigEndian.AppendUint64(b, v.Time)
}

// state returns what the world has come to. pending are the steps that are due, held how long some of them wait.
func (t *trail) state(pending []Step, held map[uint64]*waiting) state {
	if len(t.due) < len(t.prints)+1 {
		t.due = make([]uint64, len(t.prints)+1)
	}
	clear(t.due)
	for _, s := range pending {
		host := &t.due[s.To+1] // Harness is -1
		id := t.idents[s.Seq]
		if w := held[s.Seq]; w != nil {
			id = fold(id, uint64(w.left))
		}
		if s.Kind == StepTimer {
			*host += id
		} else {
			*host = fold(*host, id)
		}
	}
	h := t.due[0]
	for i, p := range t.prints {
		h = fold(h, p.shown, p.hidden, t.due[i+1])
	}
	return state(h)
}

// fold mixes words into one.
func fold(words ...uint64) (h uint64) {
	for _, w := range words {
		h = scramble(h*golden ^ w + golden)
	}
	return h
}

func foldBytes(b []byte) (h uint64) {
	for ; len(b) >= 8; b = b[8:] {
		h = scramble(h ^ binary.BigEndian.Uint64(b) + golden)
	}
	for _, c := range b {
		h = scramble(h ^ uint64(c) + golden)
	}
	return h
}
