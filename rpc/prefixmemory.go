package rpc

import (
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// toldVersion is what a watch of a prefix has told of a key last.
type toldVersion struct {
	version node.Version
	lapses  time.Duration // since the watch began, when the version expires, or up to a round trip before; 0: never
	lapsed  bool          // that it has expired was told
}

// toldVersions remembers what a watch of a prefix has told, in two generations of which the older one is dropped when the younger is full. Keys are known by their places, so
// that long ones take no more room than short ones.
type toldVersions struct {
	max   int // keys in a generation
	young map[ring.ID]toldVersion
	old   map[ring.ID]toldVersion
}

func newToldVersions(keys int) *toldVersions {
	return &toldVersions{max: max(keys/2, 1), young: make(map[ring.ID]toldVersion)}
}

// get returns what was told of a key; ok is false if that is not known.
func (m *toldVersions) get(id ring.ID) (t toldVersion, ok bool) {
	if t, ok = m.young[id]; !ok {
		t, ok = m.old[id]
	}
	return t, ok
}

func (m *toldVersions) put(id ring.ID, t toldVersion) {
	if _, ok := m.young[id]; !ok && len(m.young) == m.max {
		m.old, m.young = m.young, make(map[ring.ID]toldVersion)
	}
	m.young[id] = t
}

// stale reports whether a key may have something else than what was told of it, if a process has stored a version of it; the zero version, if its value is
// gone there because it has expired.
func (m *toldVersions) stale(id ring.ID, stored node.Version, now time.Duration) bool {
	t, ok := m.get(id)
	return !ok || stored.Newer(t.version) || t.lapses != 0 && !t.lapsed && now >= t.lapses
}
