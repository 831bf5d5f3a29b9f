package node

import (
	"slices"

	"github.com/chordkv/chord/ring"
)

// maxKnown is how many addresses of other processes are remembered: healing needs a few.
const maxKnown = 64

// withAddrs adds the addresses of refs but the own one to a list, those seen lately in its second half, and forgets the oldest if there are too
// many. It returns the same list if that has them there already, else another.
func withAddrs(known []string, refs []ring.Ref, own string) []string {
	fresh, i := false, -1
	for _, r := range refs {
		if next := i + 1; next < len(known) && known[next] == r.Addr {
			i = next // in the same order as last time, as most of a successor list is
		} else {
			i = lastIndex(known, r.Addr)
		}
		if r.Addr == own || i >= 0 && i >= len(known)-maxKnown/2 {
			continue
		}
		if !fresh {
			known, fresh = append(make([]string, 0, min(len(known)+len(refs), maxKnown)), known...), true
		}
		if i < 0 && len(known) == maxKnown {
			i = 0
		}
		if i >= 0 {
			known = slices.Delete(known, i, i+1)
			i--
		}
		known = append(known, r.Addr)
	}
	return known
}

// lastIndex is slices.Index from behind, where those stand that were seen lately.
func lastIndex(addrs []string, addr string) int {
	for i, a := range slices.Backward(addrs) {
		if a == addr {
			return i
		}
	}
	return -1
}
