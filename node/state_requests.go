package node

import (
	"sync"
	"sync/atomic"
)

// window remembers which versions the latest requests were given, zero where a condition did not hold, so that a retried write is not applied twice. It holds two
// generations and drops the older one when the younger is full. The lanes are for writes too, and most processes of a million see none.
type window struct {
	shards [windowShards]windowShard
	lanes  [windowShards]lane
}

type windowShard struct {
	mu         sync.Mutex
	young, old map[RequestID]Version
}

// lane is where plain writes meet the first conditional operation on a key. A plain write sends its record to all replicas at once, and what got into the own
// store since it read the key would be overwritten by a record that does not remember it in its History. So whoever is about to give a key its History waits
// until the plain writes on their way are in the own store; those that begin meanwhile, or find the History, go by the own store first.
type lane struct {
	plain   atomic.Int32 // writes that have begun and are not in the own store yet
	fences  atomic.Int32 // operations that let no more of them begin
	mu      sync.Mutex
	waiting []func() // for plain to be 0
	_       [24]byte // to the end of a cache line: a plain write changes it twice
}

// enter begins a plain write; it reports false if that has to go by the own store.
func (l *lane) enter() bool {
	l.plain.Add(1)
	if l.fences.Load() == 0 {
		return true
	}
	l.leave()
	return false
}

// leave says that a plain write is in the own store.
func (l *lane) leave() {
	if l.plain.Add(-1) > 0 || l.fences.Load() == 0 {
		return
	}
	l.mu.Lock()
	waiting := l.waiting
	l.waiting = nil
	l.mu.Unlock()
	for _, wake := range waiting {
		wake()
	}
}

// quiet calls wake when no plain write is on its way, at once or later. There must be a fence, or that could be never.
func (l *lane) quiet(wake func()) {
	l.mu.Lock()
	l.waiting = append(l.waiting, wake)
	l.mu.Unlock()
	if l.plain.Load() == 0 {
		wake()
	}
}

const (
	windowShards     = 64
	windowGeneration = 4096 // requests per shard and generation: 262,144 to 524,288 in all, some 40 MB at most
)

// add remembers the version of a request.
func (w *window) add(r RequestID, v Version) {
	s := w.shard(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(r, v)
}

// claim remembers the version of a request unless it has one. It returns the version that counts, and whether that is an earlier one.
func (w *window) claim(r RequestID, v Version) (Version, bool) {
	s := w.shard(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if earlier, ok := s.find(r); ok && !earlier.IsZero() {
		return earlier, true
	}
	s.add(r, v)
	return v, false
}

// find returns the version that a request was given.
func (w *window) find(r RequestID) (Version, bool) {
	s := w.shard(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(r)
}

func (w *window) shard(r RequestID) *windowShard { return &w.shards[r[0]%windowShards] }

// add is that of window; the caller holds mu.
func (s *windowShard) add(r RequestID, v Version) {
	if s.young == nil {
		s.young = make(map[RequestID]Version)
	}
	if len(s.young) >= windowGeneration {
		s.young, s.old = make(map[RequestID]Version), s.young
	}
	s.young[r] = v
}

// find is that of window; the caller holds mu.
func (s *windowShard) find(r RequestID) (Version, bool) {
	v, ok := s.young[r]
	if !ok {
		v, ok = s.old[r]
	}
	return v, ok
}

// lane returns the lane of a key.
func (w *window) lane(key []byte) *lane {
	h := uint32(2166136261) // FNV-1a
	for _, b := range key {
		h = (h ^ uint32(b)) * 16777619
	}
	return &w.lanes[(h^h>>16)%windowShards]
}

// hedge is what is known of the calls of Process.hedge.
type hedge struct {
	mu    sync.Mutex
	n     int    // calls
	begun int    // of these, the first ones
	open  int    // of these, not ended
	over  bool   // nothing counts any more
	stop  func() // cancels the timer
}

// begin takes the next call.
func (h *hedge) begin() (i int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.next()
}

// next takes the next call; the caller holds mu.
func (h *hedge) next() (i int) {
	h.begun++
	h.open++
	return h.begun - 1
}

// end takes in how a call ended, and tells done. more means that call i is to be begun; over, which is reported once, that nothing is waited for any more.
func (h *hedge) end(ended int, err error, done func(i int, err error) (enough bool)) (i int, more, over bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return 0, false, false
	}
	h.open--
	h.over = done(ended, err)
	if !h.over && err != nil && h.begun < h.n {
		return h.next(), true, false
	}
	h.over = h.over || h.open == 0
	return 0, false, h.over
}

// late takes in that patience is at an end. It returns what end does.
func (h *hedge) late() (i int, more, over bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.over:
		return 0, false, false
	case h.begun < h.n:
		return h.next(), true, false
	default:
		h.over = true
		return 0, false, true
	}
}

// arm takes what stops the timer; if nothing is waited for any more, it is stopped at once.
func (h *hedge) arm(stop func()) {
	h.mu.Lock()
	h.stop = stop
	over := h.over
	h.mu.Unlock()
	if over {
		stop()
	}
}

// disarm stops the timer.
func (h *hedge) disarm() {
	h.mu.Lock()
	stop := h.stop
	h.mu.Unlock()
	stop()
}
