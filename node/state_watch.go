package node

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

// maxPrefixWatches bounds the watches of prefixes in a process: each may have a batch of keys in memory, and each write looks at all of them.
const maxPrefixWatches = 256

// watches is who watches which key, or which prefix.
type watches struct {
	mu       sync.Mutex
	byKey    map[string][]*watch
	keys     int // watches in it
	prefixes []*watch
}

// watch is a call of Process.Watch or Process.WatchPrefix.
type watch struct {
	in      *watches
	stirred bool   // while it did not wait
	wake    func() // nil: it does not wait
	untold  untold // of a prefix
}

// untold is what the watch of a prefix has not told yet, as far as there is room for it.
type untold struct {
	prefix string
	room   int // keys
	bytes  int // of keys that there is room for still

	entries []Entry
	at      map[string]int // where each key is in entries
	lost    bool           // there was no room: the place in the changes is lost
	moved   bool           // the process has got other neighbors
}

// note remembers that something was stored under a key, in place of what was stored there before. The key is copied: it may be a part of a long message.
func (u *untold) note(e Entry) {
	if i, ok := u.at[string(e.Key)]; ok {
		if e.Version.Newer(u.entries[i].Version) {
			u.entries[i].Version = e.Version
		}
		return
	}
	if len(u.entries) == u.room || len(e.Key) > u.bytes {
		u.bytes += sizeOf(u.entries)
		u.entries, u.lost = nil, true
		clear(u.at)
	}
	e.Key = slices.Clone(e.Key)
	u.at[string(e.Key)] = len(u.entries)
	u.entries = append(u.entries, e)
	u.bytes -= len(e.Key)
}

func sizeOf(entries []Entry) (bytes int) {
	for _, e := range entries {
		bytes += len(e.Key)
	}
	return bytes
}

// add begins to watch a key.
func (w *watches) add(key string) *watch {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := &watch{in: w}
	w.byKey[key] = append(w.byKey[key], one)
	w.keys++
	return one
}

// Watches says how many calls of Process.Watch and Process.WatchPrefix are open.
type Watches struct{ Keys, Prefixes int }

func (w *watches) count() (n Watches) {
	if w == nil {
		return n
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return Watches{Keys: w.keys, Prefixes: len(w.prefixes)}
}

func (w *watches) remove(key string, one *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keys--
	rest := slices.DeleteFunc(w.byKey[key], func(other *watch) bool { return other == one })
	if len(rest) == 0 {
		delete(w.byKey, key)
	} else {
		w.byKey[key] = rest
	}
}

// addPrefix begins to watch a prefix, with room for so many keys of together so many bytes. It returns nil if too many do.
func (w *watches) addPrefix(prefix string, room, bytes int) *watch {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.prefixes) == maxPrefixWatches {
		return nil
	}
	one := &watch{in: w, untold: untold{prefix: prefix, room: room, bytes: bytes, at: make(map[string]int), moved: true}}
	w.prefixes = append(w.prefixes, one)
	return one
}

func (w *watches) removePrefix(one *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.prefixes = slices.DeleteFunc(w.prefixes, func(other *watch) bool { return other == one })
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

// take returns what there is to tell, and whether the neighbors have changed. That the place was lost it says only to who asks for it.
func (one *watch) take(askLost bool) (entries []Entry, lost, moved bool) {
	one.in.mu.Lock()
	defer one.in.mu.Unlock()
	u := &one.untold
	entries, u.entries = u.entries, nil
	u.bytes += sizeOf(entries)
	clear(u.at)
	moved, u.moved = u.moved, false
	if askLost {
		lost, u.lost = u.lost, false
	}
	return entries, lost, moved
}

// stir marks those who watch a key under which something was stored, one of n, and returns what wakes those of them that wait.
func (w *watches) stir(n int, stored func(i int) Entry) (wakes []func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range n {
		e := stored(i)
		wakes = stirEach(w.byKey[string(e.Key)], wakes)
		for j, one := range w.prefixes {
			if strings.HasPrefix(string(e.Key), one.untold.prefix) {
				one.untold.note(e)
				wakes = stirEach(w.prefixes[j:j+1], wakes)
			}
		}
	}
	return wakes
}

// stirAll marks all who watch, because the neighbors of the process have changed.
func (w *watches) stirAll() (wakes []func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(w.byKey)) {
		wakes = stirEach(w.byKey[key], wakes)
	}
	for _, one := range w.prefixes {
		one.untold.moved = true
	}
	return stirEach(w.prefixes, wakes)
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
