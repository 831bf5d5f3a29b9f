package sim_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/sim"
)

// counter is a Wire that changes nothing and says that every message has 100 bytes.
type counter struct {
	calls int
	err   error
}

var _ sim.Wire = (*counter)(nil)

func (c *counter) count() (int, error) {
	c.calls++
	return 100, c.err
}

func through[T any](c *counter, v T) (T, int, error) {
	n, err := c.count()
	return v, n, err
}

func (c *counter) NeighborsRequest(to ring.Ref) (ring.Ref, int, error)   { return through(c, to) }
func (c *counter) NeighborsResponse(v ring.View) (ring.View, int, error) { return through(c, v) }
func (c *counter) NotifyResponse() (int, error)                          { return c.count() }
func (c *counter) ChangedResponse() (int, error)                         { return c.count() }
func (c *counter) ForwardResponse() (int, error)                         { return c.count() }
func (c *counter) ArrivedResponse() (int, error)                         { return c.count() }
func (c *counter) RouteResponse(s ring.Step) (ring.Step, int, error)     { return through(c, s) }
func (c *counter) ApplyRequest(r []node.Record, claims []node.Claim) ([]node.Record, []node.Claim, int, error) {
	r, size, err := through(c, r)
	return r, claims, size, err
}

func (c *counter) ApplyResponse(v []node.Version) ([]node.Version, int, error) {
	return through(c, v)
}
func (c *counter) FetchRequest(q []node.Want) ([]node.Want, int, error)    { return through(c, q) }
func (c *counter) FetchResponse(f []node.Found) ([]node.Found, int, error) { return through(c, f) }
func (c *counter) DigestRequest(a []ring.Arc, claims []node.Claim) ([]ring.Arc, []node.Claim, int, error) {
	a, size, err := through(c, a)
	return a, claims, size, err
}

func (c *counter) DigestResponse(s []node.Summary) ([]node.Summary, int, error) {
	return through(c, s)
}

func (c *counter) OutlineResponse(o []node.Outline) ([]node.Outline, int, error) {
	return through(c, o)
}

func (c *counter) NameRequest(u []node.Unnamed) ([]node.Unnamed, int, error) { return through(c, u) }

func (c *counter) NameResponse(e []node.Entry) ([]node.Entry, int, error) { return through(c, e) }

func (c *counter) ListResponse(e []node.Entry) ([]node.Entry, int, error) { return through(c, e) }

func (c *counter) CollectRequest(e []node.Entry) ([]node.Entry, int, error) { return through(c, e) }

func (c *counter) CollectResponse() (int, error) { return c.count() }

func (c *counter) DoRequest(op node.Op) (node.Op, int, error) { return through(c, op) }

func (c *counter) DoResponse(r node.Result) (node.Result, int, error) { return through(c, r) }

func (c *counter) Failure(answer error) (error, int, error) { return through(c, answer) }

func (c *counter) NotifyRequest(to, from ring.Ref) (gotTo, gotFrom ring.Ref, size int, err error) {
	size, err = c.count()
	return to, from, size, err
}

func (c *counter) ChangedRequest(to, from ring.Ref) (gotTo, gotFrom ring.Ref, size int, err error) {
	return c.NotifyRequest(to, from)
}

func (c *counter) RouteRequest(to ring.Ref, id ring.ID, avoid []ring.ID) (ring.Ref, ring.ID, []ring.ID, int, error) {
	size, err := c.count()
	return to, id, avoid, size, err
}

func (c *counter) OutlineRequest(arcs []ring.Arc, detail node.Detail) ([]ring.Arc, node.Detail, int, error) {
	size, err := c.count()
	return arcs, detail, size, err
}

func (c *counter) ForwardRequest(to ring.Ref, q node.Query) (ring.Ref, node.Query, int, error) {
	size, err := c.count()
	return to, q, size, err
}

func (c *counter) ArrivedRequest(to ring.Ref, a node.Arrival) (ring.Ref, node.Arrival, int, error) {
	size, err := c.count()
	return to, a, size, err
}

func (c *counter) ListRequest(arc ring.Arc, from node.Cursor, limit int) (ring.Arc, node.Cursor, int, int, error) {
	size, err := c.count()
	return arc, from, limit, size, err
}

// TestWire: messages go through the conversion, or a share of them, and are counted there.
func TestWire(t *testing.T) {
	for _, share := range []float64{1, 0.25} {
		wire := &counter{}
		o := sim.DefaultOptions()
		o.Wire, o.WireShare = wire, share
		w := newRing(t, 40, o)
		run(t, w, 20*time.Second)
		s := w.Stats()
		total := s.Total()
		got := float64(total.Wired) / float64(total.Messages)
		if int(total.Wired) != wire.calls || total.WireBytes != 100*total.Wired || got < share*0.8 || got > share*1.2 {
			t.Errorf("share %v: %d of %d messages, %d bytes, %d conversions", share, total.Wired, total.Messages, total.WireBytes, wire.calls)
		}
	}
}

// TestWireFails: a message that cannot be converted ends the run.
func TestWireFails(t *testing.T) {
	o := sim.DefaultOptions()
	o.Wire = &counter{err: errors.New("no such field")}
	w, err := sim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Bootstrap(3); err != nil {
		t.Fatal(err)
	}
	if err := w.RunFor(time.Minute); err == nil || !strings.Contains(err.Error(), "no such field") {
		t.Errorf("got %v, want the error of the conversion", err)
	}
	_ = w.Close()
}

// TestModelBytes: the bytes of a ring at rest are those of the model: 20 for the question, 20 and 4 for each of 17 neighbors for the answer.
func TestModelBytes(t *testing.T) {
	w := newRing(t, 40, sim.DefaultOptions())
	run(t, w, 20*time.Second)
	s := w.Stats()
	q, a := s.Requests[sim.MethodNeighbors], s.Answers[sim.MethodNeighbors]
	if q.Messages == 0 || q.Bytes != 20*q.Messages || a.Bytes != (20+4*17)*a.Messages {
		t.Errorf("requests %+v, answers %+v; want 20 and 88 bytes each", q, a)
	}
}

// TestOptions: every problem is reported at once.
func TestOptions(t *testing.T) {
	o := sim.Options{Config: node.DefaultConfig(), Tasks: 7, Loss: 2, Duplicate: -1, Bandwidth: -1, SyncLatency: -1, WireShare: 3}
	_, err := sim.New(o)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"vnodes", "task kind", "loss", "duplicate", "bandwidth", "sync", "wire share"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to name %q", err, want)
		}
	}
}
