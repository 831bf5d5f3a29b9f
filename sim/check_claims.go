package sim

import (
	"fmt"
	"slices"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// heeded is what a process has accepted from the owners of arcs: the last claim of each.
type heeded struct {
	by     *node.Process // it forgets them when it ends
	claims []node.Claim
	heard  map[ring.ID]uint64 // the newest epoch of each owner, also of what was refused: a claim that is disputed in part counts for the rest
}

// heed checks that a process does not do what one owner says after it has heard that another owns a part of the arc since.
func (c *Checker) heed(h *Host, claims []node.Claim, records []node.Record, err error) {
	if !c.checks.Data {
		return
	}
	k := &c.hosts[h.Number()].heeded
	if k.by != h.Process() {
		*k = heeded{by: h.Process(), heard: make(map[ring.ID]uint64)}
	}
	for _, claim := range claims {
		owner := claim.Arc.Through
		epoch := max(claim.Epoch, k.heard[owner]) // what an owner said before it renewed its claim may come late
		k.heard[owner] = epoch
		if err != nil {
			continue
		}
		last := slices.IndexFunc(k.claims, func(other node.Claim) bool { return other.Arc.Through == owner })
		for _, other := range k.claims {
			if other.Arc.Through != owner && other.Epoch > epoch && concerned(other.Arc, claim.Arc, records) {
				c.report(CheckEpoch, fmt.Sprintf("%s does what %s says as the owner of %v since epoch %d, though it has heard that %s owns %v since %d",
					addrOf(h.Number()), owner.Short(), claim.Arc, claim.Epoch, other.Arc.Through.Short(), other.Arc, other.Epoch), h.Number())
				return
			}
		}
		switch {
		case last < 0:
			k.claims = append(k.claims, claim)
		case k.claims[last].Epoch < claim.Epoch:
			k.claims[last] = claim
		}
	}
}

// concerned reports whether an arc that somebody else owns has a part of what an owner speaks of: the records in its arc, or all of that if there are none.
func concerned(other, arc ring.Arc, records []node.Record) bool {
	if len(records) == 0 {
		return len(other.Overlap(arc)) > 0
	}
	return slices.ContainsFunc(records, func(r node.Record) bool { return arc.Contains(r.ID()) && other.Contains(r.ID()) })
}
