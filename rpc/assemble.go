package rpc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

const (
	// assembleInterval is the time between two rounds of introductions while processes wait for one another.
	assembleInterval = 200 * time.Millisecond
	// assembleSample is how many of those it knows a process asks in a round, besides the seeds: what one knows, all do after log N rounds.
	assembleSample = 8
)

// ErrRingExists means that a process that was asked while a ring was being bootstrapped belongs to one already. Join that instead.
var ErrRingExists = errors.New("a ring exists already")

// RingExistsError is an ErrRingExists that says whose ring to join.
type RingExistsError struct {
	Addr    string
	Cluster ClusterID
}

func (e *RingExistsError) Error() string {
	return fmt.Sprintf("%v: %s is a member of cluster %v", ErrRingExists, e.Addr, e.Cluster)
}

// Is makes errors.Is(err, ErrRingExists) hold.
func (e *RingExistsError) Is(target error) bool { return target == ErrRingExists }

// Assemble waits until expect processes have found one another, as the base of a new ring. All of them call it with the same expect and
// with seeds, addresses of processes, that connect them, asked for anew in each round; while they wait they tell each other whom they know.
// When every one of them knows that all know exactly the same expect processes, it returns to each the same members (all nodes of all processes, sorted by
// identifier) for node.Process.Bootstrap, and the same cluster id, derived from the process ids.
//
// The Server must be serving, because the others ask it. progress, which may be nil, is told how many processes are known whenever that
// changes. A process that answers and has a ring already ends the wait with a RingExistsError: join that one. Processes that
// disagree on expect, or more than expect of them, are an error. It tries until ctx ends.
func Assemble(
	ctx context.Context, local *Local, peers *Peers, seeds func(context.Context) []string, expect int, progress func(known int),
) (members []ring.Ref, cluster ClusterID, err error) {
	if expect < 1 || expect > maxRefs {
		return nil, ClusterID{}, fmt.Errorf("bootstrap-expect: %d, want 1 to %d", expect, maxRefs)
	}
	a := assembly{local: local, peers: peers, roster: newRoster(local, expect)}
	local.setRoster(a.roster) // and there it stays: others may have to hear from it that this process agrees
	reported := 0
	for {
		base, err := a.round(ctx, seeds(ctx))
		if known := len(a.roster.list()); known != reported {
			reported = known
			if progress != nil {
				progress(known)
			}
		}
		if err != nil {
			return nil, ClusterID{}, err
		}
		if base != nil {
			return membersOf(base), clusterOf(base), nil
		}
		select {
		case <-time.After(assembleInterval):
		case <-ctx.Done():
			return nil, ClusterID{}, fmt.Errorf("bootstrap-expect: found %d of %d processes: %w", reported, expect, errors.Join(ctx.Err(), a.failed))
		}
	}
}

// assembly is one call of Assemble.
type assembly struct {
	local  *Local
	peers  *Peers
	roster *roster
	failed error // why processes did not answer in the last round
}

// round introduces the process to the seeds and some of those it knows of. It returns the base of the new ring as soon as it knows that all know it.
func (a *assembly) round(ctx context.Context, seeds []string) (base []Candidate, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.local.Config.RingTimeout)
	defer cancel()
	addrs := a.addrs(seeds)
	answers := make([]Hello, len(addrs))
	errs := make([]error, len(addrs))
	var calls sync.WaitGroup
	for i, addr := range addrs {
		calls.Go(func() { answers[i], errs[i] = a.peers.Hello(ctx, addr) })
	}
	calls.Wait()
	a.failed = errors.Join(errs...)
	waiting := make([]Hello, 0, len(addrs))
	for i, h := range answers {
		switch {
		case errs[i] != nil:
		case h.Member:
			// Others of this very assembly may be done before us, which makes us one of theirs, not a stranger.
			if base := a.roster.list(); len(base) == a.roster.expect && h.Cluster == clusterOf(base) {
				return base, nil
			}
			return nil, &RingExistsError{Addr: addrs[i], Cluster: h.Cluster}
		case h.Expect == 0: // it is not bootstrapping, or not yet
		case h.Expect != a.roster.expect:
			return nil, fmt.Errorf("bootstrap-expect: %s waits for %d processes, this process for %d", addrs[i], h.Expect, a.roster.expect)
		default:
			waiting = append(waiting, h)
		}
	}
	return a.roster.learn(waiting)
}

// addrs returns whom to ask, which is not the own process: the seeds, and some of the processes that are known, or all if there are too many.
func (a *assembly) addrs(seeds []string) []string {
	known := a.roster.list()
	if len(known) <= a.roster.expect {
		rand.Shuffle(len(known), func(i, j int) { known[i], known[j] = known[j], known[i] })
		known = known[:min(len(known), assembleSample)]
	}
	addrs := slices.Clone(seeds)
	for _, c := range known {
		addrs = append(addrs, c.Addr)
	}
	slices.Sort(addrs)
	return slices.DeleteFunc(slices.Compact(addrs), func(addr string) bool { return addr == a.local.Addr })
}

// roster is the processes that wait together to bootstrap a ring, sorted by id. It is safe for concurrent use.
type roster struct {
	expect int
	self   Candidate

	mu    sync.Mutex
	known []Candidate         // sorted
	gone  map[[16]byte]uint64 // processes that have been replaced, and their last incarnation
}

func newRoster(local *Local, expect int) *roster {
	self := Candidate{Process: local.Identity, Addr: local.Addr}
	return &roster{expect: expect, self: self, known: []Candidate{self}, gone: map[[16]byte]uint64{}}
}

