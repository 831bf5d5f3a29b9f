package ring

import (
	"fmt"
	"slices"
	"sort"
)

// Property names a predicate over the views of all live members at one moment, as [Zave] sections V and VI name it. ESL stands for
// a member followed by its successor list, the best successor of a member is the first live entry of its list, and a principal
// is a member that no adjacent pair of any ESL skips.
type Property string

// The inductive invariant of [Zave] is OneLiveSuccessor and SufficientPrincipals; it implies the others, but Ideal, which is what
// the ring comes to when nodes stop joining and failing.
const (
	// OneLiveSuccessor: every member's list has a live entry.
	OneLiveSuccessor Property = "OneLiveSuccessor"
	// SufficientPrincipals: there are at least r+1 principals. A ring of fewer members cannot have it.
	SufficientPrincipals Property = "SufficientPrincipals"
	// NoDuplicates: the entries of every ESL are distinct.
	NoDuplicates Property = "NoDuplicates"
	// OrderedSuccessorLists: any three entries of an ESL, in their order, are in clockwise order.
	OrderedSuccessorLists Property = "OrderedSuccessorLists"
	// AtLeastOneRing: some member reaches itself through best successors; those that do are the ring members.
	AtLeastOneRing Property = "AtLeastOneRing"
	// AtMostOneRing: all ring members reach each other.
	AtMostOneRing Property = "AtMostOneRing"
	// OrderedRing: no ring member lies between another and its best successor.
	OrderedRing Property = "OrderedRing"
	// PrincipalsInRing: all principals are ring members.
	PrincipalsInRing Property = "PrincipalsInRing"
	// ConnectedAppendages: all members reach a ring member.
	ConnectedAppendages Property = "ConnectedAppendages"
	// Ideal: every pointer is what NewState and State.Ideal would make it.
	Ideal Property = "Ideal"
	// DistinctMembers: no two members have the same identifier. [Zave] takes it for granted.
	DistinctMembers Property = "DistinctMembers"
)

// Broken reports a property that does not hold, with a witness.
type Broken struct {
	Property Property
	Witness  string
}

// Error shows the property and the witness.
func (b Broken) Error() string { return string(b.Property) + ": " + b.Witness }

// CheckRing evaluates all properties of [Zave] but Ideal over the views of all live members at one moment, and returns those that are
// broken, at most one witness each, in the order of the constants. r is the length of a full successor list.
//
// Three readings are ours. A list may be shorter than r, and a member with an empty one is its own best successor: a ring of fewer
// than r+1 members, which [Zave] excludes, needs that; it never has SufficientPrincipals, and while it grows PrincipalsInRing may not
// hold. An entry is live if a member has both its identifier and its address; one with another address stands for a dead node just
// behind the member, and so skips it.
//
// It sorts once, unless the views come sorted by identifier, and then takes O(N r) steps for N members while the lists are in
// order and few of their entries are dead.
func CheckRing(views []View, r int) []Broken {
	s := newSnapshot(views)
	if b := s.distinctMembers(); b != nil {
		return b // all else would be about an ambiguous ring
	}
	s.readLists()
	s.findRings()
	var broken []Broken
	broken = append(broken, s.oneLiveSuccessor()...)
	broken = append(broken, s.sufficientPrincipals(r)...)
	broken = append(broken, s.lists()...)
	broken = append(broken, s.rings()...)
	broken = append(broken, s.principalsInRing()...)
	return append(broken, s.connectedAppendages()...)
}

// CheckIdeal returns nil if every member's predecessor and successor list, of full length r or all other members, are right, else
// a Broken with a witness.
func CheckIdeal(views []View, r int) error {
	s := newSnapshot(views)
	if b := s.distinctMembers(); b != nil {
		return b[0]
	}
	n := len(s.ids)
	for p := range n {
		v := s.at(p)
		if want := s.at((p + n - 1) % n).Self; v.Pred != want {
			return Broken{Ideal, fmt.Sprintf("the predecessor of %s is %s, should be %s", v.Self, v.Pred, want)}
		}
		if got, want := len(v.Succs), min(r, n-1); got != want {
			return Broken{Ideal, fmt.Sprintf("%s has %d successors, should have %d", v.Self, got, want)}
		}
		for k, e := range v.Succs {
			if want := s.at((p + k + 1) % n).Self; e != want {
				return Broken{Ideal, fmt.Sprintf("successor %d of %s is %s, should be %s", k, v.Self, e, want)}
			}
		}
	}
	return nil
}

