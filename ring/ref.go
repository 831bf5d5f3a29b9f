package ring

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// Ref names a node: its place on the circle, and of the process that hosts it, zone and address. The identifier is the identity; a
// process that comes back under another address brings its identifiers along.
type Ref struct {
	ID   ID
	Zone Zone // in the room between the two others: a Ref has 40 bytes with it or without
	Addr string
}

// Zone stands for the name of what fails as a whole: a rack, a data center, a region. Zero is that of processes that were not told theirs.
type Zone uint32

// ZoneOf returns the zone of a name: the first 32 bits of its SHA-256, zero for the empty one.
func ZoneOf(name string) Zone {
	if name == "" {
		return 0
	}
	sum := sha256.Sum256([]byte(name))
	return Zone(binary.BigEndian.Uint32(sum[:]))
}

// IsZero reports whether r names no node.
func (r Ref) IsZero() bool { return r == Ref{} }

// String shows the shortened identifier and the address.
func (r Ref) String() string { return r.ID.Short() + "@" + r.Addr }

// View is what a node tells others about itself in one atomic answer: the proof of [Zave] needs predecessor and successor
// list read together.
type View struct {
	Self  Ref
	Pred  Ref   // Self only while the node is alone
	Succs []Ref // clockwise, nearest first, without Self; empty while the node is alone
}

// Arc returns what the node owns: (predecessor, self].
func (v View) Arc() Arc { return Arc{After: v.Pred.ID, Through: v.Self.ID} }

// Group returns the replica group of the keys that the node of this view owns: n distinct processes, each by the first of its nodes met from
// the node clockwise. They are spread over the zones as evenly as the view allows: first the nearest process of every zone, then the second
// nearest, and so on; where all are in one zone, these are the n nearest. It is shorter than n if the view knows fewer processes. The group of m < n is
// the beginning of that of n.
func (v View) Group(n int) []Ref {
	return v.pick(n, nil)
}

// Candidates returns the group that there would be without the given processes and, behind it, the group that there would be without that one either: up to
// 2n processes, among them all that were in the group until one process came or went.
func (v View) Candidates(n int, without ...Ref) []Ref {
	group := v.pick(n, without)
	return append(group, v.pick(n, slices.Concat(without, group))...)
}

// pick returns the group of n among the processes that are not in without.
func (v View) pick(n int, without []Ref) []Ref {
	group := make([]Ref, 0, n)
	for each, before := 1, -1; len(group) < n && len(group) > before; each++ { // so many of each zone, until a turn adds nobody
		before = len(group)
		for i := -1; i < len(v.Succs) && len(group) < n; i++ {
			r := v.Self
			if i >= 0 {
				r = v.Succs[i]
			}
			if inZone(group, r.Zone) < each && !hostedIn(group, r.Addr) && !hostedIn(without, r.Addr) {
				group = append(group, r)
			}
		}
	}
	return group
}

func inZone(refs []Ref, z Zone) (n int) {
	for i := range refs {
		if refs[i].Zone == z {
			n++
		}
	}
	return n
}

func hostedIn(refs []Ref, addr string) bool {
	for i := range refs {
		if refs[i].Addr == addr {
			return true
		}
	}
	return false
}
