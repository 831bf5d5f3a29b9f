package experiment

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

func checkCell(c any) {
	switch c.(type) {
	case nil, int, int64, uint64, float64, string, bool, time.Duration, Estimate, Verdict:
	default:
		panic(fmt.Sprintf("experiment: a cell cannot be a %T", c))
	}
}

// Title is the heading of a column for people, without its unit.
func (c Column) Title() string {
	if c.Head != "" {
		return c.Head
	}
	return strings.ReplaceAll(c.Name, "_", " ")
}

// inUnit returns a duration as a number in the column's unit.
func (c Column) inUnit(d time.Duration) float64 {
	unit := time.Second
	switch c.Unit {
	case "ns":
		unit = time.Nanosecond
	case "us", "µs":
		unit = time.Microsecond
	case "ms":
		unit = time.Millisecond
	case "min":
		unit = time.Minute
	case "h":
		unit = time.Hour
	}
	return float64(d) / float64(unit)
}

// Text is a cell of the column for people.
func (c Column) Text(cell any) string {
	switch v := cell.(type) {
	case nil:
		return ""
	case int:
		return groupDigits(int64(v))
	case int64:
		return groupDigits(v)
	case uint64:
		return groupDigits(int64(min(v, math.MaxInt64)))
	case float64:
		return c.decimal(v)
	case time.Duration:
		return c.decimal(c.inUnit(v))
	case Estimate:
		if math.IsNaN(v.Half) || math.IsNaN(v.Mean) {
			return c.decimal(v.Mean)
		}
		return c.decimal(v.Mean) + " ± " + c.decimal(v.Half)
	case Verdict:
		return v.String()
	}
	return fmt.Sprint(cell)
}

// decimal writes a number with the column's decimals and a comma at every third digit.
func (c Column) decimal(x float64) string {
	switch {
	case math.IsNaN(x):
		return ""
	case math.IsInf(x, 0):
		return fmt.Sprint(x)
	}
	if c.Digits < 0 {
		return significant(x, -c.Digits)
	}
	whole, part, _ := strings.Cut(strconv.FormatFloat(x, 'f', c.Digits, 64), ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil { // beyond 2^63
		return strconv.FormatFloat(x, 'g', 6, 64)
	}
	sign := ""
	if n == 0 && strings.HasPrefix(whole, "-") {
		sign = "-"
	}
	if part == "" {
		return sign + groupDigits(n)
	}
	return sign + groupDigits(n) + "." + part
}

// significant writes a number with so many digits at least that count, and those before the point in any case.
func significant(x float64, digits int) string {
	if math.Abs(x) >= math.Pow10(digits) && math.Abs(x) < math.MaxInt64 {
		return groupDigits(int64(math.Round(x)))
	}
	return strconv.FormatFloat(x, 'g', digits, 64)
}

// raw is a cell in a file for programs: a number with all its digits, text, or nil. Of an Estimate it is the mean.
func (c Column) raw(cell any) any {
	switch v := cell.(type) {
	case float64:
		return finite(v)
	case time.Duration:
		return finite(c.inUnit(v))
	case Estimate:
		return finite(v.Mean)
	case Verdict:
		return v.String()
	}
	return cell
}

// groupDigits writes 1234567 as 1,234,567.
func groupDigits(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
