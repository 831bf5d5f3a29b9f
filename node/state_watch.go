package node

import (
	"maps"
	"slices"
	"sync"
)

// watches is who watches which key.
type watches struct {
	mu    sync.Mutex
	byKey map[string][]*watch
}

// watch is a call of Process.Watch.
type watch struct {
	in      *watches
	stirred bool   // while it did not wait
	wake    func() // nil: it does not wait
}

func (w *watches) add(key string) *watch {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := &watch{in: w}
	w.byKey[key] = append(w.byKey[key], one)
	return one
}

func (w *watches) remove(key string, one *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rest := slices.DeleteFunc(w.byKey[key], func(other *watch) bool { return other == one })
	if len(rest) == 0 {
		delete(w.byKey, key)
	} else {
		w.byKey[key] = rest
	}
}

// sleep begins to wait: wake is called when something stirs. It reports false if something has since the last time.
func (one *watch) sleep(wake func()) bool {
	one.in.mu.Lock()
	defer one.in.mu.Unlock()
	if one.stirred {
		one.stirred = false
		return false
	}
	one.wake = wake
	return true
}

// stir marks those who watch a key, and returns what wakes those of them that wait.
func (w *watches) stir(key string) (wakes []func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return stirEach(w.byKey[key], nil)
}

// stirAll is stir for every key.
func (w *watches) stirAll() (wakes []func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(w.byKey)) {
		wakes = stirEach(w.byKey[key], wakes)
	}
	return wakes
}

func stirEach(all []*watch, wakes []func()) []func() {
	for _, one := range all {
		if one.wake == nil {
			one.stirred = true
			continue
		}
		wakes = append(wakes, one.wake)
		one.wake = nil
	}
	return wakes
}