// snapshot holds the views sorted by identifier; a member is denoted by its rank in that order.
type snapshot struct {
	views []View
	order []int32 // of views, by identifier
	ids   []ID    // sorted

	skips []int32 // how many adjacent pairs of any ESL skip the member
	best  []int32 // its best successor, or none
	fate  []int32 // the ring that it reaches through best successors: its first member found, or none
	ring  []bool  // it is a ring member
}

const (
	none      = -1
	undecided = -2
	onPath    = -3
)

func newSnapshot(views []View) *snapshot {
	s := &snapshot{views: views, order: make([]int32, len(views)), ids: make([]ID, len(views))}
	for i := range s.order {
		s.order[i] = int32(i)
	}
	byID := func(i, j int32) int { return views[i].Self.ID.Compare(views[j].Self.ID) }
	if !slices.IsSortedFunc(s.order, byID) {
		slices.SortFunc(s.order, byID)
	}
	for p, i := range s.order {
		s.ids[p] = views[i].Self.ID
	}
	return s
}

func (s *snapshot) at(p int) *View { return &s.views[s.order[p]] }

func (s *snapshot) name(p int32) Ref { return s.at(int(p)).Self }

// lowerBound returns the number of members below id. It looks at hint, and at 0, before it searches: the entries of a list
// follow each other on the circle.
func (s *snapshot) lowerBound(id ID, hint int) int {
	n := len(s.ids)
	for _, h := range [3]int{hint, hint + 1, 0} {
		if h <= n && (h == 0 || s.ids[h-1].Less(id)) && (h == n || !s.ids[h].Less(id)) {
			return h
		}
	}
	return sort.Search(n, func(i int) bool { return !s.ids[i].Less(id) })
}

func (s *snapshot) distinctMembers() []Broken {
	for p := 1; p < len(s.ids); p++ {
		if s.ids[p] == s.ids[p-1] {
			return []Broken{{DistinctMembers, fmt.Sprintf("%s and %s", s.at(p-1).Self, s.at(p).Self)}}
		}
	}
	return nil
}

// readLists finds the best successors and counts the skips. An adjacent pair of an ESL skips a whole range of ranks, so it is
// entered at the two ends of the range only, and the sums over these differences are the counts.
func (s *snapshot) readLists() {
	n := len(s.ids)
	diff := make([]int32, n+1)
	s.best = make([]int32, n)
	for p := range n {
		v := s.at(p)
		s.best[p] = none
		if len(v.Succs) == 0 {
			s.best[p] = int32(p)
		}
		last, after := v.Self.ID, p+1 // after: the first member behind last
		for i := range v.Succs {
			e := &v.Succs[i]
			at := s.lowerBound(e.ID, after)
			if last.Less(e.ID) {
				diff[after]++
				diff[at]--
			} else { // from last up to the top, and from 0 up to e
				diff[after]++
				diff[n]--
				diff[0]++
				diff[at]--
			}
			last, after = e.ID, at
			if at == n || s.ids[at] != e.ID {
				continue
			}
			after++
			switch {
			case s.at(at).Self.Addr != e.Addr:
				diff[at]++
				diff[at+1]--
			case s.best[p] == none:
				s.best[p] = int32(at)
			}
		}
	}
	s.skips = diff[:n]
	for p := 1; p < n; p++ {
		s.skips[p] += s.skips[p-1]
	}
}

// findRings follows the best successors from every member until it meets a member whose fate is known, the path itself, which
// closes a ring, or a member without a best successor.
func (s *snapshot) findRings() {
	n := len(s.ids)
	s.fate, s.ring = make([]int32, n), make([]bool, n)
	for p := range s.fate {
		s.fate[p] = undecided
	}
	for start := range s.fate {
		p := int32(start)
		for p != none && s.fate[p] == undecided {
			s.fate[p] = onPath
			p = s.best[p]
		}
		fate := int32(none)
		switch {
		case p == none:
		case s.fate[p] != onPath:
			fate = s.fate[p]
		default:
			fate = p
			for q := p; !s.ring[q]; q = s.best[q] {
				s.ring[q] = true
			}
		}
		for q := int32(start); q != none && s.fate[q] == onPath; q = s.best[q] {
			s.fate[q] = fate
		}
	}
}

