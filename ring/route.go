package ring

import "slices"

// Step is a node's answer to "how do I get to this identifier?".
type Step struct {
	// Covered says that the answering node's successor list (or its own arc) covers the identifier: Nodes are its
	// successors, the owner first as far as the node knows. Otherwise Nodes precede the identifier, the closest first.
	Covered bool
	Nodes   []Ref
}

// maxAlternatives bounds the nodes that a step offers: one to go to and some to fall back on if it does not answer.
const maxAlternatives = 4

// Route answers for the identifier x: closest_preceding_node of [ToN] Fig. 5 over fingers and successor list, with the lookup
// ending as soon as the successor list covers x. Nodes for which avoid returns true are left out; avoid may be nil.
//
// Nodes is empty only if every node that the state knows between itself and x, and every one in its successor list from x on,
// is to be avoided: whoever asked has to go back to a node farther from x. The Nodes of a covered step may be a part of the successor list, which
// nobody may change.
func (s *State) Route(x ID, avoid func(ID) bool) Step { return s.RouteNear(x, avoid, nil) }

// RouteNear is Route where, of the nodes that precede x, those come first over which the way takes least by the given toll, instead of the closest to x. A nil toll is
// Route. As each of them is closer to x than the node itself, such a way ends too.
func (s *State) RouteNear(x ID, avoid func(ID) bool, toll Toll) Step {
	if (Arc{After: s.pred.ID, Through: s.self.ID}).Contains(x) {
		return Step{Covered: true, Nodes: appendLive(append(make([]Ref, 0, 1+len(s.succs)), s.self), s.succs, avoid)}
	}
	if len(s.succs) > 0 && (Arc{After: s.self.ID, Through: s.Reach()}).Contains(x) {
		if nodes := live(s.from(x), avoid); len(nodes) > 0 {
			return Step{Covered: true, Nodes: nodes}
		}
	}
	var nodes []Ref
	if toll == nil {
		nodes = s.preceding(x, avoid)
	} else {
		nodes = s.cheapest(x, avoid, toll)
	}
	if len(nodes) == 0 && len(s.succs) == 0 {
		// The node is alone but for a predecessor that it has not adopted as its successor yet, or it has lost all its
		// successors, and then its predecessor knows more.
		return Step{Covered: true, Nodes: append(appendLive(nodes, []Ref{s.pred}, avoid), s.self)}
	}
	return Step{Nodes: nodes}
}

// from returns the successor list from the successor of x on, which is in it.
func (s *State) from(x ID) []Ref {
	i := 0
	for Between(s.self.ID, s.succs[i].ID, x) {
		i++
	}
	return s.succs[i:]
}

// preceding returns up to maxAlternatives nodes strictly between self and x, the closest to x first.
func (s *State) preceding(x ID, avoid func(ID) bool) []Ref {
	nodes := make([]Ref, 0, maxAlternatives)
	for _, table := range [2][]Ref{s.fingers, s.succs} {
		for i := len(table) - 1; i >= 0 && len(nodes) < maxAlternatives; i-- {
			if n := table[i]; Between(s.self.ID, n.ID, x) && (avoid == nil || !avoid(n.ID)) {
				nodes = append(nodes, n)
			}
		}
	}
	return nodes
}

// live returns those of refs that are not to be avoided.
func live(refs []Ref, avoid func(ID) bool) []Ref {
	if avoid == nil {
		return slices.Clip(refs)
	}
	return appendLive(make([]Ref, 0, len(refs)), refs, avoid)
}

// appendLive appends those of refs that are not to be avoided.
func appendLive(nodes, refs []Ref, avoid func(ID) bool) []Ref {
	for _, n := range refs {
		if avoid == nil || !avoid(n.ID) {
			nodes = append(nodes, n)
		}
	}
	return nodes
}
