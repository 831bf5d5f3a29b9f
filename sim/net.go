package sim

import "time"

// Latency is a model of the distances between hosts. It must not keep state that depends on the order of calls: what is random comes from r.
type Latency interface {
	// OneWay returns how long a message takes from one host to another, both given by number, at least 0. r is the network's stream.
	OneWay(from, to int, r *Rand) time.Duration
}

// Net is what is wrong with the network of a World at the moment. A message that is lost, or cut off by a partition, a block or a mute, does
// not arrive, and its sender learns of it by its deadline.
type Net struct {
	w         *World
	latency   Latency
	loss      float64
	duplicate float64

	groups []int32           // by host; shorter if the rest is in group 0
	muted  []bool            // by host; shorter if the rest is not
	blocks map[[2]int32]bool // from, to
	cut    bool              // any of the three may be in force

	distances, lost, duplicated Rand // streams of their own, so that loss does not change the latencies
}

func (n *Net) init(w *World) {
	n.w, n.latency, n.loss, n.duplicate = w, w.options.Latency, w.options.Loss, w.options.Duplicate
	if n.latency == nil {
		n.latency = Constant(50 * time.Millisecond)
	}
	n.distances, n.lost, n.duplicated = stream(w.options.Seed, "latency", 0), stream(w.options.Seed, "loss", 0), stream(w.options.Seed, "duplicate", 0)
}

// SetLatency changes the model of the distances, from the next message on.
func (n *Net) SetLatency(l Latency) { n.latency = l }

// SetLoss sets the probability that a message is lost.
func (n *Net) SetLoss(p float64) { n.loss = p }

// SetDuplicate sets the probability that a request arrives, and is executed, twice.
func (n *Net) SetDuplicate(p float64) { n.duplicate = p }

// Partition puts a host into a group, a small number from 0 on. Hosts of different groups do not reach each other; all begin in group 0. A
// message under way when a partition comes up is lost.
func (n *Net) Partition(h *Host, group int) {
	n.groups = set(n.groups, h.number, int32(group))
	n.cut = true
	n.w.gossip.repart()
}

// Block makes messages from one host to another vanish, or arrive again. The other direction is not concerned.
func (n *Net) Block(from, to *Host, blocked bool) {
	if n.blocks == nil {
		n.blocks = make(map[[2]int32]bool)
	}
	if blocked {
		n.blocks[[2]int32{from.number, to.number}] = true
	} else {
		delete(n.blocks, [2]int32{from.number, to.number})
	}
	n.cut = true
}

// Mute makes all messages of a host vanish, or arrive again. Those to it arrive.
func (n *Net) Mute(h *Host, muted bool) {
	n.muted = set(n.muted, h.number, muted)
	n.cut = true
}

// Heal ends all partitions, blocks and mutes. Loss, duplication and slowness stay.
func (n *Net) Heal() {
	n.groups, n.muted, n.blocks, n.cut = nil, nil, nil, false
	n.w.gossip.repart()
}

// Reaches reports whether no partition, no block and no mute stands between two hosts in that direction. It says nothing about whether they run.
func (n *Net) Reaches(from, to *Host) bool { return n.reaches(from.number, to.number) }

func (n *Net) reaches(from, to int32) bool {
	switch {
	case !n.cut || from == to:
		return true
	case at(n.muted, from) || at(n.groups, from) != at(n.groups, to):
		return false
	}
	return !n.blocks[[2]int32{from, to}]
}

// set sets an element of a slice that holds zero values behind its end.
func set[T any](s []T, i int32, v T) []T {
	if grow := int(i) + 1 - len(s); grow > 0 {
		s = append(s, make([]T, grow)...)
	}
	s[i] = v
	return s
}

// at returns an element of a slice that holds zero values behind its end.
func at[T any](s []T, i int32) (v T) {
	if int(i) < len(s) {
		v = s[i]
	}
	return v
}

// transmit returns when a message that is sent now arrives; ok is false if it does not. A process reaches itself at once.
func (n *Net) transmit(from, to *Host, size int) (arrival time.Duration, ok bool) {
	w := n.w
	if from == to {
		return w.now, true
	}
	leaves := from.sends(size)
	if n.loss > 0 && n.lost.chance(n.loss) {
		w.stats.Lost++
		return 0, false
	}
	if n.cut && !n.reaches(from.number, to.number) {
		w.stats.Cut++
		return 0, false
	}
	return leaves + n.distance(from, to, &n.distances), true
}

// distance returns how long a message takes from one host to another.
func (n *Net) distance(from, to *Host, r *Rand) time.Duration {
	d := n.latency.OneWay(int(from.number), int(to.number), r)
	if from.traits != nil || to.traits != nil {
		d = time.Duration(float64(d) * from.slowness() * to.slowness())
	}
	return d
}
