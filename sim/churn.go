package sim

import (
	"strconv"
	"time"
)

// startChurn sets all drivers of churn going. Each has streams of chance of its own, so that a change of one, or of anything else in the
// scenario, leaves what the others do as it is.
func (r *runner) startChurn() {
	for i, c := range r.s.Churn {
		d := &driver{r: r, c: c, number: i, until: until(c.Until, r.s.Duration), rand: NewRand(r.s.Seed, "churn", i)}
		switch c.Kind {
		case ChurnSessions:
			d.startSessions()
		case ChurnPoisson:
			d.startPoisson()
		case ChurnFlashCrowd:
			d.startFlashCrowd()
		case ChurnTrace:
			d.startTrace()
		case ChurnGroups:
			d.startGroups()
		}
	}
}

// until returns the end of something that may be limited to less than the duration.
func until(limit, duration time.Duration) time.Duration {
	if limit == 0 {
		return duration
	}
	return min(limit, duration)
}

// driver is one entry of Scenario.Churn at work.
type driver struct {
	r      *runner
	c      Churn
	number int
	until  time.Duration
	rand   *Rand
}

// at runs f at a time, unless churn is over by then.
func (d *driver) at(t time.Duration, f func()) {
	if t >= d.until {
		return
	}
	d.r.w.At(t, func() {
		if !d.r.calm {
			f()
		}
	})
}

// gap draws the time to the next of events that come at random with a mean interval.
func gap(r *Rand, mean time.Duration) time.Duration {
	return sessions{kind: DistExponential, scale: float64(mean)}.quantile(r.Float64())
}

// drawer returns what draws from a distribution; nil if it is not given. The scenario has been validated.
func drawer(d Distribution) func(r *Rand) time.Duration {
	if d == (Distribution{}) {
		return nil
	}
	s, err := newSessions(d)
	if err != nil {
		panic("sim: " + err.Error())
	}
	return func(r *Rand) time.Duration { return s.quantile(r.Float64()) }
}

// seat is a place in the network that one process after the other takes, or the same again and again.
type seat struct {
	d       *driver
	host    *Host
	rand    *Rand // its own, so that its sessions are the same whatever else happens
	on, off func(r *Rand) time.Duration
}

// startSessions gives every process of the start its sessions.
func (d *driver) startSessions() {
	on, off := drawer(d.c.On), drawer(d.c.Off)
	present := d.r.s.Nodes - d.r.s.absent()
	joinTime := func(i int) time.Duration {
		if d.r.s.Start == StartJoin {
			return time.Duration(i) * d.r.s.JoinInterval
		}
		return 0
	}
	for i := range d.r.s.Nodes {
		s := &seat{d: d, host: d.r.w.Host(i), rand: NewRand(d.r.s.Seed, "sessions "+strconv.Itoa(d.number), i), on: on, off: off}
		if i < present {
			s.endAfter(max(d.c.From, joinTime(i)))
		} else {
			d.r.hosts[i].returns = true
			s.beginAfter(d.c.From, ReturnSame)
		}
	}
}

// endAfter ends the present session, which began at a time.
func (s *seat) endAfter(began time.Duration) {
	t := began + s.on(s.rand)
	graceful := s.rand.chance(s.d.c.Leave)
	s.d.at(t, func() {
		returns := s.d.c.Return != ReturnNew
		switch {
		case graceful && s.d.r.leave(s.host, returns, func() { s.beginAfter(t, s.d.c.Return) }):
		case !graceful && s.d.r.crash(s.host, returns):
			s.beginAfter(t, s.d.c.Return)
		default:
			s.beginAfter(t, ReturnSame) // somebody else has taken it down, and will bring it back
		}
	})
}

// beginAfter begins the next session after an absence that began at a time, of the same process or of another.
func (s *seat) beginAfter(ended time.Duration, who string) {
	t := ended
	if s.off != nil {
		t += s.off(s.rand)
	}
	t = max(t, s.d.r.w.Now()) // leaving may have taken longer than the absence
	s.d.at(t, func() {
		s.host = s.d.r.comeBack(s.host, who)
		s.endAfter(t)
	})
}

