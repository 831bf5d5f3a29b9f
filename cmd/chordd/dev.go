package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

// runDev is chordd --dev: a ring of several processes in this one, until it is told to stop.
func runDev(ctx context.Context, s *settings, sur surroundings) error {
	log := s.logger(sur)
	stop, now, release := patience(ctx, sur.signals)
	defer release()
	d, err := startDev(s.cfg, log)
	if err != nil {
		return err
	}
	d.welcome(sur.stdout)
	return d.run(stop, now)
}

// devRing is the processes of --dev.
type devRing []*process

// startDev starts the processes and makes them an ideal ring at once: all members are known.
func startDev(cfg Config, log zerolog.Logger) (d devRing, err error) {
	defer func() {
		if err != nil {
			for _, p := range d {
				err = errors.Join(err, p.release())
			}
		}
	}()
	var cluster rpc.ClusterID
	_, _ = rand.Read(cluster[:]) // never fails
	var members []ring.Ref
	for i := range cfg.DevNodes {
		own := cfg.forDev(i)
		p, err := startProcess(own, log.With().Str("process", own.Listen).Logger(), false)
		if err != nil {
			return d, err
		}
		d = append(d, p)
		members = append(members, p.core.Nodes()...)
	}
	for _, p := range d {
		if err := p.adopt(cluster); err != nil {
			return d, err
		}
	}
	all, err := node.NewMembership(members)
	if err != nil {
		return d, err
	}
	for _, p := range d {
		if err := p.core.Bootstrap(all); err != nil {
			return d, err
		}
	}
	return d, nil
}

// run keeps all processes going until stop ends or one of them breaks; one that an operator makes leave goes alone.
func (d devRing) run(stop, now context.Context) error {
	stop, end := context.WithCancelCause(stop)
	defer end(nil)
	errs := make([]error, len(d))
	var processes sync.WaitGroup
	for i, p := range d {
		processes.Go(func() {
			if errs[i] = p.run(stop, now, p.chat); errs[i] != nil {
				end(errs[i])
			}
		})
	}
	processes.Wait()
	if cause := context.Cause(now); errors.Is(cause, errInterrupted) {
		return cause // once, not once a process
	}
	return errors.Join(errs...)
}

// chat is the life of a process of --dev: it knows all others from the start.
func (p *process) chat(life context.Context) error {
	p.keepGossip(life)
	return nil
}

// welcome says what is there and what to type next.
func (d devRing) welcome(w io.Writer) {
	var b strings.Builder
	fmt.Fprintf(&b, "A Chord ring of %d processes with %d nodes each, in memory: everything is gone when it stops.\n\n", len(d), d[0].cfg.VNodes)
	for i, p := range d {
		fmt.Fprintf(&b, "  process %d   %s", i+1, p.local.Addr)
		if p.admin != nil {
			fmt.Fprintf(&b, "   http://%s/", p.admin.Addr())
		}
		b.WriteString("\n")
	}
	server := ""
	if p := d[0].local.Addr; p != DefaultConfig().Listen {
		server = " --server " + p
	}
	fmt.Fprint(&b, "\nIn another shell:\n\n")
	for _, command := range []string{"put hello world", "get hello", "lookup hello --trace", "ring"} {
		fmt.Fprintf(&b, "  go run ./cmd/chord%s %s\n", server, command)
	}
	fmt.Fprint(&b, "\nCtrl-C stops it.\n")
	_, _ = io.WriteString(w, b.String()) // a ring whose output nobody reads serves as well
}
