package rpc

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// What a watch of a prefix has told makes a key worth reading or not; only so many keys are remembered, those told last.
func TestToldVersions(t *testing.T) {
	v := func(n uint64) node.Version { return node.Version{Time: n, Origin: 1} }
	const later = time.Minute
	m := newToldVersions(4)
	m.put(ring.ID{1}, toldVersion{version: v(5)})
	m.put(ring.ID{2}, toldVersion{version: v(5), lapses: later})
	for i, test := range []struct {
		id     byte
		stored node.Version
		now    time.Duration
		want   bool
	}{
		{1, v(4), 0, false},
		{1, v(5), 2 * later, false},
		{1, v(6), 0, true},
		{1, node.Version{}, 2 * later, false}, // a value that was replaced by one that does not expire
		{2, v(5), later - 1, false},
		{2, node.Version{}, later, true},
		{2, v(5), later, true}, // it may have expired while the process was not heard
		{3, v(1), 0, true},
		{3, node.Version{}, 0, true},
	} {
		if got := m.stale(ring.ID{test.id}, test.stored, test.now); got != test.want {
			t.Errorf("%d: %v of %d at %v: got %v, want %v", i, test.stored, test.id, test.now, got, test.want)
		}
	}
	m.put(ring.ID{2}, toldVersion{version: v(5), lapses: later, lapsed: true})
	if m.stale(ring.ID{2}, v(5), 2*later) {
		t.Error("that it has expired was told")
	}
	for i := range byte(4) {
		m.put(ring.ID{10 + i}, toldVersion{version: v(1)})
		m.put(ring.ID{10 + i}, toldVersion{version: v(2)})
	}
	for id, want := range map[byte]bool{1: false, 2: false, 10: true, 11: true, 12: true, 13: true} {
		if got, ok := m.get(ring.ID{id}); ok != want || ok && got.version != v(2) {
			t.Errorf("of %d: %v, remembered %v, want %v", id, got, ok, want)
		}
	}
}

// A watch of a prefix gives up when nobody tells, or as many processes do not as may have a write for themselves, for half a minute; and one of which nobody speaks any more it forgets.
func TestPrefixMembers(t *testing.T) {
	c, err := NewClient(DefaultClientConfig("127.0.0.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	down := fmt.Errorf("down: %w", node.ErrUnreachable)
	for i, test := range []struct {
		up, down int
		silent   time.Duration
		gives    bool
	}{
		{1, 0, 2 * watchPatience, false},
		{2, 1, 2 * watchPatience, false},
		{2, 2, watchPatience / 2, false},
		{2, 2, 2 * watchPatience, true},
		{0, 1, watchPatience / 2, false},
		{0, 1, 2 * watchPatience, true},
	} {
		w := &prefixWatch{c: c, spare: 1, start: time.Now().Add(-test.silent), entered: make(chan Hello, 1), members: members{c: c, byAddr: make(map[string]*memberStream)}}
		for k := range test.up + test.down {
			s := &memberStream{stop: func() {}, up: k < test.up}
			if !s.up {
				s.failed = down
			}
			w.members.byAddr[fmt.Sprint(k)] = s
		}
		err := w.check(ctx)
		w.tasks.Wait()
		var failed *OpError
		if gives := err != nil; gives != test.gives || gives && (!errors.As(err, &failed) || !failed.Retryable || !errors.Is(err, node.ErrUnreachable)) {
			t.Errorf("%d: got %v", i, err)
		}
	}

	stopped := make(map[string]bool)
	m := members{c: c, byAddr: make(map[string]*memberStream)}
	for _, addr := range []string{"a", "b", "c"} {
		m.byAddr[addr] = &memberStream{stop: func() { stopped[addr] = true }}
	}
	if named := m.note(memberNews{addr: "a", told: node.Stored{Around: []string{"a", "b", "c", "d"}}}); fmt.Sprint(named) != "[d]" {
		t.Errorf("named for the first time are %v", named)
	}
	m.note(memberNews{addr: "b", err: down})
	m.note(memberNews{addr: "c", err: down})
	if len(stopped) > 0 || m.listed(2) {
		t.Errorf("given up are %v, though they are named; all is listed: %v", stopped, m.listed(2))
	}
	m.note(memberNews{addr: "a", told: node.Stored{Around: []string{"a", "b"}, Listed: true}})
	if !stopped["c"] || stopped["b"] || m.byAddr["c"] != nil {
		t.Errorf("given up are %v, want c", stopped)
	}
	if m.listed(0) || !m.listed(1) {
		t.Error("one process has listed, and one cannot be reached")
	}
	m.note(memberNews{addr: "a", err: down})
	if stopped["a"] || stopped["b"] {
		t.Errorf("given up are %v, though nobody is left to name others", stopped)
	}
	if m.note(memberNews{addr: "c", told: node.Stored{Around: []string{"e"}}}) != nil {
		t.Error("one that was given up is listened to")
	}
}
