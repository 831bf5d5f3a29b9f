package node

import "slices"

func (p *Process) locksHere() {
	p.mu.Lock() // want "taking a mutex outside state.go is banned in node, use a small method of node/state.go (rule 5)"
	p.mu.Unlock()
}

// ask is innocent by itself; askAgain and ask form a cycle of calls.
func (p *Process) ask() int {
	if p.n > 0 {
		return p.askAgain()
	}
	return p.peers.Neighbors()
}

func (p *Process) askAgain() int { return p.ask() }

func (p *Process) loops(hops int, more func() bool, seq func(func(int) bool)) {
	for hop := 0; hop < hops; hop++ {
		p.ask()
	}
	for range hops {
		p.peers.Neighbors()
	}
	for {
		p.n++
	}
	for range slices.Backward([]int{hops}) {
		p.ask()
	}
	// Each turn uses up one of what there is only so much of.
	// Bound: what there is.
	for more() {
		p.ask()
	}
	for { // want "an unbounded loop around Peers.Neighbors is banned in node, use a loop that counts up to a field of Config, or a comment `Bound: ...` that says what ends it (rule 6)"
		p.peers.Neighbors()
	}
	for more() { // want "an unbounded loop around Peers.Neighbors (through askAgain) is banned in node, use a loop that counts up to a field of Config, or a comment `Bound: ...` that says what ends it (rule 6)"
		p.askAgain()
	}
	for range seq { // want "an unbounded loop around Peers.Neighbors (through ask) is banned in node, use a loop that counts up to a field of Config, or a comment `Bound: ...` that says what ends it (rule 6)"
		func() { p.ask() }()
	}
}
