package sim

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/chordkv/chord/node"
)

const (
	maxNodes  = 10_000_000
	maxVNodes = 1024
	maxKeys   = 100_000_000
)

// Validate reports every problem of the scenario at once, as a *ScenarioError, but for those that show only when its files are read and
// its processes counted against the memory of the machine: Run and ReadScenario look at these too.
func (s Scenario) Validate() error {
	if problems := s.problems(); len(problems) > 0 {
		return &ScenarioError{Problems: problems}
	}
	return nil
}

// problems returns everything that is wrong in the order of the fields.
func (s Scenario) problems() []Problem {
	var v validator
	v.count("nodes", s.Nodes, 1, maxNodes)
	v.count("memory", s.Memory, 0, 1<<60)
	v.count("vnodes", s.VNodes, 1, maxVNodes)
	v.count("groups", s.Groups, 1, maxNodes)
	if s.Zones && s.Groups < 2 {
		v.bad("zones", "of one group, want groups: 2 or more")
	}
	v.duration("duration", s.Duration, time.Millisecond)
	v.duration("warmup", s.Warmup, 0)
	if s.Warmup >= s.Duration {
		v.bad("warmup", "%v, want less than the duration %v", s.Warmup, s.Duration)
	}
	v.duration("heal", s.Heal, 0)
	v.duration("series", s.Series, time.Millisecond)
	if s.Series > 0 && s.Duration/s.Series > 1_000_000 {
		v.bad("series", "%v would make more than a million rows in %v", s.Series, s.Duration)
	}
	v.oneOf("start", s.Start, StartIdeal, StartJoin)
	v.duration("join-interval", s.JoinInterval, 0)
	v.oneOf("crash", s.Crash, CrashMachine, CrashProcess)
	v.nodeConfig(s.Node)
	v.network(s.Network)
	v.duration("disk.sync-interval", s.Disk.SyncInterval, 0)
	v.duration("disk.sync-latency", s.Disk.SyncLatency, 0)
	for _, p := range s.Gossip.problems() {
		v.bad("gossip."+p.Path, "%s", p.Message)
	}
	for i, c := range s.Churn {
		v.churn(fmt.Sprintf("churn[%d]", i), c, s)
	}
	for i, w := range s.Workload {
		v.workload(fmt.Sprintf("workload[%d]", i), w, s)
	}
	for i, f := range s.Faults {
		v.fault(fmt.Sprintf("faults[%d]", i), f, s)
	}
	v.duration("checks.every", s.Checks.Every, 0)
	return v.problems
}

// nodeConfig passes on what package node finds.
func (v *validator) nodeConfig(c node.Config) {
	err := c.Validate()
	if err == nil {
		return
	}
	problems := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		problems = joined.Unwrap()
	}
	known := fieldNames(reflect.TypeFor[node.Config]())
	for _, p := range problems {
		name, message, _ := strings.Cut(p.Error(), ": ")
		if name = strings.ReplaceAll(name, " ", "-"); slices.Contains(known, name) {
			v.bad("node."+name, "%s", message)
		} else {
			v.bad("node", "%v", p)
		}
	}
}

func (v *validator) network(n Network) {
	const path = "network.latency"
	l := n.Latency
	if v.oneOf(path+".model", l.Model, LatencyConstant, LatencyUniform, LatencyExponential, LatencySpace, LatencyInternet, LatencyMatrix) {
		fields := map[string][]string{
			LatencyConstant: {"mean"}, LatencyExponential: {"mean"}, LatencySpace: {"mean"}, LatencyUniform: {"min", "max"}, LatencyMatrix: {"file"},
		}[l.Model]
		v.only(path, "model: "+l.Model, l, append([]string{"model"}, fields...)...)
	}
	v.duration(path+".mean", l.Mean, 0)
	v.duration(path+".min", l.Min, 0)
	v.duration(path+".max", l.Max, 0)
	if l.Model == LatencyUniform && (l.Max < l.Min || l.Max == 0) {
		v.bad(path+".max", "%v, want more than 0 and at least min = %v", l.Max, l.Min)
	}
	if l.Model == LatencyMatrix && l.File == "" {
		v.bad(path+".file", "missing: model: matrix reads its round trips from a file")
	}
	v.fraction("network.loss", n.Loss)
	v.fraction("network.duplicate", n.Duplicate)
	v.count("network.bandwidth", n.Bandwidth, 0, 1<<40)
}

