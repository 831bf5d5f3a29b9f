package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

// admin offers AdminService of a server on a listener of its own, as a program does.
func admin(t testing.TB, s *served, opts rpc.AdminOptions) chordv1.AdminServiceClient {
	t.Helper()
	lis := listen(t, "127.0.0.1:0")
	g := grpc.NewServer()
	s.RegisterAdmin(g, opts)
	done := make(chan error, 1)
	go func() { done <- g.Serve(lis) }()
	t.Cleanup(func() { g.Stop(); <-done })
	return chordv1.NewAdminServiceClient(dial(t, lis.Addr().String()))
}

func TestAdminStatus(t *testing.T) {
	s := serve(t, nil, rpc.ServerOptions{})
	started := time.UnixMilli(1234)
	c := admin(t, s, rpc.AdminOptions{Started: started, Store: "memory"})
	st, err := c.Status(t.Context(), &chordv1.StatusRequest{})
	if err != nil || st.GetReady() || st.GetAddr() != s.addr || st.GetStartedMs() != 1234 || st.GetStore() != "memory" || st.GetReplicas() != 3 {
		t.Errorf("before the process is there: got %v (%v)", st, err)
	}
	self, other := ring.Ref{ID: ring.ID{0x80}, Addr: s.addr}, ring.Ref{ID: ring.ID{}, Addr: "other:1"}
	s.SetProcess(&stub{status: node.Status{
		Ready: true, StoreError: node.ErrStoreFull, Store: node.StoreStats{Records: 5, DiskBytes: 6, FreeBytes: 7},
		Nodes: []node.NodeStatus{{
			View: ring.View{Self: self, Pred: other, Succs: []ring.Ref{other}}, Serving: true, Settled: true, Group: []ring.Ref{self, other},
		}},
	}})
	s.local.SetCluster(rpc.ClusterID{3})
	st, err = c.Status(t.Context(), &chordv1.StatusRequest{})
	if err != nil || !st.GetReady() || st.GetRecords() != 5 || st.GetStoreError() != node.ErrStoreFull.Error() || st.GetCluster()[0] != 3 {
		t.Fatalf("got %v (%v)", st, err)
	}
	n := st.GetNodes()[0]
	if !bytes.Equal(n.GetSelf().GetId(), self.ID[:]) || n.GetShare() != 0.5 || len(n.GetGroup()) != 2 || !n.GetSettled() || !n.GetServing() {
		t.Errorf("got node %v", n)
	}
}

func TestAdminDrainAndLeave(t *testing.T) {
	s := serve(t, &stub{}, rpc.ServerOptions{})
	var left bool
	c := admin(t, s, rpc.AdminOptions{Leave: func(context.Context) error { left = true; return nil }})
	for _, undo := range []bool{false, true} {
		if _, err := c.Drain(t.Context(), &chordv1.DrainRequest{Undo: undo}); err != nil || s.Draining() == undo {
			t.Errorf("drain, undo %v: draining %v (%v)", undo, s.Draining(), err)
		}
	}
	if _, err := c.Leave(t.Context(), &chordv1.LeaveRequest{}); err != nil || !left {
		t.Errorf("leave: %v", err)
	}
	failing := admin(t, s, rpc.AdminOptions{Leave: func(context.Context) error { return node.ErrNotReady }})
	if _, err := failing.Leave(t.Context(), &chordv1.LeaveRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("leave that fails: got %v", err)
	}
	without := admin(t, s, rpc.AdminOptions{})
	if _, err := without.Leave(t.Context(), &chordv1.LeaveRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("leave that is not offered: got %v", err)
	}
}

func TestAdminTrace(t *testing.T) {
	owner, dead := ring.Ref{ID: ring.ID{9}, Addr: "owner:1"}, ring.Ref{ID: ring.ID{8}, Addr: "dead:1"}
	s := serve(t, &stub{lookup: func(style node.Style, id ring.ID) (node.Lookup, error) {
		if style == node.Recursive {
			return node.Lookup{ID: id, Owner: ring.View{Self: dead}}, nil
		}
		if id == ring.Hash(key(2)) {
			return node.Lookup{}, node.ErrNoRoute
		}
		return node.Lookup{
			ID: id, Owner: ring.View{Self: owner, Pred: dead, Succs: []ring.Ref{dead}},
			Hops: []node.Hop{{Node: dead, Err: errors.New("gone")}, {Node: owner, Covered: true, RTT: 5}},
		}, nil
	}}, rpc.ServerOptions{})
	c := admin(t, s, rpc.AdminOptions{})
	m, err := c.Trace(t.Context(), &chordv1.TraceRequest{Key: key(1)})
	if err != nil {
		t.Fatal(err)
	}
	id := ring.Hash(key(1))
	if !bytes.Equal(m.GetId(), id[:]) || m.GetOwner().GetAddr() != owner.Addr || len(m.GetGroup()) != 2 || len(m.GetHops()) != 2 ||
		m.GetHops()[0].GetError() != "gone" || m.GetHops()[1].GetArc() == nil || m.GetHops()[1].GetRttNs() != 5 || !m.GetHops()[1].GetCovered() {
		t.Errorf("got %v", m)
	}
	m, err = c.Trace(t.Context(), &chordv1.TraceRequest{Key: key(1), Style: chordv1.LookupStyle_LOOKUP_STYLE_RECURSIVE})
	if err != nil || m.GetOwner().GetAddr() != dead.Addr {
		t.Errorf("recursive: got %v, %v", m, err)
	}
	if _, err := c.Trace(t.Context(), &chordv1.TraceRequest{Key: key(1), Style: 2}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a style of the future: got %v", err)
	}
	if _, err := c.Trace(t.Context(), &chordv1.TraceRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("empty key: got %v", err)
	}
	if _, err := c.Trace(t.Context(), &chordv1.TraceRequest{Key: key(2)}); status.Code(err) != codes.Unavailable {
		t.Errorf("no route: got %v", err)
	}
}

