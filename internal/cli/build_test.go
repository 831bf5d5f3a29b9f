package cli_test

import (
	"runtime"
	"testing"

	"github.com/chordkv/chord/internal/cli"
)

func TestBuild(t *testing.T) {
	if b := cli.ReadBuild(); b.Version == "" || b.Version == "(devel)" || b.Commit == "" || b.Go != runtime.Version() {
		t.Errorf("got %+v", b)
	}
	for _, tc := range []struct {
		b     cli.Build
		more  []string
		exact bool
		want  string
	}{
		{cli.Build{Version: "v1.2.3", Commit: "abc", Go: "go1"}, []string{"protocol chord.v1"}, true, "prog v1.2.3 (commit abc, go1, protocol chord.v1)"},
		{cli.Build{Version: "devel", Commit: "abc+dirty", Go: "go1"}, nil, false, "prog devel (commit abc+dirty, go1)"},
		{cli.Build{Version: "devel", Commit: "unknown", Go: "go1"}, nil, false, "prog devel (commit unknown, go1)"},
	} {
		if got := tc.b.Line("prog", tc.more...); got != tc.want || tc.b.Exact() != tc.exact {
			t.Errorf("got %s, exact %v, want %s, %v", got, tc.b.Exact(), tc.want, tc.exact)
		}
	}
}
