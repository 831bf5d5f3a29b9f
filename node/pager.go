package node

import (
	"bytes"

	"github.com/chordkv/chord/ring"
)

// pager reads a list of entries page by page.
type pager struct {
	page    func(from Cursor, limit int) ([]Entry, error)
	limit   int
	entries []Entry
	from    Cursor
	last    bool // there is no page after entries
	err     error
}

// fill makes sure that there is an entry unless the list is at its end; it reports false on an error.
func (g *pager) fill() bool {
	if len(g.entries) > 0 || g.last {
		return true
	}
	if g.entries, g.err = g.page(g.from, g.limit); g.err != nil {
		return false
	}
	g.last = len(g.entries) < g.limit
	if n := len(g.entries); n > 0 {
		g.from = Cursor{Key: g.entries[n-1].Key}
	}
	return true
}

func (g *pager) done() bool { return len(g.entries) == 0 && g.last }

func (g *pager) pop() Entry {
	e := g.entries[0]
	g.entries = g.entries[1:]
	return e
}

// inRingOrder compares the next entries of two lists by their place in the arc, then by key; a list at its end comes last.
func inRingOrder(arc ring.Arc, a, b *pager) int {
	switch {
	case a.done():
		return +1
	case b.done():
		return -1
	}
	x, y := a.entries[0].Key, b.entries[0].Key
	if bytes.Equal(x, y) {
		return 0
	}
	// The place in the arc is the distance behind its start; After itself, possible in the full arc only, comes last.
	start := arc.After.Next()
	if c := ring.Distance(start, ring.Hash(x)).Compare(ring.Distance(start, ring.Hash(y))); c != 0 {
		return c
	}
	return bytes.Compare(x, y)
}
