package main

import (
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// repeatInterval is how often the same complaint is logged; the metrics count every one.
const repeatInterval = 10 * time.Second

// nodeEvents returns the hooks that log and count what a process reports, and call neighborsChanged, which must not wait.
func nodeEvents(log zerolog.Logger, m *nodeMetrics, neighborsChanged func()) node.Events {
	var complaints throttle
	return node.Events{
		Joined: func(n ring.Ref) { log.Debug().Stringer("node", n.ID).Msg("node has its place in the ring") },
		NeighborsChanged: func(old, new ring.View) {
			m.neighborChanges.Inc()
			neighborsChanged()
			log.Debug().Stringer("node", new.Self.ID).Stringer("predecessor", new.Pred).Stringer("was", old.Pred).
				Stringer("successor", successor(new)).Stringer("successor_was", successor(old)).Msg("neighbors changed")
		},
		PeerFailed: func(peer ring.Ref, err error) {
			m.peerFailures.Inc()
			complaints.do("peer "+peer.Addr, func() {
				log.Warn().Str("peer", peer.Addr).Stringer("node", peer.ID).Err(err).Msg("peer does not answer; the ring closes without it")
			})
		},
		Held: func(n ring.Ref, arc ring.Arc, left time.Duration) {
			log.Debug().Stringer("node", n.ID).Stringer("arc", arc).Dur("left_ms", left).Msg("copies of the arc are not made again yet")
			complaints.do("held", func() {
				log.Info().Stringer("for", left.Round(time.Second)).Msg("copies that are missing are not made again yet: those that have them may come back (--grace); 'chord repair' makes them now")
			})
		},
		Settled: func(n ring.Ref, arc ring.Arc, group []ring.Ref, took time.Duration) {
			m.settleSeconds.Observe(took.Seconds())
			log.Debug().Stringer("node", n.ID).Stringer("arc", arc).Strs("group", addresses(group)).Dur("took_ms", took).
				Msg("replicas of the arc agree")
		},
		Moved: func(_ ring.Ref, sent, received, bytes int) {
			m.recordsSent.Add(float64(sent))
			m.recordsReceived.Add(float64(received))
			if sent > 0 {
				m.bytesSent.Add(float64(bytes))
			} else {
				m.bytesReceived.Add(float64(bytes))
			}
		},
		Reconciled: func(n, peer ring.Ref, sent, received int, err error) {
			if err != nil {
				m.reconcilesFailed.Inc()
				complaints.do("reconcile "+peer.Addr, func() {
					log.Warn().Stringer("node", n.ID).Stringer("peer", peer).Int("sent", sent).Int("received", received).Err(err).
						Msg("comparison with a replica broke off; it is repeated")
				})
				return
			}
			m.reconcilesDone.Inc()
			level := zerolog.DebugLevel
			if sent+received > 0 {
				level = zerolog.InfoLevel
			}
			log.WithLevel(level).Stringer("node", n.ID).Stringer("peer", peer).Int("sent", sent).Int("received", received).
				Msg("compared with a replica")
		},
		Dropped: func(arc ring.Arc, records int) {
			m.recordsDropped.Add(float64(records))
			log.Info().Stringer("arc", arc).Int("records", records).Msg("dropped records that are safe elsewhere")
		},
		Expired: func(records int) {
			m.recordsExpired.Add(float64(records))
			log.Debug().Int("records", records).Msg("removed values whose time is over")
		},
		Collected: func(n ring.Ref, tombstones int) {
			m.tombstonesCollected.Add(float64(tombstones))
			log.Debug().Stringer("node", n.ID).Int("tombstones", tombstones).Msg("forgot old deletes, which all replicas had")
		},
		Violation: func(n ring.Ref, err error) {
			m.violations.Inc()
			complaints.do("violation "+n.ID.String(), func() {
				log.Error().Stringer("node", n.ID).Err(err).Msg("the node's state breaks an invariant: a bug or a hostile peer; please report it")
			})
		},
		Suspended: func(n, heir ring.Ref) {
			m.suspensions.Inc()
			complaints.do("suspended "+n.ID.String(), func() {
				log.Warn().Stringer("node", n.ID).Stringer("heir", heir).Msg("another node has taken over, or is about to: no writes and quorum reads until it is known who owns the arc")
			})
		},
		Standing: func(s node.Standing) {
			e := log.Warn().Int("alive", s.Alive).Int("dead", s.Dead)
			if s.Minority {
				e.Msg("in the minority: most of the cluster is cut off, or dead; start new processes in place of those that are lost for good")
				return
			}
			e.Msg("not in the minority any more")
		},
		ClockAhead: func(ahead time.Duration) {
			m.clockAhead.Inc()
			complaints.do("clock", func() {
				log.Error().Stringer("ahead", ahead).Msg("refused a write from the future: set the clocks of this machine and its peers by NTP")
			})
		},
	}
}

func addresses(refs []ring.Ref) []string {
	addrs := make([]string, len(refs))
	for i, r := range refs {
		addrs[i] = r.Addr
	}
	return addrs
}

func successor(v ring.View) ring.Ref {
	if len(v.Succs) == 0 {
		return v.Self
	}
	return v.Succs[0]
}

// throttle lets each kind of complaint through once per repeatInterval. The zero throttle is ready for use.
type throttle struct {
	mu    sync.Mutex
	kinds map[string]*rate.Sometimes
}

// maxKinds bounds what is remembered; beyond it, the throttle starts anew and a complaint may come early.
const maxKinds = 1024

func (t *throttle) do(kind string, complain func()) {
	t.mu.Lock()
	if t.kinds == nil || len(t.kinds) > maxKinds {
		t.kinds = map[string]*rate.Sometimes{}
	}
	s := t.kinds[kind]
	if s == nil {
		s = &rate.Sometimes{First: 1, Interval: repeatInterval}
		t.kinds[kind] = s
	}
	t.mu.Unlock()
	s.Do(complain)
}
