package experiment

import (
	"slices"
	"sync"
	"time"
)

// Progress collects how far a run is, for whoever wants to show it. It is safe for concurrent use. A nil *Progress hears everything and
// says nothing.
type Progress struct {
	mu       sync.Mutex
	expected int
	finished int
	events   uint64 // of finished points
	running  []*Point
}

// Point is one simulation under way: one setting, one seed. A nil *Point is of a nil *Progress.
type Point struct {
	of     *Progress
	label  string
	until  time.Duration
	now    time.Duration
	events uint64
}

// Standing is where a run stands.
type Standing struct {
	Share              float64 // of the whole that is done, 0 to 1; negative if the whole is not known
	Finished, Expected int     // points
	Events             uint64  // simulated so far, in all points
	Label              string  // of the point that runs longest, "" if none does
	Now, Until         time.Duration
}

// Expect adds n points to those that the run will have.
func (p *Progress) Expect(n int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected += n
}

// Begin says that a point starts which will simulate the time until; 0 if that is not known.
func (p *Progress) Begin(label string, until time.Duration) *Point {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	pt := &Point{of: p, label: label, until: until}
	p.running = append(p.running, pt)
	return pt
}

// skip says that a point needs no run.
func (p *Progress) skip() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finished++
}

// Span corrects the time that the point will simulate.
func (pt *Point) Span(until time.Duration) {
	if pt == nil {
		return
	}
	pt.of.mu.Lock()
	defer pt.of.mu.Unlock()
	pt.until = until
}

// At says how far the point is in virtual time and how many events it took.
func (pt *Point) At(now time.Duration, events uint64) {
	if pt == nil {
		return
	}
	pt.of.mu.Lock()
	defer pt.of.mu.Unlock()
	pt.now, pt.events = now, events
}

// End says that the point is finished. It may be called more than once.
func (pt *Point) End() {
	if pt == nil {
		return
	}
	p := pt.of
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.running, pt)
	if i < 0 {
		return
	}
	p.running = slices.Delete(p.running, i, i+1)
	p.finished++
	p.events += pt.events
}

// Standing returns where the run stands.
func (p *Progress) Standing() Standing {
	if p == nil {
		return Standing{Share: -1}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Standing{Share: -1, Finished: p.finished, Expected: p.expected, Events: p.events}
	done := float64(p.finished)
	for i, pt := range p.running {
		s.Events += pt.events
		if pt.until > 0 {
			done += min(float64(pt.now)/float64(pt.until), 1)
		}
		if i == 0 {
			s.Label, s.Now, s.Until = pt.label, pt.now, pt.until
		}
	}
	if p.expected > 0 {
		s.Share = min(done/float64(p.expected), 1)
	}
	return s
}
