package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// rememberInterval is between two rounds of remember. A round costs some syncs of the disk.
	rememberInterval = 15 * time.Second
	// rememberDelay is from a change of neighbors to the next round, so that one round does for many changes.
	rememberDelay = 200 * time.Millisecond
)

// remember looks, now and then until the end of ctx, for members that the ring has lost, and keeps what the data directory knows of
// the others up to date. After a change of neighbors it does so at once: a process that founds a ring and crashes must not come back knowing
// nobody, or it would take itself for the whole ring.
func (p *process) remember(ctx context.Context) {
	for {
		p.writeDown() // first, because reunite may wait for a name
		p.reunite(ctx)
		select {
		case <-time.After(rememberInterval):
		case <-p.changed:
			if p.live.Sleep(ctx, rememberDelay) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// neighborsChanged wakes remember. It never waits.
func (p *process) neighborsChanged() {
	select {
	case p.changed <- struct{}{}:
	default: // it will look anyway
	}
}

// reunite introduces to one another two rings of the same cluster that came to be by a partition, or because each of their processes
// found no other when it started: it meets one of the members among the seeds and remembered peers that it does not know.
func (p *process) reunite(ctx context.Context) {
	known := p.core.Status().Known
	strangers := slices.DeleteFunc(p.candidates(ctx), func(addr string) bool { return slices.Contains(known, addr) })
	if len(strangers) == 0 {
		return
	}
	stranger := strangers[rand.IntN(len(strangers))]
	s, err := p.survey(ctx, []string{stranger})
	if err != nil {
		p.complaints.do("reunite", func() { p.log.Error().Err(err).Msg("a seed belongs to another ring") })
		return
	}
	for _, m := range s.members {
		p.core.Meet(ctx, m.Addr)
	}
}

// writeDown notes in the data directory whom to ask for the ring after a restart, and that the process is alive.
func (p *process) writeDown() {
	if p.dir == nil {
		return
	}
	if peers := p.core.Status().Known; len(peers) > 0 {
		slices.Sort(peers)
		if err := p.dir.SetPeers(peers); err != nil {
			p.complaints.do("peers", func() { p.log.Warn().Err(err).Msg("cannot write the addresses of the peers down") })
		}
	}
	if time.Since(p.touched) < rememberInterval/2 {
		return
	}
	if err := p.dir.Touch(time.Now(), p.core.Contact()); err != nil {
		p.complaints.do("touch", func() { p.log.Warn().Err(err).Msg("cannot write down that the process is alive") })
	}
	p.touched = time.Now()
}
