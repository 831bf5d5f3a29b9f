package main

import (
	"fmt"
	"strings"
)

// nearest returns the candidate closest to a mistyped word, or "" if none is close.
func nearest(word string, candidates []string) string {
	best, least := "", len(word)/3+2 // a third of the letters wrong is not a typing error any more
	for _, c := range candidates {
		d := editDistance(word, c)
		if word != "" && strings.HasPrefix(c, word) {
			d = min(d, 1)
		}
		if d < least {
			best, least = c, d
		}
	}
	return best
}

// unknown is the error of a name that is none of the candidates.
func unknown(what, name string, candidates []string, list string) *failure {
	f := usagef("no %s %q", what, name)
	f.hint = fmt.Sprintf("%q shows them.", list)
	if near := nearest(name, candidates); near != "" {
		f.hint = fmt.Sprintf("Did you mean %q? %s", near, f.hint)
	}
	return f
}

// editDistance is Levenshtein's: the insertions, deletions and substitutions from a to b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
