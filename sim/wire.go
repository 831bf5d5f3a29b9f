package sim

import (
	"fmt"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// Wire takes values to their form on a real network and back, one method per kind of message. Each returns what arrives, which shares no
// memory with what was sent, and the encoded size in bytes. An error means that the value has no form on the network, and fails the world: it is a
// bug in the conversion or in what was sent.
type Wire interface {
	NeighborsRequest(to ring.Ref) (ring.Ref, int, error)
	NeighborsResponse(v ring.View) (ring.View, int, error)
	NotifyRequest(to, from ring.Ref) (gotTo, gotFrom ring.Ref, size int, err error)
	NotifyResponse() (int, error)
	ChangedRequest(to, from ring.Ref) (gotTo, gotFrom ring.Ref, size int, err error)
	ChangedResponse() (int, error)
	RouteRequest(to ring.Ref, id ring.ID, avoid []ring.ID) (gotTo ring.Ref, gotID ring.ID, gotAvoid []ring.ID, size int, err error)
	RouteResponse(s ring.Step) (ring.Step, int, error)
	ForwardRequest(to ring.Ref, q node.Query) (gotTo ring.Ref, got node.Query, size int, err error)
	ForwardResponse() (int, error)
	ArrivedRequest(to ring.Ref, a node.Arrival) (gotTo ring.Ref, got node.Arrival, size int, err error)
	ArrivedResponse() (int, error)
	ApplyRequest(records []node.Record, claims []node.Claim) (got []node.Record, gotClaims []node.Claim, size int, err error)
	ApplyResponse(versions []node.Version) ([]node.Version, int, error)
	FetchRequest(wants []node.Want) ([]node.Want, int, error)
	FetchResponse(found []node.Found) ([]node.Found, int, error)
	DigestRequest(arcs []ring.Arc, claims []node.Claim) (got []ring.Arc, gotClaims []node.Claim, size int, err error)
	DigestResponse(sums []node.Summary) ([]node.Summary, int, error)
	OutlineRequest(arcs []ring.Arc, detail node.Detail) (gotArcs []ring.Arc, gotDetail node.Detail, size int, err error)
	OutlineResponse(outlines []node.Outline) ([]node.Outline, int, error)
	NameRequest(unnamed []node.Unnamed) ([]node.Unnamed, int, error)
	NameResponse(entries []node.Entry) ([]node.Entry, int, error)
	ListRequest(arc ring.Arc, from node.Cursor, limit int) (gotArc ring.Arc, gotFrom node.Cursor, gotLimit, size int, err error)
	ListResponse(entries []node.Entry) ([]node.Entry, int, error)
	CollectRequest(entries []node.Entry) ([]node.Entry, int, error)
	CollectResponse() (int, error)
	DoRequest(op node.Op) (node.Op, int, error)
	DoResponse(r node.Result) (node.Result, int, error)
	// Failure converts the error that a call was answered with.
	Failure(answer error) (got error, size int, err error)
}

// wires draws whether a message goes through Options.Wire.
func (w *World) wires() bool { return w.options.Wire != nil && w.wired.chance(w.options.WireShare) }

// wireRequest replaces a request by what arrives of it and returns its encoded size.
func (w *World) wireRequest(c *call) (size int) {
	var err error
	q, x := &c.request, w.options.Wire
	switch c.method {
	case MethodNeighbors:
		q.to, size, err = x.NeighborsRequest(q.to)
	case MethodNotify:
		q.to, q.from, size, err = x.NotifyRequest(q.to, q.from)
	case MethodChanged:
		q.to, q.from, size, err = x.ChangedRequest(q.to, q.from)
	case MethodRoute:
		q.to, q.id, q.avoid, size, err = x.RouteRequest(q.to, q.id, q.avoid)
	case MethodForward:
		q.to, *q.query, size, err = x.ForwardRequest(q.to, *q.query)
	case MethodArrived:
		q.to, *q.arrival, size, err = x.ArrivedRequest(q.to, *q.arrival)
	case MethodApply:
		q.data.records, q.data.claims, size, err = x.ApplyRequest(q.data.records, q.data.claims)
	case MethodFetch:
		q.data.wants, size, err = x.FetchRequest(q.data.wants)
	case MethodDigest:
		q.data.arcs, q.data.claims, size, err = x.DigestRequest(q.data.arcs, q.data.claims)
	case MethodOutline:
		q.data.arcs, q.data.detail, size, err = x.OutlineRequest(q.data.arcs, q.data.detail)
	case MethodName:
		q.data.unnamed, size, err = x.NameRequest(q.data.unnamed)
	case MethodList:
		q.data.arc, q.data.cursor, q.data.limit, size, err = x.ListRequest(q.data.arc, q.data.cursor, q.data.limit)
	case MethodCollect:
		q.data.entries, size, err = x.CollectRequest(q.data.entries)
	case MethodDo:
		q.data.op, size, err = x.DoRequest(q.data.op)
	}
	if err != nil {
		w.Fail(fmt.Errorf("convert the request of %v: %w", c.method, err))
	}
	return size
}

// wireAnswer replaces an answer by what arrives of it and returns its encoded size.
func (w *World) wireAnswer(c *call) (size int) {
	var err error
	a, x := &c.answer, w.options.Wire
	switch {
	case a.err != nil:
		a.err, size, err = x.Failure(a.err)
	case c.method == MethodNeighbors:
		a.view, size, err = x.NeighborsResponse(a.view)
	case c.method == MethodNotify:
		size, err = x.NotifyResponse()
	case c.method == MethodChanged:
		size, err = x.ChangedResponse()
	case c.method == MethodRoute:
		a.step, size, err = x.RouteResponse(a.step)
	case c.method == MethodForward:
		size, err = x.ForwardResponse()
	case c.method == MethodArrived:
		size, err = x.ArrivedResponse()
	case c.method == MethodApply:
		a.data.versions, size, err = x.ApplyResponse(a.data.versions)
	case c.method == MethodFetch:
		a.data.found, size, err = x.FetchResponse(a.data.found)
	case c.method == MethodDigest:
		a.data.sums, size, err = x.DigestResponse(a.data.sums)
	case c.method == MethodOutline:
		a.data.outlines, size, err = x.OutlineResponse(a.data.outlines)
	case c.method == MethodName:
		a.data.entries, size, err = x.NameResponse(a.data.entries)
	case c.method == MethodList:
		a.data.entries, size, err = x.ListResponse(a.data.entries)
	case c.method == MethodCollect:
		size, err = x.CollectResponse()
	case c.method == MethodDo:
		a.data.result, size, err = x.DoResponse(a.data.result)
	}
	if err != nil {
		w.Fail(fmt.Errorf("convert the answer to %v: %w", c.method, err))
	}
	return size
}
