package sim

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// maxRoundTrip is the largest value that a matrix file may have: more than any network takes, and far from overflow.
const maxRoundTrip = time.Hour

// Matrix is measured latencies between sites. Process i is at site i modulo the number of sites.
type Matrix struct {
	Sites  []string        // their names; empty if the file has none
	n      int             // how many there are
	oneWay []time.Duration // from site i to site j at i*n+j
}

// ReadMatrix reads round-trip times in milliseconds, one row a sender, in either of two forms: numbers separated by white space; or
// numbers separated by commas with a header row and a header column of names. An asymmetric matrix is taken as it is. What is not a
// square of numbers from 0 to an hour is an error with file and line.
func ReadMatrix(name string) (*Matrix, error) {
	text, err := readFile(name)
	if err != nil {
		return nil, fmt.Errorf("latency matrix: %w", err)
	}
	m, err := parseMatrix(name, text)
	if err != nil {
		return nil, fmt.Errorf("latency matrix: %w", err)
	}
	return m, nil
}

// Len returns the number of sites.
func (m *Matrix) Len() int { return m.n }

// RTT returns the round trip between two sites, half of either direction's.
func (m *Matrix) RTT(i, j int) time.Duration { return m.oneWay[i*m.n+j] + m.oneWay[j*m.n+i] }

func parseMatrix(name string, text []byte) (*Matrix, error) {
	m := &Matrix{}
	csv := false
	number := 0
	for line := range bytes.Lines(text) {
		number++
		fields, isCSV := splitMatrixLine(string(line))
		if fields == nil {
			continue
		}
		at := fmt.Sprintf("%s:%d", name, number)
		if m.n == 0 {
			csv, m.n = isCSV, len(fields)
			if csv { // the header
				m.Sites, m.n = fields[1:], len(fields)-1
				if m.n == 0 {
					return nil, fmt.Errorf("%s: a header without names", at)
				}
				continue
			}
		}
		if csv != isCSV && m.n > 1 {
			return nil, fmt.Errorf("%s: values separated by commas here and by white space elsewhere", at)
		}
		if csv {
			row := len(m.oneWay) / m.n
			if row < m.n && fields[0] != m.Sites[row] {
				return nil, fmt.Errorf("%s: row %q where the header has %q as number %d", at, fields[0], m.Sites[row], row+1)
			}
			fields = fields[1:]
		}
		if len(fields) != m.n {
			return nil, fmt.Errorf("%s: %d values, want %d as in the first row", at, len(fields), m.n)
		}
		if len(m.oneWay) == m.n*m.n {
			return nil, fmt.Errorf("%s: more than %d rows of %d values, want a square", at, m.n, m.n)
		}
		for i, f := range fields {
			d, err := parseRoundTrip(f)
			if err != nil {
				return nil, fmt.Errorf("%s: value %d: %w", at, i+1, err)
			}
			m.oneWay = append(m.oneWay, d/2)
		}
	}
	if m.n == 0 {
		return nil, fmt.Errorf("%s: empty", name)
	}
	if rows := len(m.oneWay) / m.n; rows != m.n {
		return nil, fmt.Errorf("%s:%d: ends after %d rows of %d values, want a square", name, number, rows, m.n)
	}
	return m, nil
}

// splitMatrixLine returns the fields of a line, none for an empty one, and whether commas separate them.
func splitMatrixLine(line string) (fields []string, csv bool) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return nil, false
	}
	if !strings.Contains(line, ",") {
		return strings.Fields(line), false
	}
	fields = strings.Split(line, ",")
	for i, f := range fields {
		fields[i] = strings.TrimSpace(f)
	}
	return fields, true
}

func parseRoundTrip(field string) (time.Duration, error) {
	if field == "" {
		return 0, fmt.Errorf("missing")
	}
	ms, err := strconv.ParseFloat(field, 64)
	switch most := float64(maxRoundTrip.Milliseconds()); {
	case err != nil && !math.IsInf(ms, 0):
		return 0, fmt.Errorf("%q is not a number", field)
	case !(ms >= 0 && ms <= most): // NaN too
		return 0, fmt.Errorf("%s, want 0 to %v milliseconds", field, most)
	}
	return time.Duration(ms * float64(time.Millisecond)), nil
}
