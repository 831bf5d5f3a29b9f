package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
)

// distribution is how often a load generator uses each of its keys.
type distribution string

// The distributions: every key alike, or the key of rank i (from 1) with a share proportional to 1/i^s.
const (
	distUniform distribution = "uniform"
	distZipf    distribution = "zipf"
)

// picker draws numbers of keys. It is safe for concurrent use; chance comes from the caller.
type picker struct {
	n   int
	cdf []float64 // of the ranks, for Zipf; nil if uniform
}

// newPicker returns a picker over n keys; exponent is Zipf's s, more than 0.
func newPicker(d distribution, n int, exponent float64) *picker {
	p := &picker{n: n}
	if d == distZipf {
		p.cdf = zipfCDF(n, exponent)
	}
	return p
}

// zipfCDF is exact for any exponent, also at and below 1, where rejection methods such as rand.Zipf do not work; it costs eight
// bytes a key.
func zipfCDF(n int, s float64) []float64 {
	cdf := make([]float64, n)
	sum := 0.0
	for i := range cdf {
		sum += math.Pow(float64(i+1), -s)
		cdf[i] = sum
	}
	for i := range cdf {
		cdf[i] /= sum
	}
	return cdf
}

// pick draws the number of a key, 0 to n-1. With Zipf 0 is the most frequent; where a key lies on the ring has nothing to do with
// its number, so the frequent ones are spread.
func (p *picker) pick(r *rand.Rand) int {
	if p.cdf == nil {
		return r.IntN(p.n)
	}
	return min(sort.SearchFloat64s(p.cdf, r.Float64()), p.n-1)
}

// benchKeys returns the keys bench-00000000 to n-1, cut from one allocation.
func benchKeys(n int) [][]byte {
	keys := make([][]byte, n)
	buf := make([]byte, 0, n*len("bench-00000000"))
	for i := range keys {
		start := len(buf)
		buf = fmt.Appendf(buf, "bench-%08d", i)
		keys[i] = slices.Clip(buf[start:])
	}
	return keys
}

// valuePool gives values of one size without generating one per operation: windows into a block of random bytes, which no
// compression on the way can make smaller.
type valuePool struct {
	block []byte
	size  int
}

func newValuePool(size int, r *rand.Rand) *valuePool {
	const windows = 1 << 16
	block := make([]byte, size+windows)
	for i := range block {
		block[i] = byte(r.Uint32())
	}
	return &valuePool{block, size}
}

func (v *valuePool) value(r *rand.Rand) []byte {
	at := r.IntN(len(v.block) - v.size + 1)
	return v.block[at : at+v.size : at+v.size]
}
