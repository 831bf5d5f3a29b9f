package experiment

import (
	"fmt"
	"math"
	"strings"
)

// Verdict says whether a figure of ours agrees with the paper's, within the tolerance that was set beforehand.
type Verdict struct {
	OK   bool   `json:"ok"`
	Text string `json:"text"` // what was demanded and what came: "1.2 % above, at most 3 %"
}

// String is "ok" or "not", with the reason.
func (v Verdict) String() string {
	word := "not ok"
	if v.OK {
		word = "ok"
	}
	if v.Text == "" {
		return word
	}
	return word + ": " + v.Text
}

// Tolerance is how far a figure may be from its target. The zero Tolerance allows none.
type Tolerance struct {
	above, below float64 // relative; +Inf for any
	slack        float64 // absolute, on both sides
}

// Within allows a share of the target to either side: Within(0.03) is 3 %.
func Within(share float64) Tolerance { return Tolerance{above: share, below: share} }

// AtMost allows everything below the target and a share of it above.
func AtMost(share float64) Tolerance { return Tolerance{above: share, below: math.Inf(1)} }

// AtLeast allows everything above the target and a share of it below.
func AtLeast(share float64) Tolerance { return Tolerance{above: math.Inf(1), below: share} }

// Slack adds an absolute amount to what is allowed on each side, for targets near 0.
func (t Tolerance) Slack(amount float64) Tolerance {
	t.slack += amount
	return t
}

// Judge compares a figure with its target. A figure that is NaN is not ok: it was to be measured and was not.
func (t Tolerance) Judge(got, target float64) Verdict {
	diff := got - target
	ok := diff <= t.limit(t.above, target) && -diff <= t.limit(t.below, target)
	return Verdict{OK: ok, Text: t.explain(got, target)}
}

// limit is the distance from a target that a share of it and the slack allow, with what rounding adds.
func (t Tolerance) limit(share, target float64) float64 {
	size := math.Abs(target)
	if math.IsInf(share, 1) {
		return share // also at 0
	}
	return share*size + t.slack + 1e-12*(size+t.slack)
}

// Demand is the verdict on a condition that holds or not.
func Demand(ok bool, format string, args ...any) Verdict {
	return Verdict{OK: ok, Text: fmt.Sprintf(format, args...)}
}

func (t Tolerance) explain(got, target float64) string {
	if math.IsNaN(got) {
		return "not measured"
	}
	var b strings.Builder
	switch diff := got - target; {
	case diff == 0:
		b.WriteString("equal")
	case target == 0:
		fmt.Fprintf(&b, "%+.3g", diff)
	default:
		fmt.Fprintf(&b, "%+.2g %%", 100*diff/math.Abs(target))
	}
	b.WriteString(", allowed ")
	switch {
	case math.IsInf(t.below, 1):
		b.WriteString("at most ")
		b.WriteString(signed("+", t.above, t.slack))
	case math.IsInf(t.above, 1):
		b.WriteString("at least ")
		b.WriteString(signed("-", t.below, t.slack))
	default:
		b.WriteString(signed("±", max(t.above, t.below), t.slack))
	}
	return b.String()
}

// signed is "+3 %", "+3 % and 0.5" or "+0.5".
func signed(sign string, share, slack float64) string {
	switch {
	case slack == 0:
		return fmt.Sprintf("%s%.3g %%", sign, 100*share)
	case share == 0:
		return fmt.Sprintf("%s%.3g", sign, slack)
	}
	return fmt.Sprintf("%s%.3g %% and %.3g", sign, 100*share, slack)
}
