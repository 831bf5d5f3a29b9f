package sim

import (
	"cmp"
	"slices"
	"time"
)

// This file is what a run knows of its hosts, and how processes come and go.

// phase is where the process of a host is in its life.
type phase uint8

const (
	phaseAway    phase = iota // there is none
	phaseJoining              // it looks for its place in the ring
	phaseMember               // it is a member
	phaseLeaving              // it hands over, and still serves
)

// account is what the run knows of a host.
type account struct {
	phase   phase
	returns bool  // of a host that is away: its process will be back, and is left to whoever took it down
	again   bool  // of a process that leaves: it is to come back as soon as it is gone
	member  int32 // index into members, -1 if it is not there
	epoch   int32 // how often its process has ended
	pauses  int32 // how many faults pause it now
	mutes   int32 // and make it mute
}

// rested is a host whose process never comes back.
type rested struct {
	number int
	since  time.Duration
}

// restTime is how long the machine of a process that is gone for good stays silent before a newcomer uses it: until nobody tries to
// reach the old one any more.
const restTime = 15 * time.Minute

// adopt begins to keep account of a host. Hosts are adopted in the order of their numbers.
func (r *runner) adopt(h *Host) {
	r.hosts = append(r.hosts, account{member: -1})
	r.separate(h)
}

// group returns the number of the group that a host belongs to, from 1 on.
func (r *runner) group(number int) int { return number%r.s.Groups + 1 }

// newcomer returns a host for a process that never was a member.
func (r *runner) newcomer() *Host {
	if len(r.resting) > 0 && r.w.Now()-r.resting[0].since >= restTime {
		h := r.w.Host(r.resting[0].number)
		r.resting = r.resting[1:]
		h.Replace()
		return h
	}
	h := r.w.AddHost()
	r.adopt(h)
	return h
}

// join starts the process of a host that is away and lets it look for the ring until it is a member. It asks a few members, as one who
// looks a well-known name up: addresses that were good when the process ended may all be dead by now.
func (r *runner) join(h *Host, kind string) {
	st := &r.hosts[h.Number()]
	st.phase, st.returns = phaseJoining, false
	epoch := st.epoch
	seeds := r.pickSeeds(h)
	r.w.Go(func() {
		if r.hosts[h.Number()].epoch != epoch {
			return // it has crashed before it began
		}
		var err error
		if len(seeds) > 0 {
			err = h.Join(seeds...)
		} else {
			err = h.Restart()
		}
		if st := &r.hosts[h.Number()]; err == nil && st.epoch == epoch {
			r.admit(h)
			r.meter.joined()
			r.event(kind, h.Number(), "")
		}
	})
}

// seedCount is how many members a process that joins is told of.
const seedCount = 5

// pickSeeds draws members, or if there are none, processes that look for the ring too.
func (r *runner) pickSeeds(h *Host) []*Host {
	var seeds []*Host
	for range min(seedCount, len(r.members)) {
		seeds = append(seeds, r.w.Host(r.members[r.seeds.IntN(len(r.members))]))
	}
	for i := range r.hosts {
		if len(r.members) > 0 || len(seeds) == seedCount {
			break
		}
		if r.hosts[i].phase == phaseJoining && i != h.Number() {
			seeds = append(seeds, r.w.Host(i))
		}
	}
	return seeds
}

// admit counts a process among the members.
func (r *runner) admit(h *Host) {
	st := &r.hosts[h.Number()]
	st.phase = phaseMember
	st.member = int32(len(r.members))
	r.members = append(r.members, h.Number())
	r.meter.alive(r.w, +1)
}

// dismiss takes a process off the members that get work.
func (r *runner) dismiss(st *account) {
	if st.member < 0 {
		return
	}
	last := len(r.members) - 1
	moved := r.members[last]
	r.members[st.member] = moved
	r.hosts[moved].member = st.member
	r.members = r.members[:last]
	st.member = -1
}

