package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/rpc"
)

const (
	helloTimeout = 2 * time.Second
	minRetry     = 200 * time.Millisecond
	maxRetry     = 10 * time.Second

	// resumeAfter is how long a process that was a member looks for its ring before it takes up its place without the others.
	resumeAfter = 5 * time.Second
)

// errWrongCluster: the process was pointed at a ring that it does not belong to. Trying again would not help.
var errWrongCluster = errors.New("wrong cluster")

// enter makes the process a member of a ring. It returns an error only when there is no point in trying on, or at the end of ctx.
func (p *process) enter(ctx context.Context) error {
	_, known := p.local.Cluster()
	switch {
	case p.cfg.hasSources() && p.cfg.Bootstrap <= 1:
		return p.join(ctx) // which begins alone only if nobody else is named: see mayBegin
	case len(p.candidates(ctx)) == 0 && p.cfg.Bootstrap <= 1:
		return p.resume(known)
	case p.cfg.Bootstrap > 0 && !known:
		return p.bootstrap(ctx)
	}
	return p.join(ctx)
}

// bootstrap waits for the other processes that are to found the ring together with this one. If there is a ring already, because this
// process comes late or in place of a lost one, it joins that.
func (p *process) bootstrap(ctx context.Context) error {
	p.log.Info().Int("expect", p.cfg.Bootstrap).Strs("join", p.cfg.Join).Msg("waiting for the other processes of a new ring")
	members, cluster, err := rpc.Assemble(ctx, p.local, p.peers, p.candidates, p.cfg.Bootstrap, func(known int) {
		p.log.Info().Int("known", known).Int("expect", p.cfg.Bootstrap).Msg("found processes for a new ring")
	})
	switch {
	case errors.Is(err, rpc.ErrRingExists):
		p.log.Info().AnErr("found", err).Msg("joining instead of starting a new ring")
		return p.join(ctx)
	case err != nil:
		return fmt.Errorf("bootstrap: %w", err)
	}
	if err := p.adopt(cluster); err != nil {
		return err
	}
	all, err := node.NewMembership(members)
	if err != nil {
		return err
	}
	return p.core.Bootstrap(all)
}

// resume makes the process a ring of its own, a new one unless it was a member before. In the latter case the others join it when
// they come back, or merge with it.
func (p *process) resume(known bool) error {
	if known {
		p.log.Info().Msg("starting alone: this process is all that is known of its ring")
	} else {
		var id rpc.ClusterID
		_, _ = rand.Read(id[:]) // never fails
		if err := p.adopt(id); err != nil {
			return err
		}
		p.log.Info().Stringer("cluster", id).Msg("starting a new ring")
	}
	return p.core.Create()
}

// adopt makes the process a member of a cluster, for ever if it has a data directory.
func (p *process) adopt(id rpc.ClusterID) error {
	if p.dir != nil {
		if err := p.dir.SetCluster(id); err != nil {
			return fmt.Errorf("remember the cluster: %w", err)
		}
	}
	p.local.SetCluster(id)
	return nil
}

// join tries to become a member, for ever. A seed that is down, or is no chordd, is no reason to give up: it may come up.
func (p *process) join(ctx context.Context) error {
	started := time.Now()
	for retry := minRetry; ; retry = min(2*retry, maxRetry) {
		l := p.look(ctx)
		s, err := p.survey(ctx, l.addrs)
		if err != nil {
			return err
		}
		switch {
		case len(s.members) > 0:
			if err = p.joinThrough(ctx, s); err == nil || errors.Is(err, errWrongCluster) || errors.Is(err, node.ErrStale) {
				return err
			}
		case p.mayBegin(l, s):
			_, known := p.local.Cluster()
			return p.resume(known)
		case p.mayResume(s, time.Since(started)):
			return p.resume(true)
		case len(l.addrs) == 0:
			err = l.nobody()
		default:
			if err = s.reason(); len(s.waiting) > 0 {
				retry = minRetry // the ring is about to come back
			}
		}
		wait := retry/2 + mathrand.N(retry/2) // jitter, so that many that wait for one do not come at once
		p.complaints.do("join", func() {
			p.log.Warn().Err(err).Strs("tried", l.addrs).Msg("not a member of the ring yet; still trying")
		})
		if err := p.live.Sleep(ctx, wait); err != nil {
			return context.Cause(ctx)
		}
	}
}

