package cli_test

import (
	"math"
	"testing"

	"github.com/chordkv/chord/internal/cli"
)

func TestGroupDigits(t *testing.T) {
	for in, want := range map[int64]string{
		0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234", -123: "-123", math.MinInt64: "-9,223,372,036,854,775,808",
	} {
		if got := cli.GroupDigits(in); got != want {
			t.Errorf("GroupDigits(%d): got %s, want %s", in, got, want)
		}
	}
}
