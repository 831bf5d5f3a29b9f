package rpc

import (
	"context"
	"errors"
	"slices"
	"sync"

	"google.golang.org/grpc"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

// ask makes a unary call to the process at addr, with the deadline for calls about the ring if it has none.
func ask[S, Q, A any](
	ctx context.Context, p *Peers, addr string,
	service func(grpc.ClientConnInterface) S, method func(S, context.Context, Q, ...grpc.CallOption) (A, error), request Q,
) (answer A, err error) {
	if ctx.Err() != nil {
		return answer, lateError(ctx, addr, false)
	}
	r, err := p.acquire(addr)
	if err != nil {
		return answer, err
	}
	defer r.release()
	ctx, cancel := withDeadline(ctx, p.local.Config.RingTimeout)
	defer cancel()
	client := service(r.conn)
	answer, err = invoke(ctx, addr, func(ctx context.Context, request Q, opts ...grpc.CallOption) (A, error) {
		return method(client, ctx, request, opts...)
	}, request)
	if err != nil && p.stopped() {
		err = closedError(addr, !errors.Is(err, ErrNotSent))
	}
	return answer, err
}

// Hello introduces the process to another.
func (p *Peers) Hello(ctx context.Context, addr string) (Hello, error) {
	m, err := ask(ctx, p, addr, chordv1.NewRingServiceClient, chordv1.RingServiceClient.Hello, p.local.helloRequest())
	if err != nil {
		return Hello{}, err
	}
	return helloFromProto(addr, m)
}

// Neighbors implements node.Peers. Only a hash crosses the wire as long as the node's neighbors stay what they were.
func (p *Peers) Neighbors(ctx context.Context, to ring.Ref) (ring.View, error) {
	known, hash := p.views.get(to)
	m, err := ask(ctx, p, to.Addr, chordv1.NewRingServiceClient, chordv1.RingServiceClient.Neighbors,
		&chordv1.NeighborsRequest{Node: idToProto(to.ID), Known: hash})
	if err != nil {
		return ring.View{}, err
	}
	if m.GetUnchanged() && hash != 0 {
		return known, nil
	}
	view, err := viewFromProto(to.ID, m)
	if err != nil {
		return ring.View{}, malformed(to.Addr, err)
	}
	p.views.put(to, view, m.GetHash())
	return view, nil
}

// Changed implements node.Peers.
func (p *Peers) Changed(ctx context.Context, to, from ring.Ref) error {
	_, err := ask(ctx, p, to.Addr, chordv1.NewRingServiceClient, chordv1.RingServiceClient.Notify,
		&chordv1.NotifyRequest{Node: idToProto(to.ID), From: refToProto(from), Changed: true})
	return err
}

// Notify implements node.Peers.
func (p *Peers) Notify(ctx context.Context, to, from ring.Ref) error {
	_, err := ask(ctx, p, to.Addr, chordv1.NewRingServiceClient, chordv1.RingServiceClient.Notify,
		&chordv1.NotifyRequest{Node: idToProto(to.ID), From: refToProto(from)})
	return err
}

// Route implements node.Peers.
func (p *Peers) Route(ctx context.Context, to ring.Ref, id ring.ID, avoid []ring.ID) (ring.Step, error) {
	request := &chordv1.RouteRequest{Id: idToProto(id), Avoid: idsToProto(avoid[:min(len(avoid), maxRefs)])}
	if !to.ID.IsZero() {
		request.Node = idToProto(to.ID)
	}
	m, err := ask(ctx, p, to.Addr, chordv1.NewRingServiceClient, chordv1.RingServiceClient.Route, request)
	if err != nil {
		return ring.Step{}, err
	}
	step, err := stepFromProto(m)
	if err != nil {
		return ring.Step{}, malformed(to.Addr, err)
	}
	return step, nil
}

// Forward implements node.Peers.
func (p *Peers) Forward(ctx context.Context, to ring.Ref, q node.Query) error {
	_, err := ask(ctx, p, to.Addr, chordv1.NewRingServiceClient, chordv1.RingServiceClient.Forward, queryToProto(to.ID, q))
	return err
}

// Arrived implements node.Peers.
func (p *Peers) Arrived(ctx context.Context, to ring.Ref, a node.Arrival) error {
	_, err := ask(ctx, p, to.Addr, chordv1.NewRingServiceClient, chordv1.RingServiceClient.Arrived, arrivalToProto(a))
	return err
}

// Digest implements node.Peers.
func (p *Peers) Digest(ctx context.Context, to ring.Ref, arcs []ring.Arc, claims []node.Claim) ([]node.Summary, error) {
	ctx, cancel := withDeadline(ctx, p.local.Config.ReplicaTimeout)
	defer cancel()
	summaries := make([]node.Summary, 0, len(arcs))
	for part := range slices.Chunk(arcs, maxArcs) {
		m, err := ask(ctx, p, to.Addr, chordv1.NewReplicaServiceClient, chordv1.ReplicaServiceClient.Digest,
			&chordv1.DigestRequest{Arcs: arcsToProto(part), Claims: claimsToProto(claims)})
		if err != nil {
			return nil, err
		}
		if got := len(m.GetSummaries()); got != len(part) {
			return nil, malformed(to.Addr, badField("summaries", "%d, want %d", got, len(part)))
		}
		summaries = append(summaries, summariesFromProto(m.GetSummaries())...)
	}
	return summaries, nil
}

// Outline implements node.Peers.
func (p *Peers) Outline(ctx context.Context, to ring.Ref, arcs []ring.Arc, detail node.Detail) ([]node.Outline, error) {
	ctx, cancel := withDeadline(ctx, p.local.Config.ReplicaTimeout)
	defer cancel()
	m, err := ask(ctx, p, to.Addr, chordv1.NewReplicaServiceClient, chordv1.ReplicaServiceClient.Outline, outlineRequestToProto(arcs, detail))
	if err != nil {
		return nil, err
	}
	outlines, err := outlinesFromProto(m)
	if err == nil && len(outlines) != len(arcs) {
		err = badField("counts", "%d, want %d", len(outlines), len(arcs))
	}
	if err != nil {
		return nil, malformed(to.Addr, err)
	}
	return outlines, nil
}

// Name implements node.Peers.
func (p *Peers) Name(ctx context.Context, to ring.Ref, unnamed []node.Unnamed) ([]node.Entry, error) {
	ctx, cancel := withDeadline(ctx, p.local.Config.ReplicaTimeout)
	defer cancel()
	m, err := ask(ctx, p, to.Addr, chordv1.NewReplicaServiceClient, chordv1.ReplicaServiceClient.Name, nameRequestToProto(unnamed))
	if err != nil {
		return nil, err
	}
	entries, err := entriesFromProto(m.GetEntries())
	if err != nil {
		return nil, malformed(to.Addr, err)
	}
	return entries, nil
}

// Collect implements node.Peers.
func (p *Peers) Collect(ctx context.Context, to ring.Ref, entries []node.Entry) error {
	ctx, cancel := withDeadline(ctx, p.local.Config.ReplicaTimeout)
	defer cancel()
	_, err := ask(ctx, p, to.Addr, chordv1.NewReplicaServiceClient, chordv1.ReplicaServiceClient.Collect,
		&chordv1.CollectRequest{Entries: entriesToProto(entries)})
	return err
}

// Contact implements node.Peers: it is part of what a process says about itself.
func (p *Peers) Contact(ctx context.Context, to ring.Ref) (node.Contact, error) {
	h, err := p.Hello(ctx, to.Addr)
	return h.Contact, err
}

// maxPage bounds the entries in one answer to List, so that it fits into a message whatever the length of the keys.
const maxPage = 1024

// List implements node.Peers.
func (p *Peers) List(ctx context.Context, to ring.Ref, arc ring.Arc, from node.Cursor, limit int) ([]node.Entry, error) {
	ctx, cancel := withDeadline(ctx, p.local.Config.ReplicaTimeout)
	defer cancel()
	var entries []node.Entry
	for len(entries) < limit {
		page := min(limit-len(entries), maxPage)
		m, err := ask(ctx, p, to.Addr, chordv1.NewReplicaServiceClient, chordv1.ReplicaServiceClient.List,
			&chordv1.ListRequest{Arc: arcToProto(arc), FromKey: from.Key, Limit: uint32(page)})
		if err != nil {
			return nil, err
		}
		got, err := entriesFromProto(m.GetEntries())
		if err == nil && len(got) > page {
			err = badField("entries", "%d, want at most %d", len(got), page)
		}
		if err != nil {
			return nil, malformed(to.Addr, err)
		}
		entries = append(entries, got...)
		if len(got) < page {
			break
		}
		from = node.Cursor{Key: got[len(got)-1].Key}
	}
	return entries, nil
}

// maxViews bounds the views that are remembered.
const maxViews = 4096

// viewCache remembers the last view that each node returned, and its hash.
type viewCache struct {
	mu    sync.Mutex
	views map[ring.Ref]cachedView
}

type cachedView struct {
	view ring.View
	hash uint64
}

// get returns a copy of the view, and 0 if there is none.
func (c *viewCache) get(of ring.Ref) (ring.View, uint64) {
	c.mu.Lock()
	v := c.views[of]
	c.mu.Unlock()
	v.view.Succs = slices.Clone(v.view.Succs) // the list that is kept never changes
	return v.view, v.hash
}

func (c *viewCache) put(of ring.Ref, view ring.View, hash uint64) {
	view.Succs = slices.Clone(view.Succs)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.views == nil {
		c.views = make(map[ring.Ref]cachedView)
	}
	if _, known := c.views[of]; !known && len(c.views) >= maxViews {
		for some := range c.views { // it does not matter which
			delete(c.views, some)
			break
		}
	}
	c.views[of] = cachedView{view, hash}
}