// draw returns count members, all if there are fewer, chosen uniformly: those whose numbers come first in an order that the draw decides. Thus the same
// draw chooses the same processes in two runs in which nearly the same ones are members, in whatever order they joined.
func (r *runner) draw(count int, draw uint64) []*Host {
	type ranked struct {
		rank   uint64
		number int
	}
	all := make([]ranked, 0, len(r.members))
	for _, n := range r.members {
		all = append(all, ranked{scramble(draw ^ scramble(uint64(n)+golden)), n})
	}
	slices.SortFunc(all, func(a, b ranked) int { return cmp.Or(cmp.Compare(a.rank, b.rank), a.number-b.number) })
	var hosts []*Host
	for _, m := range all[:min(count, len(all))] {
		hosts = append(hosts, r.w.Host(m.number))
	}
	return hosts
}

// crash ends the process of a host at once. It does nothing, and reports so, if there is none.
func (r *runner) crash(h *Host, returns bool) bool {
	st := &r.hosts[h.Number()]
	if st.phase == phaseAway {
		return false
	}
	r.forget(h)
	if r.s.Crash == CrashProcess {
		h.Kill()
	} else {
		h.Crash()
	}
	r.ended(h, returns)
	r.meter.crashed()
	r.event("crash", h.Number(), "")
	return true
}

// forget tells the oracle that the nodes of a host's process are no more. One that was just joining may have answered for its arc, because
// its neighbors had accepted it.
func (r *runner) forget(h *Host) {
	p := h.Process()
	if p == nil {
		return
	}
	for _, n := range p.Nodes() {
		if _, err := p.Neighbors(n.ID); err == nil {
			r.oracle.Add(r.w.Now(), n)
		}
		r.oracle.Remove(r.w.Now(), n)
	}
}

// leave lets a member hand over and go, and calls done, which may be nil, when it has. A process that is no member yet has nothing to hand over: it
// is killed. It does nothing, and reports so, if there is no process, or one that leaves already.
func (r *runner) leave(h *Host, returns bool, done func()) bool {
	st := &r.hosts[h.Number()]
	if st.phase == phaseJoining {
		ended := r.crash(h, returns)
		if done != nil {
			done()
		}
		return ended
	}
	if st.phase != phaseMember {
		return false
	}
	r.dismiss(st)
	st.phase = phaseLeaving
	epoch := st.epoch
	nodes := h.Process().Nodes()
	r.w.Go(func() {
		err := h.Leave()
		if r.hosts[h.Number()].epoch != epoch {
			return // it has crashed meanwhile
		}
		for _, n := range nodes {
			r.oracle.Remove(r.w.Now(), n)
		}
		r.ended(h, returns)
		r.meter.left()
		note := ""
		if err != nil {
			note = err.Error()
		}
		r.event("leave", h.Number(), note)
		if st := &r.hosts[h.Number()]; st.again && returns {
			st.again = false
			r.join(h, "restart")
		}
		if done != nil {
			done()
		}
	})
	return true
}

// ended notes that the process of a host is no more.
func (r *runner) ended(h *Host, returns bool) {
	st := &r.hosts[h.Number()]
	if st.phase == phaseMember || st.phase == phaseLeaving {
		r.meter.alive(r.w, -1)
	}
	r.dismiss(st)
	st.phase, st.returns = phaseAway, returns
	st.epoch++
	if !returns {
		r.resting = append(r.resting, rested{h.Number(), r.w.Now()})
	}
}

// comeBack brings back a process that was taken down for a time: the same, or a newcomer in its place. It returns the host that it is on.
func (r *runner) comeBack(h *Host, how string) *Host {
	st := &r.hosts[h.Number()]
	if how == ReturnNew {
		h = r.newcomer()
		r.join(h, "join")
	} else if st.phase == phaseAway && st.returns {
		r.join(h, "restart")
	} else if st.phase == phaseLeaving {
		st.again = true
	}
	return h
}
