package rpc

import (
	"context"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
)

// replicaService implements ReplicaService.
type replicaService struct {
	chordv1.UnimplementedReplicaServiceServer
	s *Server
}

func (r replicaService) Apply(ctx context.Context, m *chordv1.ApplyRequest) (*chordv1.ApplyResponse, error) {
	p, err := r.s.process()
	if err != nil {
		return nil, err
	}
	records, err := appendRecords(nil, m.GetRecords())
	if err != nil {
		return nil, invalid(err)
	}
	claims, err := claimsFromProto(m.GetClaims())
	if err != nil {
		return nil, invalid(err)
	}
	versions, err := p.Apply(ctx, records, claims)
	if err != nil {
		return nil, err
	}
	return &chordv1.ApplyResponse{Versions: versionsToProto(versions)}, nil
}

func (r replicaService) Fetch(ctx context.Context, m *chordv1.FetchRequest) (*chordv1.FetchResponse, error) {
	p, err := r.s.process()
	if err != nil {
		return nil, err
	}
	wants, err := wantsFromProto(m.GetWants())
	if err != nil {
		return nil, invalid(err)
	}
	found, err := p.Fetch(ctx, wants)
	if err != nil {
		return nil, err
	}
	return &chordv1.FetchResponse{Found: foundToProto(found)}, nil
}

func (r replicaService) Digest(ctx context.Context, m *chordv1.DigestRequest) (*chordv1.DigestResponse, error) {
	p, err := r.s.process()
	if err != nil {
		return nil, err
	}
	arcs, err := arcsFromProto("arcs", m.GetArcs())
	if err != nil {
		return nil, invalid(err)
	}
	claims, err := claimsFromProto(m.GetClaims())
	if err != nil {
		return nil, invalid(err)
	}
	summaries, err := p.Digest(ctx, arcs, claims)
	if err != nil {
		return nil, err
	}
	return &chordv1.DigestResponse{Summaries: summariesToProto(summaries)}, nil
}

func (r replicaService) Outline(ctx context.Context, m *chordv1.OutlineRequest) (*chordv1.OutlineResponse, error) {
	p, err := r.s.process()
	if err != nil {
		return nil, err
	}
	arcs, detail, err := outlineRequestFromProto(m)
	if err != nil {
		return nil, invalid(err)
	}
	outlines, err := p.Outline(ctx, arcs, detail)
	if err != nil {
		return nil, err
	}
	return outlinesToProto(outlines), nil
}

func (r replicaService) Name(ctx context.Context, m *chordv1.NameRequest) (*chordv1.NameResponse, error) {
	p, err := r.s.process()
	if err != nil {
		return nil, err
	}
	unnamed, err := nameRequestFromProto(m)
	if err != nil {
		return nil, invalid(err)
	}
	entries, err := p.Name(ctx, unnamed)
	if err != nil {
		return nil, err
	}
	return &chordv1.NameResponse{Entries: entriesToProto(entries)}, nil
}

func (r replicaService) Collect(ctx context.Context, m *chordv1.CollectRequest) (*chordv1.CollectResponse, error) {
	p, err := r.s.process()
	if err != nil {
		return nil, err
	}
	entries, err := entriesFromProto(m.GetEntries())
	if err != nil {
		return nil, invalid(err)
	}
	if err := p.Collect(ctx, entries); err != nil {
		return nil, err
	}
	return &chordv1.CollectResponse{}, nil
}

func (r replicaService) List(ctx context.Context, m *chordv1.ListRequest) (*chordv1.ListResponse, error) {
	p, err := r.s.process()
	if err != nil {
		return nil, err
	}
	arc, err := arcFromProto("arc", m.GetArc())
	if err != nil {
		return nil, invalid(err)
	}
	if n := len(m.GetFromKey()); n > maxWireKey {
		return nil, invalid(badField("from_key", "%d bytes, want at most %d", n, maxWireKey))
	}
	// A longer list could not be told from the end of the arc if it were cut, and would not fit into a message with the longest keys.
	if n := m.GetLimit(); n < 1 || n > maxPage {
		return nil, invalid(badField("limit", "%d, want 1 to %d", n, maxPage))
	}
	entries, err := p.List(ctx, arc, node.Cursor{Key: m.GetFromKey()}, int(m.GetLimit()))
	if err != nil {
		return nil, err
	}
	return &chordv1.ListResponse{Entries: entriesToProto(entries)}, nil
}
