// Package chunk keeps values that are larger than a ring takes: in blocks of 256 KiB, each under a key of its own that has the block's SHA-256 in it, and a manifest under the
// user's key, which says what blocks there are. It is a client of the ring and no more; what the ring knows of it is that a manifest is not an ordinary value
// (node.Record.Manifest), and that a write which takes the place of one says so (node.Result.Replaced).
//
// Blocks belong to one upload, and an upload to one key, so that no block is ever shared: whoever takes a manifest away frees its blocks. See
// docs/decisions/0012-chunked-values.md for what that promises and what not.
package chunk
