// Package rpc is the network of Chord, and the only place that knows both Go types and protobuf: [Peers] makes the calls of a
// [node.Process] to other processes over gRPC, [Server] takes theirs and those of clients, and [Client] is the Go client.
//
// Three things make it more than plumbing. Concurrent calls to one peer are gathered into few messages on one stream, because a unary call
// costs some 25 µs of CPU and an item of a batch less than one (gather.go). Errors cross the wire by one table in both directions, so that
// errors.Is holds on the other side, and whoever failed can tell what may have happened from what certainly has not (errors.go). And
// nothing is believed: every message is checked, bounded and converted in one place (convert.go).
package rpc
