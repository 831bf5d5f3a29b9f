package main

import (
	"fmt"

	"github.com/chordkv/chord/internal/cli"
)

// didYouMean returns `, did you mean "x"?` for the candidate closest to a mistyped word, and nothing if none is close.
func didYouMean(word string, candidates []string) string {
	if near := cli.Nearest(word, candidates); near != "" {
		return fmt.Sprintf(", did you mean %q?", near)
	}
	return ""
}
