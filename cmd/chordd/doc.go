// Command chordd is a Chord process: it hosts ring nodes, stores its share of the keys and serves clients.
//
// This package only wires. Flags, environment and file become a Config (config.go, flags.go, settings.go, file.go); a process binds
// its addresses, opens its data and serves (process.go), becomes a member of a ring (member.go), remembers the others (remember.go), gossips about who
// is alive (gossip.go), and stops when a signal or an operator says so (serve.go, stop.go). Operators look inside through admin.go, ready.go, metrics.go,
// storemetrics.go, gossipmetrics.go and events.go; show.go prints the configuration and the version. dev.go starts a whole ring in one operating
// system process.
package main
