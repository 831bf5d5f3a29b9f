package node

func (p *Process) countMore() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

func (p *Process) waitsMore() int {
	return p.store.Get() // want "a call of Store.Get in state_more.go is banned in node, use the caller, before or after the lock (rule 5)"
}
