package sim

import (
	"slices"
	"strconv"
	"time"
)

// faultState is what is wrong at the moment by the doing of Scenario.Faults.
type faultState struct {
	partitions []*partition // in the order in which they began
	mutes      int          // faults of that kind
	slow       []*slowness
	slowDisks  []*slowness
	loss       []*override
	duplicate  []*override
	ends       []*func() // of all that is under way
}

// override is a probability for all messages that holds instead of the network's.
type override struct{ probability float64 }

// slowness is a set of hosts whose messages, or synced writes, take longer.
type slowness struct {
	hosts  []*Host
	factor float64
}

// partition is a division of all hosts into parts. A host that comes later is drawn a part.
type partition struct {
	part   []int // by number of the host
	shares []float64
	rand   *Rand
}

// startFaults schedules what goes wrong. Each entry has its own stream of chance.
func (r *runner) startFaults() {
	for i, f := range r.s.Faults {
		rng := NewRand(r.s.Seed, "fault", i)
		end := until(f.Until, r.s.Duration)
		var occur func(t time.Duration)
		occur = func(t time.Duration) {
			if t >= end {
				return
			}
			r.w.At(t, func() {
				if r.calm {
					return
				}
				r.strike(f, rng)
				if f.Every > 0 {
					occur(t + gap(rng, f.Every))
				}
			})
		}
		if f.Every > 0 {
			occur(f.At + gap(rng, f.Every))
		} else {
			occur(f.At)
		}
	}
}

// strike lets a fault begin, and end after its time.
func (r *runner) strike(f Fault, rng *Rand) {
	hosts := r.victims(f, rng)
	begins := map[string]func(f Fault, hosts []*Host, rng *Rand) (end func()){
		FaultPartition: r.partition, FaultOneWay: r.mute, FaultLoss: r.lose, FaultDuplicate: r.duplicate,
		FaultSlow: r.slow, FaultDisk: r.slowDisks, FaultPause: r.pause, FaultCrash: r.strikeDown, FaultClock: r.setClocks,
	}
	end := begins[f.Kind](f, hosts, rng)
	number, note := -1, strconv.Itoa(len(hosts))+" processes"
	if len(hosts) == 1 {
		number, note = hosts[0].Number(), ""
	}
	if f.Kind != FaultCrash { // of which the hosts concerned tell themselves
		r.event(f.Kind, number, note)
	}
	ended := func() {
		end()
		if f.Kind != FaultCrash {
			r.event(f.Kind+"-end", number, note)
		}
	}
	handle := &ended
	r.faults.ends = append(r.faults.ends, handle)
	if f.For > 0 {
		r.w.At(r.w.Now()+f.For, func() {
			if i := slices.Index(r.faults.ends, handle); i >= 0 {
				r.faults.ends = slices.Delete(r.faults.ends, i, i+1)
				ended()
			}
		})
	}
}

// endFaults ends everything that is under way.
func (r *runner) endFaults() {
	ends := r.faults.ends
	r.faults.ends = nil
	for _, end := range ends {
		(*end)()
	}
}

// victims returns the hosts that a fault hits. Those drawn are members; those named may be anything.
func (r *runner) victims(f Fault, rng *Rand) []*Host {
	count := f.Count
	if f.Share > 0 {
		count = max(1, int(f.Share*float64(len(r.members))+0.5))
	}
	var hosts []*Host
	switch {
	case len(f.Nodes) > 0:
		for _, n := range f.Nodes {
			if n < len(r.hosts) {
				hosts = append(hosts, r.w.Host(n))
			}
		}
	case f.Group > 0:
		for i := range r.hosts {
			if r.group(i) == f.Group {
				hosts = append(hosts, r.w.Host(i))
			}
		}
	case count > 0:
		hosts = r.draw(count, rng.Uint64())
	}
	return hosts
}

// partition divides the hosts: those hit from the rest, or all at random by shares.
func (r *runner) partition(f Fault, hosts []*Host, rng *Rand) func() {
	p := &partition{shares: f.Shares, rand: rng}
	if len(hosts) == 0 && len(f.Shares) == 0 {
		p.shares = []float64{0.5, 0.5}
	}
	for i := range r.hosts {
		part := p.draw()
		if slices.ContainsFunc(hosts, func(h *Host) bool { return h.Number() == i }) {
			part = 1
		}
		p.part = append(p.part, part)
	}
	r.faults.partitions = append(r.faults.partitions, p)
	r.regroup()
	return func() {
		r.faults.partitions = slices.DeleteFunc(r.faults.partitions, func(q *partition) bool { return q == p })
		r.regroup()
	}
}

// draw returns the part of a host: 0 if the parts have no shares, because they were made of the hosts that were hit.
func (p *partition) draw() int {
	if len(p.shares) == 0 {
		return 0
	}
	u := p.rand.Float64()
	for part, share := range p.shares {
		if u < share {
			return part
		}
		u -= share
	}
	return len(p.shares) - 1
}

// separate puts a new host into its part of each partition.
func (r *runner) separate(h *Host) {
	if len(r.faults.partitions) == 0 {
		return
	}
	for _, p := range r.faults.partitions {
		p.part = append(p.part, p.draw())
	}
	r.regroup()
}

