package ring

// Ref names a node: its place on the circle and the address of the process that hosts it. The identifier is the identity; a
// process that comes back under another address brings its identifiers along.
type Ref struct {
	ID   ID
	Addr string
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

// Group returns the replica group of the keys that the node of this view owns: the first n distinct processes from the node
// clockwise, each by the first of its nodes met. It is shorter than n if the successor list knows fewer processes.
func (v View) Group(n int) []Ref {
	group := make([]Ref, 0, n)
	group = append(group, v.Self)
	for _, s := range v.Succs {
		if len(group) == n {
			break
		}
		if !hostedIn(group, s.Addr) {
			group = append(group, s)
		}
	}
	return group
}

func hostedIn(refs []Ref, addr string) bool {
	for i := range refs {
		if refs[i].Addr == addr {
			return true
		}
	}
	return false
}
