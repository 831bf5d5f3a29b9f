package experiment

import (
	"context"
	"fmt"
	"time"
)

func durability() *Experiment {
	return &Experiment{
		Name:   "durability",
		Title:  "Which keys are lost in a month of departures, and what does it cost to keep the others?",
		Source: "Chun et al. (Carbonite), NSDI 2006; Ramabhadran, Pasquale, INFOCOM 2006",
		About: "A ring holds keys while each of its processes is there for a time, a day in the mean, crashes, and is back after four hours in the mean: with its disk, or, one time in ten, as " +
			"another without. What a process may send for repair is limited, so that it takes six hours to send as much as one holds. At the end a key is lost if no copy of it is on any disk.\n\n" +
			"Beside it: a birth-death process of the copies of a key, with the given rates of departure and return and the measured one of repair; and, executed over the same departures without network or " +
			"protocol, an oracle that makes copies only when a disk is gone for good, Carbonite, which makes one when fewer than N are up and counts those that come back, and the rule that this code follows: " +
			"the copies of a key belong to the N processes that follow it on the ring. That one also with patience: a process counts as a member for so long after it went.\n\n" +
			"Nodes have gossip, and the maintenance of production at a fraction of its pace, as fits processes that stay for a day: stabilize every minute, and every ten while nothing changes, sweep and fingers every ten " +
			"minutes, repair of what did not change and a look for lost members every hour, a probe every 30 s, and repair 30 s after a change.",
		Params: []Param{
			{"departures", "distributions of presence and absence: exponential, weibull (shape 0.5)", []string{"exponential", "weibull"}, []string{"exponential"}},
			{"replicas", "copies of a key, N", []int{2, 3, 5}, []int{2, 3}},
			{"nodes", "processes, present or away", 1000, 40},
			{"keys", "written at first", 100_000, 1600},
			{"value", "bytes of each", 500, 500},
			{"up", "mean time that a process is there", 24 * time.Hour, 12 * time.Hour},
			{"down", "mean time that it is away", 4 * time.Hour, 2 * time.Hour},
			{"permanent", "share of the departures that take the disk along", 0.1, 0.1},
			{"refill", "time that a process takes to send as much as one holds", 6 * time.Hour, 2 * time.Hour},
			{"grace", "time that the ring waits for who is away before it makes copies", time.Duration(0), time.Duration(0)},
			{"patience", "of the rule of the ring, executed without network", patiences(), patiences()},
			{"look", "time between two looks at all disks", 3 * time.Hour, time.Hour},
			{"duration", "of departures", 30 * 24 * time.Hour, 48 * time.Hour},
			{"seeds", "independent runs", 1, 1},
		},
		Run: runDurability,
	}
}

func patiences() []time.Duration {
	return []time.Duration{10 * time.Minute, time.Hour, 4 * time.Hour, 12 * time.Hour, 24 * time.Hour}
}

// durabilityPoint is what one run gives, and what rules make of its departures: copies made for each key.
type durabilityPoint struct {
	storagePoint
	Oracle, Carbonite float64
	Foreknowing       float64   // the ring's rule, with only departures for good
	Rule              float64   // the ring's rule, with copies made as late as those of the run
	AtOnce            float64   // the ring's rule, with no delay
	Patient           []float64 // the ring's rule by patience
}

// replayedKeys is how many keys are enough for a replay.
const replayedKeys = 10_000

func runDurability(ctx context.Context, p Params, progress *Progress) (*Report, error) {
	names, replicas, seeds := p.Texts("departures"), p.Ints("replicas"), p.Int("seeds")
	setting := func(i int) (string, storage, error) {
		name, n := names[i/seeds/len(replicas)], replicas[i/seeds%len(replicas)]
		s, err := storageOf(p, name, p.Duration("down"), n)
		s.Permanent, s.Grace = p.Float("permanent"), p.Duration("grace")
		return name, s, err
	}
	for i := range names {
		if _, _, err := setting(i * len(replicas) * seeds); err != nil {
			return nil, err
		}
	}
	points, err := Points(ctx, p, progress, "run", len(names)*len(replicas)*seeds, func(ctx context.Context, i int, at *Point) (durabilityPoint, error) {
		name, s, err := setting(i)
		if err != nil {
			return durabilityPoint{}, err
		}
		seed := p.Seed + uint64(i%seeds)
		pt, err := measureDurability(ctx, s, p.Durations("patience"), seed, at)
		if err != nil {
			err = fmt.Errorf("%s, %d replicas, seed %d: %w", name, s.Replicas, seed, err)
		}
		return pt, err
	})
	away, awayErr := oneAbsence(ctx, p, progress, replicas)
	if err == nil {
		err = awayErr
	}
	if len(finished(points)) == 0 {
		return nil, err
	}
	r := &Report{}
	t, costs := addDurabilityTable(r), addCostTable(r, p.Durations("patience"))
	f := r.AddFigure("cost", "Copies made, over those of the oracle", Axis{Label: "patience with who is away [h]", Log: true}, Axis{Label: "copies over the oracle's", FromZero: true})
	for i := 0; i < len(points); i += seeds {
		name, s, _ := setting(i)
		if runs := finished(points[i : i+seeds]); len(runs) > 0 {
			addDurabilityRow(t, name, s, runs)
			addCostRow(costs, f, name, s, p.Durations("patience"), runs)
		}
	}
	reportAbsence(r, replicas, finished(away))
	r.Summary = summarize(r)
	return r, err
}

