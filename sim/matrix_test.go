package sim_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chordkv/chord/sim"
)

func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "in.txt")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestMatrixFormats(t *testing.T) {
	for _, test := range []struct {
		name, text string
		sites      []string
	}{
		{"white space", "# asymmetric: taken as it is\n0.5 10 20\n12\t0.5 30\n\n20 30 0\n", nil},
		{"commas with names", "from,a,b,c\na,0.5,10,20\nb, 12, 0.5, 30\nc,20,30,0\n", []string{"a", "b", "c"}},
		{"without a last newline, and carriage returns", "0.5 10 20\r\n12 0.5 30\r\n20 30 0", nil},
	} {
		m, err := sim.ReadMatrix(writeFile(t, test.text))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if m.Len() != 3 || !slices.Equal(m.Sites, test.sites) {
			t.Errorf("%s: got %d sites %v, want 3 %v", test.name, m.Len(), m.Sites, test.sites)
		}
		for _, way := range []struct {
			from, to int
			want     time.Duration
		}{
			{0, 1, 5 * time.Millisecond},
			{1, 0, 6 * time.Millisecond},
			{0, 0, 250 * time.Microsecond},
			{2, 2, 0},
			{3, 7, 5 * time.Millisecond}, // hosts 3 and 7 are at the sites 0 and 1
		} {
			if got := m.OneWay(way.from, way.to, nil); got != way.want {
				t.Errorf("%s: %d to %d: got %v, want %v", test.name, way.from, way.to, got, way.want)
			}
		}
		if got, want := m.RTT(1, 0), 11*time.Millisecond; got != want {
			t.Errorf("%s: round trip: got %v, want %v", test.name, got, want)
		}
	}
}

func TestMatrixErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ": empty"},
		{"0 1\n1 NaN\n", ":2: value 2: NaN, want 0 to"},
		{"0 1\n-1 0\n", ":2: value 1: -1, want 0 to"},
		{"0 +Inf\n1 0\n", ":1: value 2: +Inf, want 0 to"},
		{"0 1e999\n1 0\n", ":1: value 2: 1e999, want 0 to"},
		{"0 1\n1 x\n", `:2: value 2: "x" is not a number`},
		{"0 1\n\n1\n", ":3: 1 values, want 2"},
		{"0 1\n1 0 3\n", ":2: 3 values, want 2"},
		{"0 1 2\n1 0 2\n", ":2: ends after 2 rows of 3 values"},
		{"0 1\n1 0\n2 2\n", ":3: more than 2 rows"},
		{"from,a,b\na,0,1\nb,,0\n", ":3: value 1: missing"},
		{"from,a,b\na,0,1\nc,1,0\n", `:3: row "c" where the header has "b"`},
		{"from,a,b\na,0,1\n", ":2: ends after 1 rows"},
		{"from,a,b\na 0 1\n", ":2: values separated by commas here"},
		{"0 1\n1,0\n", ":2: values separated by commas here"},
	} {
		name := writeFile(t, test.text)
		_, err := sim.ReadMatrix(name)
		if err == nil || !strings.Contains(err.Error(), name+test.want) {
			t.Errorf("%q: got %v, want FILE%s", test.text, err, test.want)
		}
	}
}

// The published data sets that the reader is for: PlanetLab's from NetLatency (Zhu et al., IEEE/ACM ToN 25, 2017), those of the clouds
// from fantoch. They are not part of the project; CHORDSIM_DATA names the directory where they are.
func TestPublishedMatrices(t *testing.T) {
	dir := os.Getenv("CHORDSIM_DATA")
	if dir == "" {
		t.Skip("CHORDSIM_DATA is not set")
	}
	for _, test := range []struct {
		file   string
		sites  int
		median time.Duration
	}{
		{"planetlab-490-rtt-ms.txt", 490, 135 * time.Millisecond},
		{"aws-19-regions-rtt-ms.csv", 19, 0},
		{"gcp-20-regions-rtt-ms.csv", 20, 0},
	} {
		m, err := sim.ReadMatrix(filepath.Join(dir, test.file))
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if m.Len() != test.sites {
			t.Errorf("%s: got %d sites, want %d", test.file, m.Len(), test.sites)
		}
		var rtts []time.Duration
		for i := range m.Len() {
			for j := range i {
				rtts = append(rtts, m.RTT(i, j))
			}
		}
		slices.Sort(rtts)
		if got := rtts[len(rtts)/2]; test.median > 0 && (got-test.median).Abs() > 2*time.Millisecond {
			t.Errorf("%s: median %v, want %v", test.file, got, test.median)
		}
	}
}
