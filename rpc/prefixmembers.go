package rpc

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
)

// members are the processes of the ring, each of which tells what it has stored. The first one is found by entering the ring; they name each other: a newcomer is
// named by those next to it as soon as they know of it, and one that died by nobody any more.
type members struct {
	c      *Client
	prefix []byte
	byAddr map[string]*memberStream
	news   chan memberNews
}

// memberStream is what one process tells.
type memberStream struct {
	stop   context.CancelFunc
	up     bool     // it tells at present
	listed bool     // it has told all that it has once
	failed error    // why it does not tell
	around []string // whom it named last
}

// memberNews is what has come from a process.
type memberNews struct {
	addr string
	told node.Stored
	err  error // it does not tell any more
}

// follow begins to listen to a process until ctx ends or nobody names it any more. spawn runs a task.
func (m *members) follow(ctx context.Context, addr string, spawn func(func())) {
	if m.byAddr[addr] != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	m.byAddr[addr] = &memberStream{stop: cancel}
	spawn(func() {
		for retries := 0; ctx.Err() == nil; retries++ {
			began := time.Now()
			err := m.c.listen(ctx, addr, func(ctx context.Context, conn *grpc.ClientConn) error { return m.receive(ctx, addr, conn) })
			if time.Since(began) > m.c.cfg.BackoffMax {
				retries = 0
			}
			m.tell(ctx, memberNews{addr: addr, err: err})
			_ = m.c.pause(ctx, backoff(m.c.cfg.BackoffMin, m.c.cfg.BackoffMax, retries)) // that it was cut short the loop sees
		}
	})
}

// receive opens the stream of a process and passes on what comes, until it breaks. It waits while nobody takes it, and so does the process then.
func (m *members) receive(ctx context.Context, addr string, conn *grpc.ClientConn) error {
	var to peer.Peer
	failed := func(err error) error { return errorFromStatus(ctx, addr, err, to.Addr != nil) }
	stream, err := chordv1.NewKVServiceClient(conn).WatchPrefix(ctx, &chordv1.WatchPrefixRequest{Prefix: m.prefix}, grpc.Peer(&to))
	if err != nil {
		return failed(err)
	}
	for {
		answer, err := stream.Recv()
		if err != nil {
			return failed(err)
		}
		told, err := storedFromProto(answer)
		if err != nil {
			return malformed(addr, err)
		}
		m.tell(ctx, memberNews{addr: addr, told: told})
	}
}

func (m *members) tell(ctx context.Context, n memberNews) {
	select {
	case m.news <- n:
	case <-ctx.Done():
	}
}

// note takes down what has come of a process itself, and returns those who are named for the first time.
func (m *members) note(n memberNews) (named []string) {
	s := m.byAddr[n.addr]
	if s == nil {
		return nil // it was given up
	}
	switch {
	case n.err != nil:
		s.up, s.failed = false, n.err
		m.prune()
	default:
		s.up, s.failed = true, nil
		s.listed = s.listed || n.told.Listed
		if len(n.told.Around) > 0 {
			s.around = n.told.Around
			m.prune()
			return slices.DeleteFunc(slices.Clone(s.around), func(addr string) bool { return m.byAddr[addr] != nil })
		}
	}
	return nil
}

// prune gives up those who do not tell and whom nobody names who does. If nobody tells, it gives up nobody.
func (m *members) prune() {
	named, up := make(map[string]bool), 0
	for _, s := range m.byAddr {
		if s.up {
			up++
			for _, addr := range s.around {
				named[addr] = true
			}
		}
	}
	for addr, s := range m.byAddr {
		if up > 0 && !s.up && s.failed != nil && !named[addr] {
			s.stop()
			delete(m.byAddr, addr)
		}
	}
}

// standing returns how many processes tell, how many do not, and why one of these does not.
func (m *members) standing() (up, down int, why error) {
	for _, addr := range slices.Sorted(maps.Keys(m.byAddr)) {
		if s := m.byAddr[addr]; s.up {
			up++
		} else if down++; why == nil {
			why = s.failed
		}
	}
	return up, down, why
}

// listed reports whether all processes that can be reached have told all that they have once, and those that cannot be reached are so few that every write by quorum is among that.
func (m *members) listed(spare int) bool {
	listed, failed := 0, 0
	for _, s := range m.byAddr {
		switch {
		case s.listed:
			listed++
		case s.failed != nil:
			failed++
		default:
			return false
		}
	}
	return listed > 0 && failed <= spare
}

// full is the error when there are more processes than the client knows at a time, nil if there are not.
func (m *members) full() error {
	if n, limit := len(m.byAddr), m.c.cfg.MaxServers; n > limit {
		return fmt.Errorf("%w: %d processes, and the client knows at most %d at a time", node.ErrInvalid, n, limit)
	}
	return nil
}
