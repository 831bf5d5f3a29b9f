package rpc

import (
	"context"
	"encoding/binary"
	"hash/maphash"
	"time"

	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

// ringService implements RingService.
type ringService struct {
	chordv1.UnimplementedRingServiceServer
	s *Server
}

// Hello always answers: it is how others find out that this process is not ready, or belongs elsewhere.
func (r ringService) Hello(_ context.Context, m *chordv1.HelloRequest) (*chordv1.HelloResponse, error) {
	if err := r.s.local.meet(m); err != nil {
		return nil, err
	}
	p, err := r.s.process()
	answer := r.s.local.helloResponse(err == nil && p.Ready())
	if err == nil {
		answer.Contact = contactToProto(p.Contact(), time.Now())
	}
	return answer, nil
}

func (r ringService) Neighbors(_ context.Context, m *chordv1.NeighborsRequest) (*chordv1.NeighborsResponse, error) {
	id, err := idFromProto("node", m.GetNode())
	if err != nil {
		return nil, invalid(err)
	}
	p, err := r.s.process()
	if err != nil {
		return nil, err
	}
	view, err := p.Neighbors(id)
	if err != nil {
		return nil, err
	}
	hash := hashView(view)
	if hash == m.GetKnown() {
		return &chordv1.NeighborsResponse{Hash: hash, Unchanged: true}, nil
	}
	answer := viewToProto(view)
	answer.Hash = hash
	return answer, nil
}

// viewSeed makes the hashes of this run of the program: a hash that a caller has from an earlier run matches nothing.
var viewSeed = maphash.MakeSeed()

// hashView returns a hash of a view that is never 0.
func hashView(v ring.View) uint64 {
	var h maphash.Hash
	h.SetSeed(viewSeed)
	add := func(r ring.Ref) {
		_, _ = h.Write(r.ID[:])
		_, _ = h.Write(binary.BigEndian.AppendUint32(make([]byte, 0, 4), uint32(r.Zone)))
		_, _ = h.WriteString(r.Addr)
		_ = h.WriteByte(0)
	}
	add(v.Self)
	add(v.Pred)
	for _, succ := range v.Succs {
		add(succ)
	}
	return max(h.Sum64(), 1)
}

func (r ringService) Notify(_ context.Context, m *chordv1.NotifyRequest) (*chordv1.NotifyResponse, error) {
	id, err := idFromProto("node", m.GetNode())
	if err != nil {
		return nil, invalid(err)
	}
	from, err := refFromProto("from", m.GetFrom())
	if err != nil {
		return nil, invalid(err)
	}
	if from.Addr == "" {
		return nil, invalid(badField("from.addr", "missing"))
	}
	p, err := r.s.process()
	if err != nil {
		return nil, err
	}
	if m.GetChanged() {
		return &chordv1.NotifyResponse{}, p.Changed(id, from)
	}
	return &chordv1.NotifyResponse{}, p.Notify(id, from)
}

func (r ringService) Route(_ context.Context, m *chordv1.RouteRequest) (*chordv1.RouteResponse, error) {
	at, err := optionalID("node", m.GetNode())
	if err != nil {
		return nil, invalid(err)
	}
	id, err := idFromProto("id", m.GetId())
	if err != nil {
		return nil, invalid(err)
	}
	avoid, err := idsFromProto("avoid", m.GetAvoid())
	if err != nil {
		return nil, invalid(err)
	}
	p, err := r.s.process()
	if err != nil {
		return nil, err
	}
	step, err := p.Route(at, id, avoid)
	if err != nil {
		return nil, err
	}
	return stepToProto(step), nil
}

func (r ringService) Forward(_ context.Context, m *chordv1.ForwardRequest) (*chordv1.ForwardResponse, error) {
	at, q, err := queryFromProto(m)
	if err != nil {
		return nil, invalid(err)
	}
	p, err := r.s.process()
	if err != nil {
		return nil, err
	}
	return &chordv1.ForwardResponse{}, p.Forward(at, q)
}

func (r ringService) Arrived(_ context.Context, m *chordv1.ArrivedRequest) (*chordv1.ArrivedResponse, error) {
	a, err := arrivalFromProto(m)
	if err != nil {
		return nil, invalid(err)
	}
	p, err := r.s.process()
	if err != nil {
		return nil, err
	}
	return &chordv1.ArrivedResponse{}, p.Arrived(a)
}
