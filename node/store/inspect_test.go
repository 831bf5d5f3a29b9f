package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
)

// inspected makes a data directory of a process that is stopped, after change had its way with the store.
func inspected(t *testing.T, change func(p *store.Pebble)) string {
	t.Helper()
	path := t.TempDir()
	opts := dirOptions()
	opts.VNodes = 4
	d := openDir(t, path, opts)
	if err := errors.Join(d.SetCluster([16]byte{7}), d.SetPeers([]string{"10.0.0.1:7400"}), d.Touch(start, node.Contact{})); err != nil {
		t.Fatal(err)
	}
	p, err := store.OpenPebble(d.RecordsPath(), smallOptions())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		apply(t, p, put(fmt.Sprint("key", i), "value", i+1))
	}
	apply(t, p, node.Record{Key: []byte("key7"), Version: version(1000), Tombstone: true})
	if change != nil {
		change(p)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	closeDir(t, d)
	return path
}

// contents returns all files below a directory with what is in them.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		files[path] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestInspect(t *testing.T) {
	path := inspected(t, nil)
	before := contents(t, path)
	var read atomic.Int64
	r, err := store.Inspect(t.Context(), path, &read)
	if err != nil {
		t.Fatal(err)
	}
	if r.Identity.VNodes != 4 || r.Identity.Incarnation != 1 || r.Cluster != [16]byte{7} || len(r.Peers) != 1 || !r.LastAlive.Equal(start) {
		t.Errorf("got %+v", r)
	}
	if r.Records != 100 || r.Tombstones != 1 || r.ValueBytes != 99*int64(len("value")) || r.Oldest != version(1) || r.Newest != version(1000) || read.Load() != 100 {
		t.Errorf("got %+v, read %d", r, read.Load())
	}
	if r.Corrupt != 0 || r.Tree != "" {
		t.Errorf("a sound directory: got %+v", r)
	}
	sum := int64(0)
	for i, a := range r.Arcs {
		if sum += a.Records; i > 0 && !r.Arcs[i-1].Node.Less(a.Node) {
			t.Errorf("nodes in disorder: %v", r.Arcs)
		}
	}
	if len(r.Arcs) != 4 || sum != 100 {
		t.Errorf("arcs %v, %d records in all", r.Arcs, sum)
	}
	after := contents(t, path)
	if len(after) != len(before) {
		t.Errorf("%d files, %d before", len(after), len(before))
	}
	for name, was := range before {
		if after[name] != was {
			t.Errorf("%s was changed", name)
		}
	}
}

func TestInspectFindsDamage(t *testing.T) {
	path := inspected(t, func(p *store.Pebble) {
		key := store.DiskKey([]byte("key42"))
		raw, err := p.Raw(key)
		if err != nil {
			t.Fatal(err)
		}
		raw[len(raw)-6] ^= 1
		if err := p.SetRaw(key, raw); err != nil {
			t.Fatal(err)
		}
	})
	r, err := store.Inspect(t.Context(), path, new(atomic.Int64))
	if err != nil {
		t.Fatal(err)
	}
	if r.Records != 99 || r.Corrupt != 1 || string(r.CorruptKeys[0]) != "key42" || r.Tree == "" {
		t.Errorf("got %+v", r)
	}
}

func TestInspectRefuses(t *testing.T) {
	refused := func(path, want string) {
		t.Helper()
		before := contents(t, path)
		if _, err := store.Inspect(t.Context(), path, new(atomic.Int64)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if after := contents(t, path); len(after) != len(before) {
			t.Errorf("%d files, %d before", len(after), len(before))
		}
	}
	refused(t.TempDir(), "not a data directory")

	path := inspected(t, nil)
	used := openDir(t, path, dirOptions())
	refused(path, fmt.Sprint("in use by process ", os.Getpid()))
	closeDir(t, used)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.Inspect(ctx, path, new(atomic.Int64)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := os.WriteFile(filepath.Join(path, "chord.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(path, "damaged")
}