// storageOf returns what durability and availability set alike.
func storageOf(p Params, departing string, down time.Duration, replicas int) (storage, error) {
	shape, err := shapeOf(departing)
	return storage{
		departures: departures{Seats: p.Int("nodes"), Up: p.Duration("up"), Shape: shape, Down: down, Duration: p.Duration("duration")},
		Replicas:   replicas, Keys: p.Int("keys"), Value: p.Int("value"), Refill: p.Duration("refill"), Look: p.Duration("look"),
	}, err
}

func measureDurability(ctx context.Context, s storage, patience []time.Duration, seed uint64, at *Point) (pt durabilityPoint, err error) {
	present, changes := s.trace(seed)
	if pt.storagePoint, err = s.run(ctx, at, seed, present, changes); err != nil {
		return pt, err
	}
	keys := min(s.Keys, replayedKeys)
	made := func(p policy) float64 {
		p.N = s.Replicas
		return float64(p.replay(present, changes, keys, seed).Made) / float64(keys)
	}
	pt.Oracle = made(policy{Foreknowing: true})
	pt.Carbonite = made(policy{Delay: s.restored(pt.storagePoint)})
	pt.Foreknowing = made(policy{Foreknowing: true, Placed: true})
	pt.Rule = made(policy{Placed: true, Delay: s.restored(pt.storagePoint)})
	pt.AtOnce = made(policy{Placed: true})
	for _, d := range patience {
		pt.Patient = append(pt.Patient, made(policy{Placed: true, Delay: d}))
	}
	return pt, nil
}

func addDurabilityTable(r *Report) *Table {
	return r.AddTable("keys", "What is lost",
		Column{Name: "departures", Of: Given},
		Column{Name: "replicas", Head: "N", Of: Given},
		Column{Name: "gone", Head: "crashes", Doc: "in all runs"},
		Column{Name: "permanent", Head: "disks lost", Doc: "of these"},
		Column{Name: "keys", Doc: "acknowledged, in all runs"},
		Column{Name: "restored", Unit: "min", Digits: 1, Doc: "until there is another copy for one that went, in the mean"},
		Column{Name: "hidden", Head: "no copy up", Unit: "%", Digits: 4, Doc: "share of keys and time in which all copies are away, lost keys not counted"},
		Column{Name: "theory_hidden", Head: "birth-death", Of: Theory, Unit: "%", Digits: 4},
		Column{Name: "lost", Doc: "keys of which no copy is left on any disk"},
		Column{Name: "theory_lost", Head: "birth-death", Of: Theory, Digits: 2, Doc: "expected; keys are lost by arcs, so that the number varies by some such"},
		Column{Name: "arc", Head: "keys in an arc", Of: Given, Digits: 0},
		Column{Name: "verdict", Doc: "no key is lost unless a disk with a copy of it was, since it was seen last"},
	)
}

func addDurabilityRow(t *Table, name string, s storage, runs []durabilityPoint) {
	var sum storagePoint
	var hidden, lost float64
	for _, pt := range runs {
		sum.Departures, sum.Permanent, sum.Acked = sum.Departures+pt.Departures, sum.Permanent+pt.Permanent, sum.Acked+pt.Acked
		sum.Seen, sum.Hidden, sum.Missing = sum.Seen+pt.Seen, sum.Hidden+pt.Hidden, sum.Missing+pt.Missing
		sum.Lost, sum.Unexplained = sum.Lost+pt.Lost, sum.Unexplained+pt.Unexplained
		f := s.theory(pt.storagePoint)
		hidden, lost = hidden+100*f.Hidden/float64(len(runs)), lost+f.Lost*float64(pt.Acked)
	}
	t.Add(name, s.Replicas, sum.Departures, sum.Permanent, sum.Acked, s.restored(sum).Minutes(),
		100*float64(sum.Hidden)/float64(max(1, sum.Seen)), hidden, sum.Lost, lost, float64(s.Keys)/float64(s.Seats),
		Demand(sum.Unexplained == 0 && sum.Acked == s.Keys*len(runs), "%d of %d keys written, %d lost without cause", sum.Acked, s.Keys*len(runs), sum.Unexplained))
}

