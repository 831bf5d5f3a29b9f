package experiment

import (
	"context"
	"strconv"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/sim"
)

// storage is a run of the shipped code that holds keys while processes come and go for a long time.
type storage struct {
	departures
	Replicas int
	Keys     int
	Value    int           // bytes
	Refill   time.Duration // that a process takes to send as much as one holds
	Grace    time.Duration // that copies are not made again
	Look     time.Duration // between two looks at all disks
	Reads    float64       // per second over the whole network
}

// storagePoint is what a run gives.
type storagePoint struct {
	Departures, Permanent int
	Absent                float64 // share of the processes that are away, in the mean

	Acked       int
	Held        int    // copies on the disks of those who went
	Moved       int    // records that processes sent each other for repair and sweep
	MovedWhole  int    // of these, while nobody was away
	Bytes       int    // of all these
	Compared    uint64 // bytes of the messages that found out which, by the model of p2psim
	Lost        int    // keys of which no disk is left at the end
	Unexplained int    // of these: no disk that went for good since a copy was seen last had one

	Looks   int // at all disks
	Seen    int // keys that had a copy somewhere, over all looks
	Hidden  int // of these, those of which no copy was up
	Missing int // copies that were not up, of N of each of these
	Reads   [2]readsOf
}

// readsOf is what became of reads of keys of which in the end there still was a copy, at level one and by quorum.
type readsOf struct{ Done, Missed, Failed int }

// config returns the settings of the processes: those of production, but for maintenance that is as much rarer as processes come and go more rarely than it was
// made for, and a limit on what repair sends.
func (s storage) config() node.Config {
	c := node.DefaultConfig()
	c.FingerCandidates, c.Grace = 1, s.Grace
	c.Replicas = s.Replicas
	c.WriteQuorum = s.Replicas/2 + 1
	c.ReadQuorum = c.WriteQuorum
	c.StabilizeInterval, c.StabilizeQuiet = time.Minute, 10*time.Minute
	c.FixFingersInterval, c.HealInterval = 10*time.Minute, time.Hour
	c.RepairInterval, c.SweepInterval = time.Hour, 10*time.Minute
	c.SettleDelay = 30 * time.Second
	c.BatchRecords = 16 // so that a transfer is no single message, after which the rate is paid for
	if s.Refill > 0 {
		c.RepairRate = max(1, int(s.load()*float64(s.Value+len(lossKey(s.Keys)))/s.Refill.Seconds()))
	}
	return c
}

// load returns how many copies a process holds in the mean.
func (s storage) load() float64 {
	up := float64(s.Up) / float64(s.Up+s.Down) * float64(s.Seats)
	return float64(s.Keys) * float64(s.Replicas) / up
}

// storing is a run under way.
type storing struct {
	storage
	clients
	out storagePoint

	hosts   []*sim.Host // by seat; nil: nobody was there yet
	changes []change
	began   time.Duration // of departures
	before  sim.Stats     // then
	on      bool          // between then and the end
	away    int           // seats that nobody takes

	acked []bool
	seen  []time.Duration // by key: when a look saw a copy last
	hit   []time.Duration // by key: when a disk that had a copy went for good last
	reads [][2]readsOf    // by key
}

// run lets the changes happen, to those who are present at first.
func (s storage) run(ctx context.Context, at *Point, seed uint64, present []bool, changes []change) (storagePoint, error) {
	r := &storing{storage: s, hosts: make([]*sim.Host, s.Seats), changes: changes}
	o := sim.DefaultOptions()
	o.Seed, o.Latency, o.Config = seed, sim.NewInternet(seed), s.config()
	o.Reunite = time.Hour
	o.Gossip = sim.DefaultGossip()
	o.Gossip.On, o.Gossip.Probe = true, 30*time.Second
	events := &node.Events{Moved: func(_ ring.Ref, sent, received, bytes int) {
		if r.on {
			r.out.Moved += sent + received
			if r.away == 0 {
				r.out.MovedWhole += sent + received
			}
			r.out.Bytes += bytes
		}
	}}
	o.Events = func(*sim.Host) *node.Events { return events }
	var first []int
	for seat, up := range present {
		if up {
			first = append(first, seat)
		} else {
			r.away++
		}
	}
	at.Span(s.Duration)
	err := inRing(ctx, at, o, len(first), func(c clients) func() {
		r.clients = c
		for i, seat := range first {
			r.hosts[seat] = c.w.Host(i)
		}
		return r.script
	})
	return r.out, err
}

// script is what happens, as a task of the harness.
func (r *storing) script() {
	r.acked = make([]bool, r.Keys)
	value := make([]byte, r.Value)
	r.each(r.Keys, func(i int) {
		if _, err := r.do(r.any(r.present()), node.Op{Kind: node.OpPut, Key: lossKey(i), Value: value}); err == nil {
			r.acked[i] = true
			r.out.Acked++
		}
	})
	r.w.Sleep(time.Minute)

	r.began, r.before, r.on = r.w.Now(), r.w.Stats(), true
	r.seen, r.hit, r.reads = make([]time.Duration, r.Keys), make([]time.Duration, r.Keys), make([][2]readsOf, r.Keys)
	r.w.Go(r.readNowAndThen)
	r.w.Go(r.lookNowAndThen)
	for _, c := range r.changes {
		r.w.Sleep(r.began + c.At - r.w.Now())
		if c.Up {
			r.comes(c.Seat)
		} else {
			r.goes(c)
		}
	}
	r.w.Sleep(r.began + r.Duration - r.w.Now())
	r.on = false
	r.end()
}

