package node

import (
	"context"
	"time"

	"github.com/chordkv/chord/ring"
)

// Peers calls other processes. Every method blocks until the answer, an error or the end of ctx. An error that wraps
// ErrUnreachable, ErrNoNode or ErrNotReady means that the node is to be treated as dead; any other came from a live node. Values are copies on
// both sides.
//
// A call to an address of the own process is legal and must work.
type Peers interface {
	// Neighbors reads predecessor and successor list of a node in one atomic answer.
	Neighbors(ctx context.Context, to ring.Ref) (ring.View, error)
	// Notify tells a node that from may be its predecessor.
	Notify(ctx context.Context, to, from ring.Ref) error
	// Changed tells a node that the neighbors of from, which may be its successor, have changed: it is time to stabilize.
	Changed(ctx context.Context, to, from ring.Ref) error
	// Route asks a node for the way to id, leaving out the nodes in avoid, which did not answer the caller. If to.ID is
	// zero, any node of the process at to.Addr answers: that is how a ring is entered from an address.
	Route(ctx context.Context, to ring.Ref, id ring.ID, avoid []ring.ID) (ring.Step, error)
	// Forward hands a query over to a node, which answers at once that it has it.
	Forward(ctx context.Context, to ring.Ref, q Query) error
	// Arrived answers a query at the process at to.Addr, which has asked.
	Arrived(ctx context.Context, to ring.Ref, a Arrival) error

	// Apply stores records durably where they are newer than what is there. It returns, for each record, the version that the replica
	// has for its key afterwards. An owner that has just decided them adds its claims to their keys, and it fails with a SupersededError if the replica knows of a newer
	// one; what was decided before is passed on without.
	Apply(ctx context.Context, to ring.Ref, records []Record, claims []Claim) ([]Version, error)
	// Fetch reads records: one Found for each of the first wants, at least one, cut off when the answer has grown to
	// Config.BatchBytes; the caller asks again for the rest.
	Fetch(ctx context.Context, to ring.Ref, wants []Want) ([]Found, error)
	// Digest summarizes what the process has stored in each arc. An owner adds its claims, as with Apply.
	Digest(ctx context.Context, to ring.Ref, arcs []ring.Arc, claims []Claim) ([]Summary, error)
	// Outline is a Digest in more detail: an Outline of each arc. There may be up to OutlineArcs arcs, and up to OutlineHashes records in all that
	// detail asks for.
	Outline(ctx context.Context, to ring.Ref, arcs []ring.Arc, detail Detail) ([]Outline, error)
	// Name returns the entries behind hashes of an Outline, up to OutlineHashes in all, and leaves out those that are not there any more.
	Name(ctx context.Context, to ring.Ref, unnamed []Unnamed) ([]Entry, error)
	// List returns entries of an arc in ring order from a cursor on, at most limit; fewer than limit means the end of the arc.
	List(ctx context.Context, to ring.Ref, arc ring.Arc, from Cursor, limit int) ([]Entry, error)
	// Collect drops those of the entries that are old tombstones, if they are still there. See Process.Collect.
	Collect(ctx context.Context, to ring.Ref, entries []Entry) error
	// Contact asks the process at to.Addr until when it has been in contact with the cluster, by the clock of who asks; zero if it never was.
	Contact(ctx context.Context, to ring.Ref) (Contact, error)

	// Do executes a client's operation at the node that owns its key, which does not forward it.
	Do(ctx context.Context, to ring.Ref, op Op) (Result, error)
}

