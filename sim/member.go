package sim

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/chordkv/chord/node"
)

// This file is how a process finds its ring, step by step as chordd does it (cmd/chordd/member.go and remember.go).

const (
	helloTimeout = 2 * time.Second
	minRetry     = 200 * time.Millisecond
	maxRetry     = 10 * time.Second
	resumeAfter  = 5 * time.Second // how long a former member looks for its ring before it takes up its place without the others
	reuniteTimer = 15 * time.Second
)

// hello is what a process says about itself to one that looks for its ring.
type hello struct {
	process [16]byte
	member  bool
	contact node.Contact
	now     time.Time // by its clock
}

func (h *Host) hello() hello {
	return hello{process: h.id, member: h.process.Ready(), contact: h.process.Contact(), now: h.Now()}
}

// candidates returns where the ring may be found: the seeds, and the peers that the disk remembers.
func (h *Host) candidates() []string {
	t := h.trait()
	addrs := slices.Concat(t.seeds, t.known)
	slices.Sort(addrs)
	return slices.DeleteFunc(slices.Compact(addrs), func(a string) bool { return a == h.addr })
}

// enter makes the process a member of a ring: one that it finds, or its own if there is nobody to ask.
func (h *Host) enter(ctx context.Context) {
	candidates := h.candidates()
	if len(candidates) == 0 {
		h.found()
		return
	}
	(&reunion{h: h, candidates: candidates}).soon()
	rt, began := hostRuntime{h}, h.w.now
	for retry := minRetry; ; retry = min(2*retry, maxRetry) {
		s := h.survey(ctx, candidates)
		switch {
		case len(s.members) > 0:
			if node.Stale(h.trait().contact, s.contacts, h.w.options.Config.TombstoneGrace) {
				h.empty()
				h.process.RecallContact(h.trait().contact)
			}
			rand.New(&h.rand).Shuffle(len(s.members), func(i, j int) { s.members[i], s.members[j] = s.members[j], s.members[i] })
			if h.process.Join(ctx, s.members) == nil {
				return
			}
		case h.mayResume(s, h.w.now-began):
			h.found()
			return
		case len(s.waiting) > 0:
			retry = minRetry // the ring is about to come back
		}
		_ = rt.Sleep(ctx, retry/2+time.Duration(h.rand.Uint64()%uint64(retry/2))) // ctx does not end
	}
}

// found makes the process a ring of its own.
func (h *Host) found() {
	if err := h.process.Create(); err != nil {
		panic(err) // a process that is not a member yet can always do that
	}
}

// survey is what the candidates answered.
type survey struct {
	members  []string       // addresses of members of a ring
	contacts []node.Contact // of these
	waiting  [][16]byte     // processes that look for it too
	silent   int            // candidates that did not answer
}

// survey asks the processes at the addresses who they are.
func (h *Host) survey(ctx context.Context, addrs []string) (s survey) {
	ctx, cancel := h.w.withTimeout(ctx, helloTimeout)
	defer cancel()
	hellos := make([]hello, len(addrs))
	hostRuntime{h}.Gather(len(addrs), func(i int) (err error) {
		hellos[i], err = hostPeers{h}.hello(ctx, addrs[i])
		return err
	}, nil, func(i int, err error) bool {
		switch {
		case err != nil:
			s.silent++
		case hellos[i].member:
			s.members = append(s.members, addrs[i])
			s.contacts = append(s.contacts, hellos[i].contact.By(hellos[i].now, h.Now()))
		default:
			s.waiting = append(s.waiting, hellos[i].process)
		}
		return false
	})
	slices.Sort(s.members) // the answers came in any order
	return s
}

// mayResume decides whether a process that was a member stops looking for its ring and takes up its place alone: that is how a ring comes
// back of which all processes were stopped. The one with the lowest id begins.
func (h *Host) mayResume(s survey, waited time.Duration) bool {
	t := h.trait()
	if !t.wasPart || len(s.waiting) == 0 && len(t.seeds) > 0 {
		return false
	}
	for _, id := range s.waiting {
		if slices.Compare(id[:], h.id[:]) < 0 {
			return false
		}
	}
	return s.silent == 0 || waited >= resumeAfter
}

// reunion is how a process looks, now and then, for members that its ring has lost. Only a process that was started by Join does so: one
// of a Bootstrap has no seeds, and remembers only whom it knows anyway.
type reunion struct {
	h          *Host
	candidates []string
	known      []string // to the process when it looked last
	strangers  []string // candidates that were not
}

func (r *reunion) soon() {
	hostRuntime{r.h}.AfterFunc(cmp.Or(r.h.w.options.Reunite, reuniteTimer), func() {
		r.meet(context.Background())
		r.soon()
	})
}

// meet introduces two rings to each other that came to be by a partition: the process meets one of the members among the candidates that it
// does not know.
func (r *reunion) meet(ctx context.Context) {
	h := r.h
	if known := h.process.Known(); !sameList(known, r.known) {
		r.known = known
		r.strangers = slices.DeleteFunc(slices.Clone(r.candidates), func(addr string) bool { return slices.Contains(known, addr) })
	}
	if len(r.strangers) == 0 {
		return
	}
	stranger := r.strangers[h.rand.Uint64()%uint64(len(r.strangers))]
	ctx, cancel := h.w.withTimeout(ctx, helloTimeout)
	defer cancel()
	if m, err := (hostPeers{h}).hello(ctx, stranger); err == nil && m.member {
		h.process.Meet(context.Background(), stranger)
	}
}

// sameList reports whether two lists that nobody may change are one and the same.
func sameList(a, b []string) bool {
	return len(a) > 0 && len(a) == len(b) && &a[0] == &b[0]
}
