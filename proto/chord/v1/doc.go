// Package chordv1 is the wire protocol: the messages and services of the .proto files beside it, and nothing but what is generated from
// them. Only package rpc and the programs' admin calls turn its messages into the types of ring and node and back.
//
// After a change to a .proto file, run `go -C tools run ./protogen`.
package chordv1
