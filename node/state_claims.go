package node

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/chordkv/chord/ring"
)

// claims are the newest claims to each part of the circle that a process has heard of from others. Whoever only looks takes no lock.
type claims struct {
	highest atomic.Uint64 // epoch, heard of or given
	mu      sync.Mutex
	spans   atomic.Pointer[[]span] // by through; nil: none was ever heard of. Replaced, never changed in place
}

// span is a stretch of the circle that ends at through, and begins behind the one before it.
type span struct {
	through ring.ID
	owner   ring.ID
	epoch   uint64 // 0: nobody is known to claim it
}

// maxSpans bounds the memory of a process that lives long and has many neighbors in that time: the oldest half is forgotten then.
const maxSpans = 1024

// next returns an epoch above all others.
func (c *claims) next() uint64 { return c.highest.Add(1) }

// observe takes in an epoch that another process has given.
func (c *claims) observe(epoch uint64) {
	for {
		if highest := c.highest.Load(); epoch <= highest || c.highest.CompareAndSwap(highest, epoch) {
			return
		}
	}
}

func (c *claims) load() []span {
	if spans := c.spans.Load(); spans != nil {
		return *spans
	}
	return nil
}

// covering returns the number of the span that a place is in; there must be any.
func covering(spans []span, id ring.ID) int {
	i, _ := slices.BinarySearchFunc(spans, id, func(s span, id ring.ID) int { return s.through.Compare(id) })
	return i % len(spans)
}

// known reports whether a claim is the newest to all of its arc, as one that has been taken before usually is.
func (c *claims) known(claim Claim) bool {
	spans := c.load()
	if len(spans) == 0 {
		return false
	}
	i := covering(spans, claim.Arc.Through)
	s, before := &spans[i], &spans[(i+len(spans)-1)%len(spans)]
	return s.through == claim.Arc.Through && s.owner == claim.Arc.Through && s.epoch == claim.Epoch && before.through == claim.Arc.After
}

// at returns the epoch of the newest claim to a place, 0 if none is known.
func (c *claims) at(id ring.ID) uint64 {
	spans := c.load()
	if len(spans) == 0 {
		return 0
	}
	return spans[covering(spans, id)].epoch
}

// above returns the epoch of another owner's newer claim to a place in the arc of a claim, 0 if there is none.
func (c *claims) above(claim Claim, id ring.ID) uint64 {
	spans := c.load()
	if len(spans) == 0 {
		return 0
	}
	s := &spans[covering(spans, id)]
	if owner := claim.Arc.Through; s.owner == owner || !newer(s.epoch, s.owner, claim.Epoch, owner) {
		return 0
	}
	return s.epoch
}

// take takes in a claim where no other owner has a newer one. It returns the newest epoch of those who have, 0 if nobody has.
func (c *claims) take(claim Claim) (newerEpoch uint64) {
	c.observe(claim.Epoch)
	c.mu.Lock()
	defer c.mu.Unlock()
	owner := claim.Arc.Through
	spans := cut(cut(slices.Clone(c.load()), claim.Arc.After), owner)
	for i := range spans {
		s := &spans[i]
		switch {
		case !claim.Arc.Contains(s.through):
		case s.owner != owner && newer(s.epoch, s.owner, claim.Epoch, owner):
			newerEpoch = max(newerEpoch, s.epoch)
		case s.epoch < claim.Epoch || s.owner != owner:
			s.owner, s.epoch = owner, claim.Epoch
		}
	}
	spans = joined(spans)
	if len(spans) > maxSpans {
		spans = joined(forgotten(spans))
	}
	c.spans.Store(&spans)
	return newerEpoch
}

// own takes in the claim of an own node, which nothing that was heard of before is newer than. Who has never heard of any need not remember it either: it is in the node's snapshot.
func (c *claims) own(claim Claim) {
	if c.spans.Load() != nil {
		c.take(claim)
	}
}

// cut makes one span end at a place.
func cut(spans []span, at ring.ID) []span {
	if len(spans) == 0 {
		return []span{{through: at}}
	}
	i, found := slices.BinarySearchFunc(spans, at, func(s span, id ring.ID) int { return s.through.Compare(id) })
	if found {
		return spans
	}
	s := spans[i%len(spans)]
	s.through = at
	return slices.Insert(spans, i, s)
}

// joined makes one span of those in a row that belong together.
func joined(spans []span) []span {
	kept := spans[:0]
	for i, s := range spans {
		if next := spans[(i+1)%len(spans)]; i == len(spans)-1 && len(kept) == 0 || next.owner != s.owner || next.epoch != s.epoch {
			kept = append(kept, s)
		}
	}
	return slices.Clip(kept)
}

// forgotten takes the owners off the older half of the spans.
func forgotten(spans []span) []span {
	epochs := make([]uint64, len(spans))
	for i := range spans {
		epochs[i] = spans[i].epoch
	}
	slices.Sort(epochs)
	for i := range spans {
		if spans[i].epoch <= epochs[len(epochs)/2] {
			spans[i].owner, spans[i].epoch = ring.ID{}, 0
		}
	}
	return spans
}
