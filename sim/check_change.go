package sim

import (
	"fmt"
	"strconv"
	"time"

	"github.com/chordkv/chord/node"
)

// counter is what clients know of a key that is incremented by one each time.
type counter struct {
	begun   int64          // increments
	since   time.Duration  // the stable time that the rest is of
	numbers map[int64]bool // of those that were acknowledged in it
	highest int64
}

// given returns the highest number that was acknowledged in the stable time since then.
func (n *counter) given(since time.Duration) int64 {
	if n.since != since {
		return 0
	}
	return n.highest
}

// checkChange: a conditional operation that was acknowledged has taken effect once, on what was there.
func (c *Checker) checkChange(k *keyHistory, op *Operation, b *begun) bool {
	stable := b.stable && c.stable && c.since == b.since && op.Level != node.LevelOne
	switch op.Kind {
	case OpIncr:
		return c.checkIncrement(k, op, b, stable)
	case OpCas:
		return !stable || op.If != node.IfVersion || c.checkSwap(k, op)
	}
	return true
}

// checkIncrement: what is acknowledged is not above what it would be if all increments that were ever begun had taken effect; and, in a stable ring, a number that
// nobody else was given, above all that were given before it began.
func (c *Checker) checkIncrement(k *keyHistory, op *Operation, b *begun, stable bool) bool {
	n := &k.counter
	number := op.Result.Number
	if number > n.begun {
		c.report(CheckCount, fmt.Sprintf("increment of %q was acknowledged as number %d, version %v, but only %d have begun", op.Key, number, op.Result.Version, n.begun),
			append(c.groupHosts(k), op.From)...)
		return false
	}
	if !stable {
		return true
	}
	if n.since != c.since {
		n.since, n.numbers, n.highest = c.since, make(map[int64]bool), 0
	}
	if n.numbers[number] || number <= b.count {
		c.report(CheckCount, fmt.Sprintf("increment of %q, begun at %v in a ring that is stable since %v, was acknowledged as number %d, version %v; before it began, %d was given",
			op.Key, op.Begin, c.since, number, op.Result.Version, b.count), append(c.groupHosts(k), op.From)...)
		return false
	}
	n.numbers[number] = true
	n.highest = max(n.highest, number)
	return true
}

// checkSwap: nobody else has put something in the place of the same version.
func (c *Checker) checkSwap(k *keyHistory, op *Operation) bool {
	expected, v := op.Expected.Version, op.Result.Version
	if other, ok := k.swapped[expected]; ok && other != v {
		c.report(CheckSwap, fmt.Sprintf("two writes of %q were acknowledged that expected version %v: %v and %v", op.Key, expected, other, v),
			append(c.groupHosts(k), op.From)...)
		return false
	}
	if k.swapped == nil {
		k.swapped = make(map[node.Version]node.Version)
	}
	k.swapped[expected] = v
	return true
}

// checkTotal: in the end a counter is not above what it would be if all increments had taken effect.
func (c *Checker) checkTotal(k *keyHistory, value []byte, from *Host) {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || n > k.counter.begun {
		c.report(CheckCount, fmt.Sprintf("counter %q is %.40q in a healed ring, but %d increments have begun", k.key, value, k.counter.begun), from.Number())
	}
}