// regroup tells the network which hosts are in the same part of all partitions.
func (r *runner) regroup() {
	if r.healNet() {
		return
	}
	groups := map[string]int{}
	for i := range r.hosts {
		var key []byte
		for _, p := range r.faults.partitions {
			key = strconv.AppendInt(append(key, ' '), int64(p.part[i]), 10)
		}
		group, ok := groups[string(key)]
		if !ok {
			group = len(groups)
			groups[string(key)] = group
		}
		r.w.Net().Partition(r.w.Host(i), group)
	}
}

// healNet makes the network whole if no fault says otherwise.
func (r *runner) healNet() bool {
	if len(r.faults.partitions) > 0 || r.faults.mutes > 0 {
		return false
	}
	r.w.Net().Heal()
	return true
}

// mute makes the messages of hosts vanish.
func (r *runner) mute(_ Fault, hosts []*Host, _ *Rand) func() {
	add := func(n int32) {
		r.faults.mutes += int(n)
		for _, h := range hosts {
			st := &r.hosts[h.Number()]
			st.mutes += n
			r.w.Net().Mute(h, st.mutes > 0)
		}
	}
	add(1)
	return func() {
		add(-1)
		r.healNet()
	}
}

// lose sets how many messages are lost. Of several such faults the last that began counts.
func (r *runner) lose(f Fault, _ []*Host, _ *Rand) func() {
	return setOverride(&r.faults.loss, f.Probability, r.s.Network.Loss, r.w.Net().SetLoss)
}

// duplicate sets how many requests arrive twice.
func (r *runner) duplicate(f Fault, _ []*Host, _ *Rand) func() {
	return setOverride(&r.faults.duplicate, f.Probability, r.s.Network.Duplicate, r.w.Net().SetDuplicate)
}

func setOverride(all *[]*override, probability, normal float64, set func(p float64)) func() {
	o := &override{probability}
	*all = append(*all, o)
	set(probability)
	return func() {
		*all = slices.DeleteFunc(*all, func(p *override) bool { return p == o })
		if n := len(*all); n > 0 {
			set((*all)[n-1].probability)
		} else {
			set(normal)
		}
	}
}

// slow makes the messages of hosts take longer.
func (r *runner) slow(f Fault, hosts []*Host, _ *Rand) func() {
	return r.slowDown(&r.faults.slow, f, hosts, (*Host).SetSlow)
}

// slowDisks makes the synced writes of hosts take longer.
func (r *runner) slowDisks(f Fault, hosts []*Host, _ *Rand) func() {
	return r.slowDown(&r.faults.slowDisks, f, hosts, (*Host).SetSlowDisk)
}

// slowDown makes something take longer at hosts; at all hosts if none is hit. The factors of several such faults multiply.
func (r *runner) slowDown(all *[]*slowness, f Fault, hosts []*Host, set func(h *Host, factor float64)) func() {
	if len(hosts) == 0 {
		hosts = slices.Clone(r.w.Hosts())
	}
	update := func() {
		for _, h := range hosts {
			factor := 1.0
			for _, s := range *all {
				if slices.Contains(s.hosts, h) {
					factor *= s.factor
				}
			}
			set(h, factor)
		}
	}
	s := &slowness{hosts, f.Factor}
	*all = append(*all, s)
	update()
	return func() {
		*all = slices.DeleteFunc(*all, func(q *slowness) bool { return q == s })
		update()
	}
}

// pause makes processes stand still.
func (r *runner) pause(_ Fault, hosts []*Host, _ *Rand) func() {
	var paused []*Host
	var epochs []int32
	for _, h := range hosts {
		if st := &r.hosts[h.Number()]; st.phase != phaseAway {
			if st.pauses++; st.pauses == 1 {
				h.Pause()
			}
			paused, epochs = append(paused, h), append(epochs, st.epoch)
		}
	}
	return func() {
		for i, h := range paused {
			st := &r.hosts[h.Number()]
			if st.epoch != epochs[i] {
				continue // its process has ended, and with it the pause
			}
			if st.pauses--; st.pauses == 0 {
				h.Resume()
			}
		}
	}
}

// strikeDown crashes processes, which are back at the end.
func (r *runner) strikeDown(f Fault, hosts []*Host, _ *Rand) func() {
	var down []*Host
	for _, h := range hosts {
		if r.crash(h, f.Return != ReturnNew) {
			down = append(down, h)
		}
	}
	return func() {
		for _, h := range down {
			r.comeBack(h, f.Return)
		}
	}
}

// setClocks makes clocks wrong; those of all hosts if none is hit. They are right again at the end.
func (r *runner) setClocks(f Fault, hosts []*Host, _ *Rand) func() {
	if len(hosts) == 0 {
		hosts = slices.Clone(r.w.Hosts())
	}
	for _, h := range hosts {
		h.SetClock(f.Offset, f.Drift)
	}
	return func() {
		for _, h := range hosts {
			h.SetClock(0, 0)
		}
	}
}
