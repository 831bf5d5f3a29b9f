package node_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
)

// notes is the clock that a disk remembers.
type notes struct {
	mu    sync.Mutex
	upTo  time.Time
	count int
	err   error
	takes time.Duration // set before it is used
}

func (n *notes) note(upTo time.Time) error {
	time.Sleep(n.takes)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err == nil && upTo.After(n.upTo) {
		n.upTo, n.count = upTo, n.count+1
	}
	return n.err
}

func (n *notes) now() (upTo time.Time, count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.upTo, n.count
}

// alone starts a process that is a ring of its own, with the store and the clock that its disk remembers.
func (c *cluster) alone(st node.Store, n *notes) *process {
	c.t.Helper()
	p := c.restart(node.Identity{Process: [16]byte{1}, VNodes: 1}, "10.0.0.1:7400", st)
	p.RecallClock(n.upTo, n.note)
	if err := p.Create(); err != nil {
		c.t.Fatal(err)
	}
	return p
}

// writeAlone puts a key where one replica does.
func (c *cluster) writeAlone(p *process, key string) (node.Version, error) {
	r, err := p.Serve(c.t.Context(), node.Op{Kind: node.OpPut, Key: []byte(key), Value: []byte("value"), Level: node.LevelOne})
	return r.Version, err
}

// TestRecallClock: whatever the wall clock shows after a restart, no version lies at or below one that was given before, also where nothing is stored that tells of it.
func TestRecallClock(t *testing.T) {
	for _, back := range []time.Duration{0, 300 * time.Millisecond, 10 * time.Second, time.Hour} {
		t.Run(fmt.Sprint(back), func(t *testing.T) {
			inCluster(t, 131, node.DefaultConfig(), func(c *cluster) {
				st, disk := store.NewMemory(), new(notes)
				p := c.alone(st, disk)
				var last node.Version
				for i := range 50 {
					v, err := c.writeAlone(p, fmt.Sprint("key ", i))
					if upTo, _ := disk.now(); err != nil || !v.Newer(last) || upTo.UnixMilli() <= v.Millis() {
						t.Fatalf("version %v after %v, %v, and %v is noted", v, last, err, upTo)
					}
					last = v
				}
				c.kill(p)
				p = c.alone(st, disk)
				p.ahead.Store(int64(-back))
				began := time.Now()
				v, err := c.writeAlone(p, "another key")
				if back > 2*time.Second {
					if !errors.Is(err, node.ErrClockSkew) || errors.Is(err, node.ErrUnknown) || !errors.Is(p.Status().ClockError, node.ErrClockSkew) {
						t.Errorf("got %v, status says %v, want that nothing was applied because the clock was set back", err, p.Status().ClockError)
					}
					time.Sleep(back)
					v, err = c.writeAlone(p, "another key")
				}
				if err != nil || !v.Newer(last) || p.Status().ClockError != nil {
					t.Errorf("got %v, %v after %v; status says %v", v, err, last, p.Status().ClockError)
				}
				if ahead := v.Millis() - time.Now().Add(-back).UnixMilli(); ahead > 0 {
					t.Errorf("the version lies %d ms ahead of the clock", ahead)
				}
				if took := time.Since(began); back <= 2*time.Second && took > back+time.Second+10*time.Millisecond {
					t.Errorf("the first write took %v", took)
				}
			})
		})
	}
}