// joinThrough joins the ring of the members that were found.
func (p *process) joinThrough(ctx context.Context, s survey) error {
	id := s.members[0].Cluster
	for _, m := range s.members[1:] {
		if m.Cluster != id {
			return fmt.Errorf("%w: %s belongs to cluster %v, but %s to %v: name processes of one ring with --join",
				errWrongCluster, s.members[0].Addr, id, m.Addr, m.Cluster)
		}
	}
	if err := p.adopt(id); err != nil {
		return err
	}
	var addrs []string
	var contacts []node.Contact
	for _, m := range s.members {
		p.compareSettings(m)
		addrs, contacts = append(addrs, m.Addr), append(contacts, m.Contact)
	}
	if own := p.core.Contact(); node.Stale(own, contacts, p.cfg.TombstoneGrace) {
		return fmt.Errorf("%w: away since %s, when deletes are remembered for %v", node.ErrStale, own.Until.UTC().Format(time.DateTime), p.cfg.TombstoneGrace)
	}
	mathrand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	return p.core.Join(ctx, addrs)
}

// compareSettings complains about a member whose quorums are others than ours. It is no reason to stay away: they are changed on a running ring
// process by process.
func (p *process) compareSettings(m rpc.Hello) {
	if m.Replicas == p.cfg.Replicas && m.WriteQuorum == p.cfg.WriteQuorum && m.ReadQuorum == p.cfg.ReadQuorum {
		return
	}
	p.complaints.do("settings", func() {
		p.log.Error().Str("member", m.Addr).Ints("theirs", []int{m.Replicas, m.WriteQuorum, m.ReadQuorum}).
			Ints("ours", []int{p.cfg.Replicas, p.cfg.WriteQuorum, p.cfg.ReadQuorum}).
			Msg("replicas, write-quorum and read-quorum differ from a member's: what the ring guarantees is what the weaker ones do")
	})
}

// survey is what the candidates answered.
type survey struct {
	members []rpc.Hello // of the ring, or of any ring if this process belongs to none yet
	waiting []rpc.Hello // processes of the own cluster that look for it too
	self    int         // candidates that are this process under another name
	silent  int         // candidates that did not answer, or not as they should
	errs    []error
}

// reason says why a survey has found no member.
func (s survey) reason() error {
	errs := slices.Clone(s.errs)
	for _, w := range s.waiting {
		errs = append(errs, fmt.Errorf("%s: %w", w.Addr, node.ErrNotReady))
	}
	return errors.Join(errs...)
}

// survey asks the processes at the addresses who they are. It returns an error if a seed belongs to another cluster; what a source has led to
// may be another process next time.
func (p *process) survey(ctx context.Context, addrs []string) (survey, error) {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	hellos, errs := make([]rpc.Hello, len(addrs)), make([]error, len(addrs))
	var calls sync.WaitGroup
	for i, addr := range addrs {
		calls.Go(func() { hellos[i], errs[i] = p.peers.Hello(ctx, addr) })
	}
	calls.Wait()

	var s survey
	own, known := p.local.Cluster()
	for i, h := range hellos {
		err := errs[i]
		if err == nil && h.Process.Process == p.local.Identity.Process {
			if h.Addr == p.local.Addr {
				s.self++
				s.errs = append(s.errs, fmt.Errorf("%s: that is this process", addrs[i]))
				continue
			}
			err = &node.TakenError{Addr: h.Addr}
		}
		if err == nil && known && !h.Cluster.IsZero() && h.Cluster != own {
			err = fmt.Errorf("%w: it belongs to cluster %v, this process to %v", rpc.ErrWrongCluster, h.Cluster, own)
		}
		switch {
		case errors.Is(err, rpc.ErrWrongCluster) && slices.Contains(p.cfg.Join, addrs[i]):
			return survey{}, fmt.Errorf("%w: join %s: %w; name a process of the own ring with --join, or use another --data", errWrongCluster, addrs[i], err)
		case err != nil:
			s.silent++
			s.errs = append(s.errs, fmt.Errorf("%s: %w", addrs[i], err))
		case h.Member:
			h.Addr = addrs[i] // what was reached from here, rather than what it calls itself
			s.members = append(s.members, h)
		case known && h.Cluster == own:
			s.waiting = append(s.waiting, h)
		default:
			s.errs = append(s.errs, fmt.Errorf("%s: %w", addrs[i], node.ErrNotReady))
		}
	}
	return s, nil
}

// mayResume decides whether a process that was a member stops looking for its ring and takes up its place alone. That is how a ring
// comes back of which all processes were stopped: they find only one another waiting, and the one with the lowest id begins. A
// process with seeds must have found such another one: that no seed answers may be the network's fault.
func (p *process) mayResume(s survey, waited time.Duration) bool {
	own, known := p.local.Cluster()
	if !known || own.IsZero() || len(s.waiting) == 0 && len(p.cfg.Join) > 0 {
		return false
	}
	for _, w := range s.waiting {
		if strings.Compare(w.Process.String(), p.local.Identity.String()) < 0 {
			return false
		}
	}
	return s.silent == 0 || waited >= resumeAfter
}
