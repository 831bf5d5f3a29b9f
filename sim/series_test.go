package sim_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chordkv/chord/sim"
)

func TestColumnsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/simulation.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range sim.Columns() {
		if row := fmt.Sprintf("| `%s` | %s | %s |\n", c.Name, c.Unit, c.Doc); !strings.Contains(string(page), row) {
			t.Errorf("docs/simulation.md lacks the row %s", row)
		}
	}
}
