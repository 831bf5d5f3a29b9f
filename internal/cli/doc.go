// Package cli is what the three commands have in common, so that a user who has learned one knows the others: the meaning of exit
// codes, errors as text and as JSON with a hint what to try (failure.go), the words for flags and commands that cannot be, flags from the
// environment (flags.go, nearest.go), colors, progress, the build.
//
// It knows nothing of rings. What a command alone has, such as the table of what its errors mean, stays with the command.
package cli
