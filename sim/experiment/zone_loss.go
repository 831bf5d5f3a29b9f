package experiment

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/sim"
)

func zoneLoss() *Experiment {
	return &Experiment{
		Name:   "zone-loss",
		Title:  "What is lost with a whole zone, for ever?",
		Source: "none",
		About: "A ring of processes in several zones of one size holds data; then all processes of one zone crash at the same moment, with their disks, for ever. Once with " +
			"replicas in the order of the ring, which knows of no zones, and once spread over them (chordd --zone). Measured is what a read of every key " +
			"finds in the first moments, how long it takes until there is one ideal ring again, what is lost when repair has had its time, and how many live " +
			"copies a key has then.\n\n" +
			"In the order of the ring a key is lost when all its N replicas happen to be in the zone: of a random ring, the hypergeometric probability of that. " +
			"Nodes have the settings of production: three replicas, of which two must have a write; latencies are those of the Internet-like model.",
		Params: []Param{
			{"zones", "of one size", []int{3, 5}, []int{3}},
			{"nodes", "in the ring, one a process", 300, 60},
			{"keys", "written before", 10_000, 600},
			{"repair", "from the loss to the last reading of all keys", 2 * time.Minute, time.Minute},
			{"seeds", "independent runs", 3, 1},
		},
		Run: runZoneLoss,
	}
}

// lossPoint is what one ring gives.
type lossPoint struct {
	Zones           int
	Spread          bool
	Acked           int
	FailedAtOnce    int // reads in the first moments that got no answer
	DeniedAtOnce    int // of the others, those that did not find what was acknowledged
	Closed          time.Duration
	Lost            int     // at the end
	Copies          float64 // live, in the mean over all keys that are not lost
	InOneZone, Thin int     // keys whose copies at the end are all in one zone; that have fewer than N
}

func runZoneLoss(ctx context.Context, p Params, progress *Progress) (*Report, error) {
	zones, seeds := p.Ints("zones"), p.Int("seeds")
	points, err := Points(ctx, p, progress, "ring", len(zones)*2*seeds, func(ctx context.Context, i int, at *Point) (lossPoint, error) {
		l := zoneLosing{ctx: ctx, p: p, at: at, seed: p.Seed + uint64(i%seeds)}
		l.out.Zones, l.out.Spread = zones[i/seeds/2], i/seeds%2 == 1
		err := l.run()
		if err != nil {
			err = fmt.Errorf("%d zones, seed %d: %w", l.out.Zones, l.seed, err)
		}
		return l.out, err
	})
	if len(finished(points)) == 0 {
		return nil, err
	}
	r := &Report{}
	t := addZoneTable(r)
	for runs := range slices.Chunk(points, seeds) {
		if done := finished(runs); len(done) > 0 {
			addZoneRow(t, p, done)
		}
	}
	r.Summary = summarize(r)
	return r, err
}

// zoneLosing is one run of the experiment.
type zoneLosing struct {
	ctx  context.Context
	p    Params
	at   *Point
	seed uint64

	clients
	acked []node.Version // by number of the key
	out   lossPoint
}

func (l *zoneLosing) run() error {
	o := sim.DefaultOptions()
	o.Seed, o.Latency = l.seed, sim.NewInternet(l.seed)
	if l.out.Spread {
		o.Zones = l.out.Zones
	}
	l.at.Span(time.Minute + l.p.Duration("repair"))
	return inRing(l.ctx, l.at, o, l.p.Int("nodes"), func(c clients) func() {
		l.clients = c
		return l.script
	})
}

// script is what happens, as a task of the harness.
func (l *zoneLosing) script() {
	l.acked = make([]node.Version, l.p.Int("keys"))
	l.each(len(l.acked), func(i int) {
		if r, err := l.do(l.any(l.w.Hosts()), node.Op{Kind: node.OpPut, Key: lossKey(i), Value: lossKey(i)}); err == nil {
			l.acked[i] = r.Version
			l.out.Acked++
		}
	})
	l.w.Sleep(30 * time.Second)

	var left []*sim.Host
	for _, h := range l.w.Hosts() {
		if h.Number()%l.out.Zones == 0 {
			h.Crash()
		} else {
			left = append(left, h)
		}
	}
	began := l.w.Now()
	l.w.Go(func() { l.out.Closed = l.wait(left, l.p.Duration("repair")) })
	l.readAll(left, &l.out.FailedAtOnce, &l.out.DeniedAtOnce)
	l.w.Sleep(began + l.p.Duration("repair") - l.w.Now())
	l.readAll(left, &l.out.Lost, &l.out.Lost)
	l.count(left)
}

