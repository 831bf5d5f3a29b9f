package ring

// mutant is one safeguard of State that the tests of the tests take away: a check that does not notice is no check. In a build
// without the tag `mutants` every question whether one is on is the constant false, and nothing of it is left.
type mutant uint8

const (
	_ mutant = iota
	// mutantAdoptAny: AdoptSuccessor sets what it is given, instead of comparing first.
	mutantAdoptAny
	// mutantDropAny: DropSuccessor drops the first successor, whoever was found dead.
	mutantDropAny
	// mutantAdoptBare: a successor is adopted without its list.
	mutantAdoptBare
	// mutantJoinAnywhere: a node joins behind any member.
	mutantJoinAnywhere
	// mutantPredecessorAny: AdoptPredecessor adopts one that is farther, too.
	mutantPredecessorAny
	// mutantPredecessorUnset: a dead predecessor is forgotten instead of replaced.
	mutantPredecessorUnset
	// mutantPredecessorKept: a dead predecessor is never replaced.
	mutantPredecessorKept
)
