package experiment

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/sim"
)

func partitionHeal() *Experiment {
	return &Experiment{
		Name:   "partition-heal",
		Title:  "Do the rings merge after a partition, and what becomes of what was written?",
		Source: "none",
		About: "Cuts a ring that holds data into parts of the given sizes, in percent, for ten minutes, during which all sides write new keys " +
			"and old ones; then the network heals. Measured is the time until there is one ideal ring again, every predecessor and every successor " +
			"list right, and what a read from a random node then finds of what was acknowledged. A write is lost if the read finds neither it nor a " +
			"newer one of the same key: the last writer wins, also across a partition. Nodes have the settings of production: three replicas, of " +
			"which two must have a write.\n\n" +
			"The nodes of a part take those of the others for dead, and become a ring of their own. Without gossip no part knows that it is small; with gossip one that is " +
			"in the minority refuses writes by quorum as soon as it has heard so. No paper " +
			"has this experiment: Chord as published does not find back from two rings to one.",
		Params: []Param{
			{"splits", "sizes of the parts in percent", []string{"50/50", "90/10", "34/33/33"}, []string{"50/50", "90/10"}},
			{"gossip", "whether processes hear who is alive", []string{"no", "yes"}, []string{"no", "yes"}},
			{"nodes", "in the ring", 1000, 60},
			{"cut", "how long the network is cut", 10 * time.Minute, 40 * time.Second},
			{"limit", "within which there must be one ideal ring", 10 * time.Minute, 5 * time.Minute},
			{"repair", "from then to the last reading of all keys", 5 * time.Minute, 2 * time.Minute},
			{"keys", "written before the cut", 2000, 200},
			{"writes", "per second during the cut, half of them to old keys", 10, 10},
			{"seeds", "independent runs", 3, 1},
		},
		Run: runPartitionHeal,
	}
}

// healPoint is what one split and seed gives.
type healPoint struct {
	Merged time.Duration // from the healing of the network to one ideal ring; negative if the limit passed
	Parted time.Duration // from the cut to the first moment when each part was an ideal ring; negative if that never came
	Sides  []healSide    // by part
	Before healSide      // what was written before the cut
}

// healSide is what became of the writes of one side.
type healSide struct {
	Acked, Refused, Unknown int // writes during the cut
	LostAtOnce, Lost        int // of those acknowledged: not found as soon as the ring was ideal, and at the end
}

func runPartitionHeal(ctx context.Context, p Params, progress *Progress) (*Report, error) {
	splits, gossip, seeds := p.Texts("splits"), p.Texts("gossip"), p.Int("seeds")
	for _, g := range gossip {
		if g != "no" && g != "yes" {
			return nil, fmt.Errorf("gossip %q: want no or yes", g)
		}
	}
	var parts [][]float64
	for _, s := range splits {
		shares, err := parseSplit(s)
		if err != nil {
			return nil, err
		}
		parts = append(parts, shares)
	}
	points, err := Points(ctx, p, progress, "split", len(splits)*len(gossip)*seeds, func(ctx context.Context, i int, at *Point) (healPoint, error) {
		split := i / seeds / len(gossip)
		h := healing{ctx: ctx, p: p, at: at, seed: p.Seed + uint64(i%seeds), shares: parts[split], gossip: gossip[i/seeds%len(gossip)] == "yes"}
		pt, err := h.run()
		if err != nil {
			return pt, fmt.Errorf("split %s, seed %d: %w", splits[split], h.seed, err)
		}
		return pt, nil
	})
	if len(finished(points)) == 0 {
		return nil, err
	}
	r := &Report{}
	reportHealing(r, p, parts, points)
	r.Summary = summarize(r)
	return r, err
}

// parseSplit reads sizes in percent, such as 90/10.
func parseSplit(text string) (shares []float64, err error) {
	sum := 0.0
	for part := range strings.SplitSeq(text, "/") {
		percent, err := strconv.ParseFloat(part, 64)
		if err != nil || !(percent > 0) {
			return nil, fmt.Errorf("split %q: want sizes in percent with / between, such as 90/10", text)
		}
		shares = append(shares, percent/100)
		sum += percent
	}
	if len(shares) < 2 || sum < 99.9 || sum > 100.1 {
		return nil, fmt.Errorf("split %q: want two sizes or more that sum up to 100", text)
	}
	return shares, nil
}

