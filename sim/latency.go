package sim

import (
	"math"
	"time"
)

// newLatency makes the model that a scenario asks for. seed decides where hosts are. Errors: those of ReadMatrix.
func newLatency(spec LatencySpec, seed uint64) (Latency, error) {
	mean := spec.Mean
	if mean == 0 {
		mean = 50 * time.Millisecond
	}
	switch spec.Model {
	case LatencyConstant:
		return Constant(mean), nil
	case LatencyUniform:
		return UniformLatency{spec.Min, spec.Max}, nil
	case LatencyExponential:
		return Exponential(mean), nil
	case LatencySpace:
		return NewSpace(seed, mean), nil
	case LatencyMatrix:
		return ReadMatrix(spec.File)
	}
	return NewInternet(seed), nil
}

// Constant is a Latency that is the same for every message.
type Constant time.Duration

// OneWay implements Latency.
func (c Constant) OneWay(int, int, *Rand) time.Duration { return time.Duration(c) }

// UniformLatency draws the latency of each message from an interval, the ends included.
type UniformLatency struct{ Min, Max time.Duration }

// OneWay implements Latency.
func (u UniformLatency) OneWay(_, _ int, r *Rand) time.Duration {
	return u.Min + time.Duration(r.Float64()*float64(u.Max-u.Min+1))
}

// Exponential draws the latency of each message from the exponential distribution with that mean, the model of [ToN] section V-A (mean 50 ms).
type Exponential time.Duration

// OneWay implements Latency.
func (e Exponential) OneWay(_, _ int, r *Rand) time.Duration {
	return time.Duration(-float64(e) * math.Log1p(-r.Float64()))
}

// OneWay implements Latency.
func (m *Matrix) OneWay(from, to int, _ *Rand) time.Duration {
	return m.oneWay[from%m.n*m.n+to%m.n]
}

var (
	_ Latency = Constant(0)
	_ Latency = UniformLatency{}
	_ Latency = Exponential(0)
	_ Latency = (*Matrix)(nil)
	_ Latency = (*Internet)(nil)
	_ Latency = (*Space)(nil)
)
