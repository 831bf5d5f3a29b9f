package node

import (
	"encoding/binary"
	"hash/fnv"
	"maps"
	"slices"

	"github.com/chordkv/chord/ring"
)

// Fingerprint folds what the process's nodes will do next into two words, as far as that depends on their own state: shown is what they answer
// others from, the pointers; hidden is what they are at and whom they suspect. Clocks, records and what is remembered for healing are left out. A search
// through the orders in which things can happen tells by it that two orders have led to the same. It takes no locks, so it is
// only for a Runtime that runs one task at a time.
func (p *Process) Fingerprint() (shown, hidden uint64) {
	b := make([]byte, 0, 512)
	b = append(b, byte(p.phase.Load()))
	for _, n := range p.nodes {
		s := n.snap.Load()
		b = appendRefs(b, s.view.Succs, s.view.Pred)
		b = appendRefs(b, n.st.Fingers())
		b = append(b, flag(s.serving), flag(s.settled))
	}
	shown, b = fold(b), b[:0]
	for _, n := range p.nodes {
		b = appendRefs(b, nil, n.candidate)
		b = append(b, flag(n.rectifying), flag(n.repairing.Load()), byte(n.stabilizing.Load()))
	}
	now := p.rt.Now()
	for _, addr := range slices.Sorted(maps.Keys(p.memory.suspects)) {
		if now.Before(p.memory.suspects[addr]) {
			b = append(append(b, addr...), 0)
		}
	}
	return shown, fold(b)
}

func fold(b []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(b)
	return h.Sum64()
}

func appendRefs(b []byte, refs []ring.Ref, more ...ring.Ref) []byte {
	for _, list := range [2][]ring.Ref{more, refs} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, r := range list {
			b = append(append(append(b, r.ID[:]...), r.Addr...), 0) // the zone goes with the address
		}
	}
	return b
}

func flag(on bool) byte {
	if on {
		return 1
	}
	return 0
}
