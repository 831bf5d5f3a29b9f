package node

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/chordkv/chord/ring"
)

// departed are processes that did not answer, or are said to be dead, by address. Until Config.Grace is over they may come back with what they have, or are back, and their nodes not in the ring yet: a
// node that is has its place between those that were missed and whoever stood in for them.
type departed []departure

type departure struct {
	addr  string
	nodes []ring.Ref // that were missed, some or all that it has
	until time.Time
}

// maxDeparted bounds the memory of a process, and the time that a question to it takes.
const maxDeparted = 256

func (d departed) find(addr string) (at int, ok bool) {
	return slices.BinarySearchFunc(d, addr, func(one departure, addr string) int { return strings.Compare(one.addr, addr) })
}

// add notes that nodes of one process are missed. If there are too many, those go that have been missed for longest.
func (d *departed) add(nodes []ring.Ref, until time.Time) {
	at, known := d.find(nodes[0].Addr)
	if !known {
		if len(*d) == maxDeparted {
			longest := slices.MinFunc(*d, func(a, b departure) int { return cmp.Or(a.until.Compare(b.until), strings.Compare(a.addr, b.addr)) })
			d.remove(longest.addr)
			at, _ = d.find(nodes[0].Addr)
		}
		*d = slices.Insert(*d, at, departure{addr: nodes[0].Addr})
	}
	one := &(*d)[at]
	one.until = until
	for _, n := range nodes {
		if !slices.Contains(one.nodes, n) {
			one.nodes = append(one.nodes, n)
		}
	}
}

// remove takes a process out.
func (d *departed) remove(addr string) {
	if at, known := d.find(addr); known {
		*d = slices.Delete(*d, at, at+1)
	}
}

// within returns the nodes in an arc that are missed, and forgets those that have been for long enough.
func (d *departed) within(arc ring.Arc, now time.Time) (nodes []ring.Ref) {
	*d = slices.DeleteFunc(*d, func(one departure) bool { return !now.Before(one.until) })
	for _, one := range *d {
		for _, n := range one.nodes {
			if arc.Contains(n.ID) {
				nodes = append(nodes, n)
			}
		}
	}
	return nodes
}
