package sim

import "context"

// handle executes a request at the process of the host and writes the answer down.
func (h *Host) handle(c *call, a *answer) {
	p, q := h.process, &c.request
	if d := q.data; d != nil {
		h.handleData(c.method, d, a)
		return
	}
	switch c.method {
	case MethodNeighbors:
		a.view, a.err = p.Neighbors(q.to.ID)
	case MethodNotify:
		a.err = p.Notify(q.to.ID, q.from)
	case MethodChanged:
		a.err = p.Changed(q.to.ID, q.from)
	case MethodRoute:
		a.step, a.err = p.Route(q.to.ID, q.id, q.avoid)
	case MethodForward:
		a.err = p.Forward(q.to.ID, *q.query)
	case MethodArrived:
		a.err = p.Arrived(*q.arrival)
	case MethodHello:
		a.data = &dataAnswer{hello: h.hello()}
	default:
		panic("sim: a call of " + c.method.String())
	}
}

// handleData executes a request about records. The slices are the sender's copies; keys and values are not, because nobody may change them.
func (h *Host) handleData(method Method, q *dataRequest, a *answer) {
	p, ctx := h.process, context.Background()
	d := &dataAnswer{}
	a.data = d
	switch method {
	case MethodApply:
		d.versions, a.err = p.Apply(ctx, q.records, q.claims)
	case MethodFetch:
		d.found, a.err = p.Fetch(ctx, q.wants)
	case MethodDigest:
		d.sums, a.err = p.Digest(ctx, q.arcs, q.claims)
	case MethodOutline:
		d.outlines, a.err = p.Outline(ctx, q.arcs, q.detail)
	case MethodName:
		d.entries, a.err = p.Name(ctx, q.unnamed)
	case MethodList:
		d.entries, a.err = p.List(ctx, q.arc, q.cursor, q.limit)
	case MethodCollect:
		a.err = p.Collect(ctx, q.entries)
	case MethodDo:
		d.result, a.err = p.Serve(ctx, q.op)
	}
	if heeded := h.w.options.Heeded; heeded != nil && len(q.claims) > 0 {
		heeded(h, q.claims, q.records, a.err)
	}
}
