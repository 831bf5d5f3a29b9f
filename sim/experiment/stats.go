package experiment

import (
	"fmt"
	"math"
	"slices"
)

// Estimate is the mean of independent runs with the half-width of its 95 % confidence interval.
type Estimate struct {
	Mean float64
	Half float64 // NaN if there are fewer than two runs
	N    int
}

// EstimateOf estimates the mean of what independent runs gave, one value each, by Student's t distribution. Without values, the mean is NaN.
func EstimateOf(values []float64) Estimate {
	n := len(values)
	e := Estimate{Mean: Mean(values), Half: math.NaN(), N: n}
	if n < 2 {
		return e
	}
	sum := 0.0
	for _, x := range values {
		sum += (x - e.Mean) * (x - e.Mean)
	}
	e.Half = student95(n-1) * math.Sqrt(sum/float64(n-1)/float64(n))
	return e
}

// String is "mean ± half".
func (e Estimate) String() string {
	if math.IsNaN(e.Half) {
		return fmt.Sprintf("%.4g", e.Mean)
	}
	return fmt.Sprintf("%.4g ± %.2g", e.Mean, e.Half)
}

// Mean returns the arithmetic mean, NaN of nothing.
func Mean(values []float64) float64 {
	sum := 0.0
	for _, x := range values {
		sum += x
	}
	return sum / float64(len(values))
}

// Quantile returns the smallest value that at least a share q of all values does not exceed (the nearest-rank definition), NaN of
// nothing. The values need not be sorted and stay as they are.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[rank(int64(len(sorted)), q)]
}

// rank returns the index of the nearest rank of q among n sorted values.
func rank(n int64, q float64) int64 {
	return min(max(int64(math.Ceil(q*float64(n)))-1, 0), n-1)
}

// student95 holds the two-sided 95 % quantile of Student's t for 1 to 30 degrees of freedom.
func student95(freedom int) float64 {
	table := [...]float64{
		12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
		2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
	}
	if freedom <= len(table) {
		return table[freedom-1]
	}
	// The expansion in 1/freedom about the normal quantile (Abramowitz and Stegun 26.7.5), exact to four digits from here on.
	const z = 1.959964
	n := float64(freedom)
	return z + (z*z*z+z)/(4*n) + (5*z*z*z*z*z+16*z*z*z+3*z)/(96*n*n)
}

// Counts is a distribution over small whole numbers, such as hops or time-outs: Counts[v] is how often v was seen. Its zero value is
// empty.
type Counts []int64

// Add counts v once more. It panics if v is negative.
func (c *Counts) Add(v int) { c.AddN(v, 1) }

// AddN counts v n times more.
func (c *Counts) AddN(v int, n int64) {
	for len(*c) <= v {
		*c = append(*c, 0)
	}
	(*c)[v] += n
}

// Merge adds the counts of d.
func (c *Counts) Merge(d Counts) {
	for v, n := range d {
		c.AddN(v, n)
	}
}

// Total returns how many values were counted.
func (c Counts) Total() (n int64) {
	for _, k := range c {
		n += k
	}
	return n
}

// Mean returns the mean of the values, NaN of nothing.
func (c Counts) Mean() float64 {
	sum := 0.0
	for v, n := range c {
		sum += float64(v) * float64(n)
	}
	return sum / float64(c.Total())
}

// Quantile returns the nearest-rank quantile, -1 of nothing.
func (c Counts) Quantile(q float64) int {
	total := c.Total()
	if total == 0 {
		return -1
	}
	left := rank(total, q)
	for v, n := range c {
		if left < n {
			return v
		}
		left -= n
	}
	return len(c) - 1
}

// Share returns the part of the values that are v, from 0 to 1; NaN of nothing.
func (c Counts) Share(v int) float64 {
	if v < 0 || v >= len(c) {
		return 0 / float64(c.Total())
	}
	return float64(c[v]) / float64(c.Total())
}
