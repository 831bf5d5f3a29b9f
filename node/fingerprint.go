package node

import (
	"encoding/binary"
	"maps"
	"math/bits"
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
		b = appendRef(b, s.view.Pred)
		b = appendRefs(b, s.view.Succs)
		b = appendRefs(b, n.st.Fingers())
		b = append(b, flag(s.serving), flag(s.settled), flag(s.outage != nil))
	}
	shown, b = fold(b), b[:0]
	for _, n := range p.nodes {
		b = appendRef(b, n.candidate)
		b = append(b, flag(n.rectifying), flag(n.repairing.Load()), byte(n.stabilizing.Load()))
	}
	if len(p.memory.suspects) > 0 { // hardly ever, and what follows takes longer than all before
		now := p.rt.Now()
		for _, addr := range slices.Sorted(maps.Keys(p.memory.suspects)) {
			if now.Before(p.memory.suspects[addr]) {
				b = append(append(b, addr...), 0)
			}
		}
	}
	return shown, fold(b)
}

// fold takes a word at a time: a search folds every step twice. Any change of a word changes what follows, by a bijection.
func fold(b []byte) uint64 {
	const odd = 0x9e3779b97f4a7c15
	h := uint64(len(b))
	mix := func(word uint64) { h = bits.RotateLeft64((h^word)*odd, 29) * odd }
	for ; len(b) >= 8; b = b[8:] {
		mix(binary.LittleEndian.Uint64(b))
	}
	var rest [8]byte
	copy(rest[:], b)
	mix(binary.LittleEndian.Uint64(rest[:]))
	return h
}

func appendRefs(b []byte, refs []ring.Ref) []byte {
	b = binary.AppendUvarint(b, uint64(len(refs)))
	for i := range refs {
		b = appendRef(b, refs[i])
	}
	return b
}

func appendRef(b []byte, r ring.Ref) []byte {
	return append(append(append(b, r.ID[:]...), r.Addr...), 0) // the zone goes with the address
}

func flag(on bool) byte {
	if on {
		return 1
	}
	return 0
}
