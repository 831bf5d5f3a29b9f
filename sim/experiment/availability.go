package experiment

import (
	"context"
	"fmt"
	"math"
	"time"
)

func availability() *Experiment {
	return &Experiment{
		Name:   "availability",
		Title:  "Is a key there when it is asked for, while processes come and go?",
		Source: "Chun et al. (Carbonite), NSDI 2006, section 3",
		About: "The ring of durability, with departures that all end with the same process coming back with its disk, after an absence of varying length. Processes at random read keys at random, " +
			"in turn at level one and by a quorum of more than half of the replicas; and now and then all disks are looked at. A key is away when none of its copies is up. No key may be lost.\n\n" +
			"Beside it: the share of a key that has N copies and no repair, the share of absent processes to the power of N; and the birth-death process of durability.",
		Params: []Param{
			{"departures", "distributions of presence and absence: exponential, weibull (shape 0.5)", []string{"exponential", "weibull"}, []string{"exponential"}},
			{"downs", "mean times that a process is away", []time.Duration{time.Hour, 4 * time.Hour, 12 * time.Hour}, []time.Duration{4 * time.Hour}},
			{"replicas", "copies of a key, N", []int{2, 3, 5}, []int{2, 3}},
			{"nodes", "processes, present or away", 1000, 40},
			{"keys", "written at first", 100_000, 1600},
			{"value", "bytes of each", 500, 500},
			{"up", "mean time that a process is there", 24 * time.Hour, 12 * time.Hour},
			{"refill", "time that a process takes to send as much as one holds", 6 * time.Hour, 2 * time.Hour},
			{"look", "time between two looks at all disks", 3 * time.Hour, time.Hour},
			{"reads", "per second over the whole network", 0.2, 0.02},
			{"duration", "of departures", 7 * 24 * time.Hour, 48 * time.Hour},
		},
		Run: runAvailability,
	}
}

func runAvailability(ctx context.Context, p Params, progress *Progress) (*Report, error) {
	names, downs, replicas := p.Texts("departures"), p.Durations("downs"), p.Ints("replicas")
	setting := func(i int) (string, storage, error) {
		name := names[i/len(downs)/len(replicas)]
		s, err := storageOf(p, name, downs[i/len(replicas)%len(downs)], replicas[i%len(replicas)])
		s.Reads = p.Float("reads")
		return name, s, err
	}
	for i := range names {
		if _, _, err := setting(i * len(downs) * len(replicas)); err != nil {
			return nil, err
		}
	}
	points, err := Points(ctx, p, progress, "run", len(names)*len(downs)*len(replicas), func(ctx context.Context, i int, at *Point) (storagePoint, error) {
		name, s, err := setting(i)
		if err != nil {
			return storagePoint{}, err
		}
		present, changes := s.trace(p.Seed)
		pt, err := s.run(ctx, at, p.Seed, present, changes)
		if err != nil {
			err = fmt.Errorf("%s, away for %v, %d replicas: %w", name, s.Down, s.Replicas, err)
		}
		return pt, err
	})
	if len(finished(points)) == 0 {
		return nil, err
	}
	r := &Report{}
	t := addAvailabilityTable(r)
	f := r.AddFigure("away", "Keys of which no copy is up",
		Axis{Label: "mean absence [h]", Log: true}, Axis{Label: "share of keys and time [%]", Log: true})
	lines := map[string]*Line{}
	for i, pt := range points {
		if pt == nil {
			continue
		}
		name, s, _ := setting(i)
		addAvailabilityRow(t, name, s, *pt)
		label := fmt.Sprintf("%s, N = %d", name, s.Replicas)
		if lines[label] == nil {
			lines[label], lines[label+" theory"] = f.AddLine(label, Ours, Dots), f.AddLine(label, Theory, Curve)
		}
		lines[label].Add(s.Down.Hours(), pt.hidden())
		lines[label+" theory"].Add(s.Down.Hours(), 100*s.theory(*pt).Hidden)
	}
	r.Summary = summarize(r)
	return r, err
}

// hidden returns the share, in percent, of the keys and looks in which no copy of a key was up though one was away.
func (pt *storagePoint) hidden() float64 { return 100 * float64(pt.Hidden) / float64(max(1, pt.Seen)) }

// share returns a part of the reads in percent.
func (of readsOf) share(part int) float64 { return 100 * float64(part) / float64(max(1, of.sum())) }

func (of readsOf) sum() int { return of.Done + of.Missed + of.Failed }

func addAvailabilityTable(r *Report) *Table {
	return r.AddTable("availability", "Keys that are away",
		Column{Name: "departures", Of: Given},
		Column{Name: "down", Head: "mean absence", Unit: "h", Digits: 1, Of: Given},
		Column{Name: "replicas", Head: "N", Of: Given},
		Column{Name: "absent", Head: "processes away", Unit: "%", Digits: 1},
		Column{Name: "restored", Unit: "min", Digits: 1, Doc: "until there is another copy for one that went, in the mean"},
		Column{Name: "hidden", Head: "no copy up", Unit: "%", Digits: 4, Doc: "share of keys and looks"},
		Column{Name: "theory", Head: "birth-death", Of: Theory, Unit: "%", Digits: 4},
		Column{Name: "static", Head: "without repair", Of: Theory, Unit: "%", Digits: 4},
		Column{Name: "reads", Head: "reads at level one"},
		Column{Name: "missed_one", Head: "not found", Unit: "%", Digits: 3},
		Column{Name: "failed_one", Head: "no answer", Unit: "%", Digits: 3},
		Column{Name: "quorum", Head: "reads by quorum"},
		Column{Name: "missed_quorum", Head: "not found", Unit: "%", Digits: 3},
		Column{Name: "failed_quorum", Head: "no answer", Unit: "%", Digits: 3},
		Column{Name: "lost", Doc: "keys, at the end"},
		Column{Name: "verdict", Doc: "no key is lost, and repair is worth it: fewer keys are away than without"},
	)
}

func addAvailabilityRow(t *Table, name string, s storage, pt storagePoint) {
	static := 100 * math.Pow(float64(s.Down)/float64(s.Up+s.Down), float64(s.Replicas))
	one, quorum := pt.Reads[0], pt.Reads[1]
	t.Add(name, s.Down, s.Replicas, 100*pt.Absent, s.restored(pt).Minutes(), pt.hidden(), 100*s.theory(pt).Hidden, static,
		one.sum(), one.share(one.Missed), one.share(one.Failed), quorum.sum(), quorum.share(quorum.Missed), quorum.share(quorum.Failed), pt.Lost,
		Demand(pt.Lost == 0 && pt.Acked == s.Keys && pt.hidden() < static, "%d of %d keys lost, %.4f %% away, %.4f %% without repair", pt.Lost, s.Keys, pt.hidden(), static))
}