func lossKey(i int) []byte { return strconv.AppendInt([]byte("key-"), int64(i), 10) }

// readAll reads what was acknowledged and counts the reads that got no answer, and those that found less.
func (l *zoneLosing) readAll(from []*sim.Host, failed, denied *int) {
	l.each(len(l.acked), func(i int) {
		if l.acked[i].IsZero() {
			return
		}
		switch r, err := l.do(l.any(from), node.Op{Kind: node.OpGet, Key: lossKey(i)}); {
		case err != nil:
			*failed++
		case !r.Found || l.acked[i].Newer(r.Version):
			*denied++
		}
	})
}

// count looks at the disks that are left.
func (l *zoneLosing) count(left []*sim.Host) {
	copies, kept := 0, 0
	for i, acked := range l.acked {
		var zones []int
		for _, h := range left {
			if v, err := h.Store().Version(lossKey(i)); err == nil && !acked.IsZero() && !acked.Newer(v) {
				zones = append(zones, h.Number()%l.out.Zones)
			}
		}
		if len(zones) == 0 {
			continue
		}
		kept++
		copies += len(zones)
		if len(zones) < node.DefaultConfig().Replicas {
			l.out.Thin++
		}
		if slices.Min(zones) == slices.Max(zones) {
			l.out.InOneZone++
		}
	}
	l.out.Copies = float64(copies) / float64(max(1, kept))
}

// allIn returns the probability that n replicas, on processes drawn without regard to zones, are all in a given one.
func allIn(processes, zones, n int) float64 {
	chance, members := 1.0, (processes+zones-1)/zones
	for i := range n {
		chance *= float64(members-i) / float64(processes-i)
	}
	return chance
}

func addZoneTable(r *Report) *Table {
	return r.AddTable("zones", "The loss of one zone",
		Column{Name: "zones", Of: Given},
		Column{Name: "spread", Head: "replicas spread over zones", Of: Given},
		Column{Name: "keys", Doc: "acknowledged, in all runs"},
		Column{Name: "failed", Head: "no answer at first", Unit: "%", Digits: 2, Doc: "of reads that began as soon as the zone was lost"},
		Column{Name: "denied", Head: "not found at first", Unit: "%", Digits: 2, Doc: "of these reads, or found in an older version"},
		Column{Name: "closed", Head: "one ideal ring", Unit: "s", Digits: 1, Doc: "from the loss until the others are one; mean"},
		Column{Name: "lost", Unit: "%", Digits: 2, Doc: "of the keys, when repair had had its time"},
		Column{Name: "theory", Head: "all in the zone", Of: Theory, Unit: "%", Digits: 2, Doc: "share of the keys of which all replicas were in it"},
		Column{Name: "copies", Head: "live copies", Digits: 2, Doc: "of a key that is not lost, at the end"},
		Column{Name: "thin", Head: "keys with fewer than N", Doc: "at the end, in all runs"},
		Column{Name: "one_zone", Head: "keys in one zone", Unit: "%", Digits: 2, Doc: "at the end: the next zone would take them all"},
		Column{Name: "verdict", Doc: "nothing lost where replicas are spread, as much as chance says where they are not; every key has N copies again"},
	)
}

// addZoneRow adds what the runs of one setting gave.
func addZoneRow(t *Table, p Params, runs []lossPoint) {
	zones, spread := runs[0].Zones, runs[0].Spread
	var closed, copies []float64
	var keys, failed, denied, lost, oneZone, thin int
	for _, pt := range runs {
		keys += pt.Acked
		failed += pt.FailedAtOnce
		denied += pt.DeniedAtOnce
		lost += pt.Lost
		oneZone += pt.InOneZone
		thin += pt.Thin
		closed, copies = append(closed, pt.Closed.Seconds()), append(copies, pt.Copies)
	}
	percent := func(n int) float64 { return 100 * float64(n) / float64(max(1, keys)) }
	expect := 0.0
	if !spread {
		expect = 100 * allIn(p.Int("nodes"), zones, node.DefaultConfig().Replicas)
	}
	verdict := Demand(lost == 0 && thin == 0 && slices.Min(closed) >= 0, "%d of %d lost, %d have fewer than N copies", lost, keys, thin)
	if !spread {
		verdict = Within(0.6).Slack(2).Judge(percent(lost), expect)
	}
	t.Add(zones, yesNo(spread), keys, percent(failed), percent(denied), EstimateOf(closed), percent(lost), expect, EstimateOf(copies), thin, percent(oneZone), verdict)
}
