package rpc

import (
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

// AdminOptions are what the program around a Server contributes to AdminService.
type AdminOptions struct {
	Started time.Time // of the process
	Store   string    // what kind of store it has: "pebble" or "memory"
	// Leave hands over all data, leaves the ring and stops the process. It returns when the process has left. nil: not offered.
	Leave func(ctx context.Context) error
	// Backup writes a copy of the data directory to another one. nil: there is none, because everything is in memory.
	Backup func(ctx context.Context, dir string) error
	// Zones counts the processes that are alive, by what gossip says, by zone. nil: there is no gossip.
	Zones func() map[string]int
	Zone  string // of this process
}

// RegisterAdmin offers AdminService on another gRPC server, because it belongs on a listener for operators.
func (s *Server) RegisterAdmin(reg grpc.ServiceRegistrar, opts AdminOptions) {
	chordv1.RegisterAdminServiceServer(reg, adminService{s: s, opts: opts})
}

// adminService implements AdminService. Its errors are made statuses here, because the gRPC server that it runs on is not ours.
type adminService struct {
	chordv1.UnimplementedAdminServiceServer
	s    *Server
	opts AdminOptions
}

// Status describes the process. It answers even before there is a process to describe.
func (a adminService) Status(context.Context, *chordv1.StatusRequest) (*chordv1.StatusResponse, error) {
	l := a.s.local
	id, _ := l.Cluster()
	m := &chordv1.StatusResponse{
		Process: l.Identity.Process[:], Cluster: clusterToProto(id), Addr: l.Addr, Version: l.Version, Incarnation: l.Identity.Incarnation,
		StartedMs: a.opts.Started.UnixMilli(), Draining: a.s.Draining(), Store: a.opts.Store,
		Replicas: uint32(l.Config.Replicas), WriteQuorum: uint32(l.Config.WriteQuorum), ReadQuorum: uint32(l.Config.ReadQuorum),
	}
	m.Gossip = a.gossip()
	p, err := a.s.process()
	if err != nil {
		return m, nil
	}
	st := p.Status()
	m.Ready, m.Records, m.DiskBytes, m.FreeBytes = st.Ready, st.Store.Records, st.Store.DiskBytes, st.Store.FreeBytes
	m.Repair = repairToProto(st.Repair)
	if m.Gossip != nil {
		m.Gossip.Dead, m.Gossip.Minority = uint32(st.Standing.Dead), st.Standing.Minority
	}
	if st.StoreError != nil {
		m.StoreError = clip(st.StoreError.Error())
	}
	if st.ClockError != nil {
		m.ClockError = clip(st.ClockError.Error())
	}
	for _, n := range st.Nodes {
		m.Nodes = append(m.Nodes, &chordv1.NodeStatus{
			Self: refToProto(n.View.Self), Predecessor: refToProto(n.View.Pred), Successors: refsToProto(n.View.Succs),
			Fingers: refsToProto(n.Fingers), Serving: n.Serving, Settled: n.Settled, Group: refsToProto(n.Group), Share: n.View.Arc().Share(),
		})
	}
	return m, nil
}

// gossip returns what the process knows by gossip; nil without.
func (a adminService) gossip() *chordv1.GossipStatus {
	if a.opts.Zones == nil {
		return nil
	}
	m := &chordv1.GossipStatus{Addr: a.s.local.GossipAddr, Zone: a.opts.Zone}
	zones := a.opts.Zones()
	for _, zone := range slices.Sorted(maps.Keys(zones)) {
		m.Zones = append(m.Zones, &chordv1.ZoneCount{Zone: zone, Members: uint32(zones[zone])})
	}
	return m
}

// Ring walks the ring as a client would, entering it at this process.
func (a adminService) Ring(ctx context.Context, _ *chordv1.RingRequest) (*chordv1.RingResponse, error) {
	ctx, cancel := a.s.bounded(ctx, 0)
	defer cancel()
	client, err := NewClient(DefaultClientConfig(a.s.local.Addr))
	if err != nil {
		return nil, errorToStatus(err)
	}
	defer client.Close()
	members, err := client.Ring(ctx, nil)
	if err != nil {
		return nil, errorToStatus(err)
	}
	m := &chordv1.RingResponse{}
	var views []ring.View
	for _, member := range members {
		entry := &chordv1.RingMember{
			Self: refToProto(member.Node), Predecessor: refToProto(member.View.Pred), Successors: refsToProto(member.View.Succs),
		}
		if member.Err != nil {
			entry.Error = clip(member.Err.Error())
		} else {
			views = append(views, member.View)
		}
		m.Members = append(m.Members, entry)
	}
	for _, broken := range ring.CheckRing(views, a.s.local.Config.Successors) {
		m.Problems = append(m.Problems, broken.Error())
	}
	return m, nil
}

// Trace looks a key up from this process.
func (a adminService) Trace(ctx context.Context, request *chordv1.TraceRequest) (*chordv1.TraceResponse, error) {
	ctx, cancel := a.s.bounded(ctx, 0)
	defer cancel()
	if err := a.s.checkOp(node.Op{Key: request.GetKey()}); err != nil {
		return nil, errorToStatus(err)
	}
	p, err := a.s.process()
	if err != nil {
		return nil, errorToStatus(err)
	}
	style, err := styleFromProto(request.GetStyle())
	if err != nil {
		return nil, errorToStatus(invalid(err))
	}
	began := time.Now()
	found, err := p.LookupBy(ctx, style, ring.Hash(request.GetKey()))
	if err != nil {
		return nil, errorToStatus(err)
	}
	m := &chordv1.TraceResponse{
		Id: idToProto(found.ID), Owner: refToProto(found.Owner.Self), Arc: arcToProto(found.Owner.Arc()),
		Group: refsToProto(found.Owner.Group(a.s.local.Config.Replicas)), ElapsedNs: time.Since(began).Nanoseconds(),
	}
	for _, hop := range found.Hops {
		h := &chordv1.Hop{Node: refToProto(hop.Node), RttNs: hop.RTT.Nanoseconds(), Covered: hop.Covered}
		if hop.Err != nil {
			h.Error = clip(hop.Err.Error())
		}
		if hop.Node == found.Owner.Self {
			h.Arc = m.Arc
		}
		m.Hops = append(m.Hops, h)
	}
	return m, nil
}

// repairReports is how often a repair says how far it is.
const repairReports = 250 * time.Millisecond

// Repair compares arcs with their replicas and reports.
func (a adminService) Repair(request *chordv1.RepairRequest, stream grpc.ServerStreamingServer[chordv1.RepairProgress]) error {
	within := ring.FullArc()
	if m := request.GetWithin(); m != nil {
		var err error
		if within, err = arcFromProto("within", m); err != nil {
			return errorToStatus(invalid(err))
		}
	}
	p, err := a.s.process()
	if err != nil {
		return errorToStatus(err)
	}
	ctx := stream.Context()
	reports, done := make(chan node.Repaired), make(chan error, 1)
	go func() {
		done <- p.Repair(ctx, within, func(r node.Repaired) {
			select {
			case reports <- r:
			case <-ctx.Done():
			}
		})
	}()
	ticker := time.NewTicker(repairReports)
	defer ticker.Stop()
	for {
		m := &chordv1.RepairProgress{}
		select {
		case r := <-reports:
			m.Repaired = repairedToProto(r)
		case <-ticker.C:
		case err := <-done:
			return errorToStatus(err)
		}
		m.Status = repairToProto(p.RepairStatus())
		if err := stream.Send(m); err != nil {
			return err
		}
	}
}

func repairToProto(s node.RepairStatus) *chordv1.RepairStatus {
	return &chordv1.RepairStatus{
		Behind: uint32(s.Behind), Comparing: uint32(s.Comparing), Waiting: uint32(s.Waiting),
		Moved: s.Moved, Bytes: s.Bytes, Left: s.Left, LeftMs: s.LeftTime.Milliseconds(),
		Held: uint32(s.Held), HeldMs: s.HeldTime.Milliseconds(),
	}
}

func repairedToProto(r node.Repaired) *chordv1.RepairedArc {
	m := &chordv1.RepairedArc{
		Node: refToProto(r.Node), Peer: refToProto(r.Peer), Arc: arcToProto(r.Arc), Sent: int64(r.Sent), Received: int64(r.Received),
	}
	if r.Err != nil {
		m.Error = clip(r.Err.Error())
	}
	return m
}

// Backup copies the data directory.
func (a adminService) Backup(ctx context.Context, request *chordv1.BackupRequest) (*chordv1.BackupResponse, error) {
	p, err := a.s.process()
	if err != nil {
		return nil, errorToStatus(err)
	}
	if a.opts.Backup == nil {
		return nil, status.Error(codes.FailedPrecondition, "this process keeps everything in memory: there is no data directory to back up")
	}
	if err := a.opts.Backup(ctx, request.GetDir()); err != nil {
		return nil, status.Error(codes.FailedPrecondition, clip(err.Error()))
	}
	return &chordv1.BackupResponse{Records: p.Status().Store.Records}, nil
}

// Leave makes the process leave the ring and end.
func (a adminService) Leave(ctx context.Context, _ *chordv1.LeaveRequest) (*chordv1.LeaveResponse, error) {
	if a.opts.Leave == nil {
		return nil, status.Error(codes.Unimplemented, "this program cannot be made to leave")
	}
	if err := a.opts.Leave(ctx); err != nil {
		return nil, errorToStatus(err)
	}
	return &chordv1.LeaveResponse{}, nil
}

// Drain makes the process refuse clients, or take them again.
func (a adminService) Drain(_ context.Context, request *chordv1.DrainRequest) (*chordv1.DrainResponse, error) {
	a.s.SetDraining(!request.GetUndo())
	return &chordv1.DrainResponse{}, nil
}
