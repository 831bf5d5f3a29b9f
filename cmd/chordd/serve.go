package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/chordkv/chord/node"
)

// runServe is chordd without --dev: one process, until it is told to stop.
func runServe(ctx context.Context, s *settings, sur surroundings) error {
	log := s.logger(sur)
	stop, now, release := patience(ctx, sur.signals)
	defer release()
	for over := false; ; over = true {
		err := serveOnce(stop, now, s.cfg, log, over)
		if !errors.Is(err, node.ErrStale) || stop.Err() != nil {
			return err
		}
	}
}

// serveOnce is runServe until the process has to start over, without its records: the error then wraps node.ErrStale. over says that this is such a start.
func serveOnce(stop, now context.Context, cfg Config, log zerolog.Logger, over bool) error {
	p, err := startProcess(cfg, log, over)
	if err != nil {
		return err
	}
	return p.run(stop, now, func(life context.Context) error {
		if others := p.candidates(life); len(others) > 0 {
			p.compareClock(life, others)
		}
		if err := p.enter(life); err != nil {
			return err
		}
		p.logReady()
		var tasks sync.WaitGroup
		tasks.Go(func() { p.keepGossip(life) })
		tasks.Go(func() { p.watchClock(life) })
		p.remember(life)
		tasks.Wait()
		return nil
	})
}

// run keeps the process going, and living its life, until stop ends, it was told to leave, or something broke. Then it stops:
// gracefully, as long as StopTimeout allows, and at once when now ends.
func (p *process) run(stop, now context.Context, live func(life context.Context) error) error {
	life, end := context.WithCancel(stop)
	defer end()
	p.life.Store(&life)
	var tasks sync.WaitGroup
	tasks.Go(func() {
		if err := live(life); err != nil && life.Err() == nil {
			p.fail(err)
		}
	})

	var broken error
	select {
	case <-stop.Done():
		p.log.Info().AnErr("cause", context.Cause(stop)).Msg("stopping")
	case <-p.left:
		p.log.Info().Msg("left the ring; stopping")
	case broken = <-p.failed:
		if errors.Is(broken, node.ErrStale) {
			p.log.Warn().Err(broken).Msg("starting over, without the records")
			break
		}
		p.log.Error().Err(broken).Msg("cannot go on; stopping")
	}
	end()
	tasks.Wait()

	done := make(chan error, 1)
	go func() { done <- p.stop(now) }()
	select {
	case err := <-done:
		return errors.Join(broken, err)
	case <-now.Done():
		if cause := context.Cause(now); errors.Is(cause, errInterrupted) {
			return cause // the operating system cleans up
		}
		return errors.Join(broken, <-done)
	}
}

// stop ends the process gracefully: clients are turned away and those under way served to their end, with LeaveOnStop all records are handed
// over, and the store is closed. When the time is over, or now ends, it does without grace what is left to do.
func (p *process) stop(now context.Context) error {
	ctx, cancel := context.WithTimeout(now, p.cfg.StopTimeout)
	defer cancel()
	p.server.SetDraining(true)
	var err error
	if p.cfg.LeaveOnStop {
		err = p.leaveRing(ctx)
	} else {
		p.core.StopSoon()
	}
	if ctx.Err() == nil {
		p.writeDown()
	}
	p.server.GracefulStop(ctx)
	p.leaveGossip()
	if p.adminHTTP != nil {
		_ = p.adminHTTP.Shutdown(ctx) // whom it would wait for longer is cut off by release
	}
	return errors.Join(err, p.release())
}

// leaveForOperator is AdminService.Leave; then the process ends. It does not care when the caller loses patience: a leave that is
// broken off leaves keys with fewer replicas than they should have.
func (p *process) leaveForOperator(context.Context) error {
	p.server.SetDraining(true)
	if err := p.leaveRing(p.ending); err != nil {
		p.fail(err)
		return err
	}
	p.leftOnce.Do(func() { close(p.left) })
	return nil
}

// leaveRing hands all records over, with a line of progress now and then. It does so once, and nothing if the process is no member.
func (p *process) leaveRing(ctx context.Context) error {
	p.leave.Do(func() {
		if p.core.Ready() {
			p.leaveErr = p.handOver(ctx)
		}
	})
	return p.leaveErr
}

func (p *process) handOver(ctx context.Context) error {
	started := time.Now()
	watch, end := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for p.live.Sleep(watch, leaveProgress) == nil {
			p.log.Info().Int64("records", p.records.Stats().Records).Stringer("took", time.Since(started).Round(time.Second)).Msg("handing over")
		}
	})
	p.log.Info().Int64("records", p.records.Stats().Records).Msg("leaving the ring: handing over")
	err := p.core.Leave(ctx)
	end()
	tasks.Wait()
	if err != nil {
		return fmt.Errorf("hand over: %w", err)
	}
	p.handedOver.Store(true)
	p.log.Info().Stringer("took", time.Since(started).Round(time.Millisecond)).Msg("left the ring")
	return nil
}

const leaveProgress = 2 * time.Second

// release ends and closes whatever has been started, in the reverse order.
func (p *process) release() error {
	var errs []error
	p.end()
	if p.chatter != nil {
		p.chatter.close()
	}
	if p.adminHTTP != nil {
		p.adminGRPC.Stop()
		_ = p.adminHTTP.Close() // its errors are those of connections that are cut on purpose
	}
	if p.server != nil {
		p.server.Stop()
	}
	p.serving.Wait()
	if p.core != nil {
		p.core.Stop()
	}
	if p.peers != nil {
		p.peers.Close()
	}
	p.live.Close()
	if p.records != nil {
		errs = append(errs, p.records.Close())
	}
	if p.dir != nil {
		errs = append(errs, p.dir.Close())
	}
	for _, l := range []net.Listener{p.listener, p.admin} {
		if l != nil {
			_ = l.Close() // unless its server was faster
		}
	}
	return errors.Join(errs...)
}
