package rpc

import (
	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

// Arcs in an Outline are blocks, all but a few, and a message can have a thousand: blocks go as numbers of some three bytes.

func blocksToProto(arcs []ring.Arc) (blocks []uint64, rest []*chordv1.Arc) {
	blocks = make([]uint64, len(arcs))
	for i, a := range arcs {
		number, ok := a.Block()
		if !ok {
			rest = append(rest, arcToProto(a))
		}
		blocks[i] = number
	}
	return blocks, rest
}

func blocksFromProto(blocks []uint64, rest []*chordv1.Arc) ([]ring.Arc, error) {
	if err := checkCount("blocks", len(blocks), node.OutlineArcs); err != nil {
		return nil, err
	}
	others, err := arcsFromProto("arcs", rest)
	if err != nil {
		return nil, err
	}
	arcs := make([]ring.Arc, len(blocks))
	for i, number := range blocks {
		switch arc, ok := ring.BlockArc(number); {
		case ok:
			arcs[i] = arc
		case number == 0 && len(others) > 0:
			arcs[i], others = others[0], others[1:]
		default:
			return nil, badField("blocks", "%d is none, and there are %d more arcs", number, len(others))
		}
	}
	if len(others) > 0 {
		return nil, badField("arcs", "%d too many", len(others))
	}
	return arcs, nil
}

func outlineRequestToProto(arcs []ring.Arc, d node.Detail) *chordv1.OutlineRequest {
	blocks, rest := blocksToProto(arcs)
	return &chordv1.OutlineRequest{Blocks: blocks, Arcs: rest, Bits: uint32(d.Bits), Records: uint32(d.Records)}
}

func outlineRequestFromProto(m *chordv1.OutlineRequest) (arcs []ring.Arc, d node.Detail, err error) {
	if arcs, err = blocksFromProto(m.GetBlocks(), m.GetArcs()); err != nil {
		return nil, d, err
	}
	if b := m.GetBits(); b != 2 && b != 4 {
		return nil, d, badField("bits", "%d, want 2 or 4", b)
	}
	// What comes back must fit into a message.
	if n := uint64(m.GetRecords()) * uint64(len(arcs)); n > maxItems || m.GetRecords() < 1 {
		return nil, d, badField("records", "%d for each of %d arcs, want at least 1, and at most %d in all", m.GetRecords(), len(arcs), maxItems)
	}
	return arcs, node.Detail{Bits: int(m.GetBits()), Records: int(m.GetRecords())}, nil
}

func outlinesToProto(outlines []node.Outline) *chordv1.OutlineResponse {
	m := &chordv1.OutlineResponse{Counts: make([]uint32, len(outlines))}
	for i, o := range outlines {
		m.Counts[i] = uint32(len(o.Hashes)) << 1
		if o.Split {
			m.Counts[i]++
		}
		m.Hashes = append(m.Hashes, o.Hashes...)
	}
	return m
}

func outlinesFromProto(m *chordv1.OutlineResponse) ([]node.Outline, error) {
	outlines := make([]node.Outline, len(m.GetCounts()))
	hashes := m.GetHashes()
	for i, count := range m.GetCounts() {
		n := int(count >> 1)
		if n > len(hashes) {
			return nil, badField("counts", "%d hashes, have %d", n, len(hashes))
		}
		outlines[i] = node.Outline{Split: count&1 == 1, Hashes: hashes[:n:n]}
		hashes = hashes[n:]
	}
	if len(hashes) > 0 {
		return nil, badField("hashes", "%d too many", len(hashes))
	}
	return outlines, nil
}

func nameRequestToProto(unnamed []node.Unnamed) *chordv1.NameRequest {
	arcs := make([]ring.Arc, len(unnamed))
	m := &chordv1.NameRequest{Counts: make([]uint32, len(unnamed))}
	for i, u := range unnamed {
		arcs[i], m.Counts[i] = u.Arc, uint32(len(u.Hashes))
		m.Hashes = append(m.Hashes, u.Hashes...)
	}
	m.Blocks, m.Arcs = blocksToProto(arcs)
	return m
}

func nameRequestFromProto(m *chordv1.NameRequest) ([]node.Unnamed, error) {
	arcs, err := blocksFromProto(m.GetBlocks(), m.GetArcs())
	if err != nil {
		return nil, err
	}
	if got := len(m.GetCounts()); got != len(arcs) {
		return nil, badField("counts", "%d, want %d", got, len(arcs))
	}
	hashes := m.GetHashes()
	if err := checkCount("hashes", len(hashes), node.OutlineHashes); err != nil {
		return nil, err
	}
	unnamed := make([]node.Unnamed, len(arcs))
	for i, arc := range arcs {
		n := int(m.Counts[i])
		if n > len(hashes) {
			return nil, badField("counts", "%d hashes, have %d", n, len(hashes))
		}
		unnamed[i] = node.Unnamed{Arc: arc, Hashes: hashes[:n:n]}
		hashes = hashes[n:]
	}
	if len(hashes) > 0 {
		return nil, badField("hashes", "%d too many", len(hashes))
	}
	return unnamed, nil
}
