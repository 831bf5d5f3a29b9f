package node

// mutant is one safeguard of a Process that the tests of the tests take away: a check that does not notice is no check. In a build
// without the tag `mutants` every question whether one is on is the constant false, and nothing of it is left. Those of the ring's own
// decisions are in package ring.
type mutant uint8

const (
	_ mutant = iota
	// mutantAdoptUnasked: stabilize adopts a closer successor without asking whether it is alive, as [ToN] does.
	mutantAdoptUnasked
	// mutantRoundsOverlap: a node runs several rounds of stabilization at a time.
	mutantRoundsOverlap
	// mutantJoinFar: a node joins behind the predecessor of its successor, whoever came between.
	mutantJoinFar
	// mutantServeEarly: a node answers for its arc before its successor has accepted it.
	mutantServeEarly
	// mutantAvoidNone: a lookup does not remember who did not answer.
	mutantAvoidNone
	// mutantHealNever: a process does not look for other rings.
	mutantHealNever
	// mutantAckEarly: a write is acknowledged when W-1 replicas have it.
	mutantAckEarly
	// mutantAckOwnLate: a write is acknowledged by W replicas without waiting for the owner's store.
	mutantAckOwnLate
	// mutantAckOvertaken: a write counts as stored where another process's newer version is.
	mutantAckOvertaken
	// mutantVersionBelow: a version is given without looking at what is stored, or was given in an earlier run: either is enough for versions of one's own.
	mutantVersionBelow
	// mutantRetryAnew: a repeated request is executed as a new one.
	mutantRetryAnew
	// mutantReadNarrow: a read of an arc that is not settled asks R replicas.
	mutantReadNarrow
	// mutantReadUnrepaired: a read does not give the newest answer to the replicas that lack it.
	mutantReadUnrepaired
	// mutantVouchBlindly: an owner vouches for replicas that are not its own, or have not been compared since the last change.
	mutantVouchBlindly
	// mutantDenyEarly: a ring that gathers again denies what it has not found yet.
	mutantDenyEarly
	// mutantRepairNever: an arc counts as settled without a comparison of its replicas.
	mutantRepairNever
	// mutantRepairOneWay: an owner sends its replicas what they lack, and does not fetch what it lacks itself.
	mutantRepairOneWay
	// mutantSweepUnconfirmed: records that belong elsewhere are dropped although not everybody there has confirmed them.
	mutantSweepUnconfirmed
	// mutantSweepUnpinned: records are dropped although somebody else relies on them.
	mutantSweepUnpinned
	// mutantTombstoneEarly: a replica forgets a delete as soon as it has stored it.
	mutantTombstoneEarly
	// mutantMinorityServes: a process that is in the minority takes writes by quorum.
	mutantMinorityServes
	// mutantTombstoneUnconfirmed: an owner has deletes forgotten that not all replicas know of.
	mutantTombstoneUnconfirmed
	// mutantStaleKept: a process that was away for longer than deletes are remembered keeps its records.
	mutantStaleKept
	// mutantHistoryForgotten: an owner does not look at the history that another left.
	mutantHistoryForgotten
	// mutantExpiryIgnored: a read takes what has expired for what it was, until its value is taken out of the store.
	mutantExpiryIgnored
	// mutantExpiryLost: what repair sends does not expire.
	mutantExpiryLost
	// mutantEpochUnchecked: a replica stores what an owner decides although it knows of a newer one.
	mutantEpochUnchecked
	// mutantLeaveBare: a process leaves without handing over.
	mutantLeaveBare
	// mutantClockForgotten: a process does not remember which versions it has given in an earlier run.
	mutantClockForgotten
)

// forgetDeletes is what mutantTombstoneEarly does.
func (p *Process) forgetDeletes(records []Record) {
	for i := range records {
		if r := &records[i]; r.Tombstone {
			_, _ = p.store.Drop([]Entry{{Key: r.Key, Version: r.Version}})
		}
	}
}