// healing is one run of the experiment.
type healing struct {
	ctx    context.Context
	p      Params
	at     *Point
	seed   uint64
	shares []float64
	gossip bool

	clients
	part  []int         // by host: which side it is on
	sides [][]*sim.Host // by part
	acked []written
	out   healPoint
}

// written is an acknowledged write.
type written struct {
	key     string
	version node.Version
	side    int // -1: before the cut
}

func (h *healing) run() (healPoint, error) {
	o := sim.DefaultOptions()
	o.Seed, o.Latency = h.seed, sim.NewInternet(h.seed)
	o.Gossip = sim.DefaultGossip()
	o.Gossip.On = h.gossip
	h.at.Span(time.Minute + h.p.Duration("cut") + h.p.Duration("limit")/4 + h.p.Duration("repair"))
	err := inRing(h.ctx, h.at, o, h.p.Int("nodes"), func(c clients) func() {
		h.clients = c
		h.divide()
		return h.script
	})
	return h.out, err
}

// divide decides who will be on which side.
func (h *healing) divide() {
	hosts := append([]*sim.Host(nil), h.w.Hosts()...)
	rand.New(h.chance).Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	h.part = make([]int, len(hosts))
	h.sides = make([][]*sim.Host, len(h.shares))
	h.out.Sides = make([]healSide, len(h.shares))
	end := 0.0
	for side, share := range h.shares {
		begin := int(end*float64(len(hosts)) + 0.5)
		end += share
		h.sides[side] = hosts[begin:min(len(hosts), int(end*float64(len(hosts))+0.5))]
		for _, host := range h.sides[side] {
			h.part[host.Number()] = side
		}
	}
}

// script is what happens, as a task of the harness.
func (h *healing) script() {
	h.each(h.p.Int("keys"), func(i int) { h.write(h.w.Hosts(), fmt.Sprint("old-", i), -1) })
	h.w.Sleep(30 * time.Second)
	for side, hosts := range h.sides {
		for _, host := range hosts {
			h.w.Net().Partition(host, side)
		}
	}
	h.whileCut()
	h.w.Net().Heal()
	h.out.Merged = h.wait(h.w.Hosts(), h.p.Duration("limit"))
	h.readAll(func(s *healSide) { s.LostAtOnce++ })
	h.w.Sleep(h.p.Duration("repair"))
	h.readAll(func(s *healSide) { s.Lost++ })
}

// whileCut makes both sides write while another task waits for the parts to be rings.
func (h *healing) whileCut() {
	begin := h.w.Now()
	h.w.Go(func() {
		h.out.Parted = -1
		h.w.WaitFor(func() bool {
			for _, hosts := range h.sides {
				if !ideal(hosts) {
					return false
				}
			}
			h.out.Parted = h.w.Now() - begin
			return true
		}, time.Second, h.p.Duration("cut"))
	})
	writes := int(h.p.Duration("cut").Seconds() * float64(h.p.Int("writes")))
	for i := range writes {
		at := begin + time.Duration(i)*time.Second/time.Duration(h.p.Int("writes"))
		h.w.Sleep(at - h.w.Now())
		side := h.chance.IntN(len(h.sides))
		key := fmt.Sprint("new-", i)
		if i%2 == 0 {
			key = fmt.Sprint("old-", h.chance.IntN(h.p.Int("keys")))
		}
		h.w.Go(func() { h.write(h.sides[side], key, side) })
	}
	h.w.Sleep(begin + h.p.Duration("cut") - h.w.Now())
}

// write puts a key through one of the hosts.
func (h *healing) write(through []*sim.Host, key string, side int) {
	r, err := h.do(h.any(through), node.Op{Kind: node.OpPut, Key: []byte(key), Value: []byte(key)})
	count := &h.out.Before
	if side >= 0 {
		count = &h.out.Sides[side]
	}
	switch {
	case err == nil:
		count.Acked++
		h.acked = append(h.acked, written{key, r.Version, side})
	case errors.Is(err, node.ErrUnknown):
		count.Unknown++
	default:
		count.Refused++
	}
}

