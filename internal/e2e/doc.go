// Package e2e tests the programs as a user meets them: real chordd processes on loopback, with disks, killed by SIGKILL, spoken to through
// the chord command line. It holds tests only. `go test -short` leaves out those that start processes.
//
// The binaries are built without the race detector whatever the tests are built with: it is the programs that are on trial here, at the
// speed at which they run. So it has nothing to see, and its run is not worth the minutes; only in full the soak has programs that are built with it.
package e2e
