// Package lint checks what the compiler cannot: the rules that keep the core of Chord runnable under virtual time, and the few
// habits of the house that a machine can judge. It speaks in sentences of one form, "X is banned in Y, use Z (rule n)", with
// the rule as docs/design.md numbers it.
//
// The checks run as a test of this package. They are tested themselves on the module in testdata/bad, where every banned thing is
// done once and marked with the sentence that it must cause.
package lint
