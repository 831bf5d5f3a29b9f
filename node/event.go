package node

import (
	"time"

	"github.com/chordkv/chord/ring"
)

// Events are the facts that a Process reports. Every field may be nil. The functions are called on the process's own tasks and
// must return soon; they must not call the process.
type Events struct {
	// Joined: a node has its place in the ring and serves its arc.
	Joined func(n ring.Ref)
	// NeighborsChanged: the arc or the replica group of a node changed.
	NeighborsChanged func(old, new ring.View)
	// PeerFailed: a ring call to a node failed in a way that makes it count as dead.
	PeerFailed func(peer ring.Ref, err error)
	// Suspended: another node has claimed a part of a node's arc, or does not know that the node has it, so that this one takes no writes and reads nothing by quorum until its
	// heir, whose it would be, gives way or the ring has closed.
	Suspended func(n, heir ring.Ref)
	// Held: stand-ins for replicas that are missed lack copies, and are not given them for so long, because who has them may come back. But for that the arc is settled.
	Held func(n ring.Ref, arc ring.Arc, left time.Duration)
	// Settled: all replicas of a node's arc agree again after a change of arc or group.
	Settled func(n ring.Ref, arc ring.Arc, group []ring.Ref, took time.Duration)
	// Reconciled: a comparison of an arc with a replica is done: records sent and received, and the error that ended it.
	Reconciled func(n ring.Ref, peer ring.Ref, sent, received int, err error)
	// Moved: a batch of records, of so many bytes, was sent to a peer or received from it, because a comparison found that one side lacked them.
	Moved func(peer ring.Ref, sent, received, bytes int)
	// Dropped: records that belong elsewhere were confirmed there and removed here.
	Dropped func(arc ring.Arc, records int)
	// Expired: this many records have become tombstones, because their time is over.
	Expired func(records int)
	// Collected: the replicas of a node's arc have forgotten this many deletes.
	Collected func(n ring.Ref, tombstones int)
	// Stale: the ring went on without the process for so long that its records may be ones that are deleted. It has to stop, and may come back without them.
	// The error wraps ErrStale. It is reported again as long as the process does not stop.
	Stale func(err error)
	// Violation: a cheap check of the own state failed (ring.State.Check). A bug or a hostile peer.
	Violation func(n ring.Ref, err error)
	// Standing: by what the process hears, it is in the minority of its cluster now, or not any more.
	Standing func(s Standing)
	// ClockAhead: a version from a peer was refused because it lies this far ahead of the own clock.
	ClockAhead func(ahead time.Duration)
}
