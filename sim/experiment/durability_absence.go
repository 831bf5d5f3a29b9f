package experiment

import (
	"context"
	"fmt"
	"time"
)

// oneAbsence measures, by number of replicas, what it costs that a process goes away for an hour and comes back with its disk, when repair is not
// held back: of twelve processes, one after the other.
func oneAbsence(ctx context.Context, p Params, progress *Progress, replicas []int) ([]*storagePoint, error) {
	return Points(ctx, p, progress, "absence", len(replicas), func(ctx context.Context, i int, at *Point) (storagePoint, error) {
		const processes, going = 24, 12
		s := storage{
			departures: departures{Seats: processes, Up: never, Down: time.Hour, Shape: 1, Duration: (2*going + 1) * time.Hour},
			Replicas:   replicas[i], Keys: 100 * processes, Value: p.Int("value"), Look: 12 * time.Hour,
		}
		present := make([]bool, processes)
		for seat := range present {
			present[seat] = true
		}
		var changes []change
		for seat := range going {
			at := time.Duration(2*seat) * time.Hour
			changes = append(changes, change{At: at + time.Hour/2, Seat: seat}, change{At: at + 3*time.Hour/2, Seat: seat, Up: true})
		}
		pt, err := s.run(ctx, at, p.Seed, present, changes)
		if err != nil {
			err = fmt.Errorf("one absence, %d replicas: %w", s.Replicas, err)
		}
		return pt, err
	})
}

func reportAbsence(r *Report, replicas []int, runs []storagePoint) {
	t := r.AddTable("absence", "Of 24 processes, twelve are away for an hour, one after the other",
		Column{Name: "replicas", Head: "N", Of: Given},
		Column{Name: "held", Head: "records on their disks"},
		Column{Name: "moved", Head: "moved while one was away", Doc: "to those who take its place"},
		Column{Name: "back", Head: "moved when it was back, and all were there"},
		Column{Name: "verdict", Doc: "what it held is copied when it goes, once; when it is back, with nothing written meanwhile, nothing is"},
	)
	for i, pt := range runs {
		away := pt.Moved - pt.MovedWhole
		t.Add(replicas[i], pt.Held, away, pt.MovedWhole, Demand(away <= pt.Held && pt.MovedWhole == 0, "%d and %d of %d records", away, pt.MovedWhole, pt.Held))
	}
}