func (s *snapshot) oneLiveSuccessor() []Broken {
	for p, b := range s.best {
		if b == none {
			return []Broken{{OneLiveSuccessor, fmt.Sprintf("all of %s's successors %v are dead", s.at(p).Self, s.at(p).Succs)}}
		}
	}
	return nil
}

func (s *snapshot) sufficientPrincipals(r int) []Broken {
	principals, skipped := 0, none
	for p, k := range s.skips {
		if k == 0 {
			principals++
		} else if skipped == none {
			skipped = p
		}
	}
	switch {
	case principals > r:
		return nil
	case skipped == none:
		return []Broken{{SufficientPrincipals, fmt.Sprintf("%d, all members, should be %d", principals, r+1)}}
	}
	return []Broken{{SufficientPrincipals, fmt.Sprintf("%d, should be %d; %s is skipped", principals, r+1, s.at(skipped).Self)}}
}

// lists checks NoDuplicates and OrderedSuccessorLists. Entries whose distances from the member grow strictly are both distinct
// and in order; only lists that fail this are looked at more closely.
func (s *snapshot) lists() []Broken {
	var duplicates, disorder []Broken
	for p := range s.ids {
		v := s.at(p)
		if clockwise(v.Self.ID, v.Succs) {
			continue
		}
		if duplicates == nil && hasDuplicates(v) {
			duplicates = []Broken{{NoDuplicates, fmt.Sprintf("%s has the list %v", v.Self, v.Succs)}}
		}
		// In order, but not strictly, is only a list that comes round to the member with its last entry.
		k := len(v.Succs)
		wraps := k >= 2 && v.Succs[k-1].ID == v.Self.ID && clockwise(v.Self.ID, v.Succs[:k-1])
		if disorder == nil && k >= 2 && !wraps {
			disorder = []Broken{{OrderedSuccessorLists, fmt.Sprintf("%s has the list %v", v.Self, v.Succs)}}
		}
		if duplicates != nil && disorder != nil {
			break
		}
	}
	return append(duplicates, disorder...)
}

// clockwise reports whether the entries follow self and each other clockwise, all before the circle closes.
func clockwise(self ID, list []Ref) bool {
	last := self
	for i := range list {
		if !Between(last, list[i].ID, self) {
			return false
		}
		last = list[i].ID
	}
	return true
}

func hasDuplicates(v *View) bool {
	for i := range v.Succs {
		id := v.Succs[i].ID
		if id == v.Self.ID || slices.ContainsFunc(v.Succs[:i], func(e Ref) bool { return e.ID == id }) {
			return true
		}
	}
	return false
}

func (s *snapshot) rings() []Broken {
	var broken []Broken
	first := int32(slices.Index(s.ring, true))
	if first == none {
		return []Broken{{AtLeastOneRing, fmt.Sprintf("none among %d members", len(s.ids))}}
	}
	for p, in := range s.ring {
		if in && s.fate[p] != s.fate[first] {
			broken = append(broken, Broken{AtMostOneRing, fmt.Sprintf("%s and %s are on different rings", s.name(first), s.at(p).Self)})
			break
		}
	}
	// The next ring member behind p is its best successor: as ring members are distinct, it suffices to know it for each.
	next := first // behind the last rank the circle goes on with the first
	for p := int32(len(s.ring)) - 1; p >= 0; p-- {
		if !s.ring[p] {
			continue
		}
		if s.best[p] != next {
			return append(broken, Broken{OrderedRing, fmt.Sprintf("%s lies between %s and its best successor %s",
				s.name(next), s.name(p), s.name(s.best[p]))})
		}
		next = p
	}
	return broken
}

func (s *snapshot) principalsInRing() []Broken {
	for p, k := range s.skips {
		if k == 0 && !s.ring[p] {
			return []Broken{{PrincipalsInRing, fmt.Sprintf("no list skips %s, but it is not on a ring", s.at(p).Self)}}
		}
	}
	return nil
}

func (s *snapshot) connectedAppendages() []Broken {
	for p, f := range s.fate {
		if f == none {
			return []Broken{{ConnectedAppendages, fmt.Sprintf("%s does not reach a ring", s.at(p).Self)}}
		}
	}
	return nil
}
