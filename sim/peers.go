package sim

import (
	"context"
	"slices"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// hostPeers is the node.Peers of the processes of a host.
type hostPeers struct{ h *Host }

var _ node.Peers = hostPeers{}

// Neighbors implements node.Peers.
func (p hostPeers) Neighbors(ctx context.Context, to ring.Ref) (ring.View, error) {
	c, err := p.h.open(ctx, MethodNeighbors, to)
	if err != nil {
		return ring.View{}, err
	}
	err = p.h.w.wait(c)
	v := c.answer.view
	p.h.w.done(c)
	return v, err
}

// Notify implements node.Peers.
func (p hostPeers) Notify(ctx context.Context, to, from ring.Ref) error {
	return p.tell(ctx, MethodNotify, to, from)
}

// Changed implements node.Peers.
func (p hostPeers) Changed(ctx context.Context, to, from ring.Ref) error {
	return p.tell(ctx, MethodChanged, to, from)
}

func (p hostPeers) tell(ctx context.Context, method Method, to, from ring.Ref) error {
	c, err := p.h.open(ctx, method, to)
	if err != nil {
		return err
	}
	c.request.from = from
	err = p.h.w.wait(c)
	p.h.w.done(c)
	return err
}

// Route implements node.Peers.
func (p hostPeers) Route(ctx context.Context, to ring.Ref, id ring.ID, avoid []ring.ID) (ring.Step, error) {
	c, err := p.h.open(ctx, MethodRoute, to)
	if err != nil {
		return ring.Step{}, err
	}
	c.request.id, c.request.avoid = id, slices.Clone(avoid)
	err = p.h.w.wait(c)
	s := c.answer.step
	p.h.w.done(c)
	return s, err
}

// Forward implements node.Peers.
func (p hostPeers) Forward(ctx context.Context, to ring.Ref, q node.Query) error {
	c, err := p.h.open(ctx, MethodForward, to)
	if err != nil {
		return err
	}
	q.Hops = slices.Clone(q.Hops)
	c.request.query = &q
	err = p.h.w.wait(c)
	p.h.w.done(c)
	return err
}

// Arrived implements node.Peers.
func (p hostPeers) Arrived(ctx context.Context, to ring.Ref, a node.Arrival) error {
	c, err := p.h.open(ctx, MethodArrived, to)
	if err != nil {
		return err
	}
	a.Hops = slices.Clone(a.Hops)
	c.request.arrival = &a
	err = p.h.w.wait(c)
	p.h.w.done(c)
	return err
}

// Apply implements node.Peers.
func (p hostPeers) Apply(ctx context.Context, to ring.Ref, records []node.Record, claims []node.Claim) ([]node.Version, error) {
	a, err := p.data(ctx, MethodApply, to, dataRequest{records: slices.Clone(records), claims: slices.Clone(claims)})
	return a.versions, err
}

// Fetch implements node.Peers.
func (p hostPeers) Fetch(ctx context.Context, to ring.Ref, wants []node.Want) ([]node.Found, error) {
	a, err := p.data(ctx, MethodFetch, to, dataRequest{wants: slices.Clone(wants)})
	return a.found, err
}

// Digest implements node.Peers.
func (p hostPeers) Digest(ctx context.Context, to ring.Ref, arcs []ring.Arc, claims []node.Claim) ([]node.Summary, error) {
	a, err := p.data(ctx, MethodDigest, to, dataRequest{arcs: slices.Clone(arcs), claims: slices.Clone(claims)})
	return a.sums, err
}

// Outline implements node.Peers.
func (p hostPeers) Outline(ctx context.Context, to ring.Ref, arcs []ring.Arc, detail node.Detail) ([]node.Outline, error) {
	a, err := p.data(ctx, MethodOutline, to, dataRequest{arcs: slices.Clone(arcs), detail: detail})
	return a.outlines, err
}

// Name implements node.Peers.
func (p hostPeers) Name(ctx context.Context, to ring.Ref, unnamed []node.Unnamed) ([]node.Entry, error) {
	a, err := p.data(ctx, MethodName, to, dataRequest{unnamed: slices.Clone(unnamed)})
	return a.entries, err
}

// List implements node.Peers.
func (p hostPeers) List(ctx context.Context, to ring.Ref, arc ring.Arc, from node.Cursor, limit int) ([]node.Entry, error) {
	a, err := p.data(ctx, MethodList, to, dataRequest{arc: arc, cursor: from, limit: limit})
	return a.entries, err
}

// Collect implements node.Peers.
func (p hostPeers) Collect(ctx context.Context, to ring.Ref, entries []node.Entry) error {
	_, err := p.data(ctx, MethodCollect, to, dataRequest{entries: slices.Clone(entries)})
	return err
}

// Contact implements node.Peers.
func (p hostPeers) Contact(ctx context.Context, to ring.Ref) (node.Contact, error) {
	h, err := p.hello(ctx, to.Addr)
	return h.contact.By(h.now, p.h.Now()), err
}

// Do implements node.Peers.
func (p hostPeers) Do(ctx context.Context, to ring.Ref, op node.Op) (node.Result, error) {
	a, err := p.data(ctx, MethodDo, to, dataRequest{op: op})
	return a.result, err
}

// hello asks the process at an address who it is.
func (p hostPeers) hello(ctx context.Context, addr string) (hello, error) {
	c, err := p.h.open(ctx, MethodHello, ring.Ref{Addr: addr})
	if err != nil {
		return hello{}, err
	}
	err = p.h.w.wait(c)
	var answer hello
	if err == nil {
		answer = c.answer.data.hello
	}
	p.h.w.done(c)
	return answer, err
}

// data makes a call about records.
func (p hostPeers) data(ctx context.Context, method Method, to ring.Ref, q dataRequest) (dataAnswer, error) {
	c, err := p.h.open(ctx, method, to)
	if err != nil {
		return dataAnswer{}, err
	}
	c.request.data = &q
	err = p.h.w.wait(c)
	var a dataAnswer
	if err == nil {
		a = *c.answer.data
	}
	p.h.w.done(c)
	return a, err
}
