package node

import (
	"slices"

	"github.com/chordkv/chord/ring"
)

// roster is the nodes of the processes that are said to be alive but the own one, by identifier. Where it is the whole ring, as gossip makes it, a lookup asks
// the owner at once [Gupta, Liskov, Rodrigues, NSDI 2004]; where it is a part, its nodes are more fingers. It is as wrong as what others say: a
// lookup ends only at a node that says itself that it is the owner.
type roster struct {
	nodes   []ring.Ref
	outside int // nodes for which there was no room, and that have not died since; too many if they were heard of twice, and too few if their death was
}

// rosterAnswer is how many nodes a question to the roster names: one, and some to fall back on.
const rosterAnswer = 4

// find returns where the node with an identifier is, or would be.
func (r *roster) find(id ring.ID) (at int, found bool) {
	return slices.BinarySearchFunc(r.nodes, id, func(n ring.Ref, id ring.ID) int { return n.ID.Compare(id) })
}

// add takes in the nodes of a process while there is room for more. One that is there already may have another address.
func (r *roster) add(nodes []ring.Ref, room int) {
	for _, n := range nodes {
		at, found := r.find(n.ID)
		switch {
		case found:
			r.nodes[at] = n
		case len(r.nodes) < room:
			r.nodes = slices.Insert(r.nodes, at, n)
		default:
			r.outside++
		}
	}
}

// drop removes nodes, unless they are said to be at another address by now.
func (r *roster) drop(nodes []ring.Ref) {
	for _, n := range nodes {
		switch at, found := r.find(n.ID); {
		case !found:
			r.outside = max(0, r.outside-1)
		case r.nodes[at] == n:
			r.nodes = slices.Delete(r.nodes, at, at+1)
		}
	}
}

// owners returns the node that owns id and those after it, if nobody is missing in the roster: none if somebody is known to be.
func (r *roster) owners(id ring.ID) []ring.Ref { return r.following(id, rosterAnswer) }

// following is owners for so many nodes.
func (r *roster) following(id ring.ID, n int) []ring.Ref {
	if r.outside > 0 {
		return nil
	}
	at, _ := r.find(id)
	return r.from(at, 1, n)
}

// preceding returns the nodes before id, the closest first.
func (r *roster) preceding(id ring.ID) []ring.Ref {
	at, _ := r.find(id)
	return r.from(at-1, -1, rosterAnswer)
}

// within returns the first nodes in an arc.
func (r *roster) within(arc ring.Arc) (nodes []ring.Ref) {
	const most = 64
	at, _ := r.find(arc.After.Next())
	for len(nodes) < min(len(r.nodes), most) {
		n := r.nodes[(at+len(nodes))%len(r.nodes)]
		if !arc.Contains(n.ID) {
			break
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// from returns n nodes from a place on, clockwise or against.
func (r *roster) from(at, direction, n int) []ring.Ref {
	size := len(r.nodes)
	nodes := make([]ring.Ref, min(size, n))
	for i := range nodes {
		nodes[i] = r.nodes[(at+i*direction+size)%size]
	}
	return nodes
}
