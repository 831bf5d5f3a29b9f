package cli

import "testing"

func TestNearest(t *testing.T) {
	candidates := []string{"timeout", "consistency", "no-color", "no-progress", "nodes", "join"}
	for word, want := range map[string]string{
		"timeout": "timeout", "timout": "timeout", "consistncy": "consistency", "jion": "join", "node": "nodes",
		"con": "consistency", "no-p": "no-progress", // beginnings
		"colour": "", "frobnicate": "", "": "",
	} {
		if got := Nearest(word, candidates); got != want {
			t.Errorf("Nearest(%q): got %q, want %q", word, got, want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"abc", "", 3},
		{"", "abc", 3},
		{"join", "join", 0},
		{"jion", "join", 1},
		{"joins", "join", 1},
		{"timout", "timeout", 1},
		{"data", "date", 1},
		{"kitten", "sitting", 3},
	} {
		if got := editDistance(tc.a, tc.b); got != tc.want {
			t.Errorf("editDistance(%q, %q): got %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}
