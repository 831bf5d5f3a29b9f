package sim

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// sessions draws times from a Distribution.
type sessions struct {
	kind  string
	scale float64 // ns: mean of exponential, least value of pareto, lambda of weibull, the value of constant
	shape float64
}

// newSessions works out the scale of a distribution from whichever of mean, median and scale is given.
func newSessions(d Distribution) (sessions, error) {
	s := sessions{kind: d.Kind, shape: d.Shape}
	if s.kind == "" {
		s.kind = DistExponential
	}
	if err := s.checkShape(d); err != nil {
		return sessions{}, err
	}
	given := 0
	for _, x := range []time.Duration{d.Mean, d.Median, d.Scale} {
		if x < 0 || x > maxDuration {
			return sessions{}, fmt.Errorf("%v, want more than 0, at most %v", x, maxDuration)
		}
		if x > 0 {
			given++
		}
	}
	if given != 1 {
		return sessions{}, errors.New("want one of mean, median and scale")
	}
	switch {
	case d.Mean > 0:
		unit := s.unitMean()
		if math.IsInf(unit, 0) {
			return sessions{}, fmt.Errorf("pareto with shape %v has no mean: give median or scale", s.shape)
		}
		s.scale = float64(d.Mean) / unit
	case d.Median > 0:
		s.scale = float64(d.Median) / s.unit(0.5)
	default:
		s.scale = float64(d.Scale)
	}
	return s, nil
}

func (s sessions) checkShape(d Distribution) error {
	switch s.kind {
	case DistPareto, DistWeibull:
		if !(s.shape >= 0.05 && s.shape <= 100) {
			return fmt.Errorf("%s: shape %v, want 0.05 to 100", s.kind, s.shape)
		}
	case DistExponential, DistConstant:
		if s.shape != 0 {
			return fmt.Errorf("%s has no shape", s.kind)
		}
		if s.kind == DistConstant && d.Mean == 0 {
			return errors.New("constant: want mean, the value")
		}
	default:
		return fmt.Errorf("kind %q, want one of: %s, %s, %s, %s", s.kind, DistExponential, DistPareto, DistWeibull, DistConstant)
	}
	return nil
}

// unitMean is the mean for scale 1, which may be infinite.
func (s sessions) unitMean() float64 {
	switch s.kind {
	case DistPareto:
		if s.shape <= 1 {
			return math.Inf(1)
		}
		return s.shape / (s.shape - 1)
	case DistWeibull:
		return math.Gamma(1 + 1/s.shape)
	}
	return 1
}

// unit is the quantile of u, 0 <= u < 1, for scale 1.
func (s sessions) unit(u float64) float64 {
	switch s.kind {
	case DistPareto:
		return math.Pow(1-u, -1/s.shape)
	case DistWeibull:
		return math.Pow(-math.Log1p(-u), 1/s.shape)
	case DistExponential:
		return -math.Log1p(-u)
	}
	return 1
}

// quantile returns the time that a fraction u of the draws, 0 <= u < 1, does not exceed; at least 1ns, at most maxDuration.
func (s sessions) quantile(u float64) time.Duration {
	return time.Duration(min(max(s.scale*s.unit(u), 1), float64(maxDuration)))
}
