package sim

import (
	"fmt"
	"time"
)

// Step is an executed, or in Options.Choose a pending, event of a World. It is a small value that refers to nothing.
type Step struct {
	Seq    uint64        // number of the event, in the order in which events came to be; unique in a run
	At     time.Duration // virtual time: when it was executed, or is due
	Kind   StepKind
	Method Method // of a call: what is called; else 0
	From   int    // number of the host that sent the message; of the host itself for what is no message; Harness for the harness
	To     int    // number of the host that the step happens at; Harness for the harness
}

// Harness stands for the program around the world in place of a host's number.
const Harness = -1

// StepKind is what happens in a step.
type StepKind uint8

// The kinds of step.
const (
	StepTimer    StepKind = iota + 1 // a timer of a process fires: Runtime.AfterFunc
	StepTask                         // a task begins: Runtime.Go
	StepWake                         // a task goes on after a wait that is no call: Sleep, Gather, a section, the disk
	StepRequest                      // a request arrives
	StepResponse                     // an answer, or the refusal of a request, arrives
	StepTimeout                      // the deadline of a call that nobody answers passes
)

func (k StepKind) String() string {
	return [...]string{"none", "timer", "task", "wake", "request", "response", "timeout", "invalid"}[min(k, StepTimeout+1)]
}

// String shows a step on one line.
func (s Step) String() string {
	if s.Method == 0 {
		return fmt.Sprintf("%v %v at %s", s.At, s.Kind, hostName(s.To))
	}
	return fmt.Sprintf("%v %v %v %s > %s", s.At, s.Method, s.Kind, hostName(s.From), hostName(s.To))
}

func hostName(number int) string {
	if number == Harness {
		return "harness"
	}
	return addrOf(number)
}

// Method is what a call asks for: a method of node.Peers, or of the handshake that processes find a ring with.
type Method uint8

// The methods.
const (
	MethodNeighbors Method = iota + 1
	MethodNotify
	MethodChanged
	MethodRoute
	MethodApply
	MethodFetch
	MethodDigest
	MethodList
	MethodDo
	MethodHello // asks a process whether it is a member of a ring
	MethodOutline
	MethodName
	MethodForward
	MethodArrived
	MethodCollect
)

// Methods is the number of methods and the length of an array with one element for each, indexed by Method, with element 0 unused.
const Methods = int(MethodCollect) + 1

// waitsForDisk reports whether the answer may have to wait for a sync.
func (m Method) waitsForDisk() bool {
	switch m {
	case MethodApply, MethodDigest, MethodOutline, MethodName, MethodList:
		return true
	}
	return false
}

func (m Method) String() string {
	return [...]string{
		"none", "neighbors", "notify", "changed", "route", "apply", "fetch", "digest", "list", "do", "hello", "outline", "name", "forward", "arrived",
		"collect", "invalid",
	}[min(m, MethodCollect+1)]
}