// Runtime is time, chance and concurrency: goroutines and the wall clock in a live process (NewLive), coroutines and virtual time in
// the simulator.
type Runtime interface {
	// Now returns the wall clock, which may jump.
	Now() time.Time
	// Uint64 returns a uniformly random number.
	Uint64() uint64
	// Go runs f concurrently, never before it returns itself.
	Go(f func())
	// AfterFunc runs f concurrently after d. The returned function cancels it if it has not started.
	AfterFunc(d time.Duration, f func()) (stop func())
	// Sleep waits for d or the end of ctx, whose error it returns.
	Sleep(ctx context.Context, d time.Duration) error
	// Await calls begin with a function that ends the wait, which any task may call, and waits for that or the end of ctx, whose error it returns.
	Await(ctx context.Context, begin func(wake func())) error
	// WithTimeout is context.WithTimeout by this runtime's clock.
	WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc)
	// Gather runs call(0) to call(n-1) concurrently and hands each result to done, one at a time on the caller's task, until
	// done returns true or all are in. Calls that are still under way then run to their end unheard; what they write, nobody may read.
	// meanwhile, if not nil, runs on the caller's task when the calls have begun, and may say itself that that is enough.
	Gather(n int, call func(i int) error, meanwhile func() (enough bool), done func(i int, err error) (enough bool))
}

// Yielder is a Runtime that wants to know when a task is about to read or change what the tasks of a node share: Yield is called before each
// such step, with no lock held, and may run other tasks.
type Yielder interface {
	Runtime
	Yield()
}

// Store keeps the records of a process, ordered by ring identifier. It is safe for concurrent use. Errors wrap ErrStore,
// ErrStoreFull, after which nothing of the call was stored, or ErrCorrupt. A corrupt record counts as absent for Version, Apply and Replace (which overwrite it) and List, and for Digest as soon as somebody
// has read it.
type Store interface {
	// Get returns the record of a key, tombstones too; ok is false if there is none.
	Get(key []byte) (r Record, ok bool, err error)
	// Version returns just the version of a key's record, zero if there is none.
	Version(key []byte) (Version, error)
	// Apply stores, durably, each record that is newer than the one with its key. It returns, for each record, the version that
	// is stored afterwards. Records with the same key in one call are allowed.
	Apply(records []Record) ([]Version, error)
	// Replace stores, durably, each record whose key has exactly the given version, zero for no record, and reports for which that was so. It takes them in order:
	// of several with one key, each may replace the one before.
	Replace(records []Record, stored []Version) ([]bool, error)
	// Drop removes the records whose version still is the given one. It returns how many it removed.
	Drop(entries []Entry) (int, error)
	// Expire makes tombstones of the records whose Expires lies before a time, in milliseconds since 1970: they lose their values and keep all else, the version
	// too. It takes the oldest first, at most limit, and returns their keys; fewer than limit means that there are no more. A crash may take that back.
	Expire(before int64, limit int) (keys [][]byte, err error)
	// Tombstones returns entries of tombstones with a version time below before, the oldest first, and of those with one time in ring order; behind
	// the given one if that has a key; at most limit. Fewer than limit means that there are no more. What it returns is durable.
	Tombstones(before uint64, behind Entry, limit int) ([]Entry, error)
	// List returns entries of the arc in ring order behind the cursor, at most limit; fewer than limit means the end of the arc. What it returns is
	// durable.
	List(arc ring.Arc, from Cursor, limit int) ([]Entry, error)
	// Digest summarizes the arcs. What it summarizes is durable.
	Digest(arcs []ring.Arc) ([]Summary, error)
	// Lost returns arcs of which records were lost that could not be read. Until they are refilled, Get fails with ErrCorrupt for a key there that is not found.
	Lost() []ring.Arc
	// Refilled notes, durably, that all that was lost in an arc of Lost is there again.
	Refilled(arc ring.Arc) error
	// Writable returns nil, or the error that Apply would return now for lack of space: asked before a write is sent anywhere.
	Writable() error
	// Stats returns approximate figures without a scan.
	Stats() StoreStats
	// Close releases everything; the store must not be used afterwards.
	Close() error
}

// StoreStats describes a store.
type StoreStats struct {
	Records    int64 // with tombstones
	Tombstones int64
	Expiring   int64 // records that will be tombstones, or are to be made some by Expire
	DiskBytes  int64 // 0 in memory
	FreeBytes  int64 // on the file system; 0 in memory
}