// TestAdminRing: the ring is walked and checked; a broken one is called that.
func TestAdminRing(t *testing.T) {
	proc := &stub{}
	lis := listen(t, "127.0.0.1:0")
	local := newLocal(1, lis.Addr().String())
	local.Config.Successors, local.Config.Replicas = 1, 2 // a ring of two nodes is complete
	s := serveAs(t, lis, local, proc, rpc.ServerOptions{})
	ids := s.local.Identity.Nodes()
	a, b := ring.Ref{ID: ids[0], Addr: s.addr}, ring.Ref{ID: ids[1], Addr: s.addr}
	views := map[ring.ID]ring.View{
		a.ID: {Self: a, Pred: b, Succs: []ring.Ref{b}},
		b.ID: {Self: b, Pred: a, Succs: []ring.Ref{a}},
	}
	proc.neighbors = func(id ring.ID) (ring.View, error) {
		v, ok := views[id]
		if !ok {
			return ring.View{}, node.ErrNoNode
		}
		return v, nil
	}
	c := admin(t, s, rpc.AdminOptions{})
	m, err := c.Ring(t.Context(), &chordv1.RingRequest{})
	if err != nil || len(m.GetMembers()) != 2 || len(m.GetProblems()) != 0 {
		t.Fatalf("got %v (%v)", m, err)
	}
	gone := ring.Ref{ID: ring.ID{1}, Addr: s.addr}
	views[a.ID] = ring.View{Self: a, Pred: b, Succs: []ring.Ref{gone}}
	m, err = c.Ring(t.Context(), &chordv1.RingRequest{})
	if err != nil || len(m.GetMembers()) != 3 || len(m.GetProblems()) == 0 {
		t.Errorf("broken: got %v (%v)", m, err)
	}
	for _, member := range m.GetMembers() {
		if dead := bytes.Equal(member.GetSelf().GetId(), gone.ID[:]); dead != strings.Contains(member.GetError(), node.ErrNoNode.Error()) {
			t.Errorf("got %v", member)
		}
	}
}

func TestAdminRepair(t *testing.T) {
	self, peer := ring.Ref{ID: ring.ID{0x80}, Addr: "self:1"}, ring.Ref{ID: ring.ID{0x90}, Addr: "peer:1"}
	part := ring.Arc{After: ring.ID{0x10}, Through: ring.ID{0x20}}
	stuck := make(chan struct{})
	proc := &stub{
		status: node.Status{Repair: node.RepairStatus{Behind: 1, Comparing: 2, Waiting: 3, Moved: 4, Bytes: 5, Left: 6, LeftTime: 7 * time.Second}},
		repair: func(ctx context.Context, within ring.Arc, report func(node.Repaired)) error {
			switch within {
			case part:
				report(node.Repaired{Node: self, Peer: peer, Arc: within, Sent: 8, Received: 9})
				report(node.Repaired{Node: self, Peer: peer, Arc: within, Err: node.ErrUnreachable})
				return node.ErrUnreachable
			case ring.FullArc():
				close(stuck)
				<-ctx.Done()
				return ctx.Err()
			}
			return node.ErrInvalid
		},
	}
	s := serve(t, proc, rpc.ServerOptions{})
	c := admin(t, s, rpc.AdminOptions{})

	stream, err := c.Repair(t.Context(), &chordv1.RepairRequest{Within: &chordv1.Arc{After: part.After[:], Through: part.Through[:]}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if r := m.GetRepaired(); r.GetSent() != 8 || r.GetReceived() != 9 || r.GetError() != "" || r.GetPeer().GetAddr() != peer.Addr ||
		r.GetNode().GetAddr() != self.Addr || !bytes.Equal(r.GetArc().GetThrough(), part.Through[:]) {
		t.Errorf("got %v", r)
	}
	if r := m.GetStatus(); r.GetBehind() != 1 || r.GetComparing() != 2 || r.GetWaiting() != 3 || r.GetMoved() != 4 || r.GetBytes() != 5 || r.GetLeft() != 6 ||
		r.GetLeftMs() != 7000 {
		t.Errorf("got status %v", r)
	}
	if m, err = stream.Recv(); err != nil || m.GetRepaired().GetError() == "" {
		t.Errorf("of a comparison that failed: %v (%v)", m, err)
	}
	if _, err = stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("in the end: %v", err)
	}

	if stream, err = c.Repair(t.Context(), &chordv1.RepairRequest{Within: &chordv1.Arc{After: []byte{1}}}); err != nil {
		t.Fatal(err)
	}
	if _, err = stream.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("an arc that is none: %v", err)
	}

	// Meanwhile it tells how far it is; who does not want to know any more ends it.
	ctx, cancel := context.WithCancel(t.Context())
	if stream, err = c.Repair(ctx, &chordv1.RepairRequest{}); err != nil {
		t.Fatal(err)
	}
	<-stuck
	if m, err = stream.Recv(); err != nil || m.GetRepaired() != nil || m.GetStatus().GetMoved() != 4 {
		t.Errorf("meanwhile: %v (%v)", m, err)
	}
	cancel()
	if _, err = stream.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}
