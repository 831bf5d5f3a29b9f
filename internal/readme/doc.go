// Package readme holds the documents of this repository to their word: the commands of README.md are run as they stand, every
// test that docs/guarantees.md names must exist, and links lead somewhere. It holds tests only.
package readme
