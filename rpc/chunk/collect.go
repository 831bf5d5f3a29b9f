package chunk

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

// Scanner is a Ring that can be searched. *rpc.Client has it.
type Scanner interface {
	Ring
	Scan(ctx context.Context, arc ring.Arc, after node.Cursor, opts rpc.ScanOptions, fn func(r node.Record) error) error
}

var _ Scanner = (*rpc.Client)(nil)

// Leftover is an upload that is of no use any more: it was broken off, or its value was replaced by a client that could not free all of it.
type Leftover struct {
	Key    []byte // nil if it is not known any more
	Upload UploadID
	Blocks int64 // that are there
	Last   time.Time

	id ring.ID
}

// CollectOptions are the settings of a search for leftovers.
type CollectOptions struct {
	OlderThan time.Duration                  // leave uploads alone that have stored anything since
	Progress  func(done float64, keys int64) // called with the part of the ring that has been searched, and the keys of blocks that are there
}

// Leftovers finds the uploads that are of no use any more. It asks for every key of the ring, but not for values. The ring must be whole: of a
// cluster that is cut, or of which more processes are down than it can bear, a key may seem not to have a value that it has.
func Leftovers(ctx context.Context, ringOf Scanner, opts CollectOptions) ([]Leftover, error) {
	found := make(map[UploadID]*Leftover)
	note := func(id ring.ID, u UploadID, v node.Version) *Leftover {
		l := found[u]
		if l == nil {
			l = &Leftover{Upload: u, id: id}
			found[u] = l
		}
		if at := time.UnixMilli(v.Millis()); at.After(l.Last) {
			l.Last = at
		}
		return l
	}
	c := caller{ringOf, Options{Level: node.LevelAll}.withDefaults()}
	err := scan(ctx, ringOf, opts, func(key []byte, version node.Version) error {
		if id, u, ok := parseBlockKey(key); ok {
			note(id, u, version).Blocks++
		} else if id, ok := parseUploadKey(key); ok {
			r, err := c.get(ctx, key)
			if err != nil || !r.Found {
				return err
			}
			record, err := parseUpload(id, r.Value)
			if err != nil {
				return err
			}
			note(id, record.upload(), r.Version)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var left []Leftover
	for _, l := range found {
		if time.Since(l.Last) < opts.OlderThan {
			continue
		}
		used, err := l.used(ctx, &c)
		if err != nil {
			return nil, err
		}
		if !used {
			left = append(left, *l)
		}
	}
	slices.SortFunc(left, func(a, b Leftover) int { return strings.Compare(string(a.Upload[:]), string(b.Upload[:])) })
	return left, nil
}

// used reports whether the value of the key is of this upload, and fills in the key.
func (l *Leftover) used(ctx context.Context, c *caller) (bool, error) {
	r, err := c.get(ctx, uploadKey(l.id))
	if err != nil || !r.Found {
		return false, err // without the record there is no value: it is the last to be deleted
	}
	record, err := parseUpload(l.id, r.Value)
	if err != nil {
		return false, err
	}
	l.Key = record.Key
	if record.upload() == l.Upload && time.UnixMilli(r.Version.Millis()).After(l.Last) {
		return true, nil // somebody goes on with it
	}
	now, err := c.get(ctx, l.Key)
	if err != nil || !now.Manifest {
		return false, err
	}
	m, err := ParseManifest(now.Value)
	return err == nil && m.Upload == l.Upload, err
}

// Collect deletes leftovers, and returns how many blocks that were.
func Collect(ctx context.Context, ringOf Scanner, left []Leftover, opts CollectOptions) (blocks int64, err error) {
	c := caller{ringOf, Options{Level: node.LevelAll}.withDefaults()}
	doomed := make(map[UploadID]bool)
	for i := range left {
		l := &left[i]
		used, err := l.used(ctx, &c)
		if err != nil {
			return 0, err
		}
		if used {
			continue
		}
		if err := c.forget(ctx, l.id, l.Upload); err != nil {
			return 0, err
		}
		doomed[l.Upload] = true
	}
	c.opts.Level = node.LevelQuorum
	var page [][]byte
	flush := func() error {
		err := c.remove(ctx, page)
		if err == nil {
			blocks += int64(len(page))
		}
		page = page[:0]
		return err
	}
	err = scan(ctx, ringOf, opts, func(key []byte, _ node.Version) error {
		if _, u, ok := parseBlockKey(key); !ok || !doomed[u] {
			return nil
		}
		if page = append(page, slices.Clone(key)); len(page) < maxFreed {
			return nil
		}
		return flush()
	})
	return blocks, errors.Join(err, flush())
}

func scan(ctx context.Context, ringOf Scanner, opts CollectOptions, fn func(key []byte, version node.Version) error) error {
	var keys int64
	progress := func(done float64) {
		if opts.Progress != nil {
			opts.Progress(done, keys)
		}
	}
	return ringOf.Scan(ctx, ring.FullArc(), node.Cursor{}, rpc.ScanOptions{
		Bare: true, Progress: progress, Only: Internal,
	}, func(r node.Record) error {
		keys++
		return fn(r.Key, r.Version)
	})
}
