// Package experiment is the lab above the simulator: named experiments that repeat the figures and tables of the Chord papers on the
// shipped code, and what every run leaves behind.
//
// An Experiment declares its Params, in full size and quick, and returns a Report: tables with the paper's figures beside ours and a
// Verdict on each, series, figures and notes. Write turns a Report into a directory of CSV, JSONL, PNG, SVG and one report.html that opens
// offline; a Sweep runs one scenario over a grid of settings and seeds, resumable and in shards.
//
//	lab.go, params.go       what an experiment is and what can be set
//	report*.go, html*.go    what it returns, and the directory that is made of it
//	plot*.go                figures as PNG and SVG
//	stats*.go               means with confidence intervals, quantiles, counts
//	progress*.go, points.go independent points on all cores, resumed after an interruption
//	sweep*.go               grids, shards, merging
//	registry.go             the list; one file per experiment
//
// The package knows nothing of terminals and command lines, which are cmd/chordsim's, nor of gRPC and protobuf. What it writes
// depends on parameters, seed and code alone: no time of day, no host name, no random order.
package experiment