func addCostTable(r *Report, patience []time.Duration) *Table {
	columns := []Column{
		{Name: "departures", Of: Given},
		{Name: "replicas", Head: "N", Of: Given},
		{Name: "moved", Digits: 1, Doc: "copies that repair and sweep made, of each key"},
		{Name: "bytes", Head: "repair", Unit: "B/process/s", Digits: 2, Doc: "of these copies"},
		{Name: "compared", Head: "to find out which", Unit: "B/process/s", Digits: 2, Doc: "digests, outlines and lists, by the model of p2psim"},
		{Name: "rule", Head: "the ring's rule, as late", Of: Theory, Digits: 1, Doc: "copies of each key by a replay, made as late as here unless who went is back by then"},
		{Name: "at_once", Head: "the ring's rule, at once", Of: Theory, Digits: 1, Doc: "the same for every departure, with no delay"},
		{Name: "oracle", Of: Theory, Digits: 1, Doc: "copies of each key, made when a disk is lost for good"},
		{Name: "ratio", Head: "over the oracle", Digits: 2},
		{Name: "carbonite", Head: "Carbonite over it", Of: Theory, Digits: 2, Doc: "on the same departures; in the paper 1.44, on a year of PlanetLab with one departure in 98 for good"},
		{Name: "foreknowing", Head: "the ring's rule, foreknowing", Of: Theory, Digits: 2, Doc: "over the oracle, if only departures for good counted: what places cost"},
	}
	for _, d := range patience {
		columns = append(columns, Column{
			Name: fmt.Sprintf("patience_%dmin", int(d.Minutes())), Head: "patience of " + d.String(), Of: Theory, Digits: 2, Doc: "over the oracle",
		})
	}
	return r.AddTable("costs", "What keeping them costs", append(columns,
		Column{Name: "verdict", Doc: "as many copies as the ring's rule asks for: between these two, give or take a tenth"})...)
}

func addCostRow(t *Table, f *Figure, name string, s storage, patience []time.Duration, runs []durabilityPoint) {
	mean := func(of func(pt durabilityPoint) float64) float64 { return across(runs, of).Mean }
	moved := mean(func(pt durabilityPoint) float64 { return float64(pt.Moved) / float64(max(1, pt.Acked)) })
	oracle := mean(func(pt durabilityPoint) float64 { return pt.Oracle })
	rule := mean(func(pt durabilityPoint) float64 { return pt.Rule })
	atOnce := mean(func(pt durabilityPoint) float64 { return pt.AtOnce })
	carbonite := mean(func(pt durabilityPoint) float64 { return pt.Carbonite })
	perProcess := func(bytes float64) float64 {
		return bytes / (float64(s.Seats) * float64(s.Up) / float64(s.Up+s.Down) * s.Duration.Seconds())
	}
	cells := []any{
		name, s.Replicas, moved, perProcess(mean(func(pt durabilityPoint) float64 { return float64(pt.Bytes) })),
		perProcess(mean(func(pt durabilityPoint) float64 { return float64(pt.Compared) })), rule, atOnce, oracle, moved / oracle, carbonite / oracle,
		mean(func(pt durabilityPoint) float64 { return pt.Foreknowing }) / oracle,
	}
	line := f.AddLine(fmt.Sprintf("the ring's rule, %s, N = %d", name, s.Replicas), Theory, Curve)
	for i, d := range patience {
		ratio := mean(func(pt durabilityPoint) float64 { return pt.Patient[i] }) / oracle
		cells = append(cells, ratio)
		line.Add(d.Hours(), ratio)
	}
	restored := mean(func(pt durabilityPoint) float64 { return s.restored(pt.storagePoint).Hours() })
	f.AddLine(line.Name, Ours, Dots).Add(restored, moved/oracle)
	t.Add(append(cells, Demand(moved > 0.9*rule && moved < 1.1*atOnce, "%.1f, want %.1f to %.1f", moved, rule, atOnce))...)
}
