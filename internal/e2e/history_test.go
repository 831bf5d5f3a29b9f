package e2e

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/chordkv/chord/node"
)

// history is what clients did to a key, and whether one process owned it all the time.
type history struct {
	steps []porcupine.Operation
	owner string
	moved bool
}

// step is an operation on a register: what was asked, and what came of it. A value is the number that was written; a delete writes none.
type step struct {
	kind    kind
	value   int64 // of a put or cas
	expects int64 // of a cas
	result  int64 // of a get
	refused bool  // a cas whose condition did not hold
	unknown bool  // what came of it
}

type kind string

const (
	get kind = "get"
	put kind = "put"
	cas kind = "cas"
	end kind = "end" // what has not taken effect by then never will
)

const none int64 = -1

// valueOf reads the number in a register.
func valueOf(r node.Result) int64 {
	n, err := strconv.ParseInt(string(r.Value), 10, 64)
	if !r.Found || err != nil {
		return none
	}
	return n
}

type registerState struct {
	value int64
	ended bool
}

// linearizable is the sequential specification of a register. An operation of unknown outcome takes effect at any time before the end, or not at all.
var linearizable = porcupine.Model{
	Init: func() any { return registerState{value: none} },
	Step: func(state, input, _ any) (bool, any) {
		now, s := state.(registerState), input.(step)
		if now.ended {
			return true, now
		}
		next := registerState{value: s.value}
		switch s.kind {
		case end:
			return true, registerState{ended: true}
		case get:
			return s.result == now.value, now
		case cas:
			if meets := now.value == s.expects; s.refused {
				return !meets, now
			} else if !meets {
				return s.unknown, now // it came too late
			}
		}
		return true, next
	},
	DescribeOperation: func(input, _ any) string { return fmt.Sprintf("%+v", input) },
}

// checkShared checks the registers for which always the same process answered, or all of them (moved too), and returns how many those are. The answer that a condition did not hold does not
// tell who gave it; where several processes may own a register at a time (not exact), it is left out.
func (w *workload) checkShared(t *testing.T, exact, moved bool) (checked int) {
	t.Helper()
	for i := range w.shared {
		h := &w.shared[i]
		if h.moved && !moved {
			continue
		}
		if !exact {
			h.steps = slices.DeleteFunc(h.steps, func(o porcupine.Operation) bool { return o.Input.(step).refused })
		}
		checked++
		slices.SortStableFunc(h.steps, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
		steps := append(h.steps, porcupine.Operation{Input: step{kind: end}, Call: math.MaxInt64 - 1, Return: math.MaxInt64 - 1})
		switch porcupine.CheckOperationsTimeout(linearizable, steps, 20*time.Second) {
		case porcupine.Illegal:
			t.Errorf("the history of register %d, moved: %v, owned by %s, of %d operations, is not linearizable", i, h.moved, h.owner, len(h.steps))
			for _, s := range h.steps {
				t.Logf("client %d, %d to %d: %+v", s.ClientId, s.Call, s.Return, s.Input)
			}
		case porcupine.Unknown:
			t.Logf("the history of register %d has too many ways to be looked at", i)
		}
	}
	return checked
}
