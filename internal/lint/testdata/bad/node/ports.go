package node

// Peers, Runtime and Store are the ports.
type (
	// Peers calls others.
	Peers interface{ Neighbors() int }
	// Runtime is time.
	Runtime interface{ Go(f func()) }
	// Store keeps records.
	Store interface{ Get() int }
)
