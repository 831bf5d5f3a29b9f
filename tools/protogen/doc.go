// Command protogen generates the Go code of proto/chord/v1 without protoc: it compiles the .proto files with protocompile and feeds
// the plugins that tools/go.mod pins. Run it from the root of the repository:
//
//	go -C tools run ./protogen          writes the generated files
//	go -C tools run ./protogen -check   writes nothing, and fails if a file is missing, stale or superfluous
package main