// readAll reads every acknowledged write from a random host and reports those that are lost.
func (h *healing) readAll(lost func(s *healSide)) {
	h.each(len(h.acked), func(i int) {
		a := h.acked[i]
		r, err := h.do(h.any(h.w.Hosts()), node.Op{Kind: node.OpGet, Key: []byte(a.key)})
		switch {
		case err == nil && r.Found && !a.version.Newer(r.Version):
		case a.side < 0:
			lost(&h.out.Before)
		default:
			lost(&h.out.Sides[a.side])
		}
	})
}

func reportHealing(r *Report, p Params, parts [][]float64, points []*healPoint) {
	t := r.AddTable("rings", "From one ring to several and back",
		Column{Name: "split", Unit: "%", Of: Given},
		Column{Name: "gossip", Of: Given},
		Column{Name: "runs"},
		Column{Name: "parted", Head: "runs with ideal parts", Doc: "in which each part became an ideal ring of its own during the cut"},
		Column{Name: "parting", Head: "each part ideal", Unit: "s", Digits: 1, Doc: "from the cut until it had, in these"},
		Column{Name: "merged", Head: "one ideal ring", Unit: "s", Digits: 1, Doc: "from the healing of the network until all nodes are one ideal ring; mean"},
		Column{Name: "merged_max", Head: "slowest", Unit: "s", Digits: 1},
		Column{Name: "verdict", Doc: "one ideal ring within the limit in every run; with gossip, within a minute"},
	)
	u := r.AddTable("writes", "What became of acknowledged writes",
		Column{Name: "split", Unit: "%", Of: Given},
		Column{Name: "gossip", Of: Given},
		Column{Name: "side", Of: Given, Doc: "the part on which they were written, by its size; all: before the cut"},
		Column{Name: "acknowledged", Doc: "in all runs"},
		Column{Name: "refused", Doc: "in all runs: writes that had no effect"},
		Column{Name: "unknown", Doc: "in all runs: writes that may have had an effect"},
		Column{Name: "lost_at_once", Head: "not found at once", Doc: "of those acknowledged, by a read as soon as the ring was ideal again"},
		Column{Name: "lost", Doc: "of those acknowledged, when repair had had its time"},
		Column{Name: "verdict", Doc: "nothing lost"},
	)
	splits, gossip, seeds := p.Texts("splits"), p.Texts("gossip"), p.Int("seeds")
	for i := range len(points) / seeds {
		split, heard, shares := splits[i/len(gossip)], gossip[i%len(gossip)], parts[i/len(gossip)]
		runs := finished(points[i*seeds : (i+1)*seeds])
		if len(runs) == 0 {
			continue
		}
		limit := p.Duration("limit")
		if heard == "yes" {
			limit = min(limit, time.Minute)
		}
		within := 0
		var parting, merging []float64
		for _, run := range runs {
			if run.Parted >= 0 {
				parting = append(parting, run.Parted.Seconds())
			}
			if run.Merged >= 0 {
				merging = append(merging, run.Merged.Seconds())
			}
			if run.Merged >= 0 && run.Merged <= limit {
				within++
			}
		}
		t.Add(split, heard, len(runs), len(parting), EstimateOf(parting), EstimateOf(merging), Quantile(merging, 1),
			Demand(within == len(runs), "%d of %d runs within %v", within, len(runs), limit))
		addSide(u, split, heard, "all", runs, func(pt healPoint) healSide { return pt.Before })
		for j, share := range shares {
			addSide(u, split, heard, fmt.Sprintf("%.0f %%", 100*share), runs, func(pt healPoint) healSide { return pt.Sides[j] })
		}
	}
}

// addSide adds a row about the writes of one side in all runs.
func addSide(t *Table, split, gossip, name string, runs []healPoint, of func(healPoint) healSide) {
	var s healSide
	for _, run := range runs {
		x := of(run)
		s.Acked += x.Acked
		s.Refused += x.Refused
		s.Unknown += x.Unknown
		s.LostAtOnce += x.LostAtOnce
		s.Lost += x.Lost
	}
	t.Add(split, gossip, name, s.Acked, s.Refused, s.Unknown, s.LostAtOnce, s.Lost, Demand(s.Lost == 0, "%d of %d", s.Lost, s.Acked))
}
