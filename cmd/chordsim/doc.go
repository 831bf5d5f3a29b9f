// Command chordsim is the laboratory: it runs the code of chordd under virtual time, from scenarios, experiments of the papers and
// sweeps to the search for schedules and seeds that break a promise.
//
// The package is thin over sim and sim/experiment. main.go is the process, app.go what a command may use of it, root.go the command
// tree; one file per command; results.go the directories that they leave, text.go the tables for people, progress.go how far
// it is, failure.go what every error means. What it has in common with the other commands is in internal/cli. It is the one place that
// knows both the simulator and rpc, whose conversions it lends to worlds (--wire).
package main