// TestClockIsNotedSeldom: while versions are given, the time is noted twice a second, and else not at all.
func TestClockIsNotedSeldom(t *testing.T) {
	inCluster(t, 132, node.DefaultConfig(), func(c *cluster) {
		disk := new(notes)
		p := c.alone(store.NewMemory(), disk)
		const seconds = 10
		for range 100 * seconds {
			if _, err := c.writeAlone(p, "key"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if _, n := disk.now(); n < seconds || n > 2*seconds+2 {
			t.Errorf("noted %d times in %d seconds", n, seconds)
		}
		_, before := disk.now()
		time.Sleep(time.Hour)
		if _, n := disk.now(); n != before {
			t.Errorf("noted %d times while nothing was written", n-before)
		}
	})
}

// TestRequestTwiceWhileTheClockIsNoted: a message that comes again while the first is being given a version, which may take as long as the disk does, is of that version too.
func TestRequestTwiceWhileTheClockIsNoted(t *testing.T) {
	inCluster(t, 134, node.DefaultConfig(), func(c *cluster) {
		p := c.alone(store.NewMemory(), &notes{takes: 50 * time.Millisecond})
		for i, op := range []node.Op{
			{Kind: node.OpPut, Key: []byte("plain"), Value: []byte("value")},
			{Kind: node.OpDelete, Key: []byte("plain")},
			{Kind: node.OpIncrement, Key: []byte("number"), Add: 1},
			{Kind: node.OpPut, Key: []byte("number"), Value: []byte("1")}, // has a History
			{Kind: node.OpPut, Key: []byte("new"), Value: []byte("value"), If: node.IfAbsent},
		} {
			for _, apart := range []time.Duration{0, 10 * time.Millisecond, 70 * time.Millisecond} {
				time.Sleep(5 * time.Second) // no version is covered any more
				op.Level, op.Request = node.LevelOne, node.RequestID{byte(i + 1), byte(apart / time.Millisecond)}
				if op.If == node.IfAbsent {
					op.Key = fmt.Append(nil, "new after ", apart)
				}
				var results [2]node.Result
				var errs [2]error
				var calls sync.WaitGroup
				for j := range results {
					calls.Go(func() {
						time.Sleep(time.Duration(j) * apart)
						results[j], errs[j] = p.Serve(c.t.Context(), op)
					})
				}
				calls.Wait()
				if err := errors.Join(errs[:]...); err != nil || results[0].Version != results[1].Version || results[0].Number != results[1].Number {
					c.t.Errorf("%v of %q, twice %v apart: got %+v and %+v, %v; want the same", op.Kind, op.Key, apart, results[0], results[1], err)
				}
			}
		}
	})
}

// TestClockThatCannotBeNoted: no version is given that is not covered by a note.
func TestClockThatCannotBeNoted(t *testing.T) {
	inCluster(t, 133, node.DefaultConfig(), func(c *cluster) {
		broken := errors.New("no pen")
		disk := &notes{err: broken}
		p := c.alone(store.NewMemory(), disk)
		if _, err := c.writeAlone(p, "key"); !errors.Is(err, broken) || errors.Is(err, node.ErrUnknown) {
			t.Errorf("got %v, want that nothing was applied", err)
		}
		if v, err := p.store.Version([]byte("key")); err != nil || !v.IsZero() {
			t.Errorf("stored version %v, %v", v, err)
		}
		disk.mu.Lock()
		disk.err = nil
		disk.mu.Unlock()
		if _, err := c.writeAlone(p, "key"); err != nil {
			t.Error(err)
		}
	})
}

// TestClockSetBackWhileRunning: a process whose clock is set back gives no versions that it may have given, until their time has come again.
func TestClockSetBackWhileRunning(t *testing.T) {
	inCluster(t, 134, node.DefaultConfig(), func(c *cluster) {
		p := c.start(1)
		if err := p.Create(); err != nil {
			t.Fatal(err)
		}
		var given []node.Version
		for i, ahead := range []time.Duration{0, -400 * time.Millisecond, -time.Minute, -time.Minute, 0} {
			p.ahead.Store(int64(ahead))
			v, err := c.writeAlone(p, fmt.Sprint("key ", i))
			if refused := i == 2; refused != errors.Is(err, node.ErrClockSkew) || refused != (err != nil) {
				t.Errorf("%d: got %v", i, err)
			}
			if err == nil {
				given = append(given, v)
			}
			if i == 2 {
				time.Sleep(time.Minute)
			}
		}
		if !slices.IsSortedFunc(given, func(a, b node.Version) int {
			if a.Newer(b) {
				return 1
			}
			return -1
		}) {
			t.Errorf("versions went back: %v", given)
		}
	})
}
