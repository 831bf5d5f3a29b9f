package store

import (
	"context"
	"time"
)

// ScrubReport is what a Scrub has found.
type ScrubReport struct {
	Records   int64 // that can be read
	Corrupt   int64 // that cannot
	Corrected int   // leaves of the hash tree that did not agree with their records; more than the corrupt ones account for is a bug
}

// Scrub reads all records, checksums included, and compares the hash tree with them, leaf by leaf, while others read and write. What does not agree is
// corrected, so that repair sees it.
func (p *Pebble) Scrub(ctx context.Context) (ScrubReport, error) { return p.scrub(ctx, 0) }

// scrub is a Scrub that takes about as long as it is given.
func (p *Pebble) scrub(ctx context.Context, take time.Duration) (r ScrubReport, err error) {
	for prefix := uint64(0); ; {
		found, err := p.recount(prefix)
		if err != nil {
			return r, storeError("scrub", err)
		}
		r.Records += int64(found.sum.Count)
		r.Corrupt += int64(found.corrupt)
		if found.off.count != 0 || found.off.hash != 0 {
			r.Corrected++
			p.treeErrors.Add(1)
			p.opts.Log.Error().Int64("records", found.off.count).Int("corrupt", found.corrupt).Stringer("from", found.span.first).
				Msg("scrub: the hash tree did not agree with the records")
		}
		share := float64(found.sum.Count+1) / float64(p.tree.root.count.Load()+1)
		if err := sleep(ctx, time.Duration(share*float64(take))); err != nil {
			return r, err
		}
		if prefix = prefixOf(found.span.last) + 1; prefix == 0 {
			return r, nil
		}
	}
}

// scrubAlways scrubs, again and again.
func (p *Pebble) scrubAlways(ctx context.Context, interval time.Duration) {
	for ctx.Err() == nil {
		began := time.Now()
		switch r, err := p.scrub(ctx, interval); {
		case ctx.Err() != nil:
			return
		case err != nil:
			p.opts.Log.Error().Err(err).Msg("scrub")
			_ = sleep(ctx, interval)
		default:
			p.opts.Log.Debug().Int64("records", r.Records).Int64("corrupt", r.Corrupt).Dur("took", time.Since(began)).Msg("scrubbed the disk")
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