// present returns the hosts whose processes are members.
func (r *storing) present() (hosts []*sim.Host) {
	for _, h := range r.hosts {
		if h != nil && h.Ready() {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

func (r *storing) goes(c change) {
	r.out.Departures++
	r.away++
	h := r.hosts[c.Seat]
	r.eachKey(h, func(int) { r.out.Held++ })
	h.Crash()
	if !c.Lost {
		return
	}
	r.out.Permanent++
	r.eachKey(h, func(key int) { r.hit[key] = r.w.Now() })
	h.Replace() // nobody comes back to this machine
	r.hosts[c.Seat] = nil
}

// comes starts the process of a seat again, or the first that takes it, and lets it look for the ring among a few of the members.
func (r *storing) comes(seat int) {
	if r.hosts[seat] == nil {
		r.hosts[seat] = r.w.AddHost()
	}
	r.away--
	h, members := r.hosts[seat], r.present()
	var seeds []*sim.Host
	for range 5 {
		seeds = append(seeds, r.any(members))
	}
	r.w.Go(func() {
		if !h.Running() {
			_ = h.Join(seeds...) // fails only if it goes again before it is there
		}
	})
}

// eachKey calls f for each key that is on the disk of a host.
func (r *storing) eachKey(h *sim.Host, f func(key int)) {
	entries, _ := h.Store().List(ring.FullArc(), node.Cursor{}, r.Keys) // a store in memory never fails
	for _, e := range entries {
		if key, err := strconv.Atoi(string(e.Key[len("key-"):])); err == nil {
			f(key)
		}
	}
}

// copies counts the copies of each key, on disks of running processes and on others.
func (r *storing) copies() (up, away []int) {
	up, away = make([]int, r.Keys), make([]int, r.Keys)
	for _, h := range r.hosts {
		if h == nil {
			continue
		}
		in := away
		if h.Ready() {
			in = up
		}
		r.eachKey(h, func(key int) { in[key]++ })
	}
	return up, away
}

func (r *storing) lookNowAndThen() {
	for r.w.Sleep(r.Look); r.on; r.w.Sleep(r.Look) {
		r.look()
	}
}

// look counts what is on the disks.
func (r *storing) look() {
	up, away := r.copies()
	for key := range up {
		if up[key]+away[key] == 0 || !r.acked[key] {
			continue
		}
		r.seen[key] = r.w.Now()
		r.out.Seen++
		r.out.Missing += max(0, r.Replicas-up[key])
		if up[key] == 0 {
			r.out.Hidden++
		}
	}
	r.out.Looks++
	r.out.Absent += 1 - float64(len(r.present()))/float64(r.Seats)
}

func (r *storing) readNowAndThen() {
	if r.storage.Reads == 0 {
		return
	}
	for i := 0; r.on; i++ {
		key, from, level := r.chance.IntN(r.Keys), r.any(r.present()), i%2
		r.w.Go(func() {
			op := node.Op{Kind: node.OpGet, Key: lossKey(key), Level: [...]node.Level{node.LevelOne, node.LevelQuorum}[level]}
			got, err := r.do(from, op)
			switch of := &r.reads[key][level]; {
			case err != nil && !from.Running():
			case err != nil:
				of.Failed++
			case !got.Found:
				of.Missed++
			default:
				of.Done++
			}
		})
		r.w.Sleep(time.Duration(float64(time.Second) / r.storage.Reads))
	}
}

// end looks at the disks for the last time.
func (r *storing) end() {
	up, away := r.copies()
	for key := range up {
		switch {
		case !r.acked[key]:
		case up[key]+away[key] == 0:
			r.out.Lost++
			if r.hit[key] <= r.seen[key] {
				r.out.Unexplained++
			}
		default:
			for level, of := range r.reads[key] {
				sum := &r.out.Reads[level]
				sum.Done, sum.Missed, sum.Failed = sum.Done+of.Done, sum.Missed+of.Missed, sum.Failed+of.Failed
			}
		}
	}
	stats := r.w.Stats()
	for _, m := range []sim.Method{sim.MethodDigest, sim.MethodOutline, sim.MethodName, sim.MethodList} {
		r.out.Compared += stats.Requests[m].Bytes - r.before.Requests[m].Bytes + stats.Answers[m].Bytes - r.before.Answers[m].Bytes
	}
	r.out.Absent /= float64(max(1, r.out.Looks))
}

// restored returns how long a copy is missing in the mean before there is another one: by Little's law, the copies that are missing at a time over
// the rate at which copies go.
func (s storage) restored(pt storagePoint) time.Duration {
	missing := float64(pt.Missing) / float64(max(1, pt.Seen))
	return time.Duration(missing / (float64(s.Replicas) - missing) * float64(s.Up))
}

// theory returns what a birth-death process with the rates of the run says of a key.
func (s storage) theory(pt storagePoint) fate {
	b := birthDeath{
		N: s.Replicas, Leave: 1 / s.Up.Seconds(), Permanent: s.Permanent, Return: 1 / s.Down.Seconds(),
		Repair: 1 / max(s.restored(pt), time.Minute).Seconds(),
	}
	return b.over(s.Duration.Seconds())
}
