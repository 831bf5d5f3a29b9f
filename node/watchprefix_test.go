package node_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
)

// prefixWatched collects what one process tells of a prefix.
type prefixWatched struct {
	mu      sync.Mutex
	entries []node.Entry
	around  []string
	listed  int
	ended   error
	slow    sync.Mutex // who holds it keeps the watch from telling
	cancel  context.CancelFunc
}

func (c *cluster) watchPrefix(p *process, prefix string) *prefixWatched {
	ctx, cancel := context.WithCancel(c.t.Context())
	w := &prefixWatched{cancel: cancel}
	go func() {
		err := p.WatchPrefix(ctx, []byte(prefix), func(s node.Stored) error {
			w.slow.Lock()
			defer w.slow.Unlock()
			w.mu.Lock()
			defer w.mu.Unlock()
			w.entries = append(w.entries, s.Entries...)
			if s.Around != nil {
				w.around = s.Around
			}
			if s.Listed {
				w.listed++
			}
			return nil
		})
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ended = err
	}()
	return w
}

// told returns the keys that were told since the last call, in order, those without a version with a mark, and how often it said that all were.
func (w *prefixWatched) told() (keys []string, listed int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.entries {
		key := string(e.Key)
		if e.Version.IsZero() {
			key += " gone"
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	listed = w.listed
	w.entries, w.listed = nil, 0
	return keys, listed
}

func (w *prefixWatched) want(t *testing.T, keys string, listed int) {
	t.Helper()
	if got, n := w.told(); fmt.Sprint(got) != keys || n != listed {
		t.Errorf("told %v, and %d times that this is all, want %s, %d times", got, n, keys, listed)
	}
}

func (w *prefixWatched) end() (around []string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.around, w.ended
}

// Every process that stores a key tells of it: of what is there when the watch begins, of writes and deletes, and when a value has expired. Keys without the prefix it passes over.
func TestWatchPrefix(t *testing.T) {
	inCluster(t, 95, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(3, 2) // all store everything
		c.converge(10 * time.Second)
		for _, key := range []string{"a", "a/1", "a/2", "b/1", "a0"} {
			c.put(procs[0], key, "v")
		}
		time.Sleep(time.Second)
		for _, test := range []struct{ prefix, first, then, gone string }{
			{"a/", "[a/1 a/2]", "[a/1 a/2 a/3]", "[a/3 gone]"},
			{"", "[a a/1 a/2 a0 b/1]", "[a/1 a/2 a/3 b/2]", "[a/3 gone]"},
			{"c", "[]", "[]", "[]"},
			{"\xff\x00", "[]", "[]", "[]"},
		} {
			var watches []*prefixWatched
			for _, p := range procs {
				watches = append(watches, c.watchPrefix(p, test.prefix))
			}
			time.Sleep(time.Second)
			for _, w := range watches {
				w.want(t, test.first, 1)
			}
			c.put(procs[0], "a/1", "w")
			c.put(procs[1], "b/2", "w")
			c.do(procs[1], node.Op{Kind: node.OpDelete, Key: []byte("a/2")})
			c.do(procs[2], node.Op{Kind: node.OpPut, Key: []byte("a/3"), Value: []byte("w"), TTL: 20 * time.Second})
			time.Sleep(time.Second)
			for _, w := range watches {
				w.want(t, test.then, 0)
			}
			time.Sleep(20*time.Second + 2*c.cfg.SweepInterval)
			for _, w := range watches {
				w.want(t, test.gone, 0)
				w.cancel()
			}
			c.do(procs[0], node.Op{Kind: node.OpPut, Key: []byte("a/2"), Value: []byte("v")})
			time.Sleep(time.Second) // until all replicas have it
			for _, key := range []string{"a/3", "b/2"} {
				for _, p := range procs { // as if they had never been
					v, err := p.store.Version([]byte(key))
					if err != nil {
						t.Fatal(err)
					}
					if n, err := p.store.Drop([]node.Entry{{Key: []byte(key), Version: v}}); n != 1 || err != nil {
						t.Fatal(n, err)
					}
				}
			}
		}
	})
}

// While it cannot tell it remembers so many keys and no more; when there are others, all are told again, each with what it has then.
func TestWatchPrefixOfTheSlow(t *testing.T) {
	cfg := node.DefaultConfig()
	cfg.BatchRecords, cfg.Replicas, cfg.WriteQuorum, cfg.ReadQuorum = 8, 1, 1, 1
	inCluster(t, 96, cfg, func(c *cluster) {
		p := c.bootstrap(1, 1)[0]
		c.converge(10 * time.Second)
		w := c.watchPrefix(p, "k")
		time.Sleep(time.Second)
		w.want(t, "[]", 1)
		stalled := func(keys int) {
			w.slow.Lock()
			defer w.slow.Unlock()
			for _, v := range []string{"0", "1", "2"} {
				for i := range keys {
					c.put(p, fmt.Sprintf("k%02d", i), v)
				}
			}
			if watches, untold := p.PrefixWatches(); watches != 1 || untold == 0 || untold > cfg.BatchRecords {
				t.Errorf("%d watches remember %d keys, want one, and at most %d keys", watches, untold, cfg.BatchRecords)
			}
		}
		stalled(cfg.BatchRecords) // one key is being told, the others are remembered
		time.Sleep(time.Second)
		if got, listed := w.told(); listed != 0 || len(slices.Compact(got)) != cfg.BatchRecords {
			t.Errorf("told %v, listed %d times, want %d keys, not listed", got, listed, cfg.BatchRecords)
		}
		stalled(40)
		time.Sleep(time.Second)
		w.mu.Lock()
		last := make(map[string]node.Version)
		for _, e := range w.entries {
			if e.Version.Newer(last[string(e.Key)]) {
				last[string(e.Key)] = e.Version
			}
		}
		w.mu.Unlock()
		for i := range 40 {
			key := fmt.Sprintf("k%02d", i)
			if want, err := p.store.Version([]byte(key)); err != nil || last[key] != want {
				t.Errorf("%s: told %v, want %v (%v)", key, last[key], want, err)
			}
		}
		if _, listed := w.told(); listed < 1 || listed > 2 { // twice, if the first listing had begun while it was stalled
			t.Errorf("listed %d times, want once or twice more", listed)
		}
		w.cancel()
	})
}

// The processes name each other: together all of them, a newcomer as soon as it has its place, and one that died or left no more.
func TestWatchPrefixNamesProcesses(t *testing.T) {
	inCluster(t, 97, node.DefaultConfig(), func(c *cluster) {
		c.bootstrap(6, 2)
		c.converge(10 * time.Second)
		watches := make(map[string]*prefixWatched)
		agree := func() error {
			var want, named []string
			for _, p := range c.all() {
				want = append(want, p.addr)
				if watches[p.addr] == nil {
					watches[p.addr] = c.watchPrefix(p, "")
				}
				around, _ := watches[p.addr].end()
				named = append(named, around...)
			}
			slices.Sort(want)
			slices.Sort(named)
			if named = slices.Compact(named); !slices.Equal(named, want) {
				return fmt.Errorf("named are %v, want %v", named, want)
			}
			return nil
		}
		c.eventually(time.Second, agree)
		newcomer := c.join(c.all()[0], 2)
		c.eventually(5*time.Second, agree)
		c.kill(c.all()[1])
		c.eventually(10*time.Second, agree)
		if err := newcomer.Leave(c.t.Context()); err != nil {
			t.Error(err)
		}
		c.kill(newcomer)
		c.eventually(10*time.Second, agree)
		for len(c.all()) > 1 {
			c.kill(c.all()[1])
			c.eventually(30*time.Second, agree)
		}
		for _, w := range watches {
			w.cancel()
		}
	})
}

// What ends a watch, or keeps it from beginning, and that it leaves nothing behind then.
func TestWatchPrefixEnds(t *testing.T) {
	inCluster(t, 98, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(3, 1)
		c.converge(10 * time.Second)
		p := procs[0]
		outside := c.start(1)
		for name, test := range map[string]struct {
			p      *process
			prefix string
			end    func(w *prefixWatched)
			want   error
		}{
			"cancelled": {p, "k", func(w *prefixWatched) { w.cancel() }, context.Canceled},
			"stopped":   {procs[1], "k", func(*prefixWatched) { c.kill(procs[1]) }, node.ErrNotReady},
			"left":      {procs[2], "k", func(*prefixWatched) { _ = procs[2].Leave(c.t.Context()) }, node.ErrNotReady},
			"outside":   {outside, "k", nil, node.ErrNotReady},
			"too long":  {p, strings.Repeat("k", c.cfg.MaxKeyBytes+1), nil, node.ErrInvalid},
		} {
			w := c.watchPrefix(test.p, test.prefix)
			time.Sleep(time.Second)
			if test.end != nil {
				if _, err := w.end(); err != nil {
					t.Errorf("%s: it ends with %v, before its time", name, err)
				}
				test.end(w)
				time.Sleep(time.Second)
			}
			if _, err := w.end(); !errors.Is(err, test.want) {
				t.Errorf("%s: it ends with %v, want %v", name, err, test.want)
			}
			if n, _ := test.p.PrefixWatches(); n != 0 {
				t.Errorf("%s: %d watches are left", name, n)
			}
			w.cancel()
		}
		var watches []*prefixWatched
		for range 256 {
			watches = append(watches, c.watchPrefix(p, "k"))
		}
		time.Sleep(time.Second)
		one := c.watchPrefix(p, "k")
		time.Sleep(time.Second)
		if _, err := one.end(); !errors.Is(err, node.ErrTooManyWatches) {
			t.Errorf("one too many ends with %v", err)
		}
		for _, w := range watches {
			w.cancel()
		}
		time.Sleep(time.Second)
		if n, _ := p.PrefixWatches(); n != 0 {
			t.Errorf("%d watches are left", n)
		}
	})
}
