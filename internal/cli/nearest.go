package cli

import "strings"

// Nearest returns the candidate closest to a mistyped word, or "" if none is close. The beginning of a candidate is close to it.
func Nearest(word string, candidates []string) string {
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

// editDistance counts the bytes to insert, delete, change or swap with their neighbor to turn a into b (optimal string alignment):
// two letters in the wrong order are one slip of the fingers.
func editDistance(a, b string) int {
	var before []int
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			differ := 1
			if a[i] == b[j] {
				differ = 0
			}
			row[j+1] = min(prev[j+1]+1, row[j]+1, prev[j]+differ)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, prev = prev, row
	}
	return prev[len(b)]
}
