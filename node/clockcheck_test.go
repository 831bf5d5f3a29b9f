package node_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
)

// TestCheckClock: a process that must not trust its clock refuses the writes that it would give a version, having applied nothing, and answers reads.
func TestCheckClock(t *testing.T) {
	inCluster(t, 121, node.DefaultConfig(), func(c *cluster) {
		p := c.start(1)
		var wrong atomic.Bool
		p.CheckClock(func(now time.Time) error {
			if !now.Equal(time.Now()) {
				t.Errorf("asked about %v", now)
			}
			if wrong.Load() {
				return errors.New("somebody has turned it back")
			}
			return nil
		})
		if err := p.Create(); err != nil {
			t.Fatal(err)
		}
		put := func(value string) error {
			_, err := p.Serve(t.Context(), node.Op{Kind: node.OpPut, Key: []byte("key"), Value: []byte(value), Level: node.LevelOne})
			return err
		}
		if err := put("before"); err != nil {
			t.Fatal(err)
		}
		wrong.Store(true)
		if err := put("after"); !errors.Is(err, node.ErrClockSkew) || errors.Is(err, node.ErrUnknown) {
			t.Errorf("got %v, want that nothing was applied because of the clock", err)
		}
		if err := p.Status().ClockError; !errors.Is(err, node.ErrClockSkew) {
			t.Errorf("status says %v", err)
		}
		r, err := p.Serve(t.Context(), node.Op{Kind: node.OpGet, Key: []byte("key"), Level: node.LevelOne})
		if err != nil || string(r.Value) != "before" {
			t.Errorf("got %q, %v", r.Value, err)
		}
		wrong.Store(false)
		if err := put("after"); err != nil || p.Status().ClockError != nil {
			t.Errorf("got %v, status says %v", err, p.Status().ClockError)
		}
	})
}
