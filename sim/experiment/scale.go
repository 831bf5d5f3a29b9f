package experiment

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/chordkv/chord/sim"
)

func scale() *Experiment {
	return &Experiment{
		Name:   "scale",
		Title:  "How many nodes does one program simulate?",
		Source: "none",
		About: "Ideal rings of a thousand to a million nodes that run the whole protocol for a minute of virtual time: each stabilizes every 30 s " +
			"and looks a finger up every 30 s, and random identifiers are looked up, a thousand a second in the whole ring. Measured are events per " +
			"second of real time, which depend on the machine, the heap that the nodes and their world take, and the path of the lookups beside the " +
			"formula of ToN 2003, section V-D.",
		Params: []Param{
			{"nodes", "in the ring", []int{1000, 10_000, 100_000, 1_000_000}, []int{1000, 5000}},
			{"successors", "length of the successor list", 16, 16},
			{"duration", "virtual time", time.Minute, 20 * time.Second},
			{"lookups", "per second in the whole ring", 1000.0, 200.0},
		},
		Run: runScale,
	}
}

// scalePoint is what one size gives.
type scalePoint struct {
	Nodes           int
	Steps           uint64
	Build, Took     time.Duration // real time: to make the ring, and to run it
	Heap            uint64        // bytes after the ring was made
	Peak            uint64        // bytes obtained from the operating system in the end
	Right, Lookups  int
	Hops            Counts
	Bytes           float64
	MaxTasks, Depth int // the most tasks at a time; events in the queue at the end
}

func runScale(ctx context.Context, p Params, progress *Progress) (*Report, error) {
	p.Workers = 1 // or they would take each other's processor and memory
	sizes := p.Ints("nodes")
	points, err := Points(ctx, p, progress, "size", len(sizes), func(ctx context.Context, i int, at *Point) (scalePoint, error) {
		return measureScale(ctx, p, sizes[i], at)
	})
	done := finished(points)
	if len(done) == 0 {
		return nil, err
	}
	r := &Report{}
	reportScale(r, p, done)
	r.Summary = summarize(r)
	return r, err
}

func measureScale(ctx context.Context, p Params, n int, at *Point) (scalePoint, error) {
	s := sim.DefaultScenario()
	s.Name, s.Seed, s.Nodes, s.Duration = "scale", p.Seed, n, p.Duration("duration")
	s.Node = routing(p.Int("successors"))
	s.Node.StabilizeInterval, s.Node.FixFingersInterval = 30*time.Second, 30*time.Second
	s.Node.HealInterval, s.Node.RepairInterval, s.Node.SweepInterval = never, never, never
	s.Workload = []sim.Workload{{Op: sim.OpLookup, Rate: p.Float("lookups")}}
	at.Span(s.Duration)
	pt := scalePoint{Nodes: n}
	before, begin := heap(), time.Now()
	var started time.Time
	r, err := sim.Run(ctx, s, sim.Observer{
		Start: func(*sim.World) {
			pt.Build = time.Since(begin)
			pt.Heap = heap() - before
			started = time.Now()
		},
		Tick: func(now time.Duration, stats sim.Stats) { at.At(now, stats.Steps) },
	})
	if err != nil {
		return pt, fmt.Errorf("%d nodes: %w", n, err)
	}
	pt.Took = time.Since(started)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	pt.Peak = m.Sys
	pt.Steps, pt.MaxTasks, pt.Depth = r.Stats.Steps, r.Stats.MaxTasks, r.Stats.Pending
	pt.Right, pt.Lookups = r.Totals.Lookups.Right, r.Totals.Lookups.Done()
	pt.Hops, pt.Bytes = countsOf(r.Totals.Lookups.Hops), r.Totals.BytesPerNode()
	return pt, nil
}

// heap returns the bytes in use on the heap.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func reportScale(r *Report, p Params, done []scalePoint) {
	t := r.AddTable("scale", fmt.Sprintf("%v of virtual time", p.Duration("duration")),
		Column{Name: "nodes", Of: Given},
		Column{Name: "steps", Doc: "events executed"},
		Column{Name: "steps_per_s", Head: "events/s", Doc: "of real time"},
		Column{Name: "speed", Head: "virtual / real time", Digits: 2},
		Column{Name: "build", Unit: "s", Digits: 2, Doc: "real time to make the ring"},
		Column{Name: "run", Unit: "s", Digits: 2, Doc: "real time of the run"},
		Column{Name: "bytes_per_node", Head: "heap", Unit: "B/node", Doc: "when the ring has been made"},
		Column{Name: "memory", Unit: "MiB", Doc: "obtained from the operating system by the end"},
		Column{Name: "tasks", Doc: "the most at a time"},
		Column{Name: "path", Unit: "calls", Digits: 2, Doc: "mean"},
		Column{Name: "formula", Of: Theory, Unit: "calls", Digits: 2, Doc: "1/2 log2 N - 1/2 log2 r + 1"},
		Column{Name: "traffic", Unit: "B/node/s", Digits: 1, Doc: "sent, by the model of p2psim"},
		Column{Name: "verdict", Doc: "every lookup right, path within 3 % of the formula"},
	)
	nodes := Axis{Label: "nodes", Log: true}
	speed := r.AddFigure("speed", "Events per second", nodes, Axis{Label: "events per second", FromZero: true}).AddLine("ours", Ours, Curve)
	memory := r.AddFigure("memory", "Memory per node", nodes, Axis{Label: "bytes per node", FromZero: true}).AddLine("ours", Ours, Curve)
	for _, pt := range done {
		formula := pathLength(pt.Nodes, p.Int("successors"))
		verdict := Within(0.03).Judge(pt.Hops.Mean(), formula)
		if pt.Right != pt.Lookups {
			verdict = Demand(false, "%d of %d lookups not right", pt.Lookups-pt.Right, pt.Lookups)
		}
		perSecond, perNode := float64(pt.Steps)/pt.Took.Seconds(), float64(pt.Heap)/float64(pt.Nodes)
		t.Add(pt.Nodes, pt.Steps, perSecond, p.Duration("duration").Seconds()/pt.Took.Seconds(), pt.Build, pt.Took,
			perNode, float64(pt.Peak)/(1<<20), pt.MaxTasks, pt.Hops.Mean(), formula, pt.Bytes, verdict)
		speed.Add(float64(pt.Nodes), perSecond)
		memory.Add(float64(pt.Nodes), perNode)
	}
}