func (v *validator) churn(path string, c Churn, s Scenario) {
	fields := map[string][]string{
		ChurnSessions:   {"on", "off", "absent", "return", "leave"},
		ChurnPoisson:    {"joins", "leaves", "crashes", "off", "return", "floor"},
		ChurnFlashCrowd: {"count", "within", "stay", "leave"},
		ChurnTrace:      {"file"},
		ChurnGroups:     {"interval", "share", "off", "return", "floor"},
	}
	if !v.oneOf(path+".kind", c.Kind, ChurnSessions, ChurnPoisson, ChurnFlashCrowd, ChurnTrace, ChurnGroups) {
		return
	}
	v.only(path, "kind: "+c.Kind, c, append([]string{"kind", "from", "until"}, fields[c.Kind]...)...)
	v.window(path, c.From, c.Until, s)
	v.distribution(path+".on", c.On, c.Kind == ChurnSessions)
	v.distribution(path+".off", c.Off, false)
	v.distribution(path+".stay", c.Stay, false)
	v.fraction(path+".absent", c.Absent)
	v.fraction(path+".leave", c.Leave)
	v.fraction(path+".share", c.Share)
	v.oneOf(path+".return", c.Return, ReturnSame, ReturnNew, "")
	v.atLeastZero(path+".joins", c.Joins)
	v.atLeastZero(path+".leaves", c.Leaves)
	v.atLeastZero(path+".crashes", c.Crashes)
	v.count(path+".floor", c.Floor, 0, maxNodes)
	v.count(path+".count", c.Count, 0, maxNodes)
	v.duration(path+".within", c.Within, 0)
	v.duration(path+".interval", c.Interval, 0)
	switch {
	case c.Kind == ChurnPoisson && c.Joins+c.Leaves+c.Crashes == 0:
		v.bad(path, "want joins, leaves or crashes, in events per second")
	case c.Kind == ChurnFlashCrowd && c.Count == 0:
		v.bad(path, "want count, how many processes join")
	case c.Kind == ChurnTrace && c.File == "":
		v.bad(path, "want file, with lines time,node,event")
	case c.Kind == ChurnGroups && c.Interval == 0:
		v.bad(path, "want interval, the mean time between two failures")
	case c.Kind == ChurnGroups && s.Groups < 2:
		v.bad(path, "want groups: N at the top of the scenario, at least 2")
	}
}

func (v *validator) window(path string, from, until time.Duration, s Scenario) {
	v.duration(path+".from", from, 0)
	v.duration(path+".until", until, 0)
	if from >= s.Duration {
		v.bad(path+".from", "%v, want less than the duration %v", from, s.Duration)
	}
	if until != 0 && until <= from {
		v.bad(path+".until", "%v, want more than from = %v", until, from)
	}
}

func (v *validator) distribution(path string, d Distribution, required bool) {
	if d == (Distribution{}) {
		if required {
			v.bad(path, "missing; for example {mean: 1h}")
		}
		return
	}
	if _, err := newSessions(d); err != nil {
		v.bad(path, "%v", err)
	}
}

func (v *validator) workload(path string, w Workload, s Scenario) {
	if !v.oneOf(path+".op", w.Op, OpLookup, OpPut, OpGet, OpDelete, OpCas, OpIncr, OpTouch) {
		return
	}
	fields := []string{"op", "rate", "per", "from", "until", "keys", "distribution", "exponent", "retries", "timeout"}
	if w.Op == OpLookup {
		fields = append(fields, "style")
		v.oneOf(path+".style", w.Style, node.Iterative.String(), node.Recursive.String(), "")
	} else {
		fields = append(fields, "level")
		if w.Keys < 1 {
			v.bad(path+".keys", "%d, want how many keys there are, at least 1", w.Keys)
		}
	}
	switch w.Op {
	case OpPut:
		fields = append(fields, "value-bytes", "preload", "ttl")
	case OpTouch:
		fields = append(fields, "ttl")
		if w.TTL == 0 {
			v.bad(path+".ttl", "missing; for example 10s")
		}
	case OpCas:
		fields = append(fields, "value-bytes")
	}
	v.only(path, "op: "+w.Op, w, fields...)
	v.window(path, w.From, w.Until, s)
	if v.positive(path+".rate", w.Rate); w.Per == PerNode && w.Rate*float64(s.Nodes) > 1e9 {
		v.bad(path+".rate", "%v per node and second is too much for %d nodes", w.Rate, s.Nodes)
	}
	v.oneOf(path+".per", w.Per, PerGlobal, PerNode, "")
	v.count(path+".keys", w.Keys, 0, maxKeys)
	v.oneOf(path+".distribution", w.Distribution, Uniform, Zipf, "")
	if w.Exponent != 0 {
		v.positive(path+".exponent", w.Exponent)
		if w.Distribution != Zipf {
			v.bad(path+".exponent", "means nothing without distribution: zipf")
		}
	}
	if w.Distribution == Zipf && w.Keys < 1 {
		v.bad(path+".keys", "want how many keys there are for distribution: zipf")
	}
	v.count(path+".value-bytes", w.ValueBytes, 0, s.Node.MaxValueBytes)
	if _, err := node.ParseLevel(w.Level); w.Level != "" && err != nil {
		v.oneOf(path+".level", w.Level, "one", "quorum", "all")
	}
	v.count(path+".retries", w.Retries, 0, 1000)
	v.duration(path+".timeout", w.Timeout, 0)
	v.duration(path+".preload", w.Preload, 0)
	v.duration(path+".ttl", w.TTL, 0)
	if w.TTL != 0 && (w.TTL < time.Millisecond || w.TTL > node.MaxTTL) {
		v.bad(path+".ttl", "%v, want 1ms to %v", w.TTL, node.MaxTTL)
	}
	if w.From+w.Preload >= s.Duration {
		v.bad(path+".preload", "%v, want it to end before the duration %v", w.Preload, s.Duration)
	}
}

