// Package store keeps the records of a process: [Memory] and [Pebble] implement node.Store, [Dir] is the data directory around
// the latter.
//
// Both stores order records by (ring.Hash(key), key), so that an arc of the ring is one contiguous range, or two where it passes
// identifier 0. Both give the same [EntryHash] sums for the same records, which replicas of different kinds compare over the wire.
//
// Both keep a tree of these sums over the circle, so that a digest reads only what an arc has of two leaves of it. That of a Pebble is in memory,
// with a checkpoint and a journal on disk.
//
// # What is durable when
//
// With SyncAlways, Apply and Drop of a Pebble return only when everything that their answer leans on has been synced:
//
//   - What they wrote themselves: they wait for their own commit. The write-ahead log is one sequence, and a synced commit has
//     all earlier ones before it, also across a change of log files, as Pebble closes (and so syncs) a log before it opens the next.
//   - What they found: "superseded by a newer version" is a promise too, because its caller stops sending the older one. The
//     version found may be another caller's commit, visible already and not synced yet. Commits are counted per lock stripe
//     until they are synced; if such a count is not zero, the caller commits an empty record and waits for that, which by the
//     first point has the version it leans on before it.
//
// The decision which version wins and the commit of the winner are made under the lock of the key's stripe, the wait for the
// disk outside it. Of two concurrent Apply calls for a key the later one therefore sees the commit of the earlier one, and
// commits get their places in the log in that order: neither live nor after a crash can an older version replace a newer one.
//
// Get does not wait: it can show a version whose writer is still waiting for the disk, and which a power cut within that
// fraction of a millisecond takes back. No such version has been acknowledged by this replica.
//
// # A full disk
//
// Writes are refused below a reserve of free space that flushes and compactions can use (see PebbleOptions). If another program
// takes the reserve as well, a ballast file is given up to let the log writes under way go through; if even that is not
// enough they wait for room, because Pebble cannot go on after a log write that failed. Reads go on all the while.
package store
