// Command chord is the command line of a Chord ring: it puts, gets and deletes keys, traces lookups, shows the ring, moves data in
// and out in bulk, measures, and operates single processes.
//
// The package is thin over rpc.Client. main.go is the process, app.go what a command may use of it, root.go the command tree; one file
// per command or pair of commands; failure.go says what every error means: its text, the hint, and the exit code that scripts rely on. What
// it has in common with the other commands is in internal/cli. The parts with logic of their own know neither cobra nor the network:
// importer.go and its checkpoint, lineformat.go, the load generator (load*.go), and ringsvg.go.
package main