// learn takes in what processes that wait as well have said in one round. It returns the base of the ring if all that are in it agree on it.
//
// Who has agreed and then knows better, because a process was replaced, never agrees to the old list again. So of two lists with a process in common only
// one can be agreed on by all; who comes too late finds a ring, and joins it.
func (r *roster) learn(answers []Hello) (base []Candidate, err error) {
	alive := []Candidate{r.self}
	for _, h := range answers {
		alive = append(alive, Candidate{Process: h.Process, Addr: h.Addr})
		r.merge(h.Gathered)
	}
	slices.SortFunc(alive, compareCandidates)
	alive = slices.Compact(alive) // seeds may be aliases
	for i := 1; i < len(alive); i++ {
		if a, b := alive[i-1], alive[i]; a.Process.Process == b.Process.Process {
			return nil, fmt.Errorf("%s and %s are both process %v: was a data directory copied?", a.Addr, b.Addr, a.Process)
		}
	}
	if len(alive) > r.expect {
		return nil, fmt.Errorf("bootstrap-expect: %d processes wait to start a ring of %d", len(alive), r.expect)
	}
	r.merge(alive)
	r.replace(alive)
	for _, h := range answers { // again: now they can be counted who agree to the list as it is now
		r.merge(h.Gathered)
	}
	return r.agreed(), nil
}

// agree notes in the own entry whether this process knows everybody; the caller holds mu. It returns the hash of the list, 0 if it is not complete.
func (r *roster) agree() (list uint64) {
	if len(r.known) == r.expect {
		h := fnv.New64a()
		for _, c := range r.known {
			_, _ = fmt.Fprintln(h, c.Process, c.Addr)
		}
		list = h.Sum64()
	}
	if at, found := slices.BinarySearchFunc(r.known, r.self, compareCandidates); found {
		r.known[at].Agrees = list
	}
	return list
}

// agreed returns the list if all that are in it agree to it.
func (r *roster) agreed() []Candidate {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.agree()
	if list == 0 || slices.ContainsFunc(r.known, func(c Candidate) bool { return c.Agrees != list }) {
		return nil
	}
	return slices.Clone(r.known)
}

// merge adds processes that someone knows.
func (r *roster) merge(list []Candidate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	own := r.agree()
	for _, c := range list {
		at, found := slices.BinarySearchFunc(r.known, c, compareCandidates)
		last, gone := r.gone[c.Process.Process]
		switch {
		case gone && c.Process.Incarnation <= last: // others have not noticed yet
		case found && r.known[at].Process.Incarnation < c.Process.Incarnation:
			r.known[at] = c // it started again, perhaps elsewhere
		case found && c.Agrees != 0 && c.Agrees == own:
			r.known[at].Agrees = own
		case !found && len(r.known) < maxRefs:
			r.known = slices.Insert(r.known, at, c)
		}
	}
}

// replace removes the processes whose address belongs to another one now, which has just answered there: a process without a data
// directory has a new identity after each start.
func (r *roster) replace(alive []Candidate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = slices.DeleteFunc(r.known, func(c Candidate) bool {
		gone := slices.ContainsFunc(alive, func(now Candidate) bool { return now.Addr == c.Addr && compareCandidates(now, c) != 0 })
		if gone {
			r.gone[c.Process.Process] = c.Process.Incarnation
		}
		return gone
	})
}

func compareCandidates(a, b Candidate) int {
	return bytes.Compare(a.Process.Process[:], b.Process.Process[:])
}

func (r *roster) list() []Candidate {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.known)
}

// membersOf returns all nodes of the processes, sorted by identifier.
func membersOf(base []Candidate) []ring.Ref {
	var refs []ring.Ref
	for _, c := range base {
		refs = append(refs, c.Process.Refs(c.Addr)...)
	}
	slices.SortFunc(refs, func(a, b ring.Ref) int { return a.ID.Compare(b.ID) })
	return refs
}

// clusterOf derives the id of the ring from the ids of its processes.
func clusterOf(base []Candidate) ClusterID {
	h := sha256.New()
	h.Write([]byte("chord cluster"))
	for _, c := range base {
		h.Write(c.Process.Process[:])
	}
	return ClusterID(h.Sum(nil)[:len(ClusterID{})])
}

func (l *Local) setRoster(r *roster) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.roster = r
}

func (l *Local) currentRoster() *roster {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.roster
}

// gathered returns the processes that wait together with this one, and how many it waits for: 0 if it does not.
func (l *Local) gathered() ([]Candidate, int) {
	if r := l.currentRoster(); r != nil {
		return r.list(), r.expect
	}
	return nil, 0
}

// meet takes in what a caller of Hello says about itself.
func (l *Local) meet(request *chordv1.HelloRequest) error {
	if request.GetProtocol() != protocolVersion {
		return otherProtocol(request.GetProtocol())
	}
	theirs, err := clusterFromProto("cluster", request.GetCluster())
	if err != nil {
		return invalid(err)
	}
	if !theirs.IsZero() {
		if err := l.sameCluster(theirs); err != nil {
			return err
		}
	}
	gathered, err := candidatesFromProto("gathered", request.GetGathered())
	if err != nil {
		return invalid(err)
	}
	if r := l.currentRoster(); r != nil && request.GetExpect() == uint32(r.expect) { // else the caller learns it from the answer
		r.merge(gathered)
	}
	return nil
}
