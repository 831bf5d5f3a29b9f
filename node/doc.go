// Package node is the Chord node: the protocol, the lookup and the replicated data, written as blocking code over four small
// interfaces that the world outside fills in: [Peers] (calls to other processes), [Runtime] (time, chance, concurrency),
// [Store] (records) and [Events] (facts for logs and metrics).
//
// A [Process] is what one chordd is: it hosts V ring nodes, which share one address and one store. Its exported methods are
// of three kinds: what an embedding program calls (Create, Bootstrap, Join, Leave, Do, Lookup), what the network calls on behalf
// of other processes (Neighbors, Notify, Changed, Route, Forward, Arrived, Apply, Fetch, Digest, List, Serve), and what shows the inside
// (Status).
//
// The code obeys ten rules (docs/design.md), most of them checked by internal/lint; in short: no goroutine, channel, clock or
// randomness but through Runtime, no lock held while anything is called, and nothing that was read before a wait is trusted after it.
// live.go, the Runtime on goroutines and the wall clock, is the one file outside the rules.
package node
