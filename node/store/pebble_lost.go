package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// What was cut out of a Pebble because it could not be read is on record until somebody says that it is there again: a key that lies there and is not found may be
// one of those that were lost.
//
//	0x00 'l' first identifier (20) | last identifier (20)
var lostKey = []byte{metaSpace, 'l'}

// lost is where records were lost.
type lost struct {
	mu    sync.Mutex // of who changes spans
	spans atomic.Pointer[[]span]
}

// holds reports whether a record of this identifier may have been lost.
func (l *lost) holds(id ring.ID) bool {
	spans := l.spans.Load()
	if spans == nil {
		return false
	}
	return slices.ContainsFunc(*spans, func(s span) bool { return !id.Less(s.first) && !s.last.Less(id) })
}

func (l *lost) all() []span {
	if spans := l.spans.Load(); spans != nil {
		return *spans
	}
	return nil
}

func appendLostKey(dst []byte, s span) []byte {
	dst = append(append(dst, lostKey...), s.first[:]...)
	return append(dst, s.last[:]...)
}

// openLost reads what was lost. If that cannot be read, it may be anything.
func (p *Pebble) openLost() error {
	var spans []span
	err := p.eachMeta(lostKey, []byte{metaSpace, lostKey[1] + 1}, func(key, _ []byte) error {
		key = bytes.TrimPrefix(key, lostKey)
		if len(key) != 2*len(ring.ID{}) {
			return fmt.Errorf("%w: a stretch of %d bytes", node.ErrCorrupt, len(key))
		}
		spans = append(spans, span{ring.ID(key[:len(ring.ID{})]), ring.ID(key[len(ring.ID{}):])})
		return nil
	})
	if isCorrupt(err) {
		p.opts.Log.Error().Err(err).Str("dir", p.dir).Msg("the record of what was lost is damaged: everything is compared with other replicas")
		spans, err = []span{{last: ring.ID{}.Prev()}}, nil
	}
	if len(spans) > 0 {
		p.lost.spans.Store(&spans)
	}
	return err
}

// lose puts on record, durably, that records of these identifiers may be missing.
func (p *Pebble) lose(s span) error {
	p.lost.mu.Lock()
	defer p.lost.mu.Unlock()
	if err := p.db.Set(appendLostKey(nil, s), nil, pebble.Sync); err != nil {
		return err
	}
	spans := p.lost.all()
	if !slices.Contains(spans, s) {
		spans = append(slices.Clone(spans), s)
		p.lost.spans.Store(&spans)
	}
	return nil
}

// Lost implements node.Store.
func (p *Pebble) Lost() []ring.Arc {
	var arcs []ring.Arc
	for _, s := range p.lost.all() {
		arcs = append(arcs, ring.Arc{After: s.first.Prev(), Through: s.last})
	}
	return arcs
}

// Refilled implements node.Store.
func (p *Pebble) Refilled(arc ring.Arc) error {
	if err := p.usable(); err != nil {
		return err
	}
	p.lost.mu.Lock()
	defer p.lost.mu.Unlock()
	s := span{arc.After.Next(), arc.Through}
	spans := slices.Clone(p.lost.all())
	i := slices.Index(spans, s)
	if i < 0 {
		return nil
	}
	if err := p.db.Delete(appendLostKey(nil, s), pebble.Sync); err != nil {
		return storeError(fmt.Sprintf("forget the loss of %v", arc), err)
	}
	spans = slices.Delete(spans, i, i+1)
	p.lost.spans.Store(&spans)
	return nil
}

// absent returns the error of a key that is not found, but may have been lost.
func (p *Pebble) absent(id ring.ID) error {
	if !p.lost.holds(id) {
		return nil
	}
	return fmt.Errorf("%w: it may have been in a block that was cut out", node.ErrCorrupt)
}

var errSpoilt = errors.New("there is other damage next to it")
