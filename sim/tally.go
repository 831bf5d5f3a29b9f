package sim

// Tally counts small whole numbers exactly: element i is how often i occurred.
type Tally []uint64

// Add counts n, which must not be negative.
func (t *Tally) Add(n int) {
	for len(*t) <= n {
		*t = append(*t, 0)
	}
	(*t)[n]++
}

// Count returns how many numbers were counted.
func (t Tally) Count() (n uint64) {
	for _, c := range t {
		n += c
	}
	return n
}

// Sum returns the sum of the numbers.
func (t Tally) Sum() (sum uint64) {
	for i, c := range t {
		sum += uint64(i) * c
	}
	return sum
}

// Mean returns the mean, 0 if nothing was counted.
func (t Tally) Mean() float64 {
	if n := t.Count(); n > 0 {
		return float64(t.Sum()) / float64(n)
	}
	return 0
}

// Percentile returns the least number that at least p percent of those counted do not exceed, 0 if nothing was counted.
func (t Tally) Percentile(p float64) int {
	need := p / 100 * float64(t.Count())
	var seen uint64
	for i, c := range t {
		if seen += c; seen > 0 && float64(seen) >= need {
			return i
		}
	}
	return 0
}
