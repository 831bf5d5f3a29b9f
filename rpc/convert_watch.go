package rpc

import (
	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
)

func storedToProto(s node.Stored) *chordv1.WatchPrefixResponse {
	return &chordv1.WatchPrefixResponse{Entries: entriesToProto(s.Entries), Listed: s.Listed, Around: s.Around}
}

func storedFromProto(m *chordv1.WatchPrefixResponse) (s node.Stored, err error) {
	if s.Entries, err = entriesFromProto(m.GetEntries()); err != nil {
		return node.Stored{}, err
	}
	if err := checkCount("around", len(m.GetAround()), maxItems); err != nil {
		return node.Stored{}, err
	}
	for _, addr := range m.GetAround() {
		if err := checkAddr("around", addr); err != nil {
			return node.Stored{}, err
		}
	}
	s.Listed, s.Around = m.GetListed(), m.GetAround()
	return s, nil
}
