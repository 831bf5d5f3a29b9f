package node

import "github.com/chordkv/chord/ring"

// How much of an Outline goes into a message.
const (
	OutlineArcs   = 1024
	OutlineHashes = 2048
)

// outline describes what a store has in arcs.
func outline(s Store, arcs []ring.Arc, detail Detail) ([]Outline, error) {
	sums, err := s.Digest(arcs)
	if err != nil {
		return nil, err
	}
	outlines := make([]Outline, len(arcs))
	var parts []ring.Arc
	for i, arc := range arcs {
		o := &outlines[i]
		if sums[i].Count > uint64(detail.Records) {
			o.Split = true
			split := arc.Split(detail.Bits)
			o.Hashes = make([]uint64, len(split))
			parts = append(parts, split...)
			continue
		}
		entries, err := s.List(arc, Cursor{}, detail.Records)
		if err != nil {
			return nil, err
		}
		o.Hashes = make([]uint64, len(entries))
		for j, e := range entries {
			o.Hashes[j] = e.Hash
		}
	}
	if sums, err = s.Digest(parts); err != nil {
		return nil, err
	}
	for _, o := range outlines {
		if o.Split {
			for j := range o.Hashes {
				o.Hashes[j] = sums[j].Hash
			}
			sums = sums[len(o.Hashes):]
		}
	}
	return outlines, nil
}

// detailFor returns how far to go into so many arcs. Few arcs are split into many parts and outlined early: what counts then is the number of round
// trips. Of many, each byte counts: splitting in four finds a difference with fewer than splitting in sixteen.
func detailFor(arcs int) Detail {
	d := Detail{Bits: 2, Records: min(max(OutlineHashes/arcs, leafRecords), 256)}
	if arcs <= 64 {
		d.Bits = 4
	}
	return d
}

// leafRecords is the number of records up to which naming them all by hash is less than splitting on.
const leafRecords = 8
