package sim

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// TraceEvent is a line of a trace: what happens to a process at a time.
type TraceEvent struct {
	At   time.Duration
	Node string // "7" is process number 7 if that exists at the start; any other name is a process of its own
	Kind string // join, leave or crash
	Line int    // in the file
}

// The kinds of TraceEvent. A process that joins again is the same with its disk.
const (
	TraceJoin  = "join"
	TraceLeave = "leave"
	TraceCrash = "crash"
)

// Trace is a recorded history of joins and ends, in order of time.
type Trace struct {
	File   string
	Events []TraceEvent
}

// ReadTrace reads lines "time,node,event". The time is in seconds from the start, or has a unit (1m30s), and never goes back. Empty lines,
// those that begin with #, and a first line with just these three words are skipped. Any other line is an error with file and line.
func ReadTrace(name string) (*Trace, error) {
	text, err := readFile(name)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	t := &Trace{File: name}
	number := 0
	for raw := range bytes.Lines(text) {
		number++
		line := strings.TrimSpace(string(raw))
		if line == "" || line[0] == '#' || len(t.Events) == 0 && strings.ReplaceAll(line, " ", "") == "time,node,event" {
			continue
		}
		e, err := parseTraceLine(line)
		if err == nil && len(t.Events) > 0 && e.At < t.Events[len(t.Events)-1].At {
			err = fmt.Errorf("time %v is before that of the line above, %v", e.At, t.Events[len(t.Events)-1].At)
		}
		if err != nil {
			return nil, fmt.Errorf("trace: %s:%d: %w", name, number, err)
		}
		e.Line = number
		t.Events = append(t.Events, e)
	}
	if len(t.Events) == 0 {
		return nil, fmt.Errorf("trace: %s: no events", name)
	}
	return t, nil
}

func parseTraceLine(line string) (TraceEvent, error) {
	fields := strings.Split(line, ",")
	if len(fields) != 3 {
		return TraceEvent{}, fmt.Errorf("%d fields, want 3: time,node,event", len(fields))
	}
	for i, f := range fields {
		fields[i] = strings.TrimSpace(f)
	}
	e := TraceEvent{Node: fields[1], Kind: fields[2]}
	seconds, err := strconv.ParseFloat(fields[0], 64)
	switch {
	case err == nil && !(seconds >= 0 && seconds <= maxDuration.Seconds()):
		return TraceEvent{}, fmt.Errorf("time %s, want 0 to %v seconds", fields[0], maxDuration.Seconds())
	case err == nil:
		e.At = time.Duration(seconds * float64(time.Second))
	default:
		if e.At, err = time.ParseDuration(fields[0]); err != nil || e.At < 0 || e.At > maxDuration {
			return TraceEvent{}, fmt.Errorf("time %q, want seconds or a duration such as 1m30s", fields[0])
		}
	}
	if e.Node == "" {
		return TraceEvent{}, fmt.Errorf("no node")
	}
	if e.Kind != TraceJoin && e.Kind != TraceLeave && e.Kind != TraceCrash {
		return TraceEvent{}, fmt.Errorf("event %q, want %s, %s or %s", e.Kind, TraceJoin, TraceLeave, TraceCrash)
	}
	return e, nil
}

// check reports the first event that makes no sense when the processes 0 to nodes-1 are members at the start: the join of a member, or the
// end of a process that is none.
func (t *Trace) check(nodes int) error {
	member := map[string]bool{}
	for i := range nodes {
		member[strconv.Itoa(i)] = true
	}
	for _, e := range t.Events {
		if joins := e.Kind == TraceJoin; joins == member[e.Node] {
			return fmt.Errorf("trace: %s:%d: %s of %s, which is %s then", t.File, e.Line, e.Kind, e.Node,
				map[bool]string{true: "a member", false: "not a member"}[joins])
		}
		member[e.Node] = e.Kind == TraceJoin
	}
	return nil
}
