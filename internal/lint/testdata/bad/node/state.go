package node

import "sync"

// Process has a mutex.
type Process struct {
	mu    sync.Mutex
	peers Peers
	store Store
	n     int
}

func (p *Process) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

func (p *Process) waits() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.store.Get() // want "a call of Store.Get in state.go is banned in node, use the caller, before or after the lock (rule 5)"
}

func (p *Process) waitsToo() int {
	return p.ask() // want "a call of Peers.Neighbors (through ask) in state.go is banned in node, use the caller, before or after the lock (rule 5)"
}