// startPoisson lets processes join, leave and crash at rates over the whole network.
func (d *driver) startPoisson() {
	for i, e := range []struct {
		rate float64
		do   func(r *Rand)
	}{
		{d.c.Joins, func(*Rand) { d.r.join(d.r.newcomer(), "join") }},
		{d.c.Leaves, func(r *Rand) {
			d.take(r, func(h *Host, done func()) { d.r.leave(h, d.c.Off != (Distribution{}), done) })
		}},
		{d.c.Crashes, func(r *Rand) {
			d.take(r, func(h *Host, done func()) {
				d.r.crash(h, d.c.Off != (Distribution{}))
				done()
			})
		}},
	} {
		if e.rate > 0 {
			// One stream for each kind of event: with more joins, the same processes crash at the same times.
			d.repeat(NewRand(d.r.s.Seed, "poisson "+strconv.Itoa(d.number), i), perSecond(e.rate), e.do)
		}
	}
}

// perSecond returns the mean interval of events with a rate.
func perSecond(rate float64) time.Duration { return time.Duration(float64(time.Second) / rate) }

// repeat does something at random times with a mean interval.
func (d *driver) repeat(r *Rand, mean time.Duration, do func(r *Rand)) {
	var again func(from time.Duration)
	again = func(from time.Duration) {
		t := from + gap(r, mean)
		d.at(t, func() {
			do(r)
			again(t)
		})
	}
	again(d.c.From)
}

// take ends a random member by end, which is given what to do when it is gone, unless so few are left that none may be taken.
func (d *driver) take(r *Rand, end func(h *Host, done func())) {
	victims := d.r.draw(1, r.Uint64()) // drawn in any case, so that the next draw does not depend on how many there are
	if len(d.r.members) <= d.floor() {
		return
	}
	d.takeDown(r, victims[0], end)
}

func (d *driver) floor() int {
	if d.c.Floor > 0 {
		return d.c.Floor
	}
	return d.r.s.Node.Successors + 1
}

// takeDown ends the process of a host by end and brings it back after a time, if the scenario says so.
func (d *driver) takeDown(r *Rand, h *Host, end func(h *Host, done func())) {
	off := drawer(d.c.Off)
	if off == nil {
		end(h, func() {})
		return
	}
	down := off(r)
	end(h, func() { d.at(d.r.w.Now()+down, func() { d.r.comeBack(h, d.c.Return) }) })
}

// startFlashCrowd lets many newcomers join within a short time.
func (d *driver) startFlashCrowd() {
	stay := drawer(d.c.Stay)
	for i := range d.c.Count {
		t := d.c.From + d.c.Within*time.Duration(i)/time.Duration(d.c.Count)
		d.at(t, func() {
			h := d.r.newcomer()
			d.r.join(h, "join")
			if stay == nil {
				return
			}
			graceful := d.rand.chance(d.c.Leave)
			d.at(t+stay(d.rand), func() {
				if graceful {
					d.r.leave(h, false, nil)
				} else {
					d.r.crash(h, false)
				}
			})
		})
	}
}

// startTrace lets happen what a file says.
func (d *driver) startTrace() {
	t, err := ReadTrace(d.c.File)
	if err != nil {
		panic("sim: " + err.Error()) // it has been read before
	}
	hosts := map[string]*Host{}
	for i := range d.r.s.Nodes {
		hosts[strconv.Itoa(i)] = d.r.w.Host(i)
	}
	for _, e := range t.Events {
		d.at(d.c.From+e.At, func() {
			h, known := hosts[e.Node]
			switch {
			case e.Kind == TraceLeave:
				d.r.leave(h, true, nil)
			case e.Kind == TraceCrash:
				d.r.crash(h, true)
			case known:
				d.r.comeBack(h, ReturnSame)
			default:
				hosts[e.Node] = d.r.newcomer()
				d.r.join(hosts[e.Node], "join")
			}
		})
	}
}

// startGroups lets racks or regions fail.
func (d *driver) startGroups() {
	share := d.c.Share
	if share == 0 {
		share = 1
	}
	d.repeat(d.rand, d.c.Interval, func(r *Rand) {
		group := 1 + r.IntN(d.r.s.Groups)
		d.r.event("group", -1, strconv.Itoa(group))
		for i := range d.r.hosts {
			if d.r.group(i) != group || d.r.hosts[i].phase != phaseMember || !r.chance(share) || len(d.r.members) <= d.floor() {
				continue
			}
			d.takeDown(r, d.r.w.Host(i), func(h *Host, done func()) {
				d.r.crash(h, d.c.Off != (Distribution{}))
				done()
			})
		}
	})
}
