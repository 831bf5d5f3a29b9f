package main

import (
	"fmt"

	"github.com/chordkv/chord/internal/cli"
)

// unknown is the error of a name that is none of the candidates.
func unknown(what, name string, candidates []string, list string) *cli.Failure {
	f := cli.Usagef("no %s %q", what, name)
	f.Hint = fmt.Sprintf("%q shows them.", list)
	if near := cli.Nearest(name, candidates); near != "" {
		f.Hint = fmt.Sprintf("Did you mean %q? %s", near, f.Hint)
	}
	return f
}
