// Package ring is the pure core of Chord: identifiers and arcs, one node's view of the ring, and every decision about it
// (adopt, drop, rectify, route, who holds a key).
//
// Nothing here waits, asks the time, draws a random number, locks or starts a goroutine. What a node learned from another
// goes in as a [View], what it decides comes out as a changed [State] or a [Step]. That is why the same code can be searched
// exhaustively in a test, simulated a million nodes at a time, and shipped.
//
// The protocol is the corrected one of Pamela Zave, "Reasoning about identifier spaces: How to make Chord correct" (IEEE TSE
// 43(12), 2017), below cited as [Zave]; names that she does not use are those of Stoica et al., "Chord: a scalable
// peer-to-peer lookup protocol for Internet applications" (IEEE/ACM ToN 11(1), 2003), below [ToN].
package ring