func (v *validator) fault(path string, f Fault, s Scenario) {
	who := slices.Clip([]string{"nodes", "count", "share", "group"})
	fields := map[string][]string{
		FaultPartition: append(who, "shares"),
		FaultOneWay:    who,
		FaultLoss:      {"probability"},
		FaultDuplicate: {"probability"},
		FaultSlow:      append(who, "factor"),
		FaultDisk:      append(who, "factor"),
		FaultPause:     who,
		FaultCrash:     append(who, "return"),
		FaultClock:     append(who, "offset", "drift"),
	}
	if !v.oneOf(path+".kind", f.Kind, FaultPartition, FaultOneWay, FaultLoss, FaultDuplicate, FaultSlow, FaultDisk, FaultPause, FaultCrash, FaultClock) {
		return
	}
	v.only(path, "kind: "+f.Kind, f, append([]string{"kind", "at", "for", "every", "until"}, fields[f.Kind]...)...)
	v.duration(path+".at", f.At, 0)
	if f.At >= s.Duration {
		v.bad(path+".at", "%v, want less than the duration %v", f.At, s.Duration)
	}
	v.duration(path+".for", f.For, 0)
	v.duration(path+".every", f.Every, 0)
	v.duration(path+".until", f.Until, 0)
	if f.Every > 0 && f.Every < time.Millisecond {
		v.bad(path+".every", "%v, want at least 1ms", f.Every)
	}
	if f.Every > 0 && f.For == 0 {
		v.bad(path+".for", "missing: what occurs again and again must end")
	}
	if f.Until != 0 && (f.Every == 0 || f.Until <= f.At) {
		v.bad(path+".until", "%v, want more than at = %v, and every", f.Until, f.At)
	}
	v.victims(path, f, s)
	v.fraction(path+".probability", f.Probability)
	v.shares(path+".shares", f.Shares)
	v.oneOf(path+".return", f.Return, ReturnSame, ReturnNew, "")
	switch f.Kind {
	case FaultLoss, FaultDuplicate:
		if f.Probability == 0 {
			v.bad(path+".probability", "missing")
		}
	case FaultSlow, FaultDisk:
		if v.positive(path+".factor", f.Factor); f.Factor > 0 && f.Factor < 1 {
			v.bad(path+".factor", "%v, want at least 1", f.Factor)
		}
		if f.Kind == FaultDisk && s.Disk.SyncLatency == 0 {
			v.bad(path, "means nothing without disk.sync-latency")
		}
	case FaultClock:
		if f.Offset == 0 && f.Drift == 0 {
			v.bad(path, "want offset or drift")
		}
		if !(f.Drift > -1 && f.Drift < 1) {
			v.bad(path+".drift", "%v, want more than -1 and less than 1 second a second", f.Drift)
		}
		if f.Offset < -maxDuration || f.Offset > maxDuration {
			v.bad(path+".offset", "%v, want %v to %v", f.Offset, -maxDuration, maxDuration)
		}
	}
}

// victims checks who is hit.
func (v *validator) victims(path string, f Fault, s Scenario) {
	ways := 0
	for _, given := range []bool{len(f.Nodes) > 0, f.Count != 0, f.Share != 0, f.Group != 0, len(f.Shares) > 0} {
		if given {
			ways++
		}
	}
	if ways > 1 {
		v.bad(path, "more than one of nodes, count, share, group and shares: want one way to say who is hit")
	}
	if ways == 0 && (f.Kind == FaultCrash || f.Kind == FaultPause || f.Kind == FaultOneWay) {
		v.bad(path, "want who is hit: nodes, count, share or group")
	}
	for i, n := range f.Nodes {
		v.count(fmt.Sprintf("%s.nodes[%d]", path, i), n, 0, maxNodes)
	}
	v.count(path+".count", f.Count, 0, maxNodes)
	v.fraction(path+".share", f.Share)
	if f.Group != 0 {
		v.count(path+".group", f.Group, 1, s.Groups)
	}
}

// shares checks the parts of a partition.
func (v *validator) shares(path string, shares []float64) {
	if shares == nil {
		return
	}
	sum := 0.0
	for _, x := range shares {
		v.fraction(path, x)
		sum += x
	}
	if len(shares) < 2 || sum < 0.999 || sum > 1.001 {
		v.bad(path, "want two or more parts that sum up to 1")
	}
}

// locate gives problems their places in a file: that of the field, or of the nearest one around it that the file gives.
func (d *decoder) locate(problems []Problem) []Problem {
	for i := range problems {
		p := &problems[i]
		at := position{1, 1}
		for path := p.Path; path != ""; path = parent(path) {
			if found, ok := d.positions[path]; ok {
				at = found
				break
			}
		}
		p.Line, p.Column = at.line, at.column
	}
	return problems
}

// parent returns the path of what contains the field.
func parent(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }
